//! What is pushed: frames, statistics and events, to quick and to slow viewers.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Client, PATIENCE, Rig, run, run_with, until};
use serde_json::{Value, json};
use std::time::Instant;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0picture";
const BASE64: &str = "/9j/4HBpY3R1cmU=";

/// Gives the camera pictures until the client hears what is wanted.
fn film_until(rig: &Rig, stream: &str, client: &mut Client, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        rig.film(stream, JPEG);
        let message = client.hear();
        if wanted(&message) {
            return message;
        }
        assert!(Instant::now() < end, "it never comes");
    }
}

fn is(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == kind
}

fn is_stamp(stamp: &Value) -> bool {
    let pattern = "0000-00-00 00:00:00.000";
    let stamp = stamp.as_str().expect("text");
    stamp.len() == pattern.len()
        && stamp.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
}

#[test]
fn a_viewer_gets_frames_and_statistics_and_nothing_else_unasked() {
    run(json!({"stats_interval_ms": 100}), |rig| {
        let mut client = rig.client();
        let frame = film_until(rig, "main/jpeg", &mut client, is("frame"));
        assert_eq!(frame["data"], BASE64);
        assert!(is_stamp(&frame["timestamp"]), "{frame}");
        let stats = film_until(rig, "main/jpeg", &mut client, is("stats"));
        assert!(is_stamp(&stats["timestamp"]), "{stats}");
        for _ in 0..20 {
            let message = film_until(rig, "main/jpeg", &mut client, |_| true);
            assert!(is("frame")(&message) || is("stats")(&message), "{message}");
        }
        let text = client.hear_text();
        assert!(text.starts_with(r#"{"type":""#), "{text}");
    });
}

#[test]
fn nothing_is_sent_on_connect_on_whatever_path() {
    run(json!({"stats_interval_ms": 60_000}), |rig| {
        for path in ["/", "/ws", "/any/path/at/all?with=a&query", "//", "/?"] {
            let mut client = rig.client_at(path);
            client.say_text("?");
            assert_eq!(client.hear(), json!({"error": "Invalid JSON message"}), "{path}");
        }
    });
}

#[test]
fn statistics_are_the_state_s_from_the_first_on() {
    let prepare = |host: &mut gantry_plugin::test::Host| {
        host.set_state("counts/main/in", json!(12));
        host.set_state("counts/main/out", json!(9));
        host.set_state("counts/faces", json!(3));
        host.set_state("events/busy/today", json!(2));
        host.set_state("events/busy/active", json!(true));
        host.set_state("events/busy/count_in", json!(5));
    };
    run_with(json!({"stats_interval_ms": 100}), prepare, |rig| {
        let mut client = rig.client();
        let stats = client.hear_text();
        let data = r#"{"type":"stats","data":{"count_in":12,"count_out":9,"face_count":3,"daily_event_count":2,"event_active":true,"current_event_count_in":5},"timestamp":""#;
        assert!(stats.starts_with(data), "{stats}");
        rig.state("events/busy/active", json!(false));
        rig.state("counts/main/in", json!(13));
        let stats = client.hear_where(|message| message["data"]["count_in"] == 13);
        assert_eq!(
            (&stats["data"]["event_active"], &stats["data"]["current_event_count_in"]),
            (&json!(false), &json!(0))
        );
        // A new day.
        for key in ["counts/main/in", "counts/main/out", "counts/faces", "events/busy/today"] {
            rig.state(key, json!(0));
        }
        let none = json!({"count_in": 0, "count_out": 0, "face_count": 0, "daily_event_count": 0,
            "event_active": false, "current_event_count_in": 0});
        client.hear_where(|message| message["data"] == none);
    });
}

#[test]
fn lines_and_the_event_are_those_of_the_configuration() {
    let config =
        json!({"stats_interval_ms": 100, "camera": "hall", "lines": ["door", "gate"], "event": "rush"});
    run(config, |rig| {
        let mut client = rig.client();
        for (key, value) in [
            ("cameras/hall/connected", json!(true)),
            ("counts/hall/lines/door/in", json!(1)),
            ("counts/hall/lines/gate/in", json!(2)),
            ("counts/hall/lines/side/in", json!(50)),
            ("counts/hall/lines/gate/out", json!(4)),
            ("events/rush/today", json!(6)),
        ] {
            rig.state(key, value);
        }
        let stats = client.hear_where(|message| message["data"]["daily_event_count"] == 6);
        assert_eq!((&stats["data"]["count_in"], &stats["data"]["count_out"]), (&json!(3), &json!(4)));
        rig.message("events/rush", json!({"event": "rush", "status": "started", "start_ms": 0, "data": {}}));
        client.hear_type("event");
    });
}

#[test]
fn all_viewers_get_the_same_statistics_at_the_same_time() {
    run(json!({"stats_interval_ms": 100}), |rig| {
        let mut clients = [rig.client(), rig.client(), rig.client()];
        let stamps = clients.each_mut().map(|client| client.hear_type("stats")["timestamp"].clone());
        let newest = stamps.iter().max_by_key(|stamp| stamp.as_str().map(str::to_owned)).unwrap();
        for client in &mut clients[..] {
            client.hear_where(|message| message["timestamp"].as_str() > newest.as_str());
        }
        assert_eq!(rig.gateway().asked.len(), 1, "nobody was asked for anything but the address");
    });
}

#[test]
fn events_are_pushed_in_local_time_to_everybody() {
    run(json!({"time_zone": "Asia/Tokyo", "stats_interval_ms": 60_000}), |rig| {
        let mut clients = [rig.client(), rig.client()];
        clients.iter_mut().for_each(|client| drop(client.ask("?")));
        rig.message(
            "events/busy",
            json!({"event": "busy", "status": "started", "start_ms": 1_795_255_200_007_i64, "start": "", "data": {}}),
        );
        rig.message("events/busy", json!({"event": "busy", "status": "odd"}));
        rig.message(
            "events/busy",
            json!({"event": "busy", "status": "ended", "start_ms": 1_795_255_200_007_i64,
                "end_ms": 1_795_255_290_000_i64, "start": "", "end": "", "count_in": 14, "data": {"why": "x"}}),
        );
        for client in &mut clients {
            let started = client.hear_text();
            assert!(
                started.starts_with(
                    r#"{"type":"event","data":{"status":"started","start_time":"19:00:00"},"timestamp":""#
                ),
                "{started}"
            );
            let ended = client.hear();
            assert_eq!(
                ended["data"],
                json!({"status": "ended", "start_time": "19:00:00", "end_time": "19:01:30", "count_in": 14})
            );
            assert!(is_stamp(&ended["timestamp"]));
        }
    });
}

#[test]
fn frames_are_annotated_while_there_is_an_analysis_that_runs() {
    run(json!({"max_fps": 10}), |rig| {
        let mut client = rig.client();
        film_until(rig, "main/jpeg", &mut client, is("frame"));
        rig.state("analysis/main", json!({"detector": "motion", "fps": 10, "running": true}));
        until("the annotated one is watched", || {
            rig.gateway().watched == [("main/annotated".to_owned(), 10_000)]
        });
        film_until(rig, "main/annotated", &mut client, is("frame"));
        rig.state("analysis/main", Value::Null);
        until("the plain one is watched", || rig.gateway().watched == [("main/jpeg".to_owned(), 10_000)]);
    });
    run(json!({"annotate": false}), |rig| {
        rig.state("analysis/main", json!({"running": true}));
        rig.settle();
        let mut client = rig.client();
        film_until(rig, "main/jpeg", &mut client, is("frame"));
        assert_eq!(rig.gateway().watched, [("main/jpeg".to_owned(), 0)], "as fast as the camera is");
    });
}

#[test]
fn the_camera_is_watched_only_while_somebody_looks_and_no_frame_is_kept() {
    run(json!({"stats_interval_ms": 100}), |rig| {
        rig.film("main/jpeg", JPEG);
        rig.settle();
        assert!(rig.gateway().watched.is_empty());
        let mut client = rig.client();
        film_until(rig, "main/jpeg", &mut client, is("frame"));
        drop(client);
        until("it is watched no longer", || rig.gateway().watched.is_empty());
        until("frames are given back", || rig.gateway().kept_frames == 0);
        let mut client = rig.client();
        film_until(rig, "main/jpeg", &mut client, is("frame"));
    });
}

#[test]
fn while_the_camera_is_away_statistics_go_on_without_frames() {
    run(json!({"stats_interval_ms": 100}), |rig| {
        let mut client = rig.client();
        film_until(rig, "main/jpeg", &mut client, is("frame"));
        rig.state("cameras/main/connected", json!(false));
        rig.settle();
        client.say_text("?");
        client.answer();
        for _ in 0..5 {
            rig.film("main/jpeg", JPEG);
            let message = client.hear();
            assert!(is("stats")(&message), "{message}");
        }
        rig.state("cameras/main/connected", json!(true));
        film_until(rig, "main/jpeg", &mut client, is("frame"));
    });
}

#[test]
fn a_stuck_viewer_is_not_closed_and_costs_the_others_nothing_and_gets_its_events_and_the_newest() {
    run(json!({"stats_interval_ms": 100, "limits": {"queue_messages": 8, "queue_bytes": 4096}}), |rig| {
        let large = vec![7; 400_000];
        let mut stuck = rig.client();
        let mut quick = rig.client();
        stuck.ask("?");
        // It takes nothing from here on: what the kernel keeps for it is soon full.
        let mut seen = 0;
        while seen < 60 {
            rig.film("main/jpeg", &large);
            seen += usize::from(is("frame")(&quick.hear()));
        }
        for i in 0..20 {
            rig.state("counts/main/in", json!(i));
            quick.hear_where(|message| message["data"]["count_in"] == i);
        }
        rig.message("events/busy", json!({"status": "started", "start_ms": 0}));
        quick.hear_type("event");
        until("frames are given back", || rig.gateway().kept_frames == 0);
        assert_eq!(rig.metric("overflowed_clients"), 0.0);
        // More statistics than the queue has room for have come and gone meanwhile.
        let (mut frames, mut stats, mut events) = (0, 0, 0);
        let end = Instant::now() + PATIENCE;
        loop {
            let message = stuck.hear();
            frames += usize::from(is("frame")(&message));
            stats += usize::from(is("stats")(&message));
            events += usize::from(is("event")(&message));
            if message["data"]["count_in"] == 19 && events == 1 {
                break;
            }
            assert!(Instant::now() < end, "it never gets the newest");
        }
        assert!(frames < 40 && stats < 20, "{frames} frames, {stats} statistics");
        until("what it missed is counted", || rig.metric("skipped_frames") >= 20.0);
        rig.film("main/jpeg", JPEG);
        stuck.hear_where(|message| message["data"] == BASE64);
    });
}
