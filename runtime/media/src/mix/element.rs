//! `gantrymix`: the element that a mix's pipeline begins with. It holds GStreamer's compositor, to which the runtime gives
//! the pictures of the cameras, and has what can be chosen as properties, so that controls are bound to them in the
//! pipeline file like to those of any element.
//!
//! - `main`: which camera is shown large, from 0.
//! - `pip`: where the next camera is shown: `off`, `top-left`, `top-right`, `bottom-left`, `bottom-right`, `side-by-side`.

use super::layout::Pip;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer::subclass::prelude::*;

pub(crate) const NAME: &str = "gantrymix";

glib::wrapper! {
    pub(crate) struct Mix(ObjectSubclass<imp::Mix>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

/// Makes the element known in this process.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, NAME, gst::Rank::NONE, Mix::static_type())
}

impl Mix {
    /// The main camera and what is shown beside it.
    pub(crate) fn wanted(&self) -> (usize, Pip) {
        *crate::lock(&self.imp().wanted)
    }

    /// The compositor; `None` when it is not installed.
    pub(crate) fn compositor(&self) -> Option<gst::Element> {
        self.by_name(imp::COMPOSITOR)
    }
}

mod imp {
    use super::super::layout::{MAX_CAMERAS, Pip};
    use crate::lock;
    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer::prelude::*;
    use gstreamer::subclass::prelude::*;
    use std::sync::{LazyLock, Mutex};

    pub(super) const COMPOSITOR: &str = "compositor";

    #[derive(Default)]
    pub(crate) struct Mix {
        pub(super) wanted: Mutex<(usize, Pip)>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Mix {
        const NAME: &'static str = "GantryMix";
        type Type = super::Mix;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Mix {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecUInt::builder("main")
                        .blurb("Which camera is shown large, from 0")
                        .maximum(MAX_CAMERAS as u32 - 1)
                        .mutable_playing()
                        .build(),
                    glib::ParamSpecString::builder("pip")
                        .blurb("off, top-left, top-right, bottom-left, bottom-right or side-by-side")
                        .default_value(Some("off"))
                        .mutable_playing()
                        .build(),
                ]
            });
            PROPERTIES.as_ref()
        }

        fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            let mut wanted = lock(&self.wanted);
            match spec.name() {
                "main" => wanted.0 = value.get::<u32>().unwrap_or_default() as usize,
                // What is no such name changes nothing; a pipeline file lists its values and says so before.
                _ => {
                    let name = value.get::<Option<String>>().ok().flatten().unwrap_or_default();
                    wanted.1 = Pip::named(&name).unwrap_or(wanted.1);
                }
            }
        }

        fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
            let (main, pip) = *lock(&self.wanted);
            match spec.name() {
                "main" => (main as u32).to_value(),
                _ => pip.name().to_value(),
            }
        }

        fn constructed(&self) {
            self.parent_constructed();
            // Without its plugin there is no output, and the pipeline's text does not link.
            let made = gst::ElementFactory::make("compositor").name(COMPOSITOR);
            let Ok(compositor) = made.property_from_str("background", "black").build() else { return };
            let bin = self.obj();
            let linked = compositor.static_pad("src").filter(|_| bin.add(&compositor).is_ok());
            let ghost = linked
                .and_then(|pad| Some(gst::GhostPad::builder_with_target(&pad).ok()?.name("src").build()));
            if let Some(ghost) = ghost {
                let _ = bin.add_pad(&ghost);
            }
        }
    }

    impl GstObjectImpl for Mix {}

    impl ElementImpl for Mix {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Mix",
                    "Source/Video",
                    "Shows other cameras of the gateway in one picture",
                    "Gantry",
                )
            });
            Some(&*METADATA)
        }
    }

    impl BinImpl for Mix {}
}
