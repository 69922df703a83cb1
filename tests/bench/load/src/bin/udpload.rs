//! Many ESP32-CAMs in one thread: older firmware, which waits for each reply, and newer, which sends everything and then asks.
//! They send pictures until the time is over and finish those that are begun. What is not answered is sent again after 5.5 s,
//! as devices do.
#![forbid(unsafe_code)]

use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// Bytes before the data of a packet.
const HEADER: usize = 8;
/// What was not answered is sent again after this time.
const LOST: Duration = Duration::from_millis(5500);
/// A refused request, or a packet that was not acknowledged.
const REFUSED: Duration = Duration::from_secs(1);
/// How long begun pictures may take when the time is over.
const END: Duration = Duration::from_secs(40);

/// Many ESP32-CAMs that send pictures over UDP.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway's port on the loopback.
    #[arg(long)]
    port: u16,
    /// How many devices.
    #[arg(long, default_value_t = 200)]
    devices: usize,
    /// Bytes of a picture.
    #[arg(long, default_value_t = 60_000)]
    bytes: usize,
    /// The largest datagram.
    #[arg(long, default_value_t = 1460)]
    largest: usize,
    /// `old`, `newer`, or `mixed`: every other one.
    #[arg(long, default_value = "mixed")]
    firmware: String,
    /// For how long pictures are begun.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The most pictures of a device.
    #[arg(long, default_value_t = u64::MAX)]
    pictures: u64,
    /// Each device begins a picture this often, in seconds; 0: as soon as the one before is through.
    #[arg(long, default_value_t = 0.0)]
    every: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    Asking,
    /// Waits for the acknowledgement of this packet.
    Sending(u8),
    Ending,
    Over,
}

struct Device {
    socket: UdpSocket,
    id: u8,
    newer: bool,
    picture: Vec<u8>,
    payload: usize,
    packets: u8,
    state: State,
    /// When it acts by itself.
    due: Instant,
    begun: Instant,
    count: u64,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    again: u64,
    refused: u64,
    took: Vec<Duration>,
}

impl Device {
    fn send(&self, tally: &mut Tally, datagram: &[u8]) {
        tally.sent += 1;
        // A full buffer loses it, as the air does.
        let _ = self.socket.send(datagram);
    }

    fn request(&mut self, tally: &mut Tally, now: Instant) {
        let largest = u32::try_from(self.payload + HEADER).unwrap_or(0).to_be_bytes();
        (self.state, self.due) = (State::Asking, now + LOST);
        self.send(tally, &[&[1, self.id, 1, self.packets][..], &largest].concat());
    }

    fn packet(&mut self, tally: &mut Tally, index: u8) {
        let data = self.picture.chunks(self.payload).nth(index.into()).unwrap_or_default();
        let length = u32::try_from(data.len()).unwrap_or(0).to_be_bytes();
        self.send(tally, &[&[1, self.id, 2, index][..], &length, data].concat());
    }

    fn all(&mut self, tally: &mut Tally, indices: impl Iterator<Item = u8>, now: Instant) {
        indices.for_each(|index| self.packet(tally, index));
        self.send(tally, &[1, self.id, 3, self.packets]);
        (self.state, self.due) = (State::Ending, now + LOST);
    }

    fn one(&mut self, tally: &mut Tally, index: u8, now: Instant) {
        (self.state, self.due) = (State::Sending(index), now + LOST);
        self.packet(tally, index);
    }

    /// It is time.
    fn act(&mut self, tally: &mut Tally, now: Instant) {
        match self.state {
            State::Idle => {
                self.begun = now;
                self.count += 1;
                // Another picture each time: no marker in it.
                for (byte, n) in self.picture[27..35].iter_mut().zip(0..) {
                    *byte = (self.count >> (7 * n)) as u8 & 0x7f;
                }
                self.request(tally, now);
            }
            State::Asking => {
                tally.again += 1;
                self.request(tally, now);
            }
            State::Sending(index) => {
                tally.again += 1;
                self.one(tally, index, now);
            }
            State::Ending => {
                tally.again += 1;
                self.all(tally, 0..0, now);
            }
            State::Over => {}
        }
    }

    /// A reply. Whether the picture is through.
    fn hear(&mut self, tally: &mut Tally, reply: &[u8], now: Instant) -> bool {
        match (self.state, reply) {
            (State::Asking, [1, _, 1, 0, ..]) if self.newer => self.all(tally, 0..self.packets, now),
            (State::Asking, [1, _, 1, 0, ..]) => self.one(tally, 0, now),
            (State::Asking, [1, _, 1, ..]) => {
                tally.refused += 1;
                self.due = now + REFUSED;
            }
            (State::Sending(index), [1, _, 2, at, 0, ..]) if *at == index => {
                if index + 1 == self.packets {
                    return true;
                }
                self.one(tally, index + 1, now);
            }
            (State::Sending(index), [1, _, 2, at, ..]) if *at == index => self.due = now + REFUSED,
            (State::Ending, [1, _, 3, 0]) => return true,
            (State::Ending, [1, _, 3, _, missing @ ..]) => {
                tally.again += missing.len() as u64;
                let missing = missing.to_vec();
                self.all(tally, missing.into_iter(), now);
            }
            _ => {}
        }
        false
    }
}

fn device(options: &Options, number: usize, start: Instant) -> Result<Device, Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, options.port))?;
    socket.set_nonblocking(true)?;
    let newer = match options.firmware.as_str() {
        "old" => false,
        "newer" => true,
        _ => number.is_multiple_of(2),
    };
    let head = b"\xff\xd8\xff\xc0\0\x0b\x08\x01\xe0\x02\x80\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0";
    let mut picture = head.to_vec();
    let mut state = number as u64 + 1;
    picture.resize_with(options.bytes.max(64) - 2, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 57) as u8
    });
    picture.extend([0xff, 0xd9]);
    let payload =
        options.largest.checked_sub(HEADER).filter(|payload| *payload > 0).ok_or("--largest is too small")?;
    let packets = u8::try_from(picture.len().div_ceil(payload)).map_err(|_| "more than 255 packets")?;
    // Those that send now and then are spread.
    let due = start + Duration::from_secs_f64(options.every * number as f64 / options.devices as f64);
    let id = u8::try_from(number % 256)?;
    let (state, begun) = (State::Idle, start);
    Ok(Device { socket, id, newer, picture, payload, packets, state, due, begun, count: 0 })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let start = Instant::now();
    let stop = start + Duration::from_secs_f64(options.seconds);
    let all: Result<Vec<_>, _> = (0..options.devices).map(|number| device(&options, number, start)).collect();
    let (mut devices, mut tally, mut buffer) = (all?, Tally::default(), [0; 2048]);
    loop {
        let mut now = Instant::now();
        if now > stop + END {
            break;
        }
        for device in &mut devices {
            if device.state == State::Idle && (now >= stop || device.count >= options.pictures) {
                device.state = State::Over;
            }
            if now >= device.due && device.state != State::Over {
                device.act(&mut tally, now);
            }
        }
        if devices.iter().all(|device| device.state == State::Over) {
            break;
        }
        let due = devices.iter().filter(|device| device.state != State::Over).map(|device| device.due).min();
        let wait =
            due.unwrap_or(now).saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
        let mut polled: Vec<_> =
            devices.iter().map(|device| PollFd::new(&device.socket, PollFlags::IN)).collect();
        poll(&mut polled, Some(&Timespec::try_from(wait)?))?;
        let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        for (device, _) in devices.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            loop {
                let length = match device.socket.recv(&mut buffer) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Nobody was there.
                    Err(_) => continue,
                };
                now = Instant::now();
                if device.hear(&mut tally, &buffer[..length], now) {
                    tally.took.push(now - device.begun);
                    let next = device.begun + Duration::from_secs_f64(options.every);
                    (device.state, device.due) = (State::Idle, next.max(now));
                    break;
                }
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let unfinished = devices.iter().filter(|device| device.state != State::Over).count();
    let begun: u64 = devices.iter().map(|device| device.count).sum();
    tally.took.sort_unstable();
    let at = |part: f64| {
        let last = tally.took.len().saturating_sub(1);
        tally.took.get((last as f64 * part) as usize).map(|took| took.as_secs_f64() * 1e3)
    };
    let report = json!({
        "devices": options.devices, "bytes": options.bytes, "packets": devices.first().map(|device| device.packets),
        "firmware": options.firmware, "seconds": seconds, "begun": begun, "pictures": tally.took.len(),
        "unfinished": unfinished, "sent": tally.sent, "again": tally.again, "refused": tally.refused,
        "took_ms": {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)},
    });
    println!("{report}");
    Ok(())
}
