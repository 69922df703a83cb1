//! What time makes of a ledger: hours and days end.

use super::Ledger;
use crate::book::{Book, HOUR_MS, joined};
use crate::day::within;
use crate::settings::Settings;
use crate::{HourSums, Turn};
use std::collections::BTreeSet;

/// How far a clock may go back over the reset without opening yesterday again, and without changing what
/// rolling sums know.
const SLACK_MS: i64 = HOUR_MS;
/// The most days that wait to be told.
const MAX_UNTOLD: usize = 32;

impl Ledger {
    /// Takes over other settings. No count becomes 0 by that: the day that is open keeps its name and goes on
    /// until the next reset of the new settings. A longer window sees what shorter ones had kept, and is
    /// complete after its length.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        self.now_ms = within(now_ms);
        self.reach(self.now_ms);
        self.settings = settings;
        self.end_day_as_configured();
    }

    /// It is `now_ms`. Tells which hours and days ended, or changed after they had; each is told once, unless
    /// the ledger is restored from an earlier checkpoint.
    pub fn advance(&mut self, now_ms: i64) -> Vec<Turn> {
        self.now_ms = within(now_ms);
        self.reach(self.now_ms);
        if self.book.day.start_ms.saturating_sub(self.now_ms) >= SLACK_MS {
            self.turn(self.now_ms);
        }
        let (second, slack) = (self.now_ms / 1000, SLACK_MS / 1000);
        let (after, until) = (second - self.settings.longest() - slack, second + slack);
        self.all.keep(after, until);
        self.sums.retain(|_, sums| {
            sums.keep(after, until);
            !sums.is_empty()
        });
        self.tell()
    }

    /// The hours of today as they are now, and what is not told yet of earlier ones: together with what was
    /// stored of hours, in place of the same ones there, the whole history.
    #[must_use]
    pub fn hours(&self) -> Vec<HourSums> {
        let open: BTreeSet<i64> = self.book.hours().chain(self.changed.iter().copied()).collect();
        self.hours.iter().cloned().chain(open.into_iter().map(|start| self.hour(start))).collect()
    }

    /// The day of this moment, if it is open or the one before.
    pub(super) fn book_of(&mut self, time_ms: i64) -> Option<&mut Book> {
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
    pub(super) fn reach(&mut self, time_ms: i64) {
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
    pub(super) fn end_day_as_configured(&mut self) {
        let day = &mut self.book.day;
        day.start_ms = within(day.start_ms);
        day.end_ms = self.settings.reset.day_of(self.now_ms.max(day.start_ms)).end_ms;
    }
}
