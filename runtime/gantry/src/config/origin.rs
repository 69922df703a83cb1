//! Where a key was set, so that a finding can say where to mend it.

use super::file::File;
use gantry_core::config::Finding;
use std::collections::BTreeMap;
use std::path::Path;

/// A finding and the place to mend it. Orders as one reads: the file from top to bottom, then the environment, then flags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located {
    place: Place,
    keys: Vec<String>,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    File { path: String, line: usize, column: usize },
    Environment(String),
    Flag,
}

impl Located {
    /// A finding about a file as a whole.
    pub(super) fn of_file(path: &Path, message: String) -> Self {
        Self::of_syntax(path, 0, 0, message)
    }

    /// A finding about a position in a file, both counted from 1; 0 leaves it out.
    pub(super) fn of_syntax(path: &Path, line: usize, column: usize, message: String) -> Self {
        let place = Place::File { path: path.display().to_string(), line, column };
        Self { place, keys: Vec::new(), message }
    }

    /// Whether it is about this section, or about the whole so that nothing is known of any section.
    pub(crate) fn concerns(&self, section: &str) -> bool {
        self.keys.first().is_none_or(|first| first == section)
    }

    /// A finding about a variable whose key cannot be told.
    pub(super) fn of_variable(name: &str, message: impl Into<String>) -> Self {
        Self { place: Place::Environment(name.to_owned()), keys: Vec::new(), message: message.into() }
    }
}

impl std::fmt::Display for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::File { path, line: 0, .. } => write!(f, "{path}: ")?,
            Place::File { path, line, column: 0 } => write!(f, "{path}:{line}: ")?,
            Place::File { path, line, column } => write!(f, "{path}:{line}:{column}: ")?,
            Place::Environment(name) => write!(f, "environment {name}: ")?,
            Place::Flag => f.write_str("--camera: ")?,
        }
        if !self.keys.is_empty() {
            write!(f, "{}: ", self.keys.join("."))?;
        }
        f.write_str(&self.message)
    }
}

/// Where each key was set.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    file: File,
    variables: BTreeMap<Vec<String>, String>,
    flag: Option<Vec<String>>,
}

impl Origins {
    pub(super) fn new(
        file: File,
        variables: BTreeMap<Vec<String>, String>,
        flag: Option<Vec<String>>,
    ) -> Self {
        Self { file, variables, flag }
    }

    /// The variable that set a key or anything above or below it, if one did.
    pub(super) fn variable(&self, keys: &[String]) -> Option<&str> {
        let above = (1..=keys.len()).rev().find_map(|len| self.variables.get(&keys[..len]));
        above.map(String::as_str)
    }

    /// Puts a finding where its key was set last.
    pub(crate) fn locate(&self, keys: &[String], message: impl Into<String>) -> Located {
        let place = if self.flag.as_deref() == Some(keys) {
            Place::Flag
        } else if let Some(name) = self.variable(keys) {
            Place::Environment(name.to_owned())
        } else {
            let path = self.file.path().display().to_string();
            match self.below(keys).filter(|_| !self.file.has(keys)) {
                // A key that only variables speak of.
                Some(name) => Place::Environment(name.to_owned()),
                None => Place::File { path, line: self.file.line_of(keys), column: 0 },
            }
        };
        Located { place, keys: keys.to_vec(), message: message.into() }
    }

    fn below(&self, keys: &[String]) -> Option<&str> {
        if keys.is_empty() {
            return None;
        }
        self.variables.iter().find(|(set, _)| set.starts_with(keys)).map(|(_, name)| name.as_str())
    }

    /// Puts the finding of a section's own check, whose path may begin at the section or at the whole.
    pub(crate) fn locate_in(&self, section: &[&str], finding: &Finding) -> Located {
        let mut keys: Vec<String> = section.iter().map(|key| (*key).to_owned()).collect();
        let own = keys_of(&finding.path);
        if own.starts_with(&keys) {
            keys = own;
        } else {
            keys.extend(own);
        }
        self.locate(&keys, finding.message.clone())
    }
}

/// The levels of a path such as `limits.rate` or `origins[0]`.
pub(crate) fn keys_of(path: &str) -> Vec<String> {
    path.split(['.', '['])
        .map(|key| key.trim_end_matches(']').to_owned())
        .filter(|key| !key.is_empty())
        .collect()
}
