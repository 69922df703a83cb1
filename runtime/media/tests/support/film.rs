//! Reads recordings back with GStreamer's own demuxer, and makes JPEG pictures that carry a number.

use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

const LIMIT: gstreamer::ClockTime = gstreamer::ClockTime::from_seconds(40);

/// What a player finds in a file.
pub struct Film {
    pub kind: String,
    pub size: (u32, u32),
    pub duration_ms: Option<u64>,
    /// Time in ms and bytes of each picture.
    pub pictures: Vec<(u64, Vec<u8>)>,
}

struct Player {
    pipeline: gstreamer::Pipeline,
    sink: AppSink,
}

impl Player {
    fn new(path: &Path, behind: &str) -> Self {
        gstreamer::init().unwrap();
        let text = format!(
            "filesrc name=file ! matroskademux ! {behind} ! appsink name=sink sync=false max-buffers=1"
        );
        let pipeline = gstreamer::parse::launch(&text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
        pipeline.by_name("file").unwrap().set_property("location", path.to_str().unwrap());
        let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Paused).unwrap();
        let (result, ..) = pipeline.state(LIMIT);
        result.unwrap_or_else(|e| panic!("{} does not play: {e}", path.display()));
        Self { pipeline, sink }
    }

    fn samples(&self) -> impl Iterator<Item = gstreamer::Sample> {
        self.pipeline.set_state(gstreamer::State::Playing).unwrap();
        std::iter::from_fn(|| self.sink.try_pull_sample(LIMIT))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gstreamer::State::Null);
    }
}

impl Film {
    pub fn read(path: &Path) -> Self {
        let player = Player::new(path, "queue");
        let duration_ms =
            player.pipeline.query_duration::<gstreamer::ClockTime>().map(gstreamer::ClockTime::mseconds);
        let mut film = Self { kind: String::new(), size: (0, 0), duration_ms, pictures: Vec::new() };
        for sample in player.samples() {
            let structure = sample.caps().unwrap().structure(0).unwrap();
            film.kind = structure.name().to_string();
            let side = |key| u32::try_from(structure.get::<i32>(key).unwrap()).unwrap();
            film.size = (side("width"), side("height"));
            let buffer = sample.buffer().unwrap();
            let data = buffer.map_readable().unwrap().to_vec();
            film.pictures.push((buffer.pts().unwrap().mseconds(), data));
        }
        film
    }

    /// How many pictures a decoder makes of it.
    pub fn decoded(path: &Path) -> u64 {
        Player::new(path, "decodebin ! video/x-raw").samples().count() as u64
    }

    /// The time of the picture where a jump to `ms` lands.
    pub fn first_after_seek(path: &Path, ms: u64) -> u64 {
        let player = Player::new(path, "queue");
        let flags = gstreamer::SeekFlags::FLUSH | gstreamer::SeekFlags::KEY_UNIT;
        player.pipeline.seek_simple(flags, gstreamer::ClockTime::from_mseconds(ms)).unwrap();
        player.samples().next().unwrap().buffer().unwrap().pts().unwrap().mseconds()
    }
}

/// A JPEG picture with a number in a comment.
pub fn jpeg_with_number(width: u32, height: u32, number: u64) -> Vec<u8> {
    static PICTURES: Mutex<BTreeMap<(u32, u32), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut pictures = PICTURES.lock().unwrap();
    let picture = pictures.entry((width, height)).or_insert_with(|| jpeg(width, height));
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xfe, 0, 10];
    bytes.extend(number.to_be_bytes());
    bytes.extend(&picture[2..]);
    bytes
}

pub fn number_of(jpeg: &[u8]) -> u64 {
    assert_eq!(jpeg[..6], [0xff, 0xd8, 0xff, 0xfe, 0, 10], "not a picture of this test");
    u64::from_be_bytes(jpeg[6..14].try_into().unwrap())
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    gstreamer::init().unwrap();
    let text = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width={width},height={height} ! jpegenc \
         ! appsink name=sink sync=false"
    );
    let pipeline = gstreamer::parse::launch(&text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let sample = sink.try_pull_sample(LIMIT).expect("a picture");
    let bytes = sample.buffer().unwrap().map_readable().unwrap().to_vec();
    pipeline.set_state(gstreamer::State::Null).unwrap();
    bytes
}

/// The mean luminance of a JPEG picture.
pub fn luminance(jpeg: &[u8]) -> f64 {
    let grey = grey(jpeg);
    grey.iter().map(|b| f64::from(*b)).sum::<f64>() / grey.len() as f64
}

/// The luminance of each pixel of a JPEG picture, row by row; its width must be a multiple of 4.
pub fn grey(jpeg: &[u8]) -> Vec<u8> {
    gstreamer::init().unwrap();
    let text = "appsrc name=src caps=image/jpeg format=time ! jpegdec ! videoconvert ! video/x-raw,format=I420 \
                ! appsink name=sink sync=false";
    let pipeline = gstreamer::parse::launch(text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    let source = pipeline.by_name("src").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let mut buffer = gstreamer::Buffer::from_slice(jpeg.to_vec());
    buffer.get_mut().unwrap().set_pts(gstreamer::ClockTime::ZERO);
    source.push_buffer(buffer).unwrap();
    source.end_of_stream().unwrap();
    let sample = sink.try_pull_sample(LIMIT).expect("a picture");
    let info = gstreamer_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let pixels = info.width() as usize * info.height() as usize;
    let grey = sample.buffer().unwrap().map_readable().unwrap()[..pixels].to_vec();
    pipeline.set_state(gstreamer::State::Null).unwrap();
    grey
}
