//! Which Debian package an element or a decoder comes with, so that an error can say what to install.

/// Elements that operators are likely to name, by package. What is not listed is looked for with `apt-file`.
const ELEMENTS: &[(&str, &[&str])] = &[
    (
        "gstreamer1.0-plugins-base",
        &[
            "appsrc",
            "appsink",
            "videotestsrc",
            "videoconvert",
            "videoscale",
            "videoconvertscale",
            "videorate",
            "decodebin",
            "decodebin3",
            "uridecodebin",
            "uridecodebin3",
            "compositor",
            "gio",
            "tcpclientsrc",
            "audioconvert",
            "audioresample",
            "alsasrc",
            "theoradec",
            "oggdemux",
            "rawvideoparse",
            "encodebin",
        ],
    ),
    (
        "gstreamer1.0-plugins-good",
        &[
            "v4l2src",
            "v4l2sink",
            "v4l2h264enc",
            "v4l2h264dec",
            "v4l2jpegenc",
            "v4l2jpegdec",
            "v4l2convert",
            "jpegenc",
            "jpegdec",
            "rtspsrc",
            "rtpjpegdepay",
            "rtph264depay",
            "rtph265depay",
            "rtpbin",
            "splitmuxsink",
            "mp4mux",
            "qtmux",
            "qtdemux",
            "matroskamux",
            "matroskademux",
            "avidemux",
            "avimux",
            "multipartdemux",
            "multipartmux",
            "souphttpsrc",
            "videobalance",
            "gamma",
            "videocrop",
            "videoflip",
            "videobox",
            "videomixer",
            "videomedian",
            "alpha",
            "deinterlace",
            "imagefreeze",
            "udpsrc",
            "udpsink",
            "pulsesrc",
            "vp8dec",
            "vp8enc",
            "vp9dec",
            "vp9enc",
            "flvdemux",
            "wavparse",
            "level",
            "pngdec",
            "pngenc",
            "ximagesrc",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &[
            "jpegparse",
            "h264parse",
            "h265parse",
            "openh264enc",
            "openh264dec",
            "webrtcbin",
            "kmssink",
            "srtsrc",
            "srtsink",
            "rtmpsrc",
            "rtmp2src",
            "hlsdemux",
            "tsdemux",
            "mpegtsmux",
            "vah264dec",
            "vah264enc",
            "vajpegenc",
            "vajpegdec",
            "v4l2slh264dec",
            "v4l2slh265dec",
            "nvh264dec",
            "nvjpegenc",
            "msdkh264dec",
            "dvbsrc",
            "shmsrc",
            "waylandsink",
            "codecalpha",
            "av1dec",
            "bayer2rgb",
            "gaussianblur",
            "zxing",
            "perspective",
            "fisheye",
            "videoparsersbad",
            "uvch264src",
            "decklinkvideosrc",
            "mpegvideoparse",
        ],
    ),
    ("gstreamer1.0-plugins-ugly", &["x264enc", "mpeg2dec", "asfdemux", "rmdemux"]),
    (
        "gstreamer1.0-x",
        &["textoverlay", "clockoverlay", "timeoverlay", "textrender", "ximagesink", "xvimagesink"],
    ),
    (
        "gstreamer1.0-opencv",
        &["facedetect", "motioncells", "handdetect", "cvlaplace", "dewarp", "cameraundistort"],
    ),
    ("gstreamer1.0-libcamera", &["libcamerasrc"]),
    (
        "gstreamer1.0-vaapi",
        &["vaapih264dec", "vaapijpegenc", "vaapijpegdec", "vaapipostproc", "vaapidecodebin"],
    ),
    ("gstreamer1.0-nice", &["nicesrc", "nicesink"]),
    ("gstreamer1.0-rtsp", &["rtspclientsink"]),
    ("gstreamer1.0-gl", &["glupload", "gldownload", "glcolorconvert", "glvideomixer"]),
    ("gstreamer1.0-pipewire", &["pipewiresrc", "pipewiresink"]),
    (
        "libgstreamer1.0-0",
        &[
            "tee",
            "queue",
            "queue2",
            "valve",
            "identity",
            "capsfilter",
            "clocksync",
            "fakesink",
            "fakesrc",
            "filesrc",
            "filesink",
            "input-selector",
            "output-selector",
            "funnel",
            "multiqueue",
            "typefind",
            "concat",
        ],
    ),
];

/// The next step when an element is missing.
pub(crate) fn advice_for_element(element: &str) -> String {
    let package = ELEMENTS
        .iter()
        .find(|(_, elements)| elements.contains(&element))
        .map(|(package, _)| *package)
        .or_else(|| {
            (element.starts_with("avdec_") || element.starts_with("avenc_")).then_some("gstreamer1.0-libav")
        });
    if let Some(package) = package {
        return format!("install {package} (apt-get install --no-install-recommends {package})");
    }
    let known = ELEMENTS.iter().flat_map(|(_, elements)| elements.iter().copied());
    match gantry_core::spelling::nearest(element, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "correct its name, or install the package that has it (gst-inspect-1.0 lists what is there)"
            .into(),
    }
}

/// The next step when the decoder for media of this type (the name of GStreamer caps) is missing.
pub(crate) fn advice_for_media(media: &str) -> String {
    let package = match media {
        "video/x-h264"
        | "video/x-h265"
        | "video/mpeg"
        | "video/x-divx"
        | "video/x-wmv"
        | "video/x-flash-video"
        | "video/x-h263"
        | "video/x-msmpeg"
        | "video/x-prores"
        | "audio/mpeg" => "gstreamer1.0-libav",
        "image/jpeg" | "video/x-vp8" | "video/x-vp9" | "video/quicktime" | "video/x-matroska"
        | "video/webm" | "video/x-msvideo" | "application/x-rtp" => "gstreamer1.0-plugins-good",
        "video/mpegts" | "video/x-av1" => "gstreamer1.0-plugins-bad",
        "application/ogg" | "video/x-theora" => "gstreamer1.0-plugins-base",
        _ => return "install gstreamer1.0-libav or gstreamer1.0-plugins-bad, whichever has it".into(),
    };
    format!("install {package} (apt-get install --no-install-recommends {package})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_answered_with_its_package() {
        assert!(advice_for_element("libcamerasrc").contains("gstreamer1.0-libcamera"));
        assert!(advice_for_element("avdec_h264").contains("gstreamer1.0-libav"));
        assert_eq!(advice_for_element("jpgenc"), "did you mean `jpegenc`?");
        assert!(advice_for_element("zzzzzzzz").contains("gst-inspect-1.0"));
        assert!(advice_for_media("video/x-h264").contains("gstreamer1.0-libav"));
    }
}
