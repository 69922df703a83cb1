//! Which controls of its pipeline file a session can serve, and by what.

use crate::board::{Ask, Bound, Offer};
use crate::late::Late;
use crate::session::Running;
use crate::{Source, control, launch, v4l2};
use gstreamer as gst;
use gstreamer::prelude::*;
use serde_json::Value;

/// The controls of a session's device, when it has one.
fn device(running: &Running) -> Option<(gst::Element, v4l2::Device)> {
    let element =
        running.pipeline.by_name(launch::SOURCE).filter(|_| matches!(running.source, Source::V4l2 { .. }))?;
    let device = v4l2::Device::of(&element)?;
    Some((element, device))
}

/// What a session can do. A device's own controls are seen when it is open.
pub(crate) fn offer(running: &Running, ask: &Ask) -> Offer {
    let device = device(running);
    let sizes = device.as_ref().and_then(|(element, _)| {
        let media = if running.file.pipeline.contains("image/jpeg") { "image/jpeg" } else { "video/x-raw" };
        Some(v4l2::sizes(&element.static_pad("src")?, media))
    });
    let mut offer = Offer::of_session(
        &running.file,
        &running.source,
        &running.tap,
        &running.camera,
        sizes.unwrap_or_default(),
    );
    offer.file = running.label.clone();
    for (name, control) in &running.file.controls {
        let range = control.v4l2.as_ref().and_then(|c| device.as_ref()?.1.range(&c.name));
        let element = control.element.as_ref().and_then(|e| running.pipeline.by_name(e));
        let bound = match element {
            _ if range.is_some() => Bound::Device { control: control.clone(), range, ask: ask.clone() },
            // What is set on the source is set on the device.
            Some(_) if device.is_some() && control.is_of(launch::SOURCE) => {
                Bound::Device { control: control.clone(), range: None, ask: ask.clone() }
            }
            Some(element) => Bound::Element {
                late: control.property.as_ref().and_then(|property| Late::of(&element, property)),
                element: element.downgrade(),
                control: control.clone(),
            },
            None => {
                let wanted = control.v4l2.as_ref().map_or("", |c| c.name.as_str());
                let has = device.as_ref().map_or_else(|| "none".into(), |(_, device)| device.names());
                let why =
                    format!("the device has no `{wanted}` (it has: {has}): use a pipeline file that does it");
                offer.missing.insert(name.clone(), why);
                continue;
            }
        };
        offer.controls.insert(name.clone(), bound);
    }
    offer
}

/// Sets a control on the device of a session. Blocks on the driver.
pub(crate) fn adjust(running: &Running, name: &str, value: &Value) -> Result<(), String> {
    let Some(control) = running.file.controls.get(name) else { return Ok(()) };
    let Some((element, device)) = device(running) else { return Ok(()) };
    let own = control.v4l2.as_ref().and_then(|own| Some((own, device.range(&own.name)?)));
    match (own, &control.property) {
        (Some((own, range)), _) => {
            let value = control.device_value(range, value)?;
            tracing::debug!(control = own.name, value, "told the device");
            device.set(&own.name, value);
            Ok(())
        }
        (None, Some(property)) if control.is_of(launch::SOURCE) => {
            control::write(&element, property, &control.setting(value)?)
        }
        _ => Ok(()),
    }
}
