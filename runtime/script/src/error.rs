//! Errors of scripts as data: what is wrong, and where.

use serde::Serialize;
use std::fmt;

/// The longest line that is quoted whole, in characters.
const MAX_QUOTED: usize = 160;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The script said `throw "sentence"`: it refuses the value, and the sentence is for whoever sent it.
    Refused,
    /// The program is wrong: it does not compile, or a call of it failed.
    Failed,
    /// The call cost more than a script may cost.
    Limit,
    /// The engine had no time: nothing is wrong with the script.
    Busy,
}

/// What is wrong with a script, or with one call of it.
///
/// Its `Display` is `file:line:column: message`, the line of the source, and a caret below the column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// The file, such as `scripts/mappings/cpro.rhai`.
    pub file: String,
    /// The line, from 1; 0 when the error is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when the error is about the file as a whole.
    pub column: usize,
    /// A sentence.
    pub message: String,
    /// The line of the source, or the part of a long one around the column; empty when there is no line.
    pub source_line: String,
    /// Spaces and one `^`, to be printed below `source_line`.
    pub caret: String,
}

impl ScriptError {
    /// An error about a file as a whole.
    pub(crate) fn whole(file: &str, message: impl Into<String>) -> Self {
        Self::at(file, "", 0, 0, message)
    }

    /// An error at a place of `source`. A line of 0 stands for the whole file.
    pub(crate) fn at(
        file: &str,
        source: &str,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Self {
        let text = if line == 0 { "" } else { source.lines().nth(line - 1).unwrap_or_default() };
        let (source_line, caret) = if text.is_empty() { <_>::default() } else { quote(text, column) };
        Self {
            kind: ErrorKind::Failed,
            file: file.to_owned(),
            line,
            column,
            message: message.into(),
            source_line,
            caret,
        }
    }

    /// What is said when the engine cannot take more work.
    pub(crate) fn busy(file: &str) -> Self {
        let message = "the script engine has too much to do: try again later";
        Self { kind: ErrorKind::Busy, ..Self::whole(file, message) }
    }

    /// The sentence for whoever sent the value: the script's own one when it refused, else one that tells
    /// nothing of the script's inside.
    #[must_use]
    pub fn for_client(&self) -> &str {
        match self.kind {
            ErrorKind::Refused => &self.message,
            ErrorKind::Busy => "The gateway is busy: try again later",
            ErrorKind::Failed | ErrorKind::Limit => "The gateway's script for this key failed: see its log",
        }
    }
}

/// The part of a line around a column, and the caret for it.
fn quote(text: &str, column: usize) -> (String, String) {
    let at = column.saturating_sub(1);
    let chars: Vec<char> = text.chars().collect();
    let from = if chars.len() <= MAX_QUOTED { 0 } else { at.saturating_sub(MAX_QUOTED / 2).min(chars.len()) };
    let shown = &chars[from..chars.len().min(from + MAX_QUOTED)];
    // A tab stays a tab, so that the caret stands right however wide a terminal makes it.
    let indent = shown.iter().take(at - from.min(at)).map(|c| if *c == '\t' { '\t' } else { ' ' });
    (shown.iter().collect(), indent.chain(['^']).collect())
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.message);
        }
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.source_line.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}\n{}", self.source_line, self.caret)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_column() {
        let error = ScriptError::at("a.rhai", "one\n\tlet x = y;\n", 2, 10, "what is y");
        assert_eq!(error.to_string(), "a.rhai:2:10: what is y\n\tlet x = y;\n\t        ^");
    }

    #[test]
    fn a_long_line_is_quoted_around_the_column() {
        let line = format!("{}HERE{}", "ä".repeat(5000), "z".repeat(5000));
        let error = ScriptError::at("a.rhai", &line, 1, 5001, "so long");
        assert_eq!(error.source_line.chars().count(), MAX_QUOTED);
        let caret = error.caret.chars().count() - 1;
        assert_eq!(error.source_line.chars().skip(caret).take(4).collect::<String>(), "HERE");
    }

    #[test]
    fn a_place_beyond_the_source_is_told_without_a_line() {
        for (line, column) in [(0, 0), (99, 1), (1, 99)] {
            let text = ScriptError::at("a.rhai", "x", line, column, "m").to_string();
            assert!(text.starts_with("a.rhai"), "{text}");
        }
    }
}
