//! Devices as they are in the field, driven by an invented clock: both generations of the firmware.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_espcam::datagram::{Data, HEADER, Request, end};
use std::time::Duration;

/// No reply after this time: sent again.
const LOST: Duration = Duration::from_millis(5500);
/// A refused request is asked again after this time.
const REFUSED: Duration = Duration::from_secs(6);
/// A packet that was not acknowledged is sent again after this time.
const NACKED: Duration = Duration::from_secs(1);

/// A picture that walks like one: no marker inside, `bytes` long, and different for each seed.
pub(crate) fn picture(bytes: usize, seed: u64) -> Vec<u8> {
    let head = [
        &[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0][..],
        &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0],
    ]
    .concat();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // 0xff would be a marker.
        u8::try_from(state >> 56).unwrap_or(0).min(0xfe)
    });
    let bytes = bytes.max(head.len() + 8 + 2);
    let length = bytes - head.len() - 8 - 2;
    // The seed itself, in bytes that are no marker.
    let name = seed.to_be_bytes().map(|byte| byte & 0x7f);
    [head, name.to_vec(), noise.take(length).collect(), vec![0xff, 0xd9]].concat()
}

/// How the firmware of a device works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Firmware {
    /// Sends everything and asks what is missing, instead of waiting for each acknowledgement.
    pub(crate) newer: bool,
    /// Announces one packet too many when the picture is an exact multiple, and does not send it.
    pub(crate) one_too_many: bool,
    /// Tells the picture's size.
    pub(crate) tells_size: bool,
    /// The largest datagram.
    pub(crate) largest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Has not begun yet, and hears nothing.
    Off,
    Asking,
    Refused,
    /// Waits for the acknowledgement of this packet.
    Sending(u8),
    Nacked(u8),
    Ending,
    Done,
}

/// A device that sends one picture.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: u8,
    pub(crate) picture: Vec<u8>,
    firmware: Firmware,
    state: State,
    /// When it acts by itself.
    pub(crate) due: Duration,
    /// Times that it was told that it has no transfer, one after the other.
    unknown: u32,
    /// How often it began.
    pub(crate) begun: u32,
}

impl Device {
    /// One that begins at `now`.
    pub(crate) fn new(id: u8, picture: Vec<u8>, firmware: Firmware, now: Duration) -> Self {
        Self { id, picture, firmware, state: State::Off, due: now, unknown: 0, begun: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// It lost power, and begins at `now` with another picture.
    pub(crate) fn restart(&mut self, picture: Vec<u8>, now: Duration) {
        *self = Self { begun: self.begun, ..Self::new(self.id, picture, self.firmware, now) };
    }

    fn payload(&self) -> usize {
        self.firmware.largest - HEADER
    }

    /// How many packets it sends.
    fn sent(&self) -> u8 {
        u8::try_from(self.picture.len().div_ceil(self.payload())).expect("a picture of 255 packets at most")
    }

    /// How many packets it says that there are.
    fn announced(&self) -> u8 {
        let exact = self.picture.len().is_multiple_of(self.payload());
        self.sent() + u8::from(exact && self.firmware.one_too_many && self.sent() < 255)
    }

    fn request(&self) -> Vec<u8> {
        let size = u32::try_from(self.picture.len()).unwrap().to_be_bytes();
        let size = if self.firmware.tells_size { &size[..] } else { &[] };
        let largest = u32::try_from(self.firmware.largest).unwrap();
        Request { device: self.id, packets: self.announced(), largest, size }.encode()
    }

    fn data(&self, index: u8) -> Vec<u8> {
        let bytes = self.picture.chunks(self.payload()).nth(index.into()).unwrap_or_default();
        let length = u32::try_from(bytes.len()).unwrap();
        Data { device: self.id, index, length, bytes }.encode()
    }

    fn begin(&mut self, now: Duration) -> Vec<Vec<u8>> {
        (self.state, self.due, self.unknown) = (State::Asking, now + LOST, 0);
        self.begun += 1;
        vec![self.request()]
    }

    fn send(&mut self, index: u8, now: Duration) -> Vec<Vec<u8>> {
        if index == self.sent() {
            (self.state, self.due) = (State::Done, Duration::MAX);
            return Vec::new();
        }
        (self.state, self.due) = (State::Sending(index), now + LOST);
        vec![self.data(index)]
    }

    fn send_and_end(&mut self, indices: impl Iterator<Item = u8>, now: Duration) -> Vec<Vec<u8>> {
        (self.state, self.due) = (State::Ending, now + LOST);
        indices.map(|index| self.data(index)).chain([end(self.id, self.announced())]).collect()
    }

    /// What it sends when it is due.
    pub(crate) fn act(&mut self, now: Duration) -> Vec<Vec<u8>> {
        match self.state {
            State::Off | State::Asking | State::Refused => self.begin(now),
            State::Sending(index) | State::Nacked(index) => self.send(index, now),
            State::Ending => self.send_and_end(0..0, now),
            State::Done => {
                self.due = Duration::MAX;
                Vec::new()
            }
        }
    }

    /// What it sends when it is told something.
    pub(crate) fn hear(&mut self, reply: &[u8], now: Duration) -> Vec<Vec<u8>> {
        match (self.state, reply) {
            (State::Asking, [1, id, 1, 0, ..]) if *id == self.id => {
                if self.firmware.newer {
                    self.send_and_end(0..self.sent(), now)
                } else {
                    self.send(0, now)
                }
            }
            (State::Asking, [1, id, 1, _, ..]) if *id == self.id => {
                (self.state, self.due) = (State::Refused, now + REFUSED);
                Vec::new()
            }
            (State::Sending(index), [1, id, 2, i, code, ..]) if (*id, *i) == (self.id, index) => {
                if *code == 0 {
                    self.unknown = 0;
                    return self.send(index + 1, now);
                }
                self.unknown += u32::from(*code == 2);
                if self.unknown == 5 {
                    return self.begin(now);
                }
                (self.state, self.due) = (State::Nacked(index), now + NACKED);
                Vec::new()
            }
            (State::Ending, [1, id, 3, 0]) if *id == self.id => {
                (self.state, self.due) = (State::Done, Duration::MAX);
                Vec::new()
            }
            (State::Ending, [1, id, 3, _, missing @ ..]) if *id == self.id => {
                assert!(reply.len() <= 32, "more than it can receive");
                // All of it, again and again: the gateway has lost it.
                let all = missing.len() == usize::from(self.announced()).min(28);
                self.unknown = if all { self.unknown + 1 } else { 0 };
                if self.unknown == 5 {
                    return self.begin(now);
                }
                let sent = self.sent();
                let missing: Vec<u8> = missing.iter().copied().filter(|index| *index < sent).collect();
                self.send_and_end(missing.into_iter(), now)
            }
            _ => Vec::new(),
        }
    }
}
