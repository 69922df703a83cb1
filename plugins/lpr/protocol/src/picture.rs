//! Pictures inside of messages: taken out as bytes, decoded once, and given back as they were sent.
//!
//! Where a picture was, the stored JSON has a mark: `{"$blob": NAME}`. What else is needed to give back the same text is in
//! the mark: `prefix` (`data:image/jpeg;base64,`), `as` (a [`Form`]), and for pictures that share a blob `at` and `bytes`.
//! A key that a client itself sends as `$blob` is kept as `$$blob`, so that nobody can make a mark.

use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The fields that hold pictures, each a text or a list of texts.
pub const FIELDS: [&str; 3] = ["annotated_image", "original_image", "cropped_plates"];
/// The most blobs of a record.
pub const MAX_BLOBS: usize = 16;
/// Base64 in a picture's field that is shorter stays where it is.
const PICTURE_CHARS: usize = 64;
/// The same in any other field, where it may be something else.
const OTHER_CHARS: usize = 1024;
/// Text that is longer is no part of the JSON, whatever it is.
const TEXT_CHARS: usize = 64 << 10;
/// `data:image/jpeg;base64,` and the like is not longer.
const HEAD_CHARS: usize = 127 + ";base64,".len();
/// The key of a mark.
const MARK: &str = "$blob";
/// The blob of those for which there is no other.
const REST: &str = "rest";
/// The name of a blob is not longer.
const NAME_CHARS: usize = 64;

/// How a picture stood in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Base64 as it should be.
    Base64,
    /// Without the `=` at the end.
    Unpadded,
    /// In lines of 76 characters, as mail has it.
    Lines,
    /// The blob is the text itself.
    Text,
}

impl Form {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Base64 => None,
            Self::Unpadded => Some("unpadded"),
            Self::Lines => Some("lines"),
            Self::Text => Some("text"),
        }
    }

    fn of(name: Option<&str>) -> Self {
        match name {
            Some("unpadded") => Self::Unpadded,
            Some("lines") => Self::Lines,
            Some("text") => Self::Text,
            _ => Self::Base64,
        }
    }
}

/// Bytes of a record beside its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name in the record.
    pub name: String,
    /// What it is.
    pub bytes: Bytes,
}

/// Takes the pictures out of a message. `attachments` are those that came as bytes, with a placeholder in the JSON.
#[must_use]
pub fn take(message: &mut Map<String, Value>, attachments: &[Bytes]) -> Vec<Blob> {
    let mut out = Out { attachments, blobs: Vec::new(), rest: Vec::new() };
    // The pictures' own fields come first: they must have blobs of their own.
    let mut path = Vec::new();
    for field in FIELDS {
        if let Some(value) = message.get_mut(field) {
            path.push(field.to_owned());
            out.walk(value, &mut path, PICTURE_CHARS);
            path.pop();
        }
    }
    for (key, value) in message.iter_mut() {
        if !FIELDS.contains(&key.as_str()) {
            path.push(key.clone());
            out.walk(value, &mut path, OTHER_CHARS);
            path.pop();
        }
    }
    escape(message, true);
    if !out.rest.is_empty() {
        out.blobs.push(Blob { name: REST.to_owned(), bytes: out.rest.into() });
    }
    out.blobs
}

struct Out<'a> {
    attachments: &'a [Bytes],
    blobs: Vec<Blob>,
    rest: Vec<u8>,
}

impl Out<'_> {
    fn walk(&mut self, value: &mut Value, path: &mut Vec<String>, least: usize) {
        match value {
            Value::String(text) => {
                if let Some((form, prefix, bytes)) = decode(text, least) {
                    *value = self.put(path, form, &prefix, bytes);
                }
            }
            Value::Array(all) => {
                for (i, value) in all.iter_mut().enumerate() {
                    path.push(i.to_string());
                    self.walk(value, path, least);
                    path.pop();
                }
            }
            Value::Object(all) => {
                if let Some(bytes) = self.attachment(all) {
                    *value = self.put(path, Form::Base64, "", bytes);
                    return;
                }
                for (key, value) in all.iter_mut() {
                    path.push(key.clone());
                    self.walk(value, path, least);
                    path.pop();
                }
                escape(all, true);
            }
            _ => {}
        }
    }

    fn attachment(&self, all: &Map<String, Value>) -> Option<Bytes> {
        let is_one = all.len() == 2 && all.get("_placeholder") == Some(&Value::Bool(true));
        let number = all.get("num").filter(|_| is_one)?.as_u64()?;
        self.attachments.get(usize::try_from(number).ok()?).cloned()
    }

    fn put(&mut self, path: &[String], form: Form, prefix: &str, bytes: Bytes) -> Value {
        let mut mark = Map::new();
        let shared = self.blobs.len() >= MAX_BLOBS - 1;
        let name = if shared { REST.to_owned() } else { self.name(path) };
        mark.insert(MARK.to_owned(), name.clone().into());
        if let Some(form) = form.name() {
            mark.insert("as".to_owned(), form.into());
        }
        if !prefix.is_empty() {
            mark.insert("prefix".to_owned(), prefix.into());
        }
        if shared {
            mark.insert("at".to_owned(), self.rest.len().into());
            mark.insert("bytes".to_owned(), bytes.len().into());
            self.rest.extend_from_slice(&bytes);
        } else {
            self.blobs.push(Blob { name, bytes });
        }
        Value::Object(mark)
    }

    fn name(&self, path: &[String]) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
        let parts: Vec<String> = path.iter().map(|part| part.chars().take(24).map(plain).collect()).collect();
        let mut name = parts.join(".");
        name.truncate(NAME_CHARS - 4);
        let taken = |name: &str| name == REST || self.blobs.iter().any(|blob| blob.name == name);
        if !taken(&name) && !name.is_empty() {
            return name;
        }
        let numbered = (2..).map(|n| format!("{name}-{n}")).find(|name| !taken(name));
        numbered.expect("there are more numbers than blobs")
    }
}

/// Keeps keys that look like a mark from being one, or undoes that.
fn escape(object: &mut Map<String, Value>, stored: bool) {
    let looks = |key: &str| key.strip_prefix('$').is_some_and(|rest| rest.trim_start_matches('$') == "blob");
    if !object.keys().any(|key| looks(key)) {
        return;
    }
    let renamed = std::mem::take(object).into_iter().map(|(key, value)| match looks(&key) {
        true if stored => (format!("${key}"), value),
        true => (key[1..].to_owned(), value),
        false => (key, value),
    });
    *object = renamed.collect();
}

/// The bytes of a text that is worth to be taken out.
fn decode(text: &str, least: usize) -> Option<(Form, String, Bytes)> {
    if text.len() < least {
        return None;
    }
    let head = text.get(..text.floor_char_boundary(HEAD_CHARS)).filter(|head| head.starts_with("data:"));
    let (prefix, base64) = match head.and_then(|head| head.find(";base64,")) {
        Some(at) => text.split_at(at + ";base64,".len()),
        None => ("", text),
    };
    let long =
        || (text.len() > TEXT_CHARS).then(|| (Form::Text, String::new(), Bytes::from(text.to_owned())));
    let Some((form, bytes)) = decode_base64(base64) else { return long() };
    Some((form, prefix.to_owned(), bytes.into()))
}

fn decode_base64(text: &str) -> Option<(Form, Vec<u8>)> {
    let bytes = text.as_bytes();
    if bytes.get(76) == Some(&b'\n') {
        let joined: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\n').collect();
        let decoded = canonical(&joined, true)?;
        return (lines(&encode(&decoded)) == text).then_some((Form::Lines, decoded));
    }
    match bytes.len() % 4 {
        0 => canonical(bytes, true).map(|decoded| (Form::Base64, decoded)),
        2 | 3 => canonical(bytes, false).map(|decoded| (Form::Unpadded, decoded)),
        _ => None,
    }
}

/// Decodes what encoding would give again.
fn canonical(text: &[u8], padded: bool) -> Option<Vec<u8>> {
    let codec = if padded { base64_simd::STANDARD } else { base64_simd::STANDARD_NO_PAD };
    let decoded = codec.decode_to_vec(text).ok()?;
    // Only the last group can be written in more than one way.
    let tail = codec.encode_to_string(&decoded[decoded.len().saturating_sub(1) / 3 * 3..]);
    (text.ends_with(tail.as_bytes()) && codec.encoded_length(decoded.len()) == text.len()).then_some(decoded)
}

fn encode(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn lines(base64: &str) -> String {
    let mut text = String::with_capacity(base64.len() + base64.len() / 76 + 1);
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(76));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text
}

/// Puts the pictures back, from the base64 of each blob. A picture whose blob is gone is `null`.
pub fn put_back(message: &mut Map<String, Value>, blobs: &HashMap<String, String>) {
    for value in message.values_mut() {
        put_back_in(value, blobs);
    }
    escape(message, false);
}

fn put_back_in(value: &mut Value, blobs: &HashMap<String, String>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|value| put_back_in(value, blobs)),
        Value::Object(all) if all.contains_key(MARK) => {
            *value = original(all, blobs).map_or(Value::Null, Value::String);
        }
        Value::Object(all) => put_back(all, blobs),
        _ => {}
    }
}

fn original(mark: &Map<String, Value>, blobs: &HashMap<String, String>) -> Option<String> {
    let text = |key: &str| mark.get(key).and_then(Value::as_str);
    let base64 = blobs.get(text(MARK)?)?;
    let bytes = || base64_simd::STANDARD.decode_to_vec(base64).ok();
    let part = match mark.get("at") {
        None => None,
        Some(at) => {
            let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
            let (at, len) = (number(at)?, number(mark.get("bytes")?)?);
            Some(bytes()?.get(at..at.checked_add(len)?)?.to_vec())
        }
    };
    let base64 = || part.as_deref().map_or_else(|| base64.clone(), encode);
    let prefix = text("prefix").unwrap_or_default();
    Some(match Form::of(text("as")) {
        Form::Base64 if prefix.is_empty() => base64(),
        Form::Base64 => format!("{prefix}{}", base64()),
        Form::Unpadded => format!("{prefix}{}", base64().trim_end_matches('=')),
        Form::Lines => format!("{prefix}{}", lines(&base64())),
        Form::Text => String::from_utf8(match part {
            Some(part) => part,
            None => bytes()?,
        })
        .ok()?,
    })
}

#[cfg(test)]
mod tests;
