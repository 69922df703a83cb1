//! What happened, and what time it is.

use crate::book::{Book, HOUR_MS, hour_of, joined};
use crate::day::within;
use crate::events::Events;
use crate::settings::Settings;
use crate::sums::Sums;
use crate::{
    BeginError, Checkpoint, CorrectionError, CorrectionRecord, Count, CrossingRecord, Day, DaySums,
    EventEnded, EventStarted, HourSums, Record, ReplayError, Turn,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most that a correction may add.
pub(crate) const MAX_CORRECTION: u64 = 1_000_000;
/// How far a clock may go back over the reset without opening yesterday again; and how far ahead what rolling sums know may
/// be after the clock went back.
const SLACK_MS: i64 = HOUR_MS;
/// The most days that wait to be told.
const MAX_UNTOLD: usize = 32;

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
    /// Whether the crossing is one of today. One of yesterday is in its hour only, and an earlier one in rolling sums and
    /// events at most.
    pub is_of_today: bool,
}

/// The counts. See the documentation of the crate.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) settings: Settings,
    now_ms: i64,
    /// Today.
    pub(crate) book: Book,
    /// The last day before today on which anything was counted; usually yesterday. It may be later than today after the
    /// clock went back.
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

    /// The ledger of which this is a checkpoint, at the time of the checkpoint. [`replay`](Self::replay) what was recorded
    /// since, then [`advance`](Self::advance) it to now: a new day then begins if one did.
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

    /// Takes over other settings. No count becomes 0 by that: the day that is open keeps its name and goes on until the next
    /// reset of the new settings. A longer window sees what shorter ones had kept, and is complete after its length.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        self.now_ms = within(now_ms);
        self.reach(self.now_ms);
        self.settings = settings;
        self.end_day_as_configured();
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

    /// It is `now_ms`. Tells which hours and days ended, or changed after they had; each is told once, unless the ledger is
    /// restored from an earlier checkpoint.
    pub fn advance(&mut self, now_ms: i64) -> Vec<Turn> {
        self.now_ms = within(now_ms);
        self.reach(self.now_ms);
        if self.book.day.start_ms.saturating_sub(self.now_ms) >= SLACK_MS {
            self.turn(self.now_ms);
        }
        let second = self.now_ms / 1000;
        let (after, until) = (second - self.settings.longest(), second + SLACK_MS / 1000);
        self.all.keep(after, until);
        self.sums.retain(|_, sums| {
            sums.keep(after, until);
            !sums.is_empty()
        });
        self.tell()
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

    /// So many people are in a zone now. Tells whether that is another number than before; a zone that is not declared has
    /// none.
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

    /// What a correction would make of its line, for whoever stores it before it is applied.
    ///
    /// # Errors
    /// [`CorrectionError`] when it is of no line or of another day, changes nothing, or would make a count negative.
    pub fn check_correction(&self, correction: &CorrectionRecord) -> Result<Count, CorrectionError> {
        let CorrectionRecord { camera, line, count_in, count_out, time_ms, .. } = correction;
        let (camera, line) = (camera.clone(), line.clone());
        let counted = self.book.line(&camera, &line);
        let is_declared = self.places.get(&camera).is_some_and(|places| places.lines.contains(&line));
        if !is_declared && counted.is_none() {
            return Err(CorrectionError::NoLine { camera, line });
        }
        if *count_in == 0 && *count_out == 0 {
            return Err(CorrectionError::Nothing { camera, line });
        }
        if !self.is_today(*time_ms) {
            return Err(CorrectionError::OtherDay { camera, line, day: self.book.day.name.clone() });
        }
        let corrected = |direction, counted: u64, by: i64| {
            let (camera, line) = (camera.clone(), line.clone());
            if by > 0 && by.unsigned_abs() > MAX_CORRECTION {
                return Err(CorrectionError::TooMany { camera, line, given: by.unsigned_abs() });
            }
            let few = CorrectionError::TooFew { camera, line, direction, counted, taken: by.unsigned_abs() };
            counted.checked_add_signed(by).ok_or(few)
        };
        let counted = counted.unwrap_or_default();
        Ok(Count {
            count_in: corrected("in", counted.count_in, *count_in)?,
            count_out: corrected("out", counted.count_out, *count_out)?,
        })
    }

    /// Corrects the counts of a line, and gives them.
    ///
    /// # Errors
    /// As [`check_correction`](Self::check_correction); nothing is changed then.
    pub fn correct(&mut self, correction: &CorrectionRecord) -> Result<Count, CorrectionError> {
        self.reach(correction.time_ms);
        let count = self.check_correction(correction)?;
        self.apply_correction(correction);
        Ok(count)
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

    /// A face of this number is kept.
    pub fn face(&mut self, face_id: u64, time_ms: i64) {
        self.next_face = self.next_face.max(face_id.saturating_add(1));
        if let Some(book) = self.book_of(time_ms) {
            book.faces = book.faces.saturating_add(1);
        }
    }

    /// A rule begins an event. It counts who goes in from the crossing of this number on, that one included; without a number
    /// from now on. It may be at most 256 entries late. `data.camera`, if it is a text, names the only camera it counts.
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

    /// A rule ends an event. `None` when it does not run.
    pub fn end_event(&mut self, name: &str, time_ms: i64) -> Option<EventEnded> {
        self.reach(time_ms);
        let running = self.events.end(name)?;
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

    /// Applies a stored record as if it happened at its time. Gives it back understood, or `None` when it is of a type that
    /// is not counted.
    ///
    /// # Errors
    /// [`ReplayError`] when it is malformed; nothing is changed then.
    pub fn replay(&mut self, stored: &Value) -> Result<Option<Record>, ReplayError> {
        let record = Record::parse(stored)?;
        match &record {
            Some(Record::Crossing(crossing)) => {
                self.crossing(crossing);
            }
            Some(Record::Correction(correction)) => self.apply_correction(correction),
            Some(Record::Face(face)) => self.face(face.face_id, face.time_ms),
            Some(Record::Start(start)) => {
                // What was refused then is refused now.
                let _ =
                    self.begin_event(&start.event, start.data.clone(), start.time_ms, start.since_crossing);
            }
            Some(Record::End(end)) => {
                self.end_event(&end.event, end.time_ms);
            }
            None => {}
        }
        Ok(record)
    }

    /// The hours that changed and are not told yet, the one that runs among them: what the stored history does not know.
    #[must_use]
    pub fn untold_hours(&self) -> Vec<HourSums> {
        self.hours.iter().cloned().chain(self.changed.iter().map(|start| self.hour(*start))).collect()
    }

    /// Today.
    #[must_use]
    pub fn day(&self) -> &Day {
        &self.book.day
    }

    /// When today began: without a checkpoint, records since then make its counts.
    #[must_use]
    pub fn since_ms(&self) -> i64 {
        self.book.day.start_ms
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

    /// The hours of today as they are now, the running one and those that were told included.
    #[must_use]
    pub fn hours(&self) -> Vec<HourSums> {
        self.book.hours().map(|hour| self.hour(hour)).collect()
    }

    /// There is a face of this number already.
    pub fn know_face(&mut self, face_id: u64) {
        self.next_face = self.next_face.max(face_id.saturating_add(1));
    }

    fn apply_correction(&mut self, correction: &CorrectionRecord) {
        let CorrectionRecord { camera, line, count_in, count_out, time_ms, .. } = correction;
        let Some(book) = self.book_of(*time_ms) else { return };
        let least = |by: i64| u64::try_from(by).unwrap_or(0);
        let more = Count { count_in: least(*count_in), count_out: least(*count_out) };
        let fewer = Count {
            count_in: least(count_in.saturating_neg()),
            count_out: least(count_out.saturating_neg()),
        };
        let mut touched = book.take(camera, line, fewer);
        if !more.is_zero() {
            book.add(camera, line, more, *time_ms);
            touched.insert(hour_of(*time_ms));
        }
        self.changed.append(&mut touched);
    }

    fn is_today(&self, time_ms: i64) -> bool {
        self.book.day.contains(within(time_ms))
    }

    /// The day of this moment, if it is open or the one before.
    fn book_of(&mut self, time_ms: i64) -> Option<&mut Book> {
        let time_ms = within(time_ms);
        self.reach(time_ms);
        if self.book.day.contains(time_ms) {
            return Some(&mut self.book);
        }
        if !self.before.as_ref().is_some_and(|book| book.day.contains(time_ms)) {
            let mut yesterday = self.settings.reset.day_of(self.book.day.start_ms - 1);
            yesterday.end_ms = yesterday.end_ms.min(self.book.day.start_ms);
            if yesterday.contains(time_ms) {
                self.settle();
                self.before = Some(Book::new(yesterday));
            }
        }
        self.before.as_mut().filter(|book| book.day.contains(time_ms))
    }

    /// What happened then begins the day of then.
    fn reach(&mut self, time_ms: i64) {
        let time_ms = within(time_ms);
        if time_ms >= self.book.day.end_ms {
            self.turn(time_ms);
        }
    }

    fn turn(&mut self, time_ms: i64) {
        let next = match self.before.take_if(|book| book.day.contains(time_ms)) {
            Some(again) => again,
            None => Book::new(self.settings.reset.day_of(time_ms)),
        };
        if self.days.len() >= MAX_UNTOLD {
            self.days.remove(0);
        }
        self.days.push((self.book.sums(), next.day.name.clone()));
        // A day without anything leaves no trace: a replay, which passes over it, must come to the same.
        if !self.book.is_empty() {
            self.settle();
            self.before = Some(std::mem::replace(&mut self.book, next));
        } else {
            self.book = next;
        }
    }

    /// The day before is about to be forgotten: what is untold of it must be told.
    fn settle(&mut self) {
        let hours: Vec<i64> = self.before.iter().flat_map(Book::hours).collect();
        let untold: Vec<i64> = hours.into_iter().filter(|hour| self.changed.remove(hour)).collect();
        let sums: Vec<HourSums> = untold.into_iter().map(|hour| self.hour(hour)).collect();
        self.hours.extend(sums);
        self.hours.drain(..self.hours.len().saturating_sub(MAX_UNTOLD * 25));
    }

    fn hour(&self, start_ms: i64) -> HourSums {
        let books = self.before.iter().chain([&self.book]);
        HourSums { start_ms, lines: joined(books.filter_map(|book| book.hour(start_ms))) }
    }

    fn tell(&mut self) -> Vec<Turn> {
        let now = self.now_ms;
        let over: Vec<i64> =
            self.changed.iter().copied().filter(|start| start.saturating_add(HOUR_MS) <= now).collect();
        let mut hours = std::mem::take(&mut self.hours);
        for start in over {
            self.changed.remove(&start);
            hours.push(self.hour(start));
        }
        let mut turns: Vec<Turn> = hours.into_iter().map(Turn::Hour).collect();
        for (mut ended, day) in std::mem::take(&mut self.days) {
            // Late crossings may have come since.
            if let Some(book) = self.before.as_ref().filter(|book| book.day.start_ms == ended.start_ms) {
                ended = book.sums();
            }
            turns.push(Turn::Day { ended, day });
        }
        turns
    }

    /// Makes the open day end at the next reset.
    fn end_day_as_configured(&mut self) {
        let day = &mut self.book.day;
        day.start_ms = within(day.start_ms);
        day.end_ms = self.settings.reset.day_of(self.now_ms.max(day.start_ms)).end_ms;
    }
}
