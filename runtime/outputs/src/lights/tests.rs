use super::*;
use std::fs;
use std::sync::Arc;

/// What the fake chip was told, and what it answers.
#[derive(Default)]
struct Board {
    log: Vec<String>,
    held: Vec<u32>,
    /// Refuse requests.
    gone: bool,
    /// Refuse the next set of a held line.
    forgot: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Board>>);

impl Fake {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.board().log)
    }
}

struct FakeLine {
    fake: Fake,
    line: u32,
}

impl Chips for Fake {
    fn request(&self, wire: &Wire, on: bool) -> Result<Box<dyn Line>, OutputError> {
        let mut board = self.board();
        if board.gone {
            return Err(OutputError::NoChip { path: wire.chip.clone(), existing: Vec::new() });
        }
        if board.held.contains(&wire.line) {
            let consumer = "gantry".to_owned();
            return Err(OutputError::Busy { chip: wire.chip.clone(), line: wire.line, consumer });
        }
        board.held.push(wire.line);
        let low = if wire.active_low { " low" } else { "" };
        board.log.push(format!("take {}{low} {on}", wire.line));
        Ok(Box::new(FakeLine { fake: self.clone(), line: wire.line }))
    }
}

impl Line for FakeLine {
    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        let mut board = self.fake.board();
        if std::mem::take(&mut board.forgot) {
            return Err(OutputError::Failed { path: "x".into(), doing: "drive", reason: "no device".into() });
        }
        board.log.push(format!("set {} {on}", self.line));
        Ok(())
    }
}

impl Drop for FakeLine {
    fn drop(&mut self) {
        let mut board = self.fake.board();
        board.held.retain(|line| *line != self.line);
        board.log.push(format!("release {}", self.line));
    }
}

fn gpio(line: u32) -> Light {
    Light { gpio: Some("/dev/gpiochip0".into()), line: Some(line), ..Light::default() }
}

fn low(line: u32) -> Light {
    Light { active_low: true, ..gpio(line) }
}

fn led(name: &str) -> Light {
    Light { led: Some(name.to_owned()), ..Light::default() }
}

fn sections(lights: &[(&str, Light)]) -> BTreeMap<String, Light> {
    lights.iter().map(|(name, light)| ((*name).to_owned(), light.clone())).collect()
}

fn lights() -> (Fake, Lights) {
    let fake = Fake::default();
    (fake.clone(), Lights::with("/nonexistent".into(), Box::new(fake)))
}

#[test]
fn a_line_is_taken_once_and_driven_until_it_is_not_configured() {
    let (fake, lights) = lights();
    assert_eq!(lights.apply(&sections(&[("a", gpio(1)), ("b", low(2))])), []);
    assert_eq!(fake.log(), ["take 1 false", "take 2 low false"]);
    lights.set("a", true).unwrap();
    lights.set("a", false).unwrap();
    lights.available("b").unwrap();
    assert_eq!(fake.log(), ["set 1 true", "set 1 false"]);
    assert_eq!(lights.apply(&sections(&[("b", low(2))])), []);
    assert_eq!(fake.log(), ["release 1"]);
    drop(lights);
    assert_eq!(fake.log(), ["release 2"]);
}

#[test]
fn a_changed_section_touches_only_its_light_and_keeps_it_on() {
    let (fake, lights) = lights();
    lights.apply(&sections(&[("a", gpio(1)), ("b", gpio(2))]));
    lights.set("b", true).unwrap();
    fake.log();
    lights.apply(&sections(&[("a", gpio(1)), ("b", low(2))]));
    assert_eq!(fake.log(), ["release 2", "take 2 low true"]);
    lights.apply(&sections(&[("a", gpio(1)), ("b", low(2))]));
    assert!(fake.log().is_empty());
}

#[test]
fn two_lights_can_swap_their_lines() {
    let (fake, lights) = lights();
    lights.apply(&sections(&[("a", gpio(1)), ("b", gpio(2))]));
    fake.log();
    assert_eq!(lights.apply(&sections(&[("a", gpio(2)), ("b", gpio(1))])), []);
    assert_eq!(fake.log(), ["release 1", "release 2", "take 2 false", "take 1 false"]);
}

#[test]
fn a_line_that_cannot_be_had_is_told_and_tried_again_with_what_it_should_be() {
    let (fake, lights) = lights();
    fake.board().gone = true;
    let failures = lights.apply(&sections(&[("a", gpio(1))]));
    assert!(failures[0].0 == "a" && matches!(failures[0].1, OutputError::NoChip { .. }), "{failures:?}");
    assert!(matches!(lights.set("a", true), Err(OutputError::NoChip { .. })));
    assert!(matches!(lights.available("a"), Err(OutputError::NoChip { .. })));
    fake.board().gone = false;
    lights.available("a").unwrap();
    assert_eq!(fake.log(), ["take 1 true"]);
}

#[test]
fn a_chip_that_came_back_is_asked_for_the_line_again() {
    let (fake, lights) = lights();
    lights.apply(&sections(&[("a", gpio(1))]));
    fake.log();
    fake.board().forgot = true;
    lights.set("a", true).unwrap();
    assert_eq!(fake.log(), ["release 1", "take 1 true"]);
    fake.board().forgot = true;
    fake.board().gone = true;
    assert!(matches!(lights.set("a", false), Err(OutputError::NoChip { .. })));
}

#[test]
fn a_line_that_another_light_has_is_busy() {
    let (_fake, lights) = lights();
    let failures = lights.apply(&sections(&[("a", gpio(1)), ("b", gpio(1))]));
    assert!(failures.len() == 1 && matches!(&failures[0], (name, OutputError::Busy { .. }) if name == "b"));
    lights.set("a", true).unwrap();
}

#[test]
fn a_light_that_is_not_configured_is_said_so_with_the_one_that_was_meant() {
    let (_fake, lights) = lights();
    lights.apply(&sections(&[("light0", gpio(1))]));
    for error in [lights.set("ligth0", true).unwrap_err(), lights.available("ligth0").unwrap_err()] {
        let shown = error.to_string();
        assert!(shown.contains("there is no light `ligth0`; did you mean `light0`?"), "{shown}");
    }
}

#[test]
fn a_section_with_a_finding_is_not_used() {
    let (fake, lights) = lights();
    let both = Light { led: Some("ACT".to_owned()), ..gpio(1) };
    assert_eq!(lights.apply(&sections(&[("a", both)])).len(), 1);
    let error = lights.set("a", true).unwrap_err().to_string();
    assert!(error.contains("remove `led` or `gpio`"), "{error}");
    assert!(fake.log().is_empty());
}

#[test]
fn leds_are_found_by_name_and_applying_does_not_touch_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ACT")).unwrap();
    let file = |name: &str| dir.path().join("ACT").join(name);
    fs::write(file("brightness"), "17").unwrap();
    fs::write(file("max_brightness"), "31\n").unwrap();
    fs::write(file("trigger"), "none [mmc0]").unwrap();
    let lights = Lights::with(dir.path().to_owned(), Box::new(Fake::default()));
    let failures = lights.apply(&sections(&[("a", led("ACT")), ("b", led("PWR"))]));
    assert!(failures.len() == 1 && matches!(&failures[0], (name, OutputError::NoLed { .. }) if name == "b"));
    assert_eq!(fs::read_to_string(file("brightness")).unwrap(), "17");
    lights.available("a").unwrap();
    lights.set("a", true).unwrap();
    assert_eq!(fs::read_to_string(file("brightness")).unwrap(), "31");
    assert!(fs::read_to_string(file("trigger")).unwrap().starts_with("none"));
}

#[test]
fn the_lights_of_this_system_say_why_they_cannot_be_switched() {
    let lights = Lights::new();
    let nowhere = Light { gpio: Some("/dev/no-such-chip".into()), ..gpio(0) };
    let failures = lights.apply(&sections(&[("led", led("no such led")), ("line", nowhere)]));
    assert!(matches!(failures[0].1, OutputError::NoLed { .. }), "{failures:?}");
    assert!(matches!(failures[1].1, OutputError::NoChip { .. }), "{failures:?}");
}
