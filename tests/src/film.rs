//! Recordings as a player sees them: GStreamer's own demuxer and decoder, in another program.

use std::path::Path;
use std::process::Command;

/// What a player shows of a file.
#[derive(Debug)]
pub struct Film {
    /// When each decoded picture is shown, in seconds from the beginning.
    pub times: Vec<f64>,
    /// Whether the player came to the end without an error.
    pub is_whole: bool,
}

impl Film {
    /// Plays a file to its end.
    ///
    /// # Panics
    /// When there is no player.
    #[must_use]
    pub fn play(file: &Path) -> Self {
        let output = Command::new("gst-launch-1.0")
            .arg("-v")
            .args(["filesrc", &format!("location={}", file.display())])
            .args(
                "! matroskademux ! decodebin ! videoconvert ! identity name=shown silent=false ! fakesink"
                    .split(' '),
            )
            .output()
            .expect("gst-launch-1.0: run `make test`, which installs it");
        let text = String::from_utf8_lossy(&output.stdout);
        let buffers = text.lines().filter(|line| line.contains("shown") && line.contains("chain"));
        Self { times: buffers.filter_map(time).collect(), is_whole: output.status.success() }
    }

    /// From the first picture to the last one, in seconds.
    #[must_use]
    pub fn duration(&self) -> f64 {
        self.times.last().unwrap_or(&0.0) - self.times.first().unwrap_or(&0.0)
    }
}

/// The time of a buffer: `…, pts: 0:00:01.500000000, …`.
fn time(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("pts: ")?;
    let (text, _) = rest.split_once([',', ' '])?;
    text.split(':').try_fold(0.0, |seconds, part| Some(seconds * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_read_as_gstreamer_prints_them() {
        let line = r#"/GstPipeline:pipeline0/GstIdentity:shown: last-message = chain   ******* (shown:sink) (115200 bytes, dts: none, pts: 0:01:02.500000000, duration: none, offset: 3"#;
        assert_eq!(super::time(line), Some(62.5));
        assert_eq!(super::time("no time"), None);
    }
}
