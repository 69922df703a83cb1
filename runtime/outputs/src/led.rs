//! LEDs of the kernel's LED class: a folder with files.

use crate::OutputError;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// One LED.
#[derive(Debug)]
pub(crate) struct Led {
    folder: PathBuf,
    /// Where its siblings are, to name them when it is missing.
    class: PathBuf,
}

impl Led {
    /// The LED of that name in `class`, or in the folder of that absolute path.
    pub(crate) fn new(class: &Path, led: &str) -> Self {
        // Joining an absolute path gives that path.
        let folder = class.join(led);
        let class = folder.parent().unwrap_or(class).to_owned();
        Self { folder, class }
    }

    /// Off, or as bright as it can be.
    pub(crate) fn set(&self, on: bool) -> Result<(), OutputError> {
        let level = if on { self.max_brightness()? } else { 0 };
        self.take_from_trigger();
        let path = self.folder.join("brightness");
        self.write(&path, &level.to_string())
    }

    /// Whether it can be set, without doing so.
    pub(crate) fn available(&self) -> Result<(), OutputError> {
        self.max_brightness()?;
        let path = self.folder.join("brightness");
        OpenOptions::new().write(true).open(&path).map(drop).map_err(|e| self.failed(&path, "open it", &e))
    }

    fn max_brightness(&self) -> Result<u32, OutputError> {
        let path = self.folder.join("max_brightness");
        let text = fs::read_to_string(&path).map_err(|e| self.failed(&path, "read it", &e))?;
        text.trim().parse().ok().filter(|max| *max > 0).ok_or_else(|| OutputError::NotAnLed {
            path: self.folder.clone(),
            reason: format!("its `max_brightness` is `{}`", text.trim().chars().take(20).collect::<String>()),
        })
    }

    /// A trigger, such as the load of the processor, would switch the LED behind our back. One that cannot be taken away
    /// does not keep us from switching.
    fn take_from_trigger(&self) {
        let path = self.folder.join("trigger");
        let Ok(triggers) = fs::read_to_string(&path) else { return };
        if triggers.contains('[') && !triggers.contains("[none]") {
            let _ = self.write(&path, "none");
        }
    }

    /// Writes into a file of the kernel: without making or truncating one, and at once.
    fn write(&self, path: &Path, text: &str) -> Result<(), OutputError> {
        let mut file =
            OpenOptions::new().write(true).open(path).map_err(|e| self.failed(path, "open it", &e))?;
        file.write_all(text.as_bytes()).map_err(|e| self.failed(path, "write it", &e))
    }

    fn failed(&self, path: &Path, doing: &'static str, error: &std::io::Error) -> OutputError {
        match error.kind() {
            ErrorKind::NotFound if self.folder.is_dir() => OutputError::NotAnLed {
                path: self.folder.clone(),
                reason: format!("it has no `{}`", path.file_name().unwrap_or_default().display()),
            },
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                OutputError::NoLed { path: self.folder.clone(), existing: names(&self.class, |_| true) }
            }
            _ => OutputError::io(path, doing, error),
        }
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| wanted(name))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(leds: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, max) in leds {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).unwrap();
            // As long as what is written: a file of the kernel is not truncated, and keeps no old digits either.
            fs::write(folder.join("brightness"), "").unwrap();
            fs::write(folder.join("max_brightness"), max).unwrap();
        }
        dir
    }

    fn read(dir: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(dir.path().join(file)).unwrap()
    }

    #[test]
    fn on_is_all_there_is_and_off_is_nothing() {
        for (max, shown) in [("255\n", "255"), ("1\n", "1"), ("65535", "65535")] {
            let dir = class(&[("ACT", max)]);
            Led::new(dir.path(), "ACT").set(true).unwrap();
            assert_eq!(read(&dir, "ACT/brightness"), shown);
        }
        let dir = class(&[("ACT", "255\n")]);
        Led::new(dir.path(), "ACT").set(false).unwrap();
        assert_eq!(read(&dir, "ACT/brightness"), "0");
    }

    #[test]
    fn an_absolute_path_is_the_folder_itself() {
        let (dir, elsewhere) = (class(&[("ACT", "9")]), tempfile::tempdir().unwrap());
        let path = dir.path().join("ACT");
        Led::new(elsewhere.path(), path.to_str().unwrap()).set(true).unwrap();
        assert_eq!(read(&dir, "ACT/brightness"), "9");
    }

    #[test]
    fn another_trigger_is_taken_away_and_none_is_left_alone() {
        let dir = class(&[("ACT", "255")]);
        let trigger = dir.path().join("ACT/trigger");
        for (before, starts) in [("none [heartbeat] timer\n", "none"), ("[none] timer\n", "[none]"), ("", "")]
        {
            fs::write(&trigger, before).unwrap();
            Led::new(dir.path(), "ACT").set(true).unwrap();
            let after = fs::read_to_string(&trigger).unwrap();
            assert!(after.starts_with(starts), "{after}");
            assert_eq!(after.contains("[none]"), before.contains("[none]"));
        }
        fs::remove_file(&trigger).unwrap();
        fs::create_dir(&trigger).unwrap();
        Led::new(dir.path(), "ACT").set(true).unwrap();
    }

    #[test]
    fn a_missing_led_names_those_that_exist() {
        let dir = class(&[("red", "1"), ("green", "1")]);
        let led = Led::new(dir.path(), "blue");
        for error in [led.set(true).unwrap_err(), led.set(false).unwrap_err(), led.available().unwrap_err()] {
            assert!(error.to_string().ends_with("name an LED that there is: `green`, `red`"), "{error}");
        }
        assert!(!dir.path().join("blue").exists(), "nothing is made");
    }

    #[test]
    fn a_folder_that_is_no_led_is_said_so() {
        let dir = class(&[("zero", "0"), ("word", "bright"), ("half", "1")]);
        fs::remove_file(dir.path().join("half/brightness")).unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        for (name, reason) in [
            ("zero", "its `max_brightness` is `0`"),
            ("word", "its `max_brightness` is `bright`"),
            ("half", "it has no `brightness`"),
            ("empty", "it has no `max_brightness`"),
        ] {
            let error = Led::new(dir.path(), name).available().unwrap_err().to_string();
            assert!(error.contains(&format!("this is not an LED ({reason})")), "{error}");
        }
        assert!(Led::new(dir.path(), "half").set(true).is_err());
        assert!(!dir.path().join("half/brightness").exists(), "nothing is made");
    }

    #[test]
    fn looking_whether_an_led_is_available_changes_nothing() {
        let dir = class(&[("ACT", "255")]);
        fs::write(dir.path().join("ACT/brightness"), "17").unwrap();
        Led::new(dir.path(), "ACT").available().unwrap();
        assert_eq!(read(&dir, "ACT/brightness"), "17");
    }
}
