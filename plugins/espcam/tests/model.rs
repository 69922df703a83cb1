//! Many devices of both generations, a network that loses, repeats and reorders, a store that is slow and refuses, and
//! power cuts on either side; all on an invented clock.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Device, Firmware, picture};
use gantry_espcam::session::{Effect, Moment, Session};
use gantry_espcam::{Config, Limits, Outcome, Picture};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// What the world is like. Chances are in percent.
#[derive(Debug, Clone, Copy)]
struct World {
    lost: u32,
    repeated: u32,
    refused: u32,
    /// The longest way of a datagram, in ms: those that overtake each other.
    delay_ms: u64,
    store_ms: u64,
    /// How long a detector takes, if there is one; it fails as often as datagrams are lost.
    looks_ms: Option<u64>,
    seed: u64,
}

const KIND: World =
    World { lost: 0, repeated: 0, refused: 0, delay_ms: 2, store_ms: 20, looks_ms: None, seed: 1 };

enum Event {
    ToGateway(usize, Vec<u8>),
    ToDevice(usize, Vec<u8>),
    Looked(u32, u64),
    Stored(u32, u64),
    Tick,
    CutDevice(usize),
    CutGateway,
}

struct Simulation {
    world: World,
    state: u64,
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    config: Config,
    session: Session,
    /// Which start of the gateway it is.
    start: u32,
    devices: Vec<Device>,
    attempts: BTreeMap<(u32, u64), Arc<Picture>>,
    /// By key, as the store does it.
    store: BTreeMap<String, Vec<u8>>,
    most_held: usize,
}

impl Simulation {
    fn new(world: World, limits: Limits, devices: Vec<Device>) -> Self {
        let analysis = world.looks_ms.map(|_| "people".to_owned());
        let config = Config { limits, analysis, ..Config::default() };
        let mut simulation = Self {
            world,
            state: world.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            sequence: 0,
            session: Session::new(config.clone()),
            config,
            start: 0,
            devices,
            attempts: BTreeMap::new(),
            store: BTreeMap::new(),
            most_held: 0,
        };
        simulation.after(Duration::ZERO, Event::Tick);
        simulation
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % below.max(1)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random(100) < percent.into()
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Puts a datagram on its way, or two of it, or none.
    fn send(&mut self, event: impl Fn() -> Event) {
        let copies =
            if self.chance(self.world.lost) { 0 } else { 1 + u64::from(self.chance(self.world.repeated)) };
        for _ in 0..copies {
            let delay = Duration::from_micros(200 + self.random(self.world.delay_ms * 1000));
            self.after(delay, event());
        }
    }

    fn source(number: usize) -> SocketAddr {
        let number = u16::try_from(number).unwrap();
        SocketAddr::from(([10, 0, 0, 1], 1000 + number))
    }

    fn speak(&mut self, number: usize, datagrams: Vec<Vec<u8>>) {
        for datagram in datagrams {
            self.send(|| Event::ToGateway(number, datagram.clone()));
        }
    }

    fn do_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, datagram } => {
                    let number = usize::from(to.port() - 1000);
                    self.send(|| Event::ToDevice(number, datagram.clone()));
                }
                Effect::Look { token, .. } => {
                    let delay = Duration::from_millis(1 + self.random(self.world.looks_ms.unwrap()));
                    self.after(delay, Event::Looked(self.start, token));
                }
                Effect::Store { token, picture } => {
                    self.attempts.insert((self.start, token), picture);
                    let delay = Duration::from_millis(1 + self.random(self.world.store_ms));
                    self.after(delay, Event::Stored(self.start, token));
                }
                Effect::Publish { .. } => {}
            }
        }
        let held = self.session.figures().held_bytes;
        self.most_held = self.most_held.max(held);
        assert!(held <= self.config.limits.bytes);
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, unix_ms: 0 }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        let mut effects = Vec::new();
        match event {
            Event::ToGateway(number, datagram) => {
                self.session.datagram(self.moment(), Self::source(number), &datagram, &mut effects);
            }
            Event::ToDevice(number, datagram) => {
                let device = &mut self.devices[number];
                let was_done = device.is_done();
                let said = device.hear(&datagram, now);
                if !was_done && device.is_done() {
                    let device = &self.devices[number];
                    let stored = self.store.values().any(|kept| *kept == device.picture);
                    assert!(stored, "device {number} was told that it is stored: {device:?}");
                }
                self.speak(number, said);
            }
            Event::Looked(start, token) => {
                let seen = if self.chance(self.world.lost) {
                    Err("it is broken".to_owned())
                } else {
                    Ok(serde_json::json!({"objects": [], "duration_ms": 1.0}))
                };
                if start == self.start {
                    self.session.looked(self.moment(), token, seen, &mut effects);
                }
            }
            Event::Stored(start, token) => {
                let picture = self.attempts.remove(&(start, token)).unwrap();
                let refused = self.chance(self.world.refused);
                if !refused {
                    self.store.insert(picture.key.clone(), picture.bytes.clone());
                }
                if start == self.start {
                    let outcome =
                        if refused { Outcome::Refused("full".into()) } else { Outcome::Kept("r".into()) };
                    self.session.stored(self.moment(), token, outcome, &mut effects);
                }
            }
            Event::Tick => {
                self.session.tick(self.moment(), &mut effects);
                self.after(Duration::from_millis(200), Event::Tick);
            }
            Event::CutDevice(number) => {
                if !self.devices[number].is_done() {
                    let bytes = self.devices[number].picture.len();
                    let seed = 1_000_000 + self.random(1 << 40);
                    // It takes a moment to be there again.
                    let back = now + Duration::from_millis(2500);
                    self.devices[number].restart(picture(bytes, seed), back);
                }
            }
            Event::CutGateway => {
                self.session = Session::new(self.config.clone());
                self.start += 1;
            }
        }
        self.do_all(effects);
    }

    /// Until every device is done and everything is forgotten.
    fn run(&mut self) {
        let mut quiet_at = None;
        loop {
            let due = self.devices.iter().map(|device| device.due).min().unwrap_or(Duration::MAX);
            let next = self.events.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
            if due <= next {
                self.now = self.now.max(due);
                let number = self.devices.iter().position(|device| device.due == due).unwrap();
                let said = self.devices[number].act(self.now);
                self.speak(number, said);
            } else {
                let ((at, _), event) = self.events.pop_first().expect("there is always a tick");
                self.now = at;
                self.happen(event);
            }
            assert!(self.now < 3 * HOUR, "somebody never gets done: {:?}", self.session.figures());
            if self.devices.iter().all(Device::is_done) {
                let quiet_at = *quiet_at.get_or_insert(self.now + Duration::from_secs(300));
                if self.now > quiet_at {
                    break;
                }
            }
        }
        let figures = self.session.figures();
        assert_eq!((figures.held_bytes, figures.open_transfers, self.session.is_idle()), (0, 0, true));
        // Nothing is stored that no device has sent as a whole. (Those that lost power may have sent theirs before.)
        for device in &self.devices {
            assert!(self.store.values().any(|kept| *kept == device.picture));
        }
    }

    fn sent(&self) -> BTreeSet<&[u8]> {
        self.devices.iter().map(|device| device.picture.as_slice()).collect()
    }
}

fn devices(count: usize, seed: u64, firmware: impl Fn(usize) -> (Firmware, usize)) -> Vec<Device> {
    (0..count)
        .map(|number| {
            let (firmware, bytes) = firmware(number);
            let picture = picture(bytes, seed.wrapping_mul(1000) + number as u64);
            Device::new((number % 256) as u8, picture, firmware, Duration::from_millis(number as u64 % 50))
        })
        .collect()
}

const OLD: Firmware = Firmware { newer: false, one_too_many: false, tells_size: false, largest: 1460 };
const NEWER: Firmware = Firmware { newer: true, ..OLD };

fn any_firmware() -> impl Strategy<Value = (Firmware, usize)> {
    let largest = prop_oneof![Just(100_usize), Just(508), 60_usize..1500];
    (any::<bool>(), any::<bool>(), any::<bool>(), largest, 1_usize..60, any::<bool>(), 0_usize..10_000)
        .prop_map(|(newer, one_too_many, tells_size, largest, packets, exact, rest)| {
            let payload = largest - 8;
            let rest = if exact { 0 } else { rest % payload };
            let bytes = (packets * payload + rest).max(payload * 36_usize.div_ceil(payload));
            (Firmware { newer, one_too_many, tells_size, largest }, bytes)
        })
}

fn any_world() -> impl Strategy<Value = World> {
    let looks = prop::option::of(1_u64..4000);
    (0_u32..25, 0_u32..25, 0_u32..40, 1_u64..400, 1_u64..3000, looks, any::<u64>()).prop_map(
        |(lost, repeated, refused, delay_ms, store_ms, looks_ms, seed)| World {
            lost,
            repeated,
            refused,
            delay_ms,
            store_ms,
            looks_ms,
            seed,
        },
    )
}

#[test]
fn two_hundred_devices_at_once_of_both_generations_store_their_pictures_exactly_once() {
    let kinds = |number: usize| (if number.is_multiple_of(2) { OLD } else { NEWER }, 20_000 + number * 131);
    let mut simulation = Simulation::new(KIND, Limits::default(), devices(200, 1, kinds));
    simulation.run();
    assert_eq!((simulation.store.len(), simulation.sent().len()), (200, 200));
    assert!(simulation.devices.iter().all(|device| device.begun == 1));
}

#[test]
fn a_picture_of_255_packets_comes_through_loss_in_both_generations() {
    let world = World { lost: 10, repeated: 10, delay_ms: 30, ..KIND };
    let kinds = |number: usize| (if number.is_multiple_of(2) { OLD } else { NEWER }, 1452 * 255 - number % 3);
    let mut simulation = Simulation::new(world, Limits::default(), devices(6, 2, kinds));
    simulation.run();
    assert_eq!(simulation.store.len(), 6);
}

#[test]
fn with_memory_for_a_few_pictures_everybody_gets_a_turn() {
    let limits = Limits { bytes: 300_000, picture_bytes: 60_000, ..Limits::default() };
    let kinds = |number: usize| (if number.is_multiple_of(2) { OLD } else { NEWER }, 50_000);
    let mut simulation = Simulation::new(KIND, limits, devices(40, 3, kinds));
    simulation.run();
    assert!(simulation.store.len() >= 40 && simulation.sent().len() == 40);
    assert!(simulation.most_held > 150_000, "or it proves nothing");
}

#[test]
fn with_a_slow_detector_two_hundred_devices_at_once_lose_nothing() {
    let kinds = |number: usize| (if number.is_multiple_of(2) { OLD } else { NEWER }, 20_000 + number * 131);
    let world = World { looks_ms: Some(5000), ..KIND };
    let mut simulation = Simulation::new(world, Limits::default(), devices(200, 5, kinds));
    simulation.run();
    let figures = simulation.session.figures();
    assert_eq!((simulation.store.len(), figures.looked + figures.unlooked), (200, 200));
    assert!(figures.unlooked > 0, "or it proves nothing: {figures:?}");
}

#[test]
fn with_few_transfers_everybody_gets_a_turn() {
    let limits = Limits { transfers: 5, ..Limits::default() };
    let kinds = |number: usize| (if number.is_multiple_of(2) { OLD } else { NEWER }, 9_000);
    let mut simulation = Simulation::new(KIND, limits, devices(60, 4, kinds));
    simulation.run();
    assert_eq!(simulation.store.len(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, ..ProptestConfig::default() })]

    /// Nothing is lost, nothing is mixed, and no device is told that its picture is stored before it is.
    #[test]
    fn every_picture_is_stored_whatever_the_network_and_the_store_do(
        world in any_world(),
        kinds in prop::collection::vec(any_firmware(), 1..12),
    ) {
        let all = devices(kinds.len(), world.seed % 1000, |number| kinds[number]);
        let mut simulation = Simulation::new(world, Limits::default(), all);
        simulation.run();
        let sent = simulation.sent();
        prop_assert!(simulation.store.values().all(|kept| sent.contains(kept.as_slice())));
        prop_assert!(simulation.store.len() >= sent.len());
    }

    /// Whatever gets lost on the way, and however often the store refuses: once.
    #[test]
    fn every_picture_is_stored_once_when_nothing_but_loss_and_refusals_happen(
        world in any_world(),
        kinds in prop::collection::vec(any_firmware(), 1..12),
    ) {
        let world = World { repeated: 0, ..world };
        let all = devices(kinds.len(), world.seed % 1000, |number| kinds[number]);
        let mut simulation = Simulation::new(world, Limits::default(), all);
        simulation.run();
        prop_assert_eq!(simulation.store.len(), simulation.devices.len());
    }

    /// Power cuts on either side in the middle: what a device was told is stored, and everybody gets done.
    #[test]
    fn power_cuts_lose_nothing_that_was_acknowledged(
        world in any_world(),
        kinds in prop::collection::vec(any_firmware(), 1..8),
        cuts in prop::collection::vec((0_u64..30_000, 0_usize..12), 1..8),
    ) {
        let all = devices(kinds.len(), world.seed % 1000, |number| kinds[number]);
        let mut simulation = Simulation::new(world, Limits::default(), all);
        for (ms, whose) in cuts {
            let event = if whose < kinds.len() { Event::CutDevice(whose) } else { Event::CutGateway };
            simulation.after(Duration::from_millis(ms), event);
        }
        simulation.run();
    }

    /// Any datagrams in any order: nothing panics, and what they take is within the limits and given back.
    #[test]
    fn any_datagrams_take_what_the_limits_allow_and_give_it_back(
        datagrams in prop::collection::vec(
            (0_u16..4, 0_u8..2, 0_u8..4, 0_u8..5, prop::collection::vec(0_u8..3, 0..20), 0_u64..3000), 0..300),
    ) {
        let limits = Limits { transfers: 3, bytes: 400, picture_bytes: 100, ..Limits::default() };
        let mut session = Session::new(Config { limits, ..Config::default() });
        let (mut now, mut tokens) = (Duration::ZERO, Vec::new());
        for (source, device, kind, packets, rest, ms) in datagrams {
            now += Duration::from_millis(ms);
            let moment = Moment { at: now, unix_ms: 0 };
            let from = SocketAddr::from(([10, 0, 0, 1], source + 1));
            let length = u32::try_from(rest.len()).unwrap();
            // Requests of short packets, and data that often fits.
            let field = if kind == 1 { 9 + length % 4 } else { length };
            let mut datagram = vec![1, device, kind, packets];
            datagram.extend(field.to_be_bytes());
            if kind == 2 {
                datagram.extend(&rest);
            }
            let mut effects = Vec::new();
            session.datagram(moment, from, &datagram, &mut effects);
            session.tick(moment, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Store { token, .. } => tokens.push(token),
                    Effect::Send { to, datagram } => prop_assert!(to == from || datagram[2] == 2),
                    Effect::Look { .. } | Effect::Publish { .. } => {}
                }
            }
            prop_assert!(session.figures().held_bytes <= 400 && session.figures().open_transfers <= 3);
        }
        for token in tokens {
            session.stored(Moment { at: now, unix_ms: 0 }, token, Outcome::Kept("r".into()), &mut Vec::new());
        }
        for _ in 0..1000 {
            now += Duration::from_millis(500);
            session.tick(Moment { at: now, unix_ms: 0 }, &mut Vec::new());
        }
        prop_assert_eq!(session.figures().held_bytes, 0);
        prop_assert!(session.is_idle());
    }
}
