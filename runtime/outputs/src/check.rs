//! What is wrong with the configuration of lights. Nothing here looks at the system: a light that is unplugged is no
//! mistake.

use gantry_core::config::{Finding, Light};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// What is wrong with one light.
#[must_use]
pub fn check(name: &str, light: &Light) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |key: &str, message: String| {
        let dot = if key.is_empty() { "" } else { "." };
        findings.push(Finding::new(format!("lights.{name}{dot}{key}"), message));
    };
    match (&light.led, &light.gpio) {
        (None, None) => find("", "this light is nothing yet: set `led`, or `gpio` and `line`".to_owned()),
        (Some(_), Some(_)) => {
            find("gpio", "a light is an LED or a GPIO line: remove `led` or `gpio`".to_owned())
        }
        _ => {}
    }
    if let Some(led) = &light.led
        && let Some(message) = wrong_with_led(led)
    {
        find("led", message);
    }
    if light.led.is_some() && light.gpio.is_none() && light.active_low {
        find("active_low", "the kernel knows how an LED is wired: remove it, it is for `gpio`".to_owned());
    }
    match (&light.gpio, light.line) {
        (Some(_), None) => {
            find("gpio", "this is a chip with many lines: set `line` to the number of one".to_owned())
        }
        (None, Some(_)) => {
            find("line", "this is the line of which chip? Set `gpio`, such as /dev/gpiochip0".to_owned())
        }
        _ => {}
    }
    if let Some(gpio) = &light.gpio
        && !is_plain(gpio)
    {
        let message = format!("`{}` is no absolute path: take one such as /dev/gpiochip0", gpio.display());
        find("gpio", message);
    }
    findings
}

/// What is wrong with all lights, each and together.
#[must_use]
pub fn check_all(lights: &BTreeMap<String, Light>) -> Vec<Finding> {
    let mut findings: Vec<_> = lights.iter().flat_map(|(name, light)| check(name, light)).collect();
    let mut lines = BTreeMap::new();
    let mut leds = BTreeMap::new();
    for (name, light) in lights {
        let first = match (&light.gpio, light.line, &light.led) {
            (Some(gpio), Some(line), _) => *lines.entry((gpio, line)).or_insert(name),
            (None, None, Some(led)) => *leds.entry(led).or_insert(name),
            _ => continue,
        };
        if first != name {
            let message = format!("`{first}` is the same light already: change or remove one of them");
            findings.push(Finding::new(format!("lights.{name}"), message));
        }
    }
    findings
}

fn wrong_with_led(led: &str) -> Option<String> {
    let good = if led.starts_with('/') {
        is_plain(Path::new(led))
    } else {
        !matches!(led, "" | "." | "..") && !led.contains(['/', '\0'])
    };
    let shown = led.escape_debug();
    (!good).then(|| {
        format!("`{shown}` is neither the name of an LED, such as `ACT` (`ls /sys/class/leds` shows all), nor the \
                 absolute path of its folder: take one of them")
    })
}

/// Absolute, and without ways up.
fn is_plain(path: &Path) -> bool {
    let no_nul = !path.as_os_str().as_encoded_bytes().contains(&0);
    path.is_absolute() && no_nul && path.components().all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(name: &str) -> Light {
        Light { led: Some(name.to_owned()), ..Light::default() }
    }

    fn gpio(path: &str, line: Option<u32>) -> Light {
        Light { gpio: Some(path.into()), line, ..Light::default() }
    }

    #[test]
    fn good_lights_have_no_findings() {
        for light in [
            led("ACT"),
            led("green:status"),
            led("/sys/class/leds/a b"),
            gpio("/dev/gpiochip0", Some(0)),
            Light { active_low: true, ..gpio("/dev/gpiochip4", Some(17)) },
        ] {
            assert_eq!(check("light0", &light), [], "{light:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_light_is_told_with_its_key_and_the_next_step() {
        let cases = [
            (Light::default(), "lights.light0: this light is nothing yet: set `led`"),
            (
                Light { led: Some("ACT".into()), ..gpio("/dev/gpiochip0", Some(1)) },
                "lights.light0.gpio: a light is",
            ),
            (gpio("/dev/gpiochip0", None), "lights.light0.gpio: this is a chip with many lines: set `line`"),
            (Light { line: Some(3), ..led("ACT") }, "lights.light0.line: this is the line of which chip?"),
            (Light { active_low: true, ..led("ACT") }, "lights.light0.active_low: the kernel knows"),
            (gpio("gpiochip0", Some(1)), "lights.light0.gpio: `gpiochip0` is no absolute path"),
            (gpio("/dev/../etc", Some(1)), "lights.light0.gpio: `/dev/../etc` is no"),
            (led(""), "lights.light0.led: `` is neither"),
            (led(".."), "lights.light0.led: `..` is neither"),
            (led("a/b"), "lights.light0.led: `a/b` is neither"),
            (led("../../etc"), "lights.light0.led: `../../etc` is neither"),
            (led("/sys/../etc"), "lights.light0.led: `/sys/../etc` is neither"),
            (led("a\0b"), "lights.light0.led: `a\\0b` is neither"),
        ];
        for (light, start) in cases {
            let findings = check("light0", &light);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].to_string().starts_with(start), "{}", findings[0]);
        }
    }

    #[test]
    fn two_lights_that_are_the_same_one_are_told() {
        let lights = [
            ("a", gpio("/dev/gpiochip0", Some(1))),
            ("b", gpio("/dev/gpiochip0", Some(2))),
            ("c", gpio("/dev/gpiochip0", Some(1))),
            ("d", led("ACT")),
            ("e", led("ACT")),
        ];
        let findings = check_all(&lights.map(|(name, light)| (name.to_owned(), light)).into());
        let shown: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "lights.c: `a` is the same light already: change or remove one of them",
                "lights.e: `d` is the same light already: change or remove one of them",
            ]
        );
    }
}
