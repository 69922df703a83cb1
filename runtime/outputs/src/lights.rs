//! All configured lights.

use crate::OutputError;
use crate::check::check;
use crate::gpio::{Chips, Kernel, Line, Wire};
use crate::led::Led;
use gantry_core::config::Light;
use gantry_core::spelling;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the kernel has its LEDs.
const LEDS: &str = "/sys/class/leds";

/// The lights. Shared by reference; none are configured at first.
pub struct Lights {
    class: PathBuf,
    chips: Box<dyn Chips>,
    lights: Mutex<BTreeMap<String, Output>>,
}

struct Output {
    section: Light,
    device: Device,
}

enum Device {
    Led(Led),
    Gpio(Gpio),
    /// What is wrong with the section.
    Unusable(String),
}

struct Gpio {
    wire: Wire,
    /// `None` while it could not be had; every use tries again.
    held: Option<Box<dyn Line>>,
    /// What it was last set to.
    on: bool,
}

impl Gpio {
    /// The line, requested when it is not held.
    fn hold(&mut self, chips: &dyn Chips) -> Result<&mut Box<dyn Line>, OutputError> {
        if self.held.is_none() {
            self.held = Some(chips.request(&self.wire, self.on)?);
        }
        Ok(self.held.as_mut().expect("just requested"))
    }

    fn set(&mut self, chips: &dyn Chips, on: bool) -> Result<(), OutputError> {
        let was_held = self.held.is_some();
        self.on = on;
        let line = self.hold(chips)?;
        if !was_held {
            return Ok(()); // Requested with that value.
        }
        // A chip that was unplugged and is there again has forgotten us.
        line.set(on).or_else(|_| {
            self.held = None;
            self.hold(chips).map(drop)
        })
    }
}

impl Default for Lights {
    fn default() -> Self {
        Self::new()
    }
}

impl Lights {
    /// No lights yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with(LEDS.into(), Box::new(Kernel))
    }

    fn with(class: PathBuf, chips: Box<dyn Chips>) -> Self {
        Self { class, chips, lights: Mutex::default() }
    }

    /// Has the lights of a new configuration. A light whose section is as before is not touched. GPIO lines are taken and
    /// driven at once: off, or, where only the wiring of a light has changed, what it was before. Lines that are not
    /// configured any more are released.
    ///
    /// Returns those that cannot be switched now, with the reason; each is tried again whenever it is used.
    pub fn apply(&self, sections: &BTreeMap<String, Light>) -> Vec<(String, OutputError)> {
        let mut lights = self.lock();
        let mut old = std::mem::take(&mut *lights);
        // Released before any is taken: a line may go from one light to another.
        old.retain(|name, _| sections.contains_key(name));
        let mut was_on = BTreeMap::new();
        for (name, output) in old {
            if output.section == sections[&name] {
                lights.insert(name, output);
            } else if let Device::Gpio(gpio) = output.device {
                was_on.insert(name, gpio.on);
            }
        }
        let mut failures = Vec::new();
        for (name, section) in sections {
            let output = lights.entry(name.clone()).or_insert_with(|| {
                let on = was_on.get(name).copied().unwrap_or(false);
                Output { section: section.clone(), device: self.device(name, section, on) }
            });
            if let Err(e) = self.available_in(name, output) {
                failures.push((name.clone(), e));
            }
        }
        failures
    }

    /// Switches a light.
    ///
    /// # Errors
    /// Why it cannot be switched: see [`OutputError`].
    pub fn set(&self, name: &str, on: bool) -> Result<(), OutputError> {
        let mut lights = self.lock();
        match &mut find(&mut lights, name)?.device {
            Device::Led(led) => led.set(on),
            Device::Gpio(gpio) => gpio.set(&*self.chips, on),
            Device::Unusable(message) => Err(misconfigured(name, message)),
        }
    }

    /// Whether a light can be switched now.
    ///
    /// # Errors
    /// Why it cannot be switched: see [`OutputError`].
    pub fn available(&self, name: &str) -> Result<(), OutputError> {
        let mut lights = self.lock();
        let output = find(&mut lights, name)?;
        self.available_in(name, output)
    }

    fn available_in(&self, name: &str, output: &mut Output) -> Result<(), OutputError> {
        match &mut output.device {
            Device::Led(led) => led.available(),
            Device::Gpio(gpio) => gpio.hold(&*self.chips).map(drop),
            Device::Unusable(message) => Err(misconfigured(name, message)),
        }
    }

    fn device(&self, name: &str, section: &Light, on: bool) -> Device {
        if let Some(finding) = check(name, section).into_iter().next() {
            return Device::Unusable(finding.to_string());
        }
        match (&section.led, &section.gpio, section.line) {
            (Some(led), ..) => Device::Led(Led::new(&self.class, led)),
            (None, Some(chip), Some(line)) => {
                let wire = Wire { chip: chip.clone(), line, active_low: section.active_low };
                Device::Gpio(Gpio { wire, held: None, on })
            }
            _ => Device::Unusable("set `led`, or `gpio` and `line`".to_owned()),
        }
    }

    /// Poisoning would turn one failure into many: each light is right by itself.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Output>> {
        self.lights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(lights: &'a mut BTreeMap<String, Output>, name: &str) -> Result<&'a mut Output, OutputError> {
    if !lights.contains_key(name) {
        let near = spelling::nearest(name, lights.keys().map(String::as_str)).map(str::to_owned);
        return Err(OutputError::NotConfigured { name: name.to_owned(), near });
    }
    Ok(lights.get_mut(name).expect("looked at before"))
}

fn misconfigured(name: &str, message: &str) -> OutputError {
    OutputError::Misconfigured { name: name.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
