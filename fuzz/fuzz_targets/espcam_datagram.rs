//! Datagrams of ESP32-CAMs, one after the other: nothing panics, memory stays within its limits and is given back, and
//! replies are of the protocol and never much longer than what they answer.
#![no_main]

use gantry_espcam::datagram::{self, Datagram};
use gantry_espcam::session::{Effect, Moment, Session};
use gantry_espcam::{Config, Limits, Outcome};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    if let Ok(Datagram::Request(request)) = datagram::read(data) {
        assert_eq!(request.encode(), data);
    }
    let limits = Limits { transfers: 4, bytes: 2000, picture_bytes: 500, ..Limits::default() };
    // Every other input has a detector before the store.
    let analysis = data.len().is_multiple_of(2).then(|| "people".to_owned());
    let mut session = Session::new(Config { limits, analysis, ..Config::default() });
    let (mut at, mut rest) = (Duration::ZERO, data);
    // Each datagram has a byte for its length, one for its source and one for what happens before it.
    while let [length, source, before, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        at += Duration::from_millis(u64::from(*before) * 40);
        let moment = Moment { at, unix_ms: 0 };
        let from = SocketAddr::from(([10, 0, 0, 1], u16::from(source % 4) + 1));
        let mut effects = Vec::new();
        session.tick(moment, &mut effects);
        session.datagram(moment, from, bytes, &mut effects);
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Look { token, .. } => {
                    let seen = match before % 4 {
                        0 => Err("too many".to_owned()),
                        1 => Ok(serde_json::json!({"objects": [], "duration_ms": 1.5})),
                        2 => Ok(serde_json::json!(7)),
                        // It is never answered.
                        _ => continue,
                    };
                    let mut more = Vec::new();
                    session.looked(moment, token, seen, &mut more);
                    effects.extend(more);
                }
                Effect::Send { datagram, .. } => {
                    assert!(datagram[0] == 1 && datagram.len() <= bytes.len().max(31) + 1);
                }
                Effect::Store { token, picture } => {
                    assert!(gantry_espcam::jpeg::has_both_ends(&picture.bytes));
                    let outcome = match before % 3 {
                        0 => Outcome::Refused("full".into()),
                        1 => Outcome::Dropped,
                        _ => Outcome::Kept("r".into()),
                    };
                    session.stored(moment, token, outcome, &mut Vec::new());
                }
                Effect::Publish { .. } => {}
            }
        }
        let figures = session.figures();
        assert!(figures.held_bytes <= 2000 && figures.open_transfers <= 4);
    }
    for _ in 0..400 {
        at += Duration::from_secs(1);
        let mut effects = Vec::new();
        session.tick(Moment { at, unix_ms: 0 }, &mut effects);
        // Nobody looks at anything any more: it is stored when that is too late.
        for effect in effects {
            if let Effect::Store { token, .. } = effect {
                session.stored(Moment { at, unix_ms: 0 }, token, Outcome::Dropped, &mut Vec::new());
            }
        }
    }
    assert!(session.is_idle() && session.figures().held_bytes == 0);
});
