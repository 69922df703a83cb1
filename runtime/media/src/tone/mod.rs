//! `gantrytone`: an element that corrects pictures in software, for cameras and sources without controls of their own.
//!
//! Each property is neutral by default, and while all are, the element passes buffers on untouched. In this order: noise
//! reduction; automatic exposure and white balance, which look at the picture as it comes in; gains; sharpness.
//!
//! - `gain` 0 to 100: a factor of 4^((gain-50)/50) on the picture, from a quarter to four times; 50 is none. With automatic
//!   exposure it is the correction on top of that.
//! - `red-gain`, `blue-gain` 0 to 100: a factor of 2^((gain-50)/50) on that channel; 50 is none.
//! - `sharpness` 0 to 100: 50 is none, below the picture is smoothed, at 0 by a whole 3×3 blur; above edges are raised.
//! - `noise-reduction`: each pixel follows its past, except where something moves.
//! - `auto-exposure`: brings the mean brightness to the middle, in about a second, by at most a factor of eight.
//! - `white-balance`: `manual` does nothing, `auto` makes the mean of the picture grey, slowly; `daylight`, `tungsten` and
//!   `fluorescent` are fixed gains that take a camera, whose own balance is for daylight, to that light.

mod pixels;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

pub(crate) const NAME: &str = "gantrytone";

glib::wrapper! {
    pub(crate) struct Tone(ObjectSubclass<imp::Tone>)
        @extends gstreamer_video::VideoFilter, gstreamer_base::BaseTransform, gst::Element, gst::Object;
}

/// Makes the element known in this process.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, NAME, gst::Rank::NONE, Tone::static_type())
}

mod imp {
    use super::pixels::{Corrector, Plane, Wanted};
    use crate::lock;
    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer::prelude::*;
    use gstreamer_base::prelude::*;
    use gstreamer_base::subclass::BaseTransformMode;
    use gstreamer_base::subclass::prelude::*;
    use gstreamer_video as gst_video;
    use gstreamer_video::prelude::*;
    use gstreamer_video::subclass::prelude::*;
    use std::sync::{LazyLock, Mutex};

    /// Gains of red and blue by kind of light.
    const LIGHTS: [(&str, f32, f32); 3] =
        [("daylight", 1.0, 1.0), ("tungsten", 0.7, 1.6), ("fluorescent", 0.85, 1.25)];

    struct Settings {
        gain: f64,
        red: f64,
        blue: f64,
        sharpness: f64,
        reduces_noise: bool,
        exposes: bool,
        white_balance: String,
    }

    impl Default for Settings {
        fn default() -> Self {
            let neutral = 50.0;
            Self {
                gain: neutral,
                red: neutral,
                blue: neutral,
                sharpness: neutral,
                reduces_noise: false,
                exposes: false,
                white_balance: "manual".into(),
            }
        }
    }

    impl Settings {
        fn wanted(&self) -> Wanted {
            let factor = |base: f64, value: f64| base.powf((value - 50.0) / 50.0) as f32;
            let light = LIGHTS.iter().find(|(name, ..)| *name == self.white_balance);
            let (red, blue) = light.map_or((1.0, 1.0), |(_, red, blue)| (*red, *blue));
            let sharpness = (self.sharpness - 50.0) / 50.0;
            Wanted {
                gain: factor(4.0, self.gain),
                red: factor(2.0, self.red) * red,
                blue: factor(2.0, self.blue) * blue,
                sharpness: (if sharpness > 0.0 { sharpness * 2.5 } else { sharpness }) as f32,
                reduces_noise: self.reduces_noise,
                exposes: self.exposes,
                balances: self.white_balance == "auto",
            }
        }
    }

    #[derive(Default)]
    pub(crate) struct Tone {
        settings: Mutex<Settings>,
        corrector: Mutex<Corrector>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Tone {
        const NAME: &'static str = "GantryTone";
        type Type = super::Tone;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for Tone {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                let percent = |name: &'static str, blurb: &'static str| {
                    glib::ParamSpecDouble::builder(name)
                        .blurb(blurb)
                        .minimum(0.0)
                        .maximum(100.0)
                        .default_value(50.0)
                        .mutable_playing()
                        .build()
                };
                let switch = |name: &'static str, blurb: &'static str| {
                    glib::ParamSpecBoolean::builder(name).blurb(blurb).mutable_playing().build()
                };
                vec![
                    percent("gain", "Factor on the picture, 4^((gain-50)/50)"),
                    percent("red-gain", "Factor on red, 2^((gain-50)/50)"),
                    percent("blue-gain", "Factor on blue, 2^((gain-50)/50)"),
                    percent("sharpness", "Below 50 smooths, above 50 sharpens"),
                    switch("noise-reduction", "Averages over time where nothing moves"),
                    switch("auto-exposure", "Brings the mean brightness to the middle"),
                    glib::ParamSpecString::builder("white-balance")
                        .blurb("manual, auto, daylight, tungsten or fluorescent")
                        .default_value(Some("manual"))
                        .mutable_playing()
                        .build(),
                ]
            });
            PROPERTIES.as_ref()
        }

        fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            let mut settings = lock(&self.settings);
            // GObject gives only values of the property's own type and range.
            let number = || value.get::<f64>().unwrap_or(50.0);
            let switch = || value.get::<bool>().unwrap_or_default();
            match spec.name() {
                "gain" => settings.gain = number(),
                "red-gain" => settings.red = number(),
                "blue-gain" => settings.blue = number(),
                "sharpness" => settings.sharpness = number(),
                "noise-reduction" => settings.reduces_noise = switch(),
                "auto-exposure" => settings.exposes = switch(),
                _ => settings.white_balance = value.get().ok().flatten().unwrap_or_default(),
            }
            // Under the lock, so that of two changes the later one has the last word.
            self.obj().set_passthrough(settings.wanted() == Wanted::NEUTRAL);
        }

        fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
            let settings = lock(&self.settings);
            match spec.name() {
                "gain" => settings.gain.to_value(),
                "red-gain" => settings.red.to_value(),
                "blue-gain" => settings.blue.to_value(),
                "sharpness" => settings.sharpness.to_value(),
                "noise-reduction" => settings.reduces_noise.to_value(),
                "auto-exposure" => settings.exposes.to_value(),
                _ => settings.white_balance.to_value(),
            }
        }

        fn constructed(&self) {
            self.parent_constructed();
            self.obj().set_passthrough(true);
        }
    }

    impl GstObjectImpl for Tone {}

    impl ElementImpl for Tone {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Tone",
                    "Filter/Effect/Video",
                    "Gain, white balance, sharpness, noise and exposure in software",
                    "Gantry",
                )
            });
            Some(&*METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::I420).build();
                let template = |name, direction| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("the caps are fixed above and good")
                };
                vec![template("src", gst::PadDirection::Src), template("sink", gst::PadDirection::Sink)]
            });
            TEMPLATES.as_ref()
        }
    }

    impl BaseTransformImpl for Tone {
        const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn stop(&self) -> Result<(), gst::ErrorMessage> {
            *lock(&self.corrector) = Corrector::default();
            Ok(())
        }
    }

    impl VideoFilterImpl for Tone {
        fn transform_frame_ip(
            &self,
            frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let wanted = lock(&self.settings).wanted();
            let side = |n: u32| n as usize;
            let sizes = [0, 1, 2].map(|n| (side(frame.comp_width(n)), side(frame.comp_height(n))));
            let strides = [0, 1, 2].map(|n| usize::try_from(frame.comp_stride(n)).unwrap_or_default());
            let [y, u, v, _] = frame.planes_data_mut();
            let mut at = 0;
            let mut planes = [y, u, v].map(|data| {
                let ((width, height), stride) = (sizes[at], strides[at]);
                at += 1;
                Plane { data, stride, width, height }
            });
            lock(&self.corrector).correct(&mut planes, &wanted);
            Ok(gst::FlowSuccess::Ok)
        }
    }
}
