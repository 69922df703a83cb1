//! A session: no sequence of packets and times panics, and nothing but an event costs memory.
#![no_main]

use bytes::Bytes;
use gantry_serve::Limits;
use gantry_serve::socketio::engine::decode_payload;
use gantry_serve::socketio::session::Session;
use gantry_serve::socketio::{Settings, Version};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};

fuzz_target!(|input: (bool, bool, Vec<(u16, Vec<u8>)>)| {
    let (v3, pulse, payloads) = input;
    let version = if v3 { Version::V3 } else { Version::V4 };
    let (mut now, mut out) = (Instant::now(), Vec::new());
    let (settings, limits) = (Settings::default(), Limits::default());
    let mut session = Session::new(version, "id".into(), &settings, &limits, now, &mut out);
    for (wait, payload) in payloads {
        now += Duration::from_millis(wait.into());
        let body = Bytes::from(payload);
        for packet in decode_payload(&body, version, false) {
            match packet {
                Ok(packet) => session.packet(packet, now, &mut out),
                Err(_) => session.malformed(now, &mut out),
            }
        }
        session.tick(now, pulse.then_some(now), &mut out);
        out.clear();
    }
});
