//! What a request announces: how many packets of which length, and whether that can be.

use crate::datagram::{HEADER, MAX_DATAGRAM, Refusal, Request};

/// How a picture is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many packets there are, at least one.
    packets: u8,
    /// Bytes of every packet but the last.
    payload: usize,
    /// Bytes of the picture, if the device has said so.
    size: Option<usize>,
}

impl Plan {
    /// What a request announces, when pictures have `max_bytes` at most.
    ///
    /// # Errors
    /// It makes no sense, or even the smallest picture of this kind is too large.
    pub fn of(request: &Request<'_>, max_bytes: usize) -> Result<Self, Refusal> {
        let packets = request.packets;
        let largest = usize::try_from(request.largest).map_err(|_| Refusal::TooLarge)?;
        if packets == 0 || largest <= HEADER {
            return Err(Refusal::Malformed);
        }
        if request.largest > MAX_DATAGRAM {
            return Err(Refusal::TooLarge);
        }
        let payload = largest - HEADER;
        // What is sent before the last packet.
        let before = usize::from(packets - 1) * payload;
        let size = if request.size.is_empty() { None } else { Some(integer(request.size)) };
        match size {
            Some(Some(0)) => Err(Refusal::Malformed),
            Some(size) => match size.filter(|size| *size <= max_bytes) {
                None => Err(Refusal::TooLarge),
                // Exactly `before` is what firmware announces that counts one packet too many.
                Some(size) if size < before || size > before + payload => Err(Refusal::Malformed),
                size => Ok(Self { packets, payload, size }),
            },
            None if before >= max_bytes => Err(Refusal::TooLarge),
            None => Ok(Self { packets, payload, size: None }),
        }
    }

    /// How many packets were announced.
    #[must_use]
    pub fn packets(&self) -> u8 {
        self.packets
    }

    /// How many packets, from the first on, make the picture for sure: one less than announced when the size says that
    /// the last one is empty.
    #[must_use]
    pub fn needed(&self) -> u8 {
        let empty = self.size.is_some_and(|size| size == self.before());
        self.packets - u8::from(empty && self.packets > 1)
    }

    /// Whether the device has said how large the picture is.
    #[must_use]
    pub fn knows_size(&self) -> bool {
        self.size.is_some()
    }

    /// Whether packet `index` can have `length` bytes.
    #[must_use]
    pub fn fits(&self, index: u8, length: usize) -> bool {
        if index >= self.packets {
            return false;
        }
        if index + 1 < self.packets {
            return length == self.payload;
        }
        match self.size {
            Some(size) => length == size - self.before(),
            // Firmware that counts one packet too many may send it, empty.
            None => length <= self.payload,
        }
    }

    fn before(&self) -> usize {
        usize::from(self.packets - 1) * self.payload
    }
}

/// A big-endian integer of any length; `None` when it is larger than anything that can be.
fn integer(bytes: &[u8]) -> Option<usize> {
    bytes.iter().try_fold(0_usize, |value, byte| value.checked_mul(256)?.checked_add(usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use crate::datagram::{Refusal, Request};
    use Refusal::{Malformed, TooLarge};

    fn plan(packets: u8, largest: u32, size: &[u8]) -> Result<Plan, Refusal> {
        Plan::of(&Request { device: 1, packets, largest, size }, 10_000)
    }

    #[test]
    fn every_packet_but_the_last_is_as_long_as_the_largest_datagram_less_its_header() {
        let plan = plan(3, 1008, &[]).unwrap();
        assert!(plan.fits(0, 1000) && plan.fits(1, 1000) && plan.fits(2, 1000) && plan.fits(2, 1));
        assert!(plan.fits(2, 0), "firmware that counts one too many sends an empty one");
        assert!(!plan.fits(0, 999) && !plan.fits(1, 1001) && !plan.fits(2, 1001) && !plan.fits(3, 1));
        assert_eq!((plan.needed(), plan.knows_size()), (3, false));
    }

    #[test]
    fn a_known_size_says_how_long_the_last_packet_is() {
        // 2345 in two bytes, and in more than any integer has.
        for size in [&[9, 41][..], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 41]] {
            let plan = plan(3, 1008, size).unwrap();
            assert!(plan.fits(2, 345) && !plan.fits(2, 344) && !plan.fits(2, 1000));
            assert_eq!(plan.needed(), 3);
        }
    }

    #[test]
    fn a_size_that_ends_with_the_packet_before_the_last_needs_no_last() {
        let plan = plan(3, 1008, &[7, 208]).unwrap();
        assert_eq!(plan.needed(), 2);
        assert!(plan.fits(2, 0) && !plan.fits(2, 1));
    }

    #[test]
    fn numbers_that_make_no_sense_are_malformed_and_pictures_that_cannot_be_kept_too_large() {
        for (packets, largest, size, refusal) in [
            (0, 1008, &[][..], Malformed),
            (1, 0, &[], Malformed),
            (1, 8, &[], Malformed),
            (3, 1008, &[0], Malformed),
            (3, 1008, &[0, 0, 0, 0], Malformed),
            // 1999 and 3001 of three packets of 1000.
            (3, 1008, &[7, 207], Malformed),
            (3, 1008, &[11, 185], Malformed),
            (1, u32::MAX, &[], TooLarge),
            (1, 65_508, &[], TooLarge),
            (255, u32::MAX, &[], TooLarge),
            // 10,001 at least, and 10,001 as it says.
            (11, 1008, &[], TooLarge),
            (11, 1008, &[39, 17], TooLarge),
            (3, 1008, &[255; 8], TooLarge),
            (3, 1008, &[255; 90], TooLarge),
        ] {
            assert_eq!(plan(packets, largest, size), Err(refusal), "{packets} {largest} {size:?}");
        }
    }

    #[test]
    fn what_may_fit_is_accepted() {
        assert!(plan(10, 1008, &[]).is_ok(), "9001 bytes or more");
        assert!(plan(10, 1008, &[39, 16]).is_ok(), "10,000 bytes");
        assert!(plan(255, 9, &[]).is_ok());
        assert!(plan(1, 65_507, &[]).is_ok());
    }
}
