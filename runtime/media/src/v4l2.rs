//! What only a V4L2 camera itself knows: which pictures it offers, and which controls it has.

use gantry_core::config;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use std::collections::BTreeMap;

/// Asks the device what it offers, and answers with the name of the pipeline file that suits. Blocks on the device.
pub(crate) fn choose(device: &str, camera: &config::Camera) -> Result<&'static str, String> {
    let source = gst::ElementFactory::make("v4l2src").property("device", device).build().map_err(|_| {
        format!("there is no element `v4l2src` here: {}", crate::packages::advice_for_element("v4l2src"))
    })?;
    let bus = gst::Bus::new();
    source.set_bus(Some(&bus));
    let ready = source.set_state(gst::State::Ready);
    let offered = source.static_pad("src").map(|pad| pad.query_caps(None));
    // A device that does not answer does not take this back either; the element goes with it.
    let _ = source.set_state(gst::State::Null);
    let failed = bus.iter().find_map(|message| match message.view() {
        gst::MessageView::Error(error) => Some(error.error().message().to_owned()),
        _ => None,
    });
    source.set_bus(None);
    match (ready, offered) {
        (Ok(_), Some(offered)) => pick(&offered, camera),
        _ => Err(failed.unwrap_or_else(|| format!("cannot open {device}"))),
    }
}

/// The controls of an opened V4L2 device, as its element gives them. Not to be used by more than one thread, nor after the
/// device was closed.
pub(crate) struct Device {
    element: gst_video::ColorBalance,
    channels: BTreeMap<String, gst_video::ColorBalanceChannel>,
}

/// Names that controls had in older kernels, and have now.
const RENAMED: [(&str, &str); 2] =
    [("white_balance_temperature_auto", "white_balance_automatic"), ("autogain", "gain_automatic")];

impl Device {
    /// The controls of this element, which has opened its device; `None` when it is no V4L2 element.
    pub(crate) fn of(element: &gst::Element) -> Option<Self> {
        let element = element.dynamic_cast_ref::<gst_video::ColorBalance>()?.clone();
        let channels = element.list_channels().into_iter().map(|channel| {
            let label = channel.label().to_string();
            let now = RENAMED.iter().find(|(before, _)| *before == label).map(|(_, now)| (*now).to_owned());
            (now.unwrap_or(label), channel)
        });
        let channels = channels.collect();
        Some(Self { element, channels })
    }

    /// The driver's range of a control; `None` when the device has no such control.
    pub(crate) fn range(&self, name: &str) -> Option<[i32; 2]> {
        let channel = self.channels.get(name)?;
        Some([channel.min_value(), channel.max_value()]).filter(|[low, high]| low < high)
    }

    /// Sets a control. Blocks on the driver.
    pub(crate) fn set(&self, name: &str, value: i32) {
        if let Some(channel) = self.channels.get(name) {
            self.element.set_value(channel, value);
        }
    }

    /// What the device has, for people.
    pub(crate) fn names(&self) -> String {
        match self.channels.is_empty() {
            true => "none".into(),
            false => self.channels.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The sizes of this kind of picture that the pad of an opened device offers; empty when it does not list them.
pub(crate) fn sizes(pad: &gst::Pad, media: &str) -> Vec<String> {
    let caps = pad.query_caps(None);
    let of = |s: &gst::StructureRef| Some((s.get::<i32>("width").ok()?, s.get::<i32>("height").ok()?));
    let sizes: std::collections::BTreeSet<_> =
        caps.iter().filter(|s| s.name() == media).filter_map(of).collect();
    sizes.into_iter().map(|(width, height)| format!("{width}x{height}")).collect()
}

fn pick(offered: &gst::Caps, camera: &config::Camera) -> Result<&'static str, String> {
    let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let wanted = gst::Caps::builder("image/jpeg")
        .field("width", side(camera.width))
        .field("height", side(camera.height))
        .build();
    if offered.can_intersect(&wanted) {
        return Ok("usb-mjpeg");
    }
    if offered.iter().any(|s| s.name() == "video/x-raw") {
        return Ok("usb");
    }
    let mut sizes: Vec<String> = offered
        .iter()
        .filter(|s| s.name() == "image/jpeg")
        .filter_map(|s| Some(format!("{}x{}", s.get::<i32>("width").ok()?, s.get::<i32>("height").ok()?)))
        .collect();
    sizes.dedup();
    Err(match sizes.is_empty() {
        true => "the device offers neither JPEG nor raw pictures: write a pipeline file for it".into(),
        false => format!(
            "the camera does not offer {}x{}: set width and height to one of {}",
            camera.width,
            camera.height,
            sizes.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_of_the_right_size_is_preferred_and_raw_is_the_fallback() {
        gst::init().expect("GStreamer");
        let camera = config::Camera::default();
        let pick = |text: &str| pick(&text.parse().expect("caps"), &camera);
        let raw = "video/x-raw,format=YUY2,width=1280,height=720";
        assert_eq!(pick(&format!("{raw};image/jpeg,width=640,height=480")), Ok("usb-mjpeg"));
        assert_eq!(pick(&format!("{raw};image/jpeg,width=800,height=600")), Ok("usb"));
        let error = pick("image/jpeg,width=800,height=600").expect_err("no such size");
        assert!(error.contains("one of 800x600"), "{error}");
        assert!(pick("video/x-h264").expect_err("neither").contains("pipeline file"));
    }
}
