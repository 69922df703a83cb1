//! GPIO lines through the character device.

use crate::OutputError;
use crate::led::names;
use gpiocdev::line::Value;
use gpiocdev::{Chip, Error, Request};
use std::io;
use std::path::{Path, PathBuf};

/// Who we say we are.
const CONSUMER: &str = "gantry";

/// A line, and how it is wired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) chip: PathBuf,
    pub(crate) line: u32,
    pub(crate) active_low: bool,
}

/// A line that we drive, until it is dropped.
pub(crate) trait Line: Send {
    fn set(&mut self, on: bool) -> Result<(), OutputError>;
}

/// Where lines come from.
pub(crate) trait Chips: Send + Sync {
    /// Takes a line, and drives it from the first moment with that value.
    fn request(&self, wire: &Wire, on: bool) -> Result<Box<dyn Line>, OutputError>;
}

/// Those of the kernel.
pub(crate) struct Kernel;

impl Chips for Kernel {
    fn request(&self, wire: &Wire, on: bool) -> Result<Box<dyn Line>, OutputError> {
        let opened = Chip::from_path(&wire.chip).map_err(|e| failed(wire, "open it", e))?;
        let lines = opened.info().map_err(|e| failed(wire, "ask how many lines it has", e))?.num_lines;
        if wire.line >= lines {
            return Err(OutputError::NoLine { chip: wire.chip.clone(), line: wire.line, lines });
        }
        let mut builder = Request::builder();
        builder.on_chip(&wire.chip).with_consumer(CONSUMER).with_line(wire.line).as_output(value(on));
        if wire.active_low {
            builder.as_active_low();
        }
        let request = builder.request().map_err(|e| match opened.line_info(wire.line) {
            // The kernel says no more than that it is busy; who uses it stands beside.
            Ok(info) if info.used => busy(wire, info.consumer),
            _ => failed(wire, "drive the line", e),
        })?;
        Ok(Box::new(Held { request, wire: wire.clone() }))
    }
}

struct Held {
    request: Request,
    wire: Wire,
}

impl Line for Held {
    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        self.request.set_lone_value(value(on)).map_err(|e| failed(&self.wire, "drive the line", e))
    }
}

fn value(on: bool) -> Value {
    if on { Value::Active } else { Value::Inactive }
}

fn busy(wire: &Wire, consumer: String) -> OutputError {
    let consumer = if consumer.is_empty() { "the kernel".to_owned() } else { consumer };
    OutputError::Busy { chip: wire.chip.clone(), line: wire.line, consumer }
}

fn failed(wire: &Wire, doing: &'static str, error: Error) -> OutputError {
    match error {
        Error::GpioChip(..) => OutputError::NotAChip { path: wire.chip.clone() },
        Error::Os(errno) => of_system(wire, doing, &io::Error::from_raw_os_error(errno.0)),
        other => OutputError::Failed { path: wire.chip.clone(), doing, reason: other.to_string() },
    }
}

fn of_system(wire: &Wire, doing: &'static str, error: &io::Error) -> OutputError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            let folder = wire.chip.parent().unwrap_or(Path::new("/dev"));
            let chips = names(folder, |name| name.starts_with("gpiochip"));
            let existing = chips.iter().map(|name| folder.join(name).display().to_string()).collect();
            OutputError::NoChip { path: wire.chip.clone(), existing }
        }
        _ => OutputError::io(&wire.chip, doing, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(chip: impl Into<PathBuf>) -> String {
        let wire = Wire { chip: chip.into(), line: 3, active_low: false };
        match Kernel.request(&wire, false) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{wire:?} is there"),
        }
    }

    #[test]
    fn a_chip_that_is_not_there_names_those_that_are() {
        let dir = tempfile::tempdir().unwrap();
        let error = refused(dir.path().join("gpiochip7"));
        assert!(error.ends_with("this system has none, so load its driver or remove the light"), "{error}");
        for name in ["gpiochip0", "gpiochip1", "tty"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let error = refused(dir.path().join("gpiochip7"));
        let path = dir.path().display();
        let expected = format!("name a chip that there is: `{path}/gpiochip0`, `{path}/gpiochip1`");
        assert!(error.ends_with(&expected), "{error}");
    }

    #[test]
    fn what_is_no_chip_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gpiochip0");
        std::fs::write(&file, "").unwrap();
        for path in [file, "/dev/null".into(), "/dev".into()] {
            let error = refused(path);
            assert!(
                error.ends_with("this is not a GPIO chip: name a device such as /dev/gpiochip0"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_busy_line_says_whose_it_is() {
        let wire = Wire { chip: "/dev/gpiochip0".into(), line: 3, active_low: false };
        let error = busy(&wire, "backlight".to_owned()).to_string();
        assert_eq!(error, "/dev/gpiochip0: line 3 is used by `backlight`: stop that, or take another line");
        assert!(busy(&wire, String::new()).to_string().contains("`the kernel`"));
    }
}
