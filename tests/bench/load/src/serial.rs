//! What makes every request another one: servers know a message that they have had before.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands in a body for the number of the request. Each of its characters may also be one of base64.
pub const MARK: &[u8] = b"SERIAL0000000000";

/// Numbers of sixteen digits, each given once: also by a program that is started again, for as long as there was less than
/// one for each microsecond.
#[derive(Debug)]
pub struct Serial(AtomicU64);

impl Default for Serial {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(AtomicU64::new(u64::try_from(since.as_micros()).unwrap_or(0)))
    }
}

impl Serial {
    /// Writes the next number to all these places.
    pub fn stamp(&self, request: &mut [u8], places: &[Range<usize>]) {
        if places.is_empty() {
            return;
        }
        let number = format!("{:016}", self.0.fetch_add(1, Relaxed) % 10_000_000_000_000_000);
        for place in places {
            request[place.clone()].copy_from_slice(number.as_bytes());
        }
    }
}

/// Where [`MARK`] stands in a request.
pub fn places(request: &[u8]) -> Vec<Range<usize>> {
    let windows = request.windows(MARK.len()).enumerate();
    windows.filter(|(_, window)| *window == MARK).map(|(at, _)| at..at + MARK.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_request_has_the_same_number_and_every_request_another() {
        let mut request = b"{SERIAL0000000000,SERIAL0000000000}".to_vec();
        let (serial, places) = (Serial::default(), places(&request));
        assert_eq!(places, [1..17, 18..34]);
        serial.stamp(&mut request, &places);
        let first = request.clone();
        assert!(first[1..17].iter().all(u8::is_ascii_digit) && first[1..17] == first[18..34]);
        serial.stamp(&mut request, &places);
        assert_ne!(request, first);
    }
}
