//! What was written when, and which write a received value comes from.

use crate::edge::Edge;
use crate::stamp;
use std::time::Instant;

/// How many values there are: 0 to 100. A reader that misses as many in a row would not be noticed.
const VALUES: usize = 101;

/// The times of all writes; the value of each follows from its number.
#[derive(Debug, Default)]
pub struct Journal {
    writes: Vec<Instant>,
}

impl Journal {
    /// Notes a write at `now` and returns the value to be written.
    pub fn note_write(&mut self, now: Instant) -> usize {
        self.writes.push(now);
        (self.writes.len() - 1) % VALUES
    }

    /// How many writes there were. Their numbers are the ones below.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// When write `number` was made.
    pub fn time(&self, number: usize) -> Option<Instant> {
        self.writes.get(number).copied()
    }
}

/// Follows the values that arrive at one client. They come in the order of the writes, perhaps with gaps.
#[derive(Debug, Default)]
pub struct Follower {
    next: usize,
}

impl Follower {
    /// The number of the first write after the last one seen that was of `value`; `None` when there was no such write.
    pub fn see(&mut self, value: usize, journal: &Journal) -> Option<usize> {
        if value >= VALUES {
            return None;
        }
        let number = self.next + (value + VALUES - self.next % VALUES) % VALUES;
        if number >= journal.len() {
            return None;
        }
        self.next = number + 1;
        Some(number)
    }
}

/// The value that a message has for `key`, which stands in its quotes.
pub fn value(message: &Edge, key: &[u8]) -> Option<usize> {
    let text = stamp::value(message, key)?;
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(writes: usize) -> Journal {
        let mut journal = Journal::default();
        for number in 0..writes {
            assert_eq!(journal.note_write(Instant::now()), number % VALUES);
        }
        journal
    }

    #[test]
    fn every_value_is_found_again_however_often_they_begin_anew() {
        let (journal, mut follower) = (journal(1000), Follower::default());
        for number in 0..1000 {
            assert_eq!(follower.see(number % VALUES, &journal), Some(number));
            assert!(journal.time(number).is_some());
        }
        assert_eq!(follower.see(1000 % VALUES, &journal), None, "nobody has written it yet");
    }

    #[test]
    fn a_gap_is_stepped_over_and_a_repetition_belongs_to_no_write() {
        let (journal, mut follower) = (journal(150), Follower::default());
        assert_eq!(follower.see(40, &journal), Some(40));
        assert_eq!(follower.see(100, &journal), Some(100));
        assert_eq!(follower.see(3, &journal), Some(104));
        assert_eq!(follower.see(3, &journal), None);
        assert_eq!(follower.see(101, &journal), None, "this is no value at all");
    }

    #[test]
    fn a_value_is_read_however_the_server_spaces_it() {
        let read = |text: &[u8]| {
            let mut message = Edge::default();
            message.push(text);
            value(&message, b"\"brightness\"")
        };
        assert_eq!(read(br#"{"brightness":7}"#), Some(7));
        assert_eq!(read(br#"{"fps": 30, "brightness": 100, "info": ["brightness"]}"#), Some(100));
        for other in
            [&b"{}"[..], br#"{"brightness":null}"#, br#"{"error":"Invalid value","key":"brightness"}"#]
        {
            assert_eq!(read(other), None);
        }
    }
}
