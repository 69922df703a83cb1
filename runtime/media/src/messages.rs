//! What GStreamer says on a bus, in words that help.

use crate::figures::with_advice;
use crate::packages::{advice_for_element, advice_for_media};
use crate::source::Source;
use gstreamer as gst;
use gstreamer::prelude::*;

/// What an ERROR message says, in words that help.
pub(crate) fn error_text(error: &gst::message::Error, source: &Source) -> String {
    let message = error.error().message().to_owned();
    let detail = error.debug().unwrap_or_default();
    let reason = detail.split("reason ").nth(1).and_then(|r| r.split(" (").next());
    let element = error.src().map_or_else(String::new, |s| s.name().to_string());
    match reason {
        Some("not-negotiated") => format!(
            "{element}: the camera does not offer what the pipeline asks for: change width, height or fps, or its pipeline file"
        ),
        Some(reason) if message.starts_with("Internal data") => {
            with_advice(&format!("{element}: the flow of data stopped ({reason})"), source)
        }
        _ => with_advice(&message, source),
    }
}

/// The message that decodebin posts when nothing here can decode what it found.
pub(crate) fn missing_plugin(structure: &gst::StructureRef) -> Option<String> {
    if structure.name() != "missing-plugin" {
        return None;
    }
    let name: String = structure.get("name").ok()?;
    match structure.get::<gst::Caps>("detail") {
        Ok(caps) => {
            let media = caps.structure(0).map_or("", |s| s.name().as_str());
            Some(format!("there is no {name} here: {}", advice_for_media(media)))
        }
        Err(_) => {
            let detail: String = structure.get("detail").unwrap_or_default();
            Some(format!("there is no {name} here: {}", advice_for_element(&detail)))
        }
    }
}
