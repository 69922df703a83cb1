//! What every viewer is shown, and in which only the newest counts: the frame and the statistics.
//!
//! Both travel in one [`Fanout`], so that neither ever waits in a queue: whoever is done with what he was sent is
//! given what is new to him of the two. A viewer that takes minutes for a frame costs that frame and nothing more.

use crate::talk::Item;
use gantry_serve::{Fanout, Feed, Segments, SegmentsBuilder, Subscription};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A message and the how-manieth of its kind it is, from 1.
#[derive(Debug, Clone)]
struct Numbered {
    number: u64,
    message: Segments,
}

/// The newest of both.
#[derive(Debug, Default)]
pub struct Latest {
    frame: Option<Numbered>,
    stats: Option<Numbered>,
    /// Both as one, for viewers to whom both are new.
    both: OnceLock<Segments>,
}

impl Latest {
    fn both(&self, stats: &Segments, frame: &Segments) -> Segments {
        let join = || {
            let mut builder = SegmentsBuilder::new();
            // The small one first: over a slow line the other takes a while.
            builder.append(stats);
            builder.append(frame);
            builder.finish()
        };
        self.both.get_or_init(join).clone()
    }
}

#[derive(Default)]
struct Now {
    latest: Arc<Latest>,
    frames: u64,
    stats: u64,
}

/// Where the newest of both is put, and where viewers come from.
#[derive(Default)]
pub struct Board {
    fanout: Fanout<Latest>,
    now: Mutex<Now>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Now> {
        // Nothing in here panics half-way through a change.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new frame.
    pub fn frame(&self, message: Segments) {
        let mut now = self.lock();
        now.frames += 1;
        let frame = Some(Numbered { number: now.frames, message });
        now.latest = Arc::new(Latest { frame, stats: now.latest.stats.clone(), both: OnceLock::new() });
        self.fanout.publish(now.latest.clone());
    }

    /// New statistics.
    pub fn stats(&self, message: Segments) {
        let mut now = self.lock();
        now.stats += 1;
        let stats = Some(Numbered { number: now.stats, message });
        now.latest = Arc::new(Latest { frame: now.latest.frame.clone(), stats, both: OnceLock::new() });
        self.fanout.amend(now.latest.clone());
    }

    /// The camera is away: who has not got the newest frame does not get it any more.
    pub fn no_frame(&self) {
        let mut now = self.lock();
        if now.latest.frame.is_some() {
            let stats = now.latest.stats.clone();
            now.latest = Arc::new(Latest { stats, ..Latest::default() });
            self.fanout.amend(now.latest.clone());
        }
    }

    /// Nobody is there: lets go of everything.
    pub fn clear(&self) {
        self.lock().latest = Arc::default();
        self.fanout.clear();
    }

    /// Somebody new, who is shown what is new from now on.
    #[must_use]
    pub fn join(&self) -> (Subscription<Latest>, Viewer) {
        let now = self.lock();
        (self.fanout.subscribe(), Viewer { frame: now.frames.into(), stats: now.stats.into() })
    }
}

/// What one viewer has been given.
#[derive(Debug)]
pub struct Viewer {
    frame: AtomicU64,
    stats: AtomicU64,
}

impl Viewer {
    /// What is new to this viewer, who is given it now.
    #[must_use]
    pub fn take(&self, latest: &Latest) -> Option<Segments> {
        let new = |seen: &AtomicU64, newest: &Option<Numbered>| {
            let newest = newest.as_ref()?;
            (seen.swap(newest.number, Relaxed) < newest.number).then(|| newest.message.clone())
        };
        match (new(&self.stats, &latest.stats), new(&self.frame, &latest.frame)) {
            (Some(stats), Some(frame)) => Some(latest.both(&stats, &frame)),
            (stats, frame) => stats.or(frame),
        }
    }
}

/// A viewer's messages and frames, as his writer wants them. When the writer ends, so does this.
pub(crate) struct View<G> {
    pub(crate) viewer: Viewer,
    pub(crate) _ended: G,
}

impl<G: Send> Feed for View<G> {
    type Item = Item;
    type Frame = Latest;

    fn message(&self, item: &Item) -> Option<Segments> {
        Some(item.segments().clone())
    }

    fn frame(&self, latest: &Latest, _: u64) -> Option<Segments> {
        self.viewer.take(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Board, Viewer};
    use bytes::Bytes;
    use gantry_serve::{Segments, Subscription};

    fn text(text: &'static str) -> Segments {
        Bytes::from_static(text.as_bytes()).into()
    }

    type Seat = (Subscription<super::Latest>, Viewer);

    fn shown((frames, viewer): &mut Seat) -> (String, u64) {
        match frames.take() {
            None => (String::new(), 0),
            Some((latest, missed)) => {
                let segments = viewer.take(&latest);
                (
                    segments.map_or(String::new(), |s| String::from_utf8(s.to_bytes().to_vec()).unwrap()),
                    missed,
                )
            }
        }
    }

    #[test]
    fn a_quick_viewer_gets_each_once_and_a_slow_one_the_newest_of_both_together() {
        let board = Board::default();
        let (mut quick, mut slow) = (board.join(), board.join());
        board.frame(text("frame 1;"));
        assert_eq!(shown(&mut quick), ("frame 1;".into(), 0));
        board.stats(text("stats 1;"));
        assert_eq!(shown(&mut quick), ("stats 1;".into(), 0));
        assert_eq!(shown(&mut quick), (String::new(), 0));
        board.frame(text("frame 2;"));
        board.stats(text("stats 2;"));
        board.frame(text("frame 3;"));
        assert_eq!(shown(&mut quick), ("stats 2;frame 3;".into(), 1));
        assert_eq!(shown(&mut slow), ("stats 2;frame 3;".into(), 2), "statistics are no missed frames");
    }

    #[test]
    fn who_comes_later_is_shown_nothing_old() {
        let board = Board::default();
        board.frame(text("frame 1;"));
        board.stats(text("stats 1;"));
        let mut late = board.join();
        assert_eq!(shown(&mut late), (String::new(), 0));
        board.stats(text("stats 2;"));
        assert_eq!(shown(&mut late), ("stats 2;".into(), 0));
        board.frame(text("frame 2;"));
        assert_eq!(shown(&mut late), ("frame 2;".into(), 0));
    }

    #[test]
    fn a_camera_that_is_away_has_no_frame_and_statistics_go_on() {
        let board = Board::default();
        let mut slow = board.join();
        board.frame(text("frame 1;"));
        board.no_frame();
        board.stats(text("stats 1;"));
        assert_eq!(shown(&mut slow).0, "stats 1;");
        board.no_frame();
        board.frame(text("frame 2;"));
        assert_eq!(shown(&mut slow).0, "frame 2;");
        board.clear();
        board.stats(text("stats 2;"));
        assert_eq!(shown(&mut slow).0, "stats 2;");
    }

    #[test]
    fn viewers_to_whom_both_are_new_share_them() {
        let board = Board::default();
        let (mut one, mut two) = (board.join(), board.join());
        let large = Segments::from(Bytes::from(vec![7; 50_000]));
        board.stats(text("stats 1;"));
        board.frame(large.clone());
        let get = |(frames, viewer): &mut Seat| viewer.take(&frames.take().unwrap().0).unwrap();
        let (first, second) = (get(&mut one), get(&mut two));
        let pointer = |segments: &Segments| segments.iter().last().unwrap().as_ptr();
        assert_eq!((pointer(&first), pointer(&second)), (pointer(&large), pointer(&large)));
        assert!(std::ptr::eq(first.iter().next().unwrap().as_ptr(), second.iter().next().unwrap().as_ptr()));
    }
}
