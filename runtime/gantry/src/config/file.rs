//! The TOML file: its values, and on which line each of them is.

use super::origin::Located;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A parsed file.
#[derive(Debug, Default)]
pub(crate) struct File {
    path: PathBuf,
    values: Map<String, Value>,
    root: Node,
}

/// A key, its line, and the keys below it in the order of the file.
#[derive(Debug, Default)]
struct Node {
    line: usize,
    below: Vec<(String, Node)>,
}

impl Node {
    fn get(&self, key: &str) -> Option<&Node> {
        self.below.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }
}

impl File {
    /// Parses TOML. A syntax error is one finding that shows the line and a caret.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Located> {
        let table = DeTable::parse(text).map_err(|error| syntax_error(path, text, &error))?;
        let lines = Lines::new(text);
        let (values, below) = read_table(table.get_ref(), &lines);
        Ok(Self { path: path.to_path_buf(), values, root: Node { line: 0, below } })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The values.
    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The first key of a table in file order.
    pub(crate) fn first_of(&self, table: &str) -> Option<String> {
        self.root.get(table)?.below.first().map(|(name, _)| name.clone())
    }

    /// Whether a key is in the file.
    pub(crate) fn has(&self, keys: &[String]) -> bool {
        keys.iter().try_fold(&self.root, |node, key| node.get(key)).is_some()
    }

    /// The line of a key, or of the nearest one above it; 0 when there is none.
    pub(crate) fn line_of(&self, keys: &[String]) -> usize {
        let mut node = &self.root;
        for key in keys {
            match node.get(key) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }
}

fn read_table(table: &DeTable<'_>, lines: &Lines) -> (Map<String, Value>, Vec<(String, Node)>) {
    let mut values = Map::new();
    let mut nodes = Vec::new();
    let mut entries: Vec<_> = table.iter().collect();
    // Whatever order the table keeps: that of the file is what an operator means by "the first camera".
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name = key.get_ref().to_string();
        let (value, below) = read_value(value, lines);
        nodes.push((name.clone(), Node { line: lines.of(key.span().start), below }));
        values.insert(name, value);
    }
    (values, nodes)
}

fn read_value(value: &Spanned<DeValue<'_>>, lines: &Lines) -> (Value, Vec<(String, Node)>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            let (values, below) = read_table(table, lines);
            (Value::Object(values), below)
        }
        DeValue::Array(array) => {
            let (mut values, mut nodes) = (Vec::new(), Vec::new());
            for (index, one) in array.iter().enumerate() {
                let (value, below) = read_value(one, lines);
                values.push(value);
                nodes.push((index.to_string(), Node { line: lines.of(one.span().start), below }));
            }
            (Value::Array(values), nodes)
        }
        other => (read_scalar(other), Vec::new()),
    }
}

/// A scalar as JSON. What JSON has no word for (dates, `inf`, numbers beyond 64 bits) becomes the text as it stands in the
/// file, so that the check of its key can say what is wanted in its place.
fn read_scalar(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Integer(number) => {
            let text = number.as_str();
            match i64::from_str_radix(text, number.radix()) {
                Ok(number) => number.into(),
                Err(_) => u64::from_str_radix(text, number.radix()).map_or_else(|_| text.into(), Value::from),
            }
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            parsed.map_or_else(|| number.as_str().into(), Value::Number)
        }
        DeValue::Datetime(when) => when.to_string().into(),
        DeValue::Array(_) | DeValue::Table(_) => Value::Null,
    }
}

/// One value in the notation of TOML, as given in the environment; `None` where it is plain text.
pub(super) fn value_from_text(text: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let plain = match value.get_ref() {
        DeValue::Datetime(_) => true,
        DeValue::Float(number) => !number.as_str().parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    };
    if plain { None } else { Some(read_value(&value, &Lines::new(text)).0) }
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let after_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line, counted from 1, of a byte.
    fn of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> Located {
    let Some(span) = error.span() else {
        return Located::of_file(path, format!("it is not TOML: {}", error.message()));
    };
    let lines = Lines::new(text);
    let number = lines.of(span.start);
    let start = lines.starts[number - 1];
    let line = text[start..].lines().next().unwrap_or_default();
    let before = text.get(start..span.start).unwrap_or_default();
    let column = before.chars().count() + 1;
    let width =
        text.get(span).map_or(1, |marked| marked.lines().next().unwrap_or_default().chars().count().max(1));
    // A tab before the caret takes as much room as the one above it.
    let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let gutter = " ".repeat(number.to_string().len());
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Located::of_syntax(
        path,
        number,
        column,
        format!("{message}\n{gutter} |\n{number} | {line}\n{gutter} | {indent}{}", "^".repeat(width)),
    )
}
