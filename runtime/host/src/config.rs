//! What is wrong with a plugin's section, told before it runs.

use crate::library::Library;
use gantry_abi::Slice;
use gantry_core::config::Finding;
use serde_json::{Map, Value};
use std::ffi::c_void;

/// All that the plugin itself has to say about its own keys. Runs the plugin's code.
pub(crate) fn validate(library: &Library, own: &Map<String, Value>) -> Vec<Finding> {
    unsafe extern "C" fn take(ctx: *mut c_void, path: Slice, message: Slice) {
        // SAFETY: `ctx` is the `Vec` below, which outlives the call; the texts are borrowed for it.
        let (out, path, message) =
            unsafe { (&mut *ctx.cast::<Vec<Finding>>(), path.bytes(), message.bytes()) };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if out.len() < 100 {
            out.push(Finding::new(text(path), text(message)));
        }
    }
    let Some(validate) = library.table.validate else { return Vec::new() };
    let json = Value::Object(own.clone()).to_string();
    let mut findings: Vec<Finding> = Vec::new();
    // SAFETY: an entry of a loaded library; the text and the sink's context outlive the call.
    let status = unsafe { validate(Slice::new(json.as_bytes()), Some(take), (&raw mut findings).cast()) };
    if status < 0 && findings.is_empty() {
        let text =
            format!("{} does not accept this section and does not say why: ask its author", library.name);
        findings.push(Finding::new("", text));
    }
    findings
}

/// The JSON Schema of the plugin's own keys, if it has one that is JSON.
pub(crate) fn schema(library: &Library) -> Option<Value> {
    unsafe extern "C" fn take(ctx: *mut c_void, bytes: Slice) {
        // SAFETY: `ctx` is the `Option` below, which outlives the call; the bytes are borrowed for it.
        let (out, bytes) = unsafe { (&mut *ctx.cast::<Option<Value>>(), bytes.bytes()) };
        *out = serde_json::from_slice(bytes).ok();
    }
    let mut schema: Option<Value> = None;
    let config_schema = library.table.config_schema?;
    // SAFETY: an entry of a loaded library; the sink's context outlives the call.
    unsafe { config_schema(Some(take), (&raw mut schema).cast()) };
    schema
}
