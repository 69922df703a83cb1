//! Why a light cannot be switched.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a light cannot be switched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// There is no such light in the configuration.
    #[error("there is no light `{}`{}: configure it with `led` or `gpio` in `[lights.{}]`", name.escape_debug(),
            meant(near.as_deref()), name.escape_debug())]
    NotConfigured {
        /// The name as given.
        name: String,
        /// Which was probably meant.
        near: Option<String>,
    },
    /// The section of the light cannot be used; [`check`](crate::check) tells it before.
    #[error("the light `{name}` cannot be used: {message}")]
    Misconfigured {
        /// The light.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The system has no such LED.
    #[error("{}: there is no such LED: {}", path.display(), choice("an LED", "its driver", existing))]
    NoLed {
        /// The folder.
        path: PathBuf,
        /// Those that there are.
        existing: Vec<String>,
    },
    /// The folder is not one of an LED.
    #[error("{}: this is not an LED ({reason}): name a folder that has `brightness` and `max_brightness`", path.display())]
    NotAnLed {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no such GPIO chip.
    #[error("{}: there is no such GPIO chip: {}", path.display(), choice("a chip", "its driver", existing))]
    NoChip {
        /// The device.
        path: PathBuf,
        /// Those that there are.
        existing: Vec<String>,
    },
    /// The path is something else.
    #[error("{}: this is not a GPIO chip: name a device such as /dev/gpiochip0", path.display())]
    NotAChip {
        /// The path.
        path: PathBuf,
    },
    /// The chip has fewer lines.
    #[error("{}: there is no line {line}: it has the lines 0 to {}", chip.display(), lines.saturating_sub(1))]
    NoLine {
        /// The device.
        chip: PathBuf,
        /// The line asked for.
        line: u32,
        /// How many it has.
        lines: u32,
    },
    /// Somebody else drives the line.
    #[error("{}: line {line} is used by `{consumer}`: stop that, or take another line", chip.display())]
    Busy {
        /// The device.
        chip: PathBuf,
        /// The line.
        line: u32,
        /// Who says to use it.
        consumer: String,
    },
    /// The gateway's user may not.
    #[error("{}: the gateway may not use it: {}", path.display(), permit(path))]
    NotPermitted {
        /// The file or device.
        path: PathBuf,
    },
    /// It is mounted so that it cannot be written.
    #[error("{}: the gateway sees it read-only: in its systemd unit, set `ProtectKernelTunables=no`", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Something else failed.
    #[error("{}: cannot {doing}: {reason}: check the wiring and the kernel's log (`dmesg`)", path.display())]
    Failed {
        /// The file or device.
        path: PathBuf,
        /// What was being done, such as `write it`.
        doing: &'static str,
        /// What the system said.
        reason: String,
    },
}

impl OutputError {
    pub(crate) fn io(path: &Path, doing: &'static str, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied => Self::NotPermitted { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Failed { path, doing, reason: error.to_string() },
        }
    }
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

fn choice(thing: &str, driver: &str, existing: &[String]) -> String {
    if existing.is_empty() {
        return format!("this system has none, so load {driver} or remove the light");
    }
    let shown: Vec<_> = existing.iter().take(20).map(|name| format!("`{name}`")).collect();
    let more = if existing.len() > shown.len() { ", …" } else { "" };
    format!("name {thing} that there is: {}{more}", shown.join(", "))
}

fn permit(path: &Path) -> &'static str {
    if path.starts_with("/dev") {
        "add its user to the group that owns the device (often `gpio`), or give the device to a group of its own with the \
         udev rule `SUBSYSTEM==\"gpio\", KERNEL==\"gpiochip*\", GROUP=\"gpio\", MODE=\"0660\"`; in its systemd unit, set \
         `DeviceAllow=char-gpiochip rw` and `SupplementaryGroups=gpio`"
    } else {
        "let a group of its user write it, with the udev rule `SUBSYSTEM==\"leds\", ACTION==\"add\", \
         RUN+=\"/bin/chgrp -R video /sys%p\", RUN+=\"/bin/chmod -R g=u /sys%p\"`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_permitted_tells_the_rule_that_permits_it() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let led = OutputError::io(Path::new("/sys/class/leds/a/brightness"), "write it", &denied).to_string();
        assert!(led.contains("SUBSYSTEM==\"leds\""), "{led}");
        let gpio = OutputError::io(Path::new("/dev/gpiochip0"), "open it", &denied).to_string();
        assert!(gpio.contains("SUBSYSTEM==\"gpio\"") && gpio.contains("DeviceAllow"), "{gpio}");
        let read_only =
            OutputError::io(Path::new("/sys/x"), "write it", &ErrorKind::ReadOnlyFilesystem.into());
        assert!(read_only.to_string().contains("ProtectKernelTunables"), "{read_only}");
    }

    #[test]
    fn what_does_not_exist_tells_what_does() {
        let path = PathBuf::from("/sys/class/leds/blue");
        let some = OutputError::NoLed { path: path.clone(), existing: vec!["green".into(), "red".into()] };
        assert!(some.to_string().ends_with("name an LED that there is: `green`, `red`"), "{some}");
        let many =
            OutputError::NoLed { path: path.clone(), existing: (0..30).map(|n| n.to_string()).collect() };
        assert!(many.to_string().ends_with("`19`, …"), "{many}");
        let none = OutputError::NoLed { path, existing: Vec::new() };
        assert!(none.to_string().ends_with("load its driver or remove the light"), "{none}");
    }
}
