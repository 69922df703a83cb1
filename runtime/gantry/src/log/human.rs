//! The fields of a line that people read.

use std::fmt;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// The usual format, but for texts of several lines, such as a script's error with its source line and a caret: all
/// fields stand in the first line, and what comes after it keeps its columns.
pub(super) struct Human;

impl<'w> FormatFields<'w> for Human {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let usual = DefaultVisitor::new(writer.by_ref(), true);
        let mut visitor = FirstLines { usual, rest: String::new() };
        fields.record(&mut visitor);
        let FirstLines { usual, rest } = visitor;
        usual.finish()?;
        writer.write_str(&rest)
    }
}

struct FirstLines<'a> {
    usual: DefaultVisitor<'a>,
    /// All other lines, each after a line feed.
    rest: String,
}

impl Visit for FirstLines<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let Some((first, rest)) = text.split_once('\n') else {
            return self.usual.record_debug(field, value);
        };
        self.usual.record_debug(field, &format_args!("{first}"));
        self.rest.push('\n');
        for c in rest.chars() {
            // A source line must not steer the terminal.
            if c.is_control() && c != '\n' && c != '\t' {
                self.rest.extend(c.escape_default());
            } else {
                self.rest.push(c);
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.usual.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if value.to_string().contains('\n') {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.usual.record_error(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Human;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let make = {
            let lines = lines.clone();
            move || lines.clone()
        };
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(Human)
            .with_writer(make)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    const ERROR: &str = "a.rhai:1:5: no such word\nlet = 1;\n    ^";

    #[test]
    fn one_line_stays_as_it_was() {
        let text = written(|| tracing::warn!(camera = "main", fps = 30, "it is {}", "slow"));
        assert_eq!(text.trim_start(), "WARN it is slow camera=\"main\" fps=30\n");
    }

    #[test]
    fn fields_stand_before_the_source_line_and_the_caret_below_its_column() {
        let expected = "ERROR a.rhai:1:5: no such word script=\"a\" line=1\nlet = 1;\n    ^\n";
        assert_eq!(written(|| tracing::error!(script = "a", line = 1, "{ERROR}")).trim_start(), expected);
        let text = written(|| tracing::error!(error = %ERROR, script = "a", "it is not loaded"));
        let expected =
            "ERROR it is not loaded error=a.rhai:1:5: no such word script=\"a\"\nlet = 1;\n    ^\n";
        assert_eq!(text.trim_start(), expected);
        let error = io::Error::other(ERROR);
        let error: &(dyn std::error::Error + 'static) = &error;
        let text = written(|| tracing::error!(error, script = "a", "it is not loaded"));
        assert_eq!(text.trim_start(), expected);
    }

    #[test]
    fn a_source_line_does_not_steer_the_terminal() {
        let text = written(|| tracing::error!(n = 1, "no\n\tlet \u{1b}[2J = 1;\r\n\t    ^"));
        assert_eq!(text.trim_start(), "ERROR no n=1\n\tlet \\u{1b}[2J = 1;\\r\n\t    ^\n");
    }
}
