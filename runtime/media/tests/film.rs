//! Films: what is read from recordings of every kind, and what is written. The recordings are made here; the number of each
//! picture is its brightness.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use gantry_media::demo::Scene;
use gantry_media::{Film, FilmCodec, FilmFormat, FilmFrame, FilmWriter, I420View, MediaError, Wanted};
use gstreamer::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LIMIT: gstreamer::ClockTime = gstreamer::ClockTime::from_seconds(40);
const WIDTH: u32 = 64;
const HEIGHT: u32 = 48;

/// A folder with recordings.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        gstreamer::init().unwrap();
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A recording made by a pipeline that writes to `file`.
    fn make(&self, name: &str, pipeline: &str) -> PathBuf {
        let pipeline = gstreamer::parse::launch(&format!("{pipeline} ! filesink name=file")).unwrap();
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().unwrap();
        let path = self.path(name);
        pipeline.by_name("file").unwrap().set_property("location", path.to_str().unwrap());
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        let wanted = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        let message = pipeline.bus().unwrap().timed_pop_filtered(LIMIT, &wanted).unwrap();
        assert_eq!(message.type_(), gstreamer::MessageType::Eos, "{message:?}");
        pipeline.set_state(gstreamer::State::Null).unwrap();
        path
    }

    /// A recording of pictures that are shown at these times, in ms, each brighter than the one before.
    fn write(&self, name: &str, times_ms: &[u64]) -> PathBuf {
        let path = self.path(name);
        let mut writer =
            FilmWriter::with_codec(&path, (WIDTH, HEIGHT), 10.0, FilmCodec::Mjpeg).expect("an encoder");
        for (n, ms) in times_ms.iter().enumerate() {
            let picture = Picture::new(WIDTH, HEIGHT, brightness(n));
            writer.push(&picture.view(), *ms as f64 / 1000.0).unwrap();
        }
        writer.finish().unwrap();
        path
    }
}

fn brightness(n: usize) -> u8 {
    20 + 2 * u8::try_from(n).unwrap()
}

/// A plain picture, without gaps between its rows.
struct Picture {
    data: Vec<u8>,
    width: u32,
    height: u32,
}

impl Picture {
    fn new(width: u32, height: u32, luminance: u8) -> Self {
        let (luma, chroma) = (width * height, 2 * width.div_ceil(2) * height.div_ceil(2));
        let mut data = vec![luminance; luma as usize];
        data.extend(vec![128; chroma as usize]);
        Self { data, width, height }
    }

    fn view(&self) -> I420View<'_> {
        let (luma, chroma) = self.data.split_at((self.width * self.height) as usize);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let strides = [self.width as usize, self.width.div_ceil(2) as usize];
        I420View { planes: [luma, u, v], width: self.width, height: self.height, strides }
    }
}

fn open(path: &Path, wanted: Wanted) -> Result<Film, MediaError> {
    Film::open(path.to_str().unwrap(), wanted)
}

/// All of a film that has no error.
fn read(path: &Path, wanted: Wanted) -> Vec<FilmFrame> {
    open(path, wanted).unwrap().collect::<Result<_, _>>().unwrap()
}

fn numbers(frames: &[FilmFrame]) -> Vec<usize> {
    let middle = |f: &FilmFrame| {
        let view = f.view();
        view.planes[0][view.strides[0] * (view.height as usize / 2) + view.width as usize / 2]
    };
    frames.iter().map(|f| usize::from(middle(f).saturating_sub(19)) / 2).collect()
}

fn times_ms(frames: &[FilmFrame]) -> Vec<u64> {
    frames.iter().map(|f| (f.t_s * 1000.0).round() as u64).collect()
}

fn error(path: &Path) -> String {
    match open(path, Wanted::default()).map(Iterator::collect::<Result<Vec<_>, _>>) {
        Err(error) | Ok(Err(error)) => error.to_string(),
        Ok(Ok(frames)) => panic!("{} pictures of {}", frames.len(), path.display()),
    }
}

/// So many pictures, ten a second.
fn tenths(n: u64) -> Vec<u64> {
    (0..n).map(|n| n * 100).collect()
}

#[test]
fn every_picture_of_a_recording_comes_in_order_with_its_time() {
    let shelf = Shelf::new();
    let path = shelf.write("a film.mp4", &tenths(90));
    let mut film = open(&path, Wanted::default()).unwrap();
    assert_eq!(film.duration_s().map(|s| s.round()), Some(9.0));
    let frames: Vec<FilmFrame> = film.by_ref().map(Result::unwrap).collect();
    assert_eq!(numbers(&frames), (0..90).collect::<Vec<_>>());
    assert_eq!(times_ms(&frames), tenths(90));
    assert!(frames.iter().all(|f| (f.width, f.height, f.is_grey) == (WIDTH, HEIGHT, false)));
    assert!(film.next().is_none() && film.cut_off().is_none());
    let uri = format!("file://{}", path.to_str().unwrap().replace(' ', "%20"));
    assert_eq!(Film::open(&uri, Wanted::default()).unwrap().count(), 90);
}

#[test]
fn in_real_time_the_same_pictures_come() {
    let shelf = Shelf::new();
    let path = shelf.write("film.mp4", &[0, 20, 50, 60, 90]);
    let frames = read(&path, Wanted { realtime: true, ..Wanted::default() });
    assert_eq!(times_ms(&frames), [0, 20, 50, 60, 90]);
}

#[test]
fn pictures_that_come_at_odd_times_keep_them() {
    let shelf = Shelf::new();
    let times = [0, 33, 120, 121, 4000, 4010, 9000];
    assert_eq!(times_ms(&read(&shelf.write("film.mp4", &times), Wanted::default())), times);
    // A recording that begins late begins at 0 all the same.
    let late: Vec<u64> = times.iter().map(|t| t + 7000).collect();
    assert_eq!(times_ms(&read(&shelf.write("late.mp4", &late), Wanted::default())), times);
}

#[test]
fn fewer_pictures_are_chosen_by_their_times() {
    let shelf = Shelf::new();
    let path = shelf.write("film.mp4", &tenths(50));
    let frames = read(&path, Wanted { fps: Some(2.0), ..Wanted::default() });
    assert_eq!(times_ms(&frames), (0..10).map(|n| n * 500).collect::<Vec<_>>());
    assert_eq!(numbers(&frames), (0..10).map(|n| n * 5).collect::<Vec<_>>());
    let mut film = open(&path, Wanted::default()).unwrap();
    let rate = film.rate().expect("a rate");
    assert!((rate - 10.0).abs() < 0.1, "{rate}");
    film.set_fps(Some(rate / 5.0));
    assert_eq!(film.map(|frame| (frame.unwrap().t_s * 1000.0).round() as u64).nth(3), Some(1500));
    let frames = read(&path, Wanted { until_s: Some(1.0), ..Wanted::default() });
    assert_eq!(times_ms(&frames), tenths(11));
}

#[test]
fn pictures_come_in_the_size_that_is_wanted() {
    let shelf = Shelf::new();
    let path = shelf.make(
        "wide.mkv",
        "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=320,height=180 ! jpegenc ! matroskamux",
    );
    let size = |format| {
        let frames = read(&path, Wanted { format, ..Wanted::default() });
        assert_eq!(frames.len(), 5);
        let view = frames[4].view();
        let rows = if frames[4].is_grey { [view.height, 0] } else { [view.height, view.height.div_ceil(2)] };
        assert!(view.planes[0].len() >= view.strides[0] * (rows[0] as usize - 1) + view.width as usize);
        assert!(view.planes[2].len() >= (view.strides[1] * rows[1] as usize).saturating_sub(8));
        (view.width, view.height)
    };
    assert_eq!(size(FilmFormat::I420 { longest: None }), (320, 180));
    assert_eq!(size(FilmFormat::I420 { longest: Some(160) }), (160, 90));
    assert_eq!(size(FilmFormat::I420 { longest: Some(4000) }), (320, 180));
    assert_eq!(size(FilmFormat::Grey { width: 100, height: 75 }), (100, 75));
}

#[test]
fn a_recording_that_was_filmed_on_its_side_is_turned() {
    let shelf = Shelf::new();
    let path = shelf.write("film.mp4", &tenths(5));
    let mut bytes = std::fs::read(&path).unwrap();
    let header = bytes.windows(4).position(|w| w == b"tkhd").unwrap();
    // The matrix of the track: a quarter turn.
    let matrix = header + 4 + 40;
    let words: [i32; 9] = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30];
    for (n, word) in words.iter().enumerate() {
        bytes[matrix + 4 * n..][..4].copy_from_slice(&word.to_be_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let frames = read(&path, Wanted::default());
    assert_eq!((frames.len(), frames[0].width, frames[0].height), (5, HEIGHT, WIDTH));
}

#[test]
fn sound_is_left_alone_and_is_no_picture() {
    let shelf = Shelf::new();
    let sound = "audiotestsrc num-buffers=40 ! audioconvert ! audio/x-raw,format=S16LE";
    let both = shelf.make(
        "both.mkv",
        &format!(
            "{sound} ! queue ! mux. videotestsrc num-buffers=8 ! video/x-raw,format=I420 ! jpegenc ! matroskamux name=mux"
        ),
    );
    assert_eq!(read(&both, Wanted::default()).len(), 8);
    let only = shelf.make("only.mkv", &format!("{sound} ! matroskamux"));
    assert!(error(&only).contains("it has no pictures: give a recording with video"), "{}", error(&only));
}

#[test]
fn what_cannot_be_played_is_told_with_the_next_step() {
    let shelf = Shelf::new();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(shelf.path(name), bytes).unwrap();
        shelf.path(name)
    };
    assert!(error(&shelf.path("none.mp4")).ends_with("none.mp4: there is no such file: correct its path"));
    assert!(error(shelf.0.path()).contains("it is a folder"));
    assert!(error(&write("empty.mp4", b"")).contains("it is empty"));
    let text = error(&write("text.mp4", b"these are words and no pictures at all\n"));
    assert!(text.contains("it is no recording") || text.contains("it has no pictures"), "{text}");

    let whole = std::fs::read(shelf.write("whole.mp4", &tenths(40))).unwrap();
    // The index comes last.
    let text = error(&write("cut.mp4", &whole[..whole.len() / 2]));
    assert!(text.contains("it is broken or was cut off"), "{text}");

    let mkv =
        shelf.make("film.mkv", "videotestsrc num-buffers=9 ! video/x-raw,format=I420 ! vp8enc ! matroskamux");
    let mut bytes = std::fs::read(mkv).unwrap();
    let at = bytes.windows(5).position(|w| w == b"V_VP8").unwrap();
    bytes[at..at + 5].copy_from_slice(b"V_XXX");
    let text = error(&write("unknown.mkv", &bytes));
    assert!(text.contains("there is no") && text.contains("install"), "{text}");
}

#[test]
fn a_recording_that_was_cut_off_gives_what_it_has_and_says_so() {
    let shelf = Shelf::new();
    let path = shelf.make(
        "film.mp4",
        "videotestsrc num-buffers=100 ! video/x-raw,format=I420,framerate=10/1 ! jpegenc ! qtmux faststart=true",
    );
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let mut film = open(&path, Wanted::default()).unwrap();
    let frames: Vec<_> = film.by_ref().filter_map(Result::ok).collect();
    assert!((20..80).contains(&frames.len()), "{}", frames.len());
    let (there, whole) = film.cut_off().expect("it is cut off");
    assert!((2.0..8.0).contains(&there) && (9.0..11.0).contains(&whole), "{there} {whole}");
    let until = open(&path, Wanted { until_s: Some(1.0), ..Wanted::default() }).unwrap();
    assert_eq!(until.duration_s(), Some(1.0));
}

#[test]
fn only_what_can_be_played_is_opened_and_passwords_are_not_told() {
    let refused = |uri: &str| Film::open(uri, Wanted::default()).err().expect(uri).to_string();
    assert!(refused("v4l2:///dev/video0").contains("only recordings"));
    assert!(refused("mix:a,b").contains("only recordings"));
    assert!(refused("rtps://host/x").contains("did you mean `rtsp`"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = refused(&format!("rtsp://someone:secret@127.0.0.1:{port}/live"));
    assert!(text.contains("rtsp://***@127.0.0.1") && !text.contains("secret"), "{text}");
}

#[test]
fn the_demo_scene_is_a_film_with_the_times_of_its_timetable() {
    let wanted = Wanted { until_s: Some(2.0), fps: Some(10.0), ..Wanted::default() };
    let read = |wanted| {
        Film::open("demo:?seed=7&people=30", wanted).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    let frames = read(wanted);
    assert_eq!(frames.len(), 20);
    let scene = Scene::new(640, 480, 30, 7, 30);
    assert!((frames[0].t_s - scene.time(1).as_secs_f64()).abs() < 1e-9);
    assert!(frames.iter().zip(read(wanted)).all(|(a, b)| a.data == b.data && a.t_s == b.t_s));
    let grey = read(Wanted { format: FilmFormat::Grey { width: 320, height: 240 }, ..wanted });
    assert_eq!((grey[0].width, grey[0].height, grey[0].is_grey), (320, 240, true));
}

#[test]
fn a_film_without_an_end_is_stopped_from_another_thread() {
    let mut film = Film::open("demo:", Wanted { realtime: true, ..Wanted::default() }).unwrap();
    assert_eq!(film.duration_s(), None);
    let stopper = film.stopper();
    film.next().unwrap().unwrap();
    let stops = std::thread::spawn(move || stopper.stop());
    assert!(film.all(|frame| frame.is_ok()));
    stops.join().unwrap();
    assert!(film.next().is_none());
}

#[test]
fn a_film_in_h264_is_written_where_there_is_an_encoder() {
    let shelf = Shelf::new();
    let path = shelf.path("film.mp4");
    let (width, height) = (161, 121);
    let mut writer = FilmWriter::create(&path, width, height, 10.0).unwrap();
    if writer.codec() == FilmCodec::Mjpeg {
        assert!(writer.codec().advice().unwrap().contains("install"));
        return eprintln!("SKIPPED: there is no H.264 encoder here");
    }
    assert_eq!(writer.codec().advice(), None);
    for n in 0..30 {
        let picture = Picture::new(width, height, brightness(n));
        writer.push(&picture.view(), n as f64 / 10.0).unwrap();
    }
    writer.finish().unwrap();
    let frames = match open(&path, Wanted::default()) {
        Ok(film) => film.collect::<Result<Vec<_>, _>>().unwrap(),
        Err(error) => return eprintln!("SKIPPED: {error}"),
    };
    assert_eq!((frames.len(), frames[0].width, frames[0].height), (30, 160, 120));
    assert_eq!(times_ms(&frames), tenths(30));
    let found = numbers(&frames);
    assert!(found.iter().enumerate().all(|(n, found)| n.abs_diff(*found) <= 2), "{found:?}");
}

#[test]
fn a_film_that_cannot_be_written_is_told_and_leaves_nothing_behind() {
    let shelf = Shelf::new();
    let create = |path: &Path, w, h| FilmWriter::with_codec(path, (w, h), 10.0, FilmCodec::Mjpeg);
    let text = create(&shelf.path("none/film.mp4"), 64, 48).err().expect("no folder").to_string();
    assert!(text.contains("folder that you may write to"), "{text}");
    assert!(create(&shelf.path("tiny.mp4"), 8, 8).is_err() && !shelf.path("tiny.mp4").exists());

    let path = shelf.path("film.mp4");
    let writer = create(&path, WIDTH, HEIGHT).unwrap();
    assert!(writer.finish().expect_err("no picture").to_string().contains("no picture") && !path.exists());

    let mut writer = create(&path, WIDTH, HEIGHT).unwrap();
    writer.push(&Picture::new(WIDTH, HEIGHT, 50).view(), 0.0).unwrap();
    let text = writer.push(&Picture::new(96, 48, 50).view(), 0.1).expect_err("another size").to_string();
    assert!(text.contains("96x48") && text.contains("64x48"), "{text}");
    let short = Picture { data: vec![0; 100], width: 10, height: 8 };
    let view = I420View { width: WIDTH, height: HEIGHT, ..short.view() };
    assert!(writer.push(&view, 0.2).is_err());
    drop(writer);
    assert!(!path.exists());
}

#[test]
fn times_that_go_back_do_not_break_a_film() {
    let shelf = Shelf::new();
    let path = shelf.write("film.mp4", &[0, 100, 50, 100, 200]);
    assert_eq!(times_ms(&read(&path, Wanted::default())), [0, 100, 101, 102, 200]);
}
