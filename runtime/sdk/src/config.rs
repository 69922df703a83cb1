//! From the JSON object that the runtime passes to the plugin's own type.

use crate::{Finding, Plugin};

/// Parses and validates; all that the types and the plugin have to say about it.
pub(crate) fn read<P: Plugin>(json: &[u8]) -> Result<P::Config, Vec<Finding>> {
    let mut de = serde_json::Deserializer::from_slice(if json.is_empty() { b"{}" } else { json });
    let config: P::Config = serde_path_to_error::deserialize(&mut de).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        // serde_json ends its messages in a position in a text that the operator never sees.
        let message = plain(text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message));
        vec![Finding { path: if path == "." { String::new() } else { path }, message }]
    })?;
    let findings = P::validate(&config);
    if findings.is_empty() { Ok(config) } else { Err(findings) }
}

/// serde's words for what is wrong, in those of an operator.
fn plain(message: &str) -> String {
    if message == "invalid socket address syntax" {
        return "must be an IP address and a port, such as `127.0.0.1:3000`".to_owned();
    }
    let parts = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, wanted)) = parts.and_then(|parts| parts.split_once(", expected ")) else {
        return message.to_owned();
    };
    let wanted = match wanted {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "`true` or `false`",
        "a string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    let found = found.strip_prefix("string ").or_else(|| found.strip_prefix("integer ")).unwrap_or(found);
    format!("must be {wanted}, not {found}")
}

/// All findings in one line, for where there is room for one sentence only.
pub(crate) fn sentence(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings
        .iter()
        .map(|f| if f.path.is_empty() { f.message.clone() } else { format!("{}: {}", f.path, f.message) })
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn serdes_words_become_an_operators() {
        for (serde, ours) in [
            ("invalid type: string \"fast\", expected f64", "must be a number, not \"fast\""),
            ("invalid type: integer `3`, expected a string", "must be text in quotes, not `3`"),
            ("invalid value: integer `-1`, expected u32", "must be a whole number, 0 or more, not `-1`"),
            ("invalid socket address syntax", "must be an IP address and a port, such as `127.0.0.1:3000`"),
            ("missing field `stream`", "missing field `stream`"),
        ] {
            assert_eq!(plain(serde), ours);
        }
    }
}
