//! Pictures that have come whole and are looked at before they are stored. Looking may fail and may be slow; it never costs a
//! picture, and a device only a moment.

use super::storing::Phase;
use super::{Effect, Key, Moment, Session};
use crate::picture::{Picture, analysis, unseen};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of pictures that are looked at. The store has to have room for its own calls beside them.
const MOST_BYTES: usize = 16 << 20;

#[derive(Debug)]
struct Look {
    key: Key,
    picture: Arc<Picture>,
    since: Duration,
}

/// All pictures that are looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    open: HashMap<u64, Look>,
    bytes: usize,
}

impl Looks {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn has_room(&self, bytes: usize, most: usize) -> bool {
        self.open.len() < most && (self.bytes + bytes <= MOST_BYTES || self.open.is_empty())
    }
}

impl Session {
    /// Has a picture looked at, or stores it at once when nobody is to look or too many are looked at.
    pub(super) fn begin_look(
        &mut self,
        now: Moment,
        key: Key,
        mut picture: Arc<Picture>,
        effects: &mut Vec<Effect>,
    ) -> Phase {
        self.serial += 1;
        let (token, bytes) = (self.serial, picture.bytes.len());
        let looks = &mut self.stores.looks;
        match &self.config.analysis {
            Some(_) if looks.has_room(bytes, self.config.limits.analyses) => {
                looks.bytes += bytes;
                looks.open.insert(token, Look { key, picture: picture.clone(), since: now.at });
                effects.push(Effect::Look { token, picture });
                return Phase::Looking(token);
            }
            Some(detector) => {
                self.figures.unlooked += 1;
                let (count, bytes, most) = (looks.len(), looks.bytes, self.config.limits.analyses);
                let why = format!(
                    "skipped: {count} pictures of {bytes} bytes are before the detector already, at most {most} or \
                     {MOST_BYTES} bytes may be: use a faster model, or have fewer sent at once"
                );
                Arc::make_mut(&mut picture).analysis = Some(unseen(detector, &why));
            }
            None => {}
        }
        effects.push(self.stores.attempt(token, key, picture, now));
        Phase::Storing(token)
    }

    /// What a detector has seen in a picture, or why it has not looked. From here the picture goes to the store.
    pub fn looked(
        &mut self,
        now: Moment,
        token: u64,
        seen: Result<Value, String>,
        effects: &mut Vec<Effect>,
    ) {
        // An answer that comes too late is about a picture that was stored without it.
        let Some(Look { key, mut picture, .. }) = self.stores.looks.open.remove(&token) else { return };
        self.stores.looks.bytes -= picture.bytes.len();
        match &seen {
            Ok(_) => self.figures.looked += 1,
            Err(_) => self.figures.unlooked += 1,
        }
        let detector = self.config.analysis.as_deref().unwrap_or_default();
        Arc::make_mut(&mut picture).analysis = Some(analysis(detector, seen));
        self.serial += 1;
        let attempt = self.serial;
        let finished = self.stores.finished_or_superseded(&key);
        if let Some(finished) = finished.filter(|one| matches!(one.phase, Phase::Looking(by) if by == token))
        {
            finished.phase = Phase::Storing(attempt);
        }
        effects.push(self.stores.attempt(attempt, key, picture, now));
    }

    pub(super) fn tick_looks(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let timeout = self.config.analysis_timeout();
        let looks = self.stores.looks.open.iter();
        let mut late: Vec<u64> =
            looks.filter(|(_, look)| now.at >= look.since + timeout).map(|(token, _)| *token).collect();
        late.sort_unstable();
        for token in late {
            let why = format!(
                "too late: the detector had not answered within {} ms: use a faster model, or raise `analysis_timeout_ms`",
                timeout.as_millis()
            );
            self.looked(now, token, Err(why), effects);
        }
    }
}
