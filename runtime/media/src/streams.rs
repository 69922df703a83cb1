//! From the appsinks and gates of a session's pipeline to the streams of its camera.

use crate::gate::{self, Gate, Way};
use crate::session::{Event, Gates, Report};
use crate::tap::Tap;
use crate::{PipelineFile, lock, sink};
use gantry_core::frames;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Connects each stream of a pipeline file.
pub(crate) fn attach(
    camera: &str,
    file: &PipelineFile,
    pipeline: &gst::Pipeline,
    tap: &Arc<Tap>,
    hub: &frames::Hub,
    gates: &Gates,
    report: &Report,
) -> Result<(), String> {
    let mut gates = lock(gates);
    if !tap.is_live() {
        // Gates that are made now would outlive the camera.
        return Err("closed while it was opened".into());
    }
    // By element: the ways that begin there, and those that only lead through.
    let mut ways = BTreeMap::<&str, (Vec<Way>, Vec<Way>)>::new();
    for (name, spec) in &file.streams {
        let appsink = pipeline
            .by_name(&spec.sink)
            .and_then(|e| e.downcast::<gst_app::AppSink>().ok())
            .ok_or_else(|| format!("streams.{name}.sink: no such appsink"))?;
        let gate =
            gates.entry(name.clone()).or_insert_with(|| Gate::new(hub.stream(&format!("{camera}/{name}"))));
        let way = gate.way();
        for (depth, element) in spec.gate.iter().enumerate() {
            let (outer, inner) = ways.entry(element.as_str()).or_default();
            if depth == 0 { outer } else { inner }.push(way.clone());
        }
        let (report, stream) = (report.clone(), name.clone());
        let problem = move |message| report(Event::Failed(format!("stream {stream}: {message}")));
        sink::attach(&appsink, gate.stream.clone(), tap.clone(), way.in_flight, problem);
    }
    for (element, (outer, inner)) in ways {
        let pad = pipeline.by_name(element).and_then(|e| e.static_pad("sink"));
        let pad = pad.ok_or_else(|| format!("streams: the gate `{element}` has no input"))?;
        if inner.is_empty() {
            gate::attach_outer(&pad, tap.clone(), outer);
        } else {
            gate::attach_inner(&pad, tap.clone(), inner);
        }
    }
    Ok(())
}
