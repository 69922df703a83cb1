//! Cameras to pull the plug of: `tests/bench/fakev4l2`, preloaded into the gateway, and a camera on the network.

use crate::root;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An RTSP camera with a password (`tests/clients/rtsp.py`): 320×240, MJPEG, 25 fps. Dropping it pulls its plug.
pub struct Rtsp {
    child: Child,
    port: u16,
}

impl Rtsp {
    /// Starts it on a port, or on a free one for 0.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(port: u16) -> Self {
        // Debian's Python and not whichever comes first: GStreamer's bindings are Debian packages.
        let mut child = Command::new("/usr/bin/python3")
            .arg(root().join("tests/clients/rtsp.py"))
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3: run `make test`, which installs it");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a port");
        let port =
            line.trim().parse().expect("the port: run `make test`, which installs what the camera needs");
        Self { child, port }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Rtsp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the fake camera into `dir`, with pictures, and returns the environment that the gateway needs to see it as
/// `/dev/fakevideo0`: 320×240, MJPEG, 30 fps.
///
/// # Panics
/// When there is no C compiler or GStreamer.
#[must_use]
pub fn fake(dir: &Path) -> Vec<(String, String)> {
    let library = dir.join("fakev4l2.so");
    let source = root().join("tests/bench/fakev4l2/fakev4l2.c");
    let status = Command::new("cc")
        .args(["-O1", "-fPIC", "-shared", "-o"])
        .arg(&library)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .status();
    assert!(status.expect("a C compiler").success());
    // The library looks for `DIR_SIZE/f000.jpg` and so on.
    let frames = dir.join("frames_0");
    fs::create_dir_all(&frames).expect("a folder");
    let pipeline = format!(
        "videotestsrc num-buffers=10 pattern=ball ! video/x-raw,format=I420,width=320,height=240 ! jpegenc ! multifilesink location={}/f%03d.jpg",
        frames.display()
    );
    let status = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).status();
    assert!(status.expect("gst-launch-1.0").success());
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKEV4L2_DIR", dir.join("frames").display().to_string()),
        ("FAKEV4L2_SIZE", "0".to_owned()),
        ("FAKEV4L2_RES", "320x240".to_owned()),
        ("FAKEV4L2_FPS", "30".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}
