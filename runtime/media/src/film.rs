//! Recordings read picture by picture, as fast as the machine can.

mod demo;
mod player;
mod times;

use crate::{I420View, MediaError, Source, SourceError, redact};
use bytes::Bytes;
use demo::Drawn;
use player::Player;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use times::{Thinner, Times};

/// How a film's pictures are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FilmFormat {
    /// Luminance only, in this size, whatever the film's own proportions are.
    Grey {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// With colours, in the film's own size and proportions.
    I420 {
        /// Pictures whose longer side has more pixels than this are made smaller. `None` leaves all as they are.
        longest: Option<u32>,
    },
}

/// What is wanted of a film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// The pictures.
    pub format: FilmFormat,
    /// At most so many pictures for each second of the film, evenly chosen by their times. `None` is all of them.
    pub fps: Option<f64>,
    /// As fast as it plays, and not as fast as the machine can.
    pub realtime: bool,
    /// The film ends after so many seconds.
    pub until_s: Option<f64>,
}

impl Default for Wanted {
    /// All of it, as it is, as fast as the machine can.
    fn default() -> Self {
        Self { format: FilmFormat::I420 { longest: None }, fps: None, realtime: false, until_s: None }
    }
}

/// A picture of a film.
#[derive(Debug, Clone)]
pub struct FilmFrame {
    /// When it is shown, in seconds from the film's first picture. Grows from picture to picture, whatever the file says.
    pub t_s: f64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// All planes.
    pub data: Bytes,
    /// Whether it is luminance only.
    pub is_grey: bool,
    /// Where the planes begin in `data`; of a grey picture only the first counts.
    pub offsets: [usize; 3],
    /// Bytes from row to row: of luminance, and of the colours.
    pub strides: [usize; 2],
}

impl FilmFrame {
    /// Its planes. Those of the colours are empty when it is grey.
    #[must_use]
    pub fn view(&self) -> I420View<'_> {
        let from = |n: usize| self.data.get(self.offsets[n]..).unwrap_or_default();
        let planes = if self.is_grey { [from(0), &[], &[]] } else { [from(0), from(1), from(2)] };
        I420View { planes, width: self.width, height: self.height, strides: self.strides }
    }
}

/// Ends a film from another thread.
#[derive(Debug, Clone, Default)]
pub struct FilmStop(Arc<AtomicBool>);

impl FilmStop {
    /// The film ends with the next picture.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

enum Kind {
    Played(Box<Player>),
    Drawn(Box<Drawn>),
}

/// A film: an iterator over its pictures. No picture is dropped, however slow who takes them is; a network camera then falls
/// behind. It ends with `None`, after an error with that error and then `None`.
pub struct Film {
    kind: Kind,
    times: Times,
    thinner: Option<Thinner>,
    until_s: Option<f64>,
    /// The time of the last picture, also of those that were left out.
    last_s: Option<f64>,
    duration_s: Option<f64>,
    stop: FilmStop,
    /// It came to its end by itself.
    at_end: bool,
    over: bool,
}

impl Film {
    /// Opens a recording (a path, `file:///…`), a network camera (`rtsp://…`), or the demo scene (`demo:?seed=7`, as
    /// [`Source::parse`] has it), and waits for its first picture.
    ///
    /// # Errors
    /// [`MediaError::Source`] for what is none of these, [`MediaError::Film`] for what cannot be played.
    pub fn open(uri_or_path: &str, wanted: Wanted) -> Result<Self, MediaError> {
        crate::init()?;
        let source = parse(uri_or_path)?;
        let name = redact(uri_or_path);
        let stop = FilmStop::default();
        let fail = |reason: String| MediaError::Film { source_name: name.clone(), reason };
        let (kind, duration_s) = match &source {
            Source::Demo { seed, people } => {
                let drawn = Drawn::new(*seed, *people, wanted).map_err(fail)?;
                (Kind::Drawn(Box::new(drawn)), wanted.until_s)
            }
            Source::File { .. } | Source::Rtsp { .. } => {
                let player = Player::open(source, name.clone(), wanted, &stop)?;
                let whole = player.duration_s();
                let duration = match (whole, wanted.until_s) {
                    (Some(whole), Some(until)) => Some(whole.min(until)),
                    (one, other) => one.or(other),
                };
                (Kind::Played(Box::new(player)), duration)
            }
            _ => {
                return Err(fail(
                    "only recordings, `rtsp://…` and `demo:` are played here: record it first, or give its file"
                        .into(),
                ));
            }
        };
        Ok(Self {
            kind,
            times: Times::default(),
            thinner: wanted.fps.map(Thinner::new),
            until_s: wanted.until_s,
            last_s: None,
            duration_s,
            stop,
            at_end: false,
            over: false,
        })
    }

    /// How long it is, in seconds, where that is known.
    #[must_use]
    pub fn duration_s(&self) -> Option<f64> {
        self.duration_s
    }

    /// Pictures in a second, where the film says it. Without it, and for many that say it, they vary.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match &self.kind {
            Kind::Drawn(drawn) => Some(drawn.rate()),
            Kind::Played(player) => player.rate(),
        }
    }

    /// Changes [`Wanted::fps`], for who wants to know the film's rate first.
    pub fn set_fps(&mut self, fps: Option<f64>) {
        self.thinner = fps.map(Thinner::new);
    }

    /// What ends it from another thread.
    #[must_use]
    pub fn stopper(&self) -> FilmStop {
        self.stop.clone()
    }

    /// When it came to its end much earlier than the file says how long it is: the seconds that there were, and those that
    /// should be. Such a file was cut off.
    #[must_use]
    pub fn cut_off(&self) -> Option<(f64, f64)> {
        const LEAST_S: f64 = 2.0;
        let (last, whole) = (self.last_s?, self.duration_s?);
        let is_missing = whole - last > LEAST_S.max(whole / 10.0);
        (self.at_end && is_missing).then_some((last, whole))
    }

    fn take(&mut self) -> Result<Option<FilmFrame>, MediaError> {
        loop {
            let taken = match &mut self.kind {
                Kind::Drawn(drawn) => drawn.next(&self.stop),
                Kind::Played(player) => {
                    let shot = player.next(&self.stop)?;
                    shot.map(|shot| {
                        let t_s = self.times.next(shot.pts_ns, shot.nominal_ns);
                        (t_s, Shot::Sample(shot))
                    })
                }
            };
            let Some((t_s, shot)) = taken else {
                self.at_end = !self.stop.is_set();
                return Ok(None);
            };
            if self.until_s.is_some_and(|until| t_s > until) {
                return Ok(None);
            }
            self.last_s = Some(t_s);
            if self.thinner.as_mut().is_some_and(|thinner| !thinner.wants(t_s)) {
                continue;
            }
            return match (shot, &mut self.kind) {
                (Shot::Sample(shot), Kind::Played(player)) => player.frame(&shot, t_s).map(Some),
                (Shot::Number(number), Kind::Drawn(drawn)) => Ok(Some(drawn.frame(number, t_s))),
                _ => Ok(None),
            };
        }
    }
}

/// A picture before it is known whether it is wanted.
enum Shot {
    Sample(player::Shot),
    Number(u64),
}

impl Iterator for Film {
    type Item = Result<FilmFrame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let taken = self.take().transpose();
        self.over = !matches!(taken, Some(Ok(_)));
        taken
    }
}

/// A path is taken as it is, so that a file may be called `a:b?c.mp4`; what has a scheme is a URI.
fn parse(uri_or_path: &str) -> Result<Source, MediaError> {
    let path = PathBuf::from(uri_or_path);
    if path.exists() {
        return Ok(Source::File { path, looping: false });
    }
    match Source::parse(uri_or_path) {
        // A path that is not there is told by the player.
        Err(SourceError::NoScheme { .. }) => Ok(Source::File { path, looping: false }),
        parsed => parsed.map_err(Into::into),
    }
}
