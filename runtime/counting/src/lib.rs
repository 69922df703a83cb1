//! Gantry's ledger: counts of the day, rolling sums, events, corrections, faces of the day.
//!
//! [`Ledger`] is told what happened (somebody crossed a line, an operator corrected a count, a rule began an
//! event) and what time it is, and knows everything that is told about counts from it. It is pure: the same
//! calls give the same answers, so that a [`Checkpoint`] and the records that were stored after it make the
//! ledger which a kill took away.
//!
//! It is *not* the thread that is told, and nothing here reads a clock, stores, publishes or runs rules;
//! looking up a time zone when [`Settings`] are made is the one look at the machine. Which crossings there
//! are is decided in gantry-vision.
//!
//! # After a start
//! ```
//! # use gantry_counting::*;
//! # let config = gantry_core::config::Counts { time_zone: Some("UTC".into()), ..Default::default() };
//! # let (checkpoint, records, now_ms) = (None::<Checkpoint>, Vec::<serde_json::Value>::new(), 1_700_000_000_000);
//! let settings = Settings::from_config(&config).expect("the configuration was checked");
//! let mut ledger = match checkpoint {
//!     Some(checkpoint) => Ledger::restore(settings, checkpoint),
//!     None => Ledger::new(settings, now_ms), // replay everything since `ledger.since_ms()`
//! };
//! for record in &records {
//!     if let Err(error) = ledger.replay(record) { /* tell it and go on */ }
//! }
//! for turn in ledger.advance(now_ms) { /* the hours and the day that ended meanwhile */ }
//! ```
//!
//! Crossings, corrections and faces are recorded before they are counted. No record tells of the beginnings
//! and ends of events: after one of these, and after a reset, a checkpoint is due before anybody hears of it.
//!
//! # Days
//! A day begins at the configured local time and is named by the local date on which that is. Where clocks
//! skip that time it begins when they go on (02:30 at 03:00 or 03:30, as the zone's rules shift it); where
//! they show it twice, at the first. A leap over several days is one reset. The last day on which anything
//! was counted is kept: late crossings of it still get into its hours, and when the clock goes back into it,
//! it is opened again with its counts. So a gateway without a battery clock that boots in 1970 has its counts
//! again as soon as it knows the time, and nothing is lost to a clock that was wrong for a minute. A clock
//! that goes back over the reset by less than an hour does not open yesterday again.
//!
//! To which day a crossing belongs is a matter of its own time only, so that live and replayed crossings
//! count alike, also when the clock goes back by less than an hour meanwhile. What comes more than a day
//! late, and what is counted while the clock is days wrong, may be in one and not in the other.
//!
//! # Hours
//! The history is in hours of UTC, named by their start in milliseconds: they are the same length and never
//! come twice. What is told of an hour is its whole sum, and may be told again after a late crossing, a
//! correction or a crash: **the last one counts**. The hours of a day add up to the counts of the day. A
//! correction therefore changes hours too: what is added goes to the hour in which it was corrected; what is
//! taken away is taken from the latest hours that have it.
//!
//! # Sums
//! Rolling sums have seconds as their unit, and are exact in it: the sum of `5m` is of the crossings in the
//! last 300 seconds, the running one included. A camera keeps a number for each second in which somebody
//! crossed and that a window still reaches (and an hour at both ends), at most 93 600. Sums are what was
//! seen: corrections and resets leave them alone. A clock that goes forward ages them by as much. One that
//! goes back leaves them, for what was just seen stays recent; but what would be more than an hour ahead is
//! forgotten.
//!
//! # Lines that are gone
//! Only what is declared is shown. The counts of a line that is no longer configured stay in the sums of its
//! camera and of the day, and it has them again when it comes back on the same day.
#![forbid(unsafe_code)]

mod book;
mod checkpoint;
mod day;
mod error;
mod events;
mod ledger;
mod record;
mod settings;
mod sums;
mod turn;
mod view;

pub use checkpoint::Checkpoint;
pub use day::{Day, Reset};
pub use error::{BeginError, CorrectionError, ReplayError};
pub use events::{EventEnded, EventStarted};
pub use ledger::{Ledger, LineCount, Places};
pub use record::{CorrectionRecord, CrossingRecord, Direction, FaceRecord, Record};
pub use settings::Settings;
pub use turn::{DaySums, HourSums, Turn};
pub use view::{CameraView, EventView, View};

use serde::{Deserialize, Serialize};

/// How many went in, and how many out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Who went in.
    pub count_in: u64,
    /// Who went out.
    pub count_out: u64,
}

impl Count {
    /// One crossing.
    #[must_use]
    pub fn of(direction: Direction) -> Self {
        match direction {
            Direction::In => Self { count_in: 1, count_out: 0 },
            Direction::Out => Self { count_in: 0, count_out: 1 },
        }
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.count_in = self.count_in.saturating_add(other.count_in);
        self.count_out = self.count_out.saturating_add(other.count_out);
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, count| {
            sum += count;
            sum
        })
    }
}
