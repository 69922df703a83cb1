//! From what a mapping script evaluates to, to the table of its keys.

use crate::error::ScriptError;
use crate::explain::place;
use crate::mapping::{Conversion, Entry, Key, Right};
use crate::program::Program;
use crate::value;
use gantry_core::access::Role;
use gantry_core::config::Kind;
use gantry_core::spelling;
use rhai::{ASTNode, Dynamic, Expr, FnPtr, Position};
use serde_json::Value;
use std::collections::HashMap;

/// What a key's entry may say.
pub(crate) const FIELDS: [&str; 8] =
    ["observable", "type", "range", "choices", "read", "write", "read_with", "write_with"];
const KINDS: [(&str, Kind); 4] =
    [("bool", Kind::Bool), ("int", Kind::Int), ("float", Kind::Float), ("string", Kind::String)];
/// The most keys of one mapping, and the longest name of one.
const MAX_KEYS: usize = 1024;
const MAX_NAME: usize = 64;

/// Reads the table; all that is wrong with it is found at once.
pub(crate) fn read(program: &Program) -> Result<Vec<Entry>, Vec<ScriptError>> {
    let Ok(entries) = program.value.as_map_ref() else {
        let message = "a mapping ends in its table of keys: write `#{ \"key\": \"observable\" }` as the last \
                       expression of the script";
        return Err(vec![ScriptError::whole(&program.file, message)]);
    };
    let mut reader = Reader { program, places: Places::of(program), problems: Vec::new() };
    let mut keys = Vec::new();
    for (name, entry) in entries.iter() {
        if let Some(key) = reader.key(name, entry) {
            keys.push(Entry { key, place: place(reader.places.find(name, "observable")) });
        }
    }
    if keys.len() > MAX_KEYS {
        let message =
            format!("there are {} keys, at most {MAX_KEYS} are taken: split the mapping", keys.len());
        reader.problems.push(ScriptError::whole(&program.file, message));
    }
    reader.problems.sort_by_key(|e| (e.line, e.column));
    if reader.problems.is_empty() { Ok(keys) } else { Err(reader.problems) }
}

struct Reader<'a> {
    program: &'a Program,
    places: Places,
    problems: Vec<ScriptError>,
}

impl Reader<'_> {
    fn problem(&mut self, key: &str, field: &str, message: impl Into<String>) {
        let error = self.program.error_at(self.places.find(key, field), message);
        self.problems.push(error);
    }

    fn key(&mut self, name: &str, entry: &Dynamic) -> Option<Key> {
        let found = self.problems.len();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.problem(name, "", format!("a key has 1 to {MAX_NAME} characters: rename it"));
        }
        let mut key = Key {
            name: name.to_owned(),
            observable: String::new(),
            read: Right::AsObservable,
            write: Right::AsObservable,
            reads: Conversion::Direct,
            writes: Conversion::Direct,
            kinds: Vec::new(),
            range: None,
            choices: Vec::new(),
        };
        if let Ok(observable) = entry.as_immutable_string_ref() {
            self.observable(&mut key, "", &observable);
        } else if let Ok(fields) = entry.as_map_ref() {
            if !fields.contains_key("observable") {
                self.problem(name, "", "which observable? Add `observable: \"NAME\"`");
            }
            for (field, value) in fields.iter() {
                self.field(&mut key, field, value);
            }
        } else {
            let message = format!(
                "a key's entry is the name of an observable or a map, and not {}: write `\"{name}\": #{{ observable: \
                 \"NAME\" }}`",
                shown(entry)
            );
            self.problem(name, "", message);
        }
        (self.problems.len() == found).then_some(key)
    }

    fn field(&mut self, key: &mut Key, field: &str, value: &Dynamic) {
        let name = key.name.clone();
        let text = value.as_immutable_string_ref().ok();
        match (field, text) {
            ("observable", Some(text)) => self.observable(key, field, &text),
            ("observable", None) => {
                self.problem(&name, field, "the observable's name is text: write \"NAME\"")
            }
            ("type", _) => self.kinds(key, value),
            ("range", _) => self.range(key, value),
            ("choices", _) => self.choices(key, value),
            ("read", _) => key.read = self.right(&name, field, value),
            ("write", _) => key.write = self.right(&name, field, value),
            ("read_with", _) => key.reads = self.function(&name, field, value, &[1]),
            ("write_with", _) => key.writes = self.function(&name, field, value, &[1, 2]),
            _ => {
                let message = spelling::unknown_key(field, FIELDS, str::to_owned);
                self.problem(&name, field, message);
            }
        }
    }

    fn observable(&mut self, key: &mut Key, field: &str, text: &str) {
        if let Err(e) = gantry_core::topic::check_name(text) {
            let name = key.name.clone();
            self.problem(&name, field, format!("observable `{text}`: {e}"));
        }
        key.observable = text.to_owned();
    }

    fn kinds(&mut self, key: &mut Key, value: &Dynamic) {
        let one = std::slice::from_ref(value);
        let many = value.as_array_ref().ok();
        for word in many.as_deref().map_or(one, Vec::as_slice) {
            let known = KINDS.map(|(name, _)| name);
            let word = word.as_immutable_string_ref().map(|w| w.to_string()).unwrap_or_else(|_| shown(word));
            match KINDS.iter().find(|(name, _)| *name == word) {
                Some((_, kind)) => key.kinds.push(*kind),
                None => {
                    let name = key.name.clone();
                    self.problem(&name, "type", unknown("type", &word, &known));
                }
            }
        }
    }

    fn range(&mut self, key: &mut Key, value: &Dynamic) {
        let number = |v: &Dynamic| v.as_float().or_else(|_| v.as_int().map(|int| int as f64)).ok();
        let ends = value.as_array_ref().ok().and_then(|ends| match ends.as_slice() {
            [low, high] => Some([number(low)?, number(high)?]),
            _ => None,
        });
        match ends {
            Some([low, high]) if low <= high => key.range = Some([low, high]),
            _ => {
                let name = key.name.clone();
                let message = "a range is the least and the greatest number: write `range: [0, 100]`";
                self.problem(&name, "range", message);
            }
        }
    }

    fn choices(&mut self, key: &mut Key, value: &Dynamic) {
        let name = key.name.clone();
        let choices = value::to_json(value).ok();
        let is_plain = |choice: &Value| !(choice.is_array() || choice.is_object() || choice.is_null());
        match choices {
            Some(Value::Array(choices)) if !choices.is_empty() && choices.iter().all(is_plain) => {
                key.choices = choices;
            }
            _ => {
                let message =
                    "choices are the values that clients may send: write `choices: [\"on\", \"off\"]`";
                self.problem(&name, "choices", message);
            }
        }
    }

    fn right(&mut self, name: &str, field: &str, value: &Dynamic) -> Right {
        let word = value.as_immutable_string_ref().map(|w| w.to_string()).unwrap_or_else(|_| shown(value));
        if word == "nobody" {
            return Right::Nobody;
        }
        Role::named(&word).map(Right::AtLeast).unwrap_or_else(|| {
            let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).chain(["nobody"]).collect();
            self.problem(name, field, unknown("role", &word, &known));
            Right::Nobody
        })
    }

    fn function(&mut self, name: &str, field: &str, value: &Dynamic, arities: &[usize]) -> Conversion {
        let pointer = value.clone().try_cast::<FnPtr>();
        let function = match (&pointer, value.as_immutable_string_ref()) {
            (Some(pointer), _) if pointer.is_curried() => {
                let message = "this function needs variables from outside of it, and those are gone when it is \
                               called: define it with `fn`, and give its name";
                self.problem(name, field, message);
                return Conversion::Direct;
            }
            (Some(pointer), _) => pointer.fn_name().to_owned(),
            (None, Ok(text)) => text.to_string(),
            (None, Err(_)) => {
                self.problem(name, field, format!("give the name of a function: `{field}: \"NAME\"`"));
                return Conversion::Direct;
            }
        };
        let having: Vec<usize> = self
            .program
            .ast()
            .iter_functions()
            .filter(|f| f.name == function)
            .map(|f| f.params.len())
            .collect();
        let wanted = if arities == [1] {
            "(value)".to_owned()
        } else {
            "(value), or (value, current) to see the observable's value too".to_owned()
        };
        // The one that sees more is meant where there are two.
        if let Some(arity) = arities.iter().rev().find(|arity| having.contains(arity)) {
            return Conversion::Function(function, *arity);
        }
        if having.is_empty() {
            let known: Vec<_> = self.program.functions.iter().map(|f| f.name.as_str()).collect();
            let near = spelling::nearest(&function, known);
            let hint = near.map_or_else(
                || format!(": define it with `fn {function}{}`", &wanted[..7]),
                |near| format!("; did you mean `{near}`?"),
            );
            self.problem(name, field, format!("there is no function `{function}`{hint}"));
        } else {
            let message = format!("function `{function}` has the wrong parameters: it takes {wanted}");
            self.problem(name, field, message);
        }
        Conversion::Direct
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    match spelling::nearest(word, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`: it is one of {}", known.join(", ")),
    }
}

/// A value as an error names it.
fn shown(value: &Dynamic) -> String {
    let text: String = value.to_string().chars().take(40).collect();
    if text.is_empty() { "()".into() } else { text }
}

/// Where the keys of the table stand and the fields of each, as far as they are written down as maps.
struct Places(HashMap<(String, String), Position>);

impl Places {
    fn of(program: &Program) -> Self {
        let mut places = HashMap::new();
        program.ast().walk(&mut |path| {
            if let Some(ASTNode::Expr(Expr::Map(map, _))) = path.last() {
                for (key, value) in &map.0 {
                    let mut add = |field: &str, position| {
                        places.entry((key.name.to_string(), field.to_owned())).or_insert(position);
                    };
                    add("", key.pos);
                    if let Expr::Map(fields, _) = value {
                        for (field, _) in &fields.0 {
                            add(&field.name, field.pos);
                        }
                    }
                }
            }
            true
        });
        Self(places)
    }

    fn find(&self, key: &str, field: &str) -> Position {
        let at = |field: &str| self.0.get(&(key.to_owned(), field.to_owned())).copied();
        at(field).or_else(|| at("")).unwrap_or(Position::NONE)
    }
}
