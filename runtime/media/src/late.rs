//! Properties that are set with the next frame, and no sooner.
//!
//! Each set of a `videobalance` property computes its colour tables anew, 128 KiB of them: a slider that is dragged costs
//! more than the pictures it changes. What several writes want before the next frame is one set, and none while nobody watches.

use crate::control::{self, Setting};
use crate::lock;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::{Arc, Mutex};

/// The elements whose properties cost that much.
const COSTLY: &str = "videobalance";

/// What a property is to be with the next frame.
#[derive(Default)]
pub(crate) struct Late(Mutex<Option<Setting>>);

impl Late {
    /// For a property of a costly element: sets what is wanted on the thread that brings the next frame. `None` for others,
    /// which are set at once.
    pub(crate) fn of(element: &gst::Element, property: &str) -> Option<Arc<Self>> {
        let is_costly = element.factory().is_some_and(|factory| factory.name() == COSTLY);
        let pad = element.static_pad("sink").filter(|_| is_costly)?;
        let late = Arc::<Self>::default();
        let (wanted, element, property) = (late.clone(), element.downgrade(), property.to_owned());
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let setting = lock(&wanted.0).take();
            if let (Some(setting), Some(element)) = (setting, element.upgrade())
                && let Err(reason) = control::write(&element, &property, &setting)
            {
                // It was checked when it was wanted.
                tracing::warn!(property, reason, "a control is not set");
            }
            gst::PadProbeReturn::Ok
        })?;
        Some(late)
    }

    /// Wants a value, in place of one that still waits.
    pub(crate) fn want(&self, setting: Setting) {
        *lock(&self.0) = Some(setting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_set_with_the_next_frame_and_only_the_last_of_it() {
        gst::init().expect("GStreamer");
        let text = "videotestsrc num-buffers=1 ! videobalance name=balance ! fakesink name=sink";
        let pipeline = gst::parse::launch(text).expect("elements of base and good");
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
        let balance = pipeline.by_name("balance").expect("named");
        assert!(
            Late::of(&pipeline.by_name("sink").expect("named"), "sync").is_none(),
            "cheap ones are set at once"
        );
        let late = Late::of(&balance, "brightness").expect("costly");
        late.want(Setting::Number(0.25));
        late.want(Setting::Number(0.5));
        assert_eq!(balance.property::<f64>("brightness"), 0.0);
        pipeline.set_state(gst::State::Playing).expect("it plays");
        let bus = pipeline.bus().expect("a bus");
        let ended = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]);
        assert!(ended.is_some(), "one frame, then the end");
        assert_eq!(balance.property::<f64>("brightness"), 0.5);
        pipeline.set_state(gst::State::Null).expect("it ends");
    }
}
