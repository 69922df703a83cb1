//! The frames that an instance holds: by number, so that no handle that a plugin gives back can reach memory that is gone.

use crate::lock;
use gantry_core::frames::Frame;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex};

/// How many frames an instance can keep at once, counted by retain.
pub(crate) const MAX_KEPT: usize = 32;

#[derive(Default)]
struct Inner {
    /// The number of the last frame that was shown. Never used again, so that a stale handle is always told apart.
    last: usize,
    /// The frame of the running `on_frame`.
    shown: Option<(usize, Arc<Frame>)>,
    /// What was retained and not yet released, with how often.
    kept: BTreeMap<usize, (Arc<Frame>, usize)>,
    /// The sum over `kept`.
    total: usize,
}

/// What one instance may retain and release. Handles are numbers, not addresses: a release too many, a copy of an old
/// struct or a made-up handle is refused and frees nothing.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Inner>);

/// What became of a retain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retained {
    Kept,
    Full,
    /// Neither the frame of a running `on_frame` nor one that is kept.
    NotOurs,
}

impl Kept {
    /// Makes a frame one that can be retained, until [`hide`](Self::hide). Returns its handle.
    pub(crate) fn show(&self, frame: &Arc<Frame>) -> *mut c_void {
        let mut inner = lock(&self.0);
        inner.last += 1;
        let number = inner.last;
        let before = inner.shown.replace((number, frame.clone()));
        drop(inner);
        drop(before);
        std::ptr::without_provenance_mut(number)
    }

    /// The running `on_frame` has returned.
    pub(crate) fn hide(&self) {
        let before = lock(&self.0).shown.take();
        // A frame's memory goes back to its camera outside of the lock.
        drop(before);
    }

    pub(crate) fn retain(&self, handle: *mut c_void) -> Retained {
        let number = handle.addr();
        let mut inner = lock(&self.0);
        let shown =
            inner.shown.as_ref().filter(|(shown, _)| *shown == number).map(|(_, frame)| frame.clone());
        if shown.is_none() && !inner.kept.contains_key(&number) {
            return Retained::NotOurs;
        }
        if inner.total >= MAX_KEPT {
            return Retained::Full;
        }
        inner.total += 1;
        if let Some((_, times)) = inner.kept.get_mut(&number) {
            *times += 1;
        } else if let Some(frame) = shown {
            inner.kept.insert(number, (frame, 1));
        }
        Retained::Kept
    }

    /// Whether the frame was kept.
    pub(crate) fn release(&self, handle: *mut c_void) -> bool {
        let number = handle.addr();
        let mut inner = lock(&self.0);
        let Some((_, times)) = inner.kept.get_mut(&number) else { return false };
        *times -= 1;
        let gone = if *times == 0 { inner.kept.remove(&number) } else { None };
        inner.total -= 1;
        drop(inner);
        drop(gone);
        true
    }

    /// How many are kept now.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use gantry_core::frames::Format;

    fn frame() -> Arc<Frame> {
        Arc::new(Frame {
            stream: "main/jpeg".into(),
            format: Format::Jpeg,
            width: 1,
            height: 1,
            sequence: 1,
            captured_unix_ns: 0,
            captured_monotonic_ns: 0,
            data: Bytes::new(),
        })
    }

    #[test]
    fn a_frame_lives_from_its_first_retain_to_its_last_release() {
        let (kept, frame) = (Kept::default(), frame());
        let handle = kept.show(&frame);
        assert_eq!((kept.retain(handle), kept.retain(handle)), (Retained::Kept, Retained::Kept));
        kept.hide();
        assert_eq!((kept.len(), Arc::strong_count(&frame)), (2, 2));
        assert!(kept.release(handle));
        assert_eq!(kept.retain(handle), Retained::Kept, "what is kept can be retained again at any time");
        assert!(kept.release(handle) && kept.release(handle));
        assert_eq!((kept.len(), Arc::strong_count(&frame)), (0, 1));
    }

    #[test]
    fn a_release_too_many_does_not_touch_other_frames() {
        let (kept, first, second) = (Kept::default(), frame(), frame());
        let old = kept.show(&first);
        assert_eq!(kept.retain(old), Retained::Kept);
        let new = kept.show(&second);
        assert_eq!(kept.retain(new), Retained::Kept);
        assert!(kept.release(old));
        assert!(!kept.release(old));
        assert_eq!(kept.retain(old), Retained::NotOurs, "it is gone");
        assert_eq!((kept.len(), Arc::strong_count(&second)), (1, 3));
        kept.hide();
        assert_eq!(kept.retain(std::ptr::null_mut()), Retained::NotOurs);
        assert!(kept.release(new));
    }

    #[test]
    fn the_number_of_kept_frames_is_limited() {
        let (kept, frame) = (Kept::default(), frame());
        let handle = kept.show(&frame);
        assert!((0..MAX_KEPT).all(|_| kept.retain(handle) == Retained::Kept));
        assert_eq!(kept.retain(handle), Retained::Full);
    }
}
