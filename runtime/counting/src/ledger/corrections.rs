//! Corrections by an operator.

use super::Ledger;
use crate::book::{Book, hour_of};
use crate::{CorrectionError, CorrectionRecord, Count};

/// The most that a correction may add.
pub(crate) const MAX_CORRECTION: u64 = 1_000_000;

impl Ledger {
    /// What a correction would make of its line, for whoever stores it before it is applied.
    ///
    /// # Errors
    /// [`CorrectionError`] when it is of no line or of another day, changes nothing, or would make a count
    /// negative.
    pub fn check_correction(&self, correction: &CorrectionRecord) -> Result<Count, CorrectionError> {
        let CorrectionRecord { camera, line, time_ms, .. } = correction;
        let is_declared = self.places.get(camera).is_some_and(|places| places.lines.contains(line));
        if !is_declared && self.book.line(camera, line).is_none() {
            return Err(CorrectionError::NoLine { camera: camera.clone(), line: line.clone() });
        }
        if !self.is_today(*time_ms) {
            return Err(self.other_day(correction));
        }
        corrected(&self.book, correction)
    }

    /// Applies a correction that was checked and stored, and gives the counts of its line. What changed in
    /// between is no hindrance: the line may be gone by now, and the correction may be yesterday's.
    ///
    /// # Errors
    /// [`CorrectionError`] when it changes nothing, would make a count negative, or is older than yesterday;
    /// nothing is changed then, nor by replaying it.
    pub fn correct(&mut self, correction: &CorrectionRecord) -> Result<Count, CorrectionError> {
        let CorrectionRecord { camera, line, count_in, count_out, time_ms, .. } = correction;
        let Some(book) = self.book_of(*time_ms) else { return Err(self.other_day(correction)) };
        let count = corrected(book, correction)?;
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
        Ok(count)
    }

    fn other_day(&self, correction: &CorrectionRecord) -> CorrectionError {
        let CorrectionRecord { camera, line, .. } = correction;
        let day = self.book.day.name.clone();
        CorrectionError::OtherDay { camera: camera.clone(), line: line.clone(), day }
    }
}

/// What the line counts after it.
fn corrected(book: &Book, correction: &CorrectionRecord) -> Result<Count, CorrectionError> {
    let CorrectionRecord { camera, line, count_in, count_out, .. } = correction;
    let names = || (camera.clone(), line.clone());
    if *count_in == 0 && *count_out == 0 {
        let (camera, line) = names();
        return Err(CorrectionError::Nothing { camera, line });
    }
    let after = |direction, counted: u64, by: i64| {
        let (camera, line) = names();
        let much = by.unsigned_abs();
        if by > 0 && much > MAX_CORRECTION {
            return Err(CorrectionError::TooMany { camera, line, given: much });
        }
        let few = CorrectionError::TooFew { camera, line, direction, counted, taken: much };
        counted.checked_add_signed(by).ok_or(few)
    };
    let counted = book.line(camera, line).unwrap_or_default();
    Ok(Count {
        count_in: after("in", counted.count_in, *count_in)?,
        count_out: after("out", counted.count_out, *count_out)?,
    })
}
