//! What happened, and what time it is.

mod corrections;
mod turns;

pub(crate) use corrections::MAX_CORRECTION;

use crate::book::{Book, hour_of};
use crate::day::within;
use crate::events::Events;
use crate::settings::Settings;
use crate::sums::Sums;
use crate::{
    BeginError, Checkpoint, Count, CrossingRecord, Day, DaySums, EventEnded, EventStarted, HourSums, Record,
    ReplayError,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is configured of a camera.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// The names of its lines.
    pub lines: BTreeSet<String>,
    /// The names of its zones.
    pub zones: BTreeSet<String>,
}

/// What a crossing made of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineCount {
    /// The crossing's number, for the event that rules may begin because of it.
    pub number: u64,
    /// Who went in today at this line.
    pub count_in: u64,
    /// Who went out today at this line.
    pub count_out: u64,
    /// Whether the crossing is one of today. One of yesterday is in its hour only, and an earlier one in
    /// rolling sums and events at most.
    pub is_of_today: bool,
}

/// The counts. See the documentation of the crate.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) settings: Settings,
    now_ms: i64,
    /// Today.
    pub(crate) book: Book,
    /// The last day before today on which anything was counted; usually yesterday. It may be later than today
    /// after the clock went back.
    before: Option<Book>,
    /// Rolling sums by camera.
    pub(crate) sums: BTreeMap<String, Sums>,
    /// Those of all cameras.
    pub(crate) all: Sums,
    pub(crate) events: Events,
    next_face: u64,
    /// Hours that changed since they were told.
    changed: BTreeSet<i64>,
    /// What ended and is not told yet.
    hours: Vec<HourSums>,
    days: Vec<(DaySums, String)>,
    pub(crate) places: BTreeMap<String, Places>,
    /// By camera and zone; only of zones that are configured.
    pub(crate) people: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) told: BTreeMap<String, Value>,
}

impl Ledger {
    /// Nothing was counted on the day of `now_ms` (Unix time in milliseconds, as all times here).
    #[must_use]
    pub fn new(settings: Settings, now_ms: i64) -> Self {
        let now_ms = within(now_ms);
        let book = Book::new(settings.reset.day_of(now_ms));
        Self {
            settings,
            now_ms,
            book,
            before: None,
            sums: BTreeMap::new(),
            all: Sums::default(),
            events: Events::default(),
            next_face: 1,
            changed: BTreeSet::new(),
            hours: Vec::new(),
            days: Vec::new(),
            places: BTreeMap::new(),
            people: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The ledger of which this is a checkpoint, at the time of the checkpoint. [`replay`](Self::replay) what
    /// was recorded since, then [`advance`](Self::advance) it to now: a new day then begins if one did.
    #[must_use]
    pub fn restore(settings: Settings, checkpoint: Checkpoint) -> Self {
        let all = Sums::of(checkpoint.sums.values().flat_map(Sums::iter));
        let mut ledger = Self {
            now_ms: within(checkpoint.now_ms),
            book: checkpoint.book.restored(),
            before: checkpoint.before.map(Book::restored),
            sums: checkpoint.sums,
            all,
            events: checkpoint.events,
            next_face: checkpoint.next_face,
            changed: checkpoint.changed,
            hours: checkpoint.hours,
            days: checkpoint.days,
            ..Self::new(settings, checkpoint.now_ms)
        };
        ledger.end_day_as_configured();
        ledger
    }

    /// What to store to begin from later.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            version: Checkpoint::VERSION,
            now_ms: self.now_ms,
            book: self.book.clone(),
            before: self.before.clone(),
            next_face: self.next_face,
            events: self.events.clone(),
            sums: self.sums.clone(),
            changed: self.changed.clone(),
            hours: self.hours.clone(),
            days: self.days.clone(),
        }
    }

    /// Says which lines and zones there are. They are shown with 0 from then on, and no others.
    pub fn declare(&mut self, cameras: BTreeMap<String, Places>) {
        self.people.retain(|camera, zones| {
            let Some(places) = cameras.get(camera) else { return false };
            zones.retain(|zone, _| places.zones.contains(zone));
            true
        });
        self.places = cameras;
    }

    /// Somebody crossed a line.
    pub fn crossing(&mut self, crossing: &CrossingRecord) -> LineCount {
        let CrossingRecord { camera, line, time_ms, .. } = crossing;
        if let Some(book) = self.book_of(*time_ms) {
            book.cross(crossing);
            self.changed.insert(hour_of(*time_ms));
        }
        let (second, one) = (within(*time_ms) / 1000, Count::of(crossing.direction));
        self.all.add(second, one);
        match self.sums.get_mut(camera) {
            Some(sums) => sums.add(second, one),
            None => self.sums.entry(camera.clone()).or_default().add(second, one),
        }
        let number = self.events.cross(crossing);
        let Count { count_in, count_out } = self.book.line(camera, line).unwrap_or_default();
        LineCount { number, count_in, count_out, is_of_today: self.is_today(*time_ms) }
    }

    /// So many people are in a zone now. Tells whether that is another number than before; a zone that is not
    /// declared has none.
    pub fn occupancy(&mut self, camera: &str, zone: &str, people: u64) -> bool {
        if !self.places.get(camera).is_some_and(|places| places.zones.contains(zone)) {
            return false;
        }
        let zones = self.people.entry(camera.to_owned()).or_default();
        zones.insert(zone.to_owned(), people).unwrap_or(0) != people
    }

    /// Nobody looks at this camera any more: its zones are empty as far as anybody knows.
    pub fn vacate(&mut self, camera: &str) {
        self.people.remove(camera);
    }

    /// The number of the next face; it is not given again.
    pub fn take_face_id(&mut self) -> u64 {
        let id = self.next_face;
        self.next_face = self.next_face.saturating_add(1);
        id
    }

    /// The number that [`take_face_id`](Self::take_face_id) will give: 1, or one more than the largest so far.
    #[must_use]
    pub fn next_face_id(&self) -> u64 {
        self.next_face
    }

    /// There is a face of this number already, of whatever day.
    pub fn know_face(&mut self, face_id: u64) {
        self.next_face = self.next_face.max(face_id.saturating_add(1));
    }

    /// A face of this number is kept.
    pub fn face(&mut self, face_id: u64, time_ms: i64) {
        self.know_face(face_id);
        if let Some(book) = self.book_of(time_ms) {
            book.faces = book.faces.saturating_add(1);
        }
    }

    /// A rule begins an event. It counts who goes in from the crossing of this number on, that one included;
    /// without a number from now on. It may be at most 256 entries late. `data.camera`, if it is a text,
    /// names the only camera it counts.
    ///
    /// # Errors
    /// [`BeginError`]; usually it runs already. Nothing is changed then.
    pub fn begin_event(
        &mut self,
        name: &str,
        data: Value,
        time_ms: i64,
        since_crossing: Option<u64>,
    ) -> Result<EventStarted, BeginError> {
        let start_ms = within(time_ms);
        if let Some(forgotten) = self.events.begin(name, &data, start_ms, since_crossing)? {
            for book in [Some(&mut self.book), self.before.as_mut()].into_iter().flatten() {
                book.events.remove(&forgotten);
            }
        }
        if let Some(book) = self.book_of(time_ms) {
            book.begun = book.begun.saturating_add(1);
            let today = book.events.entry(name.to_owned()).or_default();
            *today = today.saturating_add(1);
        }
        let start = self.settings.reset.text(start_ms);
        Ok(EventStarted { event: name.to_owned(), start_ms, start, data })
    }

    /// A rule ends an event, which has counted who went in before the crossing of this number; without a
    /// number until now. `None` when it does not run.
    pub fn end_event(&mut self, name: &str, time_ms: i64, until_crossing: Option<u64>) -> Option<EventEnded> {
        self.reach(time_ms);
        let running = self.events.end(name, until_crossing)?;
        let end_ms = within(time_ms).max(running.since_ms);
        Some(EventEnded {
            event: name.to_owned(),
            start_ms: running.since_ms,
            end_ms,
            start: self.settings.reset.text(running.since_ms),
            end: self.settings.reset.text(end_ms),
            count_in: running.count_in,
            data: running.data,
        })
    }

    /// Applies a stored record as if it happened at its time. Gives it back understood, or `None` when it is
    /// of a type that is not counted.
    ///
    /// # Errors
    /// [`ReplayError`] when it is malformed; nothing is changed then.
    pub fn replay(&mut self, stored: &Value) -> Result<Option<Record>, ReplayError> {
        let record = Record::parse(stored)?;
        match &record {
            Some(Record::Crossing(crossing)) => {
                self.crossing(crossing);
            }
            Some(Record::Correction(correction)) => {
                // What was refused when it was recorded is refused now.
                let _ = self.correct(correction);
            }
            Some(Record::Face(face)) => self.face(face.face_id, face.time_ms),
            None => {}
        }
        Ok(record)
    }

    /// The number that the next crossing will have: for what rules decide that are not asked because of one.
    #[must_use]
    pub fn next_crossing(&self) -> u64 {
        self.events.next_crossing()
    }

    /// Today.
    #[must_use]
    pub fn day(&self) -> &Day {
        &self.book.day
    }

    /// From when on records make the counts of today when there is no checkpoint: the beginning of the hour
    /// in which it began, so that this hour is whole too.
    #[must_use]
    pub fn since_ms(&self) -> i64 {
        hour_of(self.book.day.start_ms)
    }

    /// What was counted today at a line.
    #[must_use]
    pub fn line(&self, camera: &str, line: &str) -> Count {
        self.book.line(camera, line).unwrap_or_default()
    }

    /// A moment as local time with its distance from UTC, such as `2026-11-21T10:00:00+01:00`.
    #[must_use]
    pub fn local_text(&self, time_ms: i64) -> String {
        self.settings.reset.text(time_ms)
    }

    fn is_today(&self, time_ms: i64) -> bool {
        self.book.day.contains(within(time_ms))
    }
}
