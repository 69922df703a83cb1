//! From the JSON object that the runtime passes to the plugin's own type.

use crate::{Finding, Plugin};

/// Parses and validates; all that the types and the plugin have to say about it.
pub(crate) fn read<P: Plugin>(json: &[u8]) -> Result<P::Config, Vec<Finding>> {
    let mut de = serde_json::Deserializer::from_slice(if json.is_empty() { b"{}" } else { json });
    let config: P::Config = serde_path_to_error::deserialize(&mut de).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        // serde_json ends its messages in a position in a text that the operator never sees.
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
        vec![Finding { path: if path == "." { String::new() } else { path }, message }]
    })?;
    let findings = P::validate(&config);
    if findings.is_empty() { Ok(config) } else { Err(findings) }
}

/// All findings in one line, for where there is room for one sentence only.
pub(crate) fn sentence(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings
        .iter()
        .map(|f| if f.path.is_empty() { f.message.clone() } else { format!("{}: {}", f.path, f.message) })
        .collect();
    lines.join("; ")
}
