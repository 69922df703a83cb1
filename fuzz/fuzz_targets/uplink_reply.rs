//! What an upstream replies to the LPR uplink: no packets and times panic a session, an answer comes only for what is on its
//! way, nothing comes after the end; and no HTTP answer takes a record that it does not say it takes.
#![no_main]

use gantry_lpr_uplink::answer::{Verdict, of_http};
use gantry_lpr_uplink::line::{Head, Line, Settings, Step, Way};
use gantry_lpr_uplink::message::{Kind, Message};
use gantry_lpr_uplink::session::{Effect, Session};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const OPEN: &str = r#"0{"sid":"a","pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

fuzz_target!(|input: (bool, u16, Vec<u8>, Vec<(u16, String)>)| {
    let (greeted, status, body, texts) = input;
    let verdict = of_http(status, Some(&body));
    if verdict == Verdict::Taken {
        assert!(matches!(status, 200 | 201));
    }
    let _ = of_http(status, None);

    let message = Message {
        kind: Kind::Detection,
        camera: "7".to_owned(),
        checkpoint: "c".to_owned(),
        body: "{}".to_owned(),
    };
    let settings = Settings {
        retry_interval: Duration::from_secs(60),
        max_retries: 5,
        return_interval: Duration::from_secs(120),
        jitter: 0.0,
    };
    let patience = Duration::from_secs(30);
    let mut now = Duration::ZERO;
    let mut session = Session::new(now, None, patience, patience);
    let mut line = Line::new(settings);
    let head = Head { id: "1", camera: "7", bytes: 2, unfit: None };
    assert_eq!(line.next(now, Some(head)), Step::Connect);
    let mut effects = Vec::new();
    if greeted {
        session.text(now, OPEN, &mut effects);
        session.text(now, "40{}", &mut effects);
    }
    let (mut flying, mut ended) = (false, false);
    for (wait, text) in texts {
        now += Duration::from_millis(wait.into());
        session.text(now, &text, &mut effects);
        session.tick(now, &mut effects);
        for effect in effects.drain(..) {
            assert!(!ended, "{effect:?} after the end");
            match effect {
                Effect::Opened(most) => line.opened(now, most),
                Effect::Answered(verdict) => {
                    assert!(flying, "an answer to nothing");
                    flying = false;
                    if line.is_sending() {
                        line.answered(now, verdict);
                    } else {
                        line.registered(now, verdict);
                    }
                }
                Effect::Ended(why) => {
                    assert!(why.len() < 4096);
                    ended = true;
                    flying = false;
                    line.lost(now, why);
                }
                Effect::Say(_) => {}
            }
        }
        match line.next(now, Some(head)) {
            Step::Register(Way::SocketIo) | Step::Send(Way::SocketIo) => {
                assert!(!flying && !ended, "one at a time, and where somebody is");
                flying = true;
                let _ = session.send(&message);
                session.written(now, &mut effects);
            }
            Step::Register(Way::Rest) | Step::Send(Way::Rest) if line.is_sending() => {
                line.answered(now, of_http(status, Some(&body)));
            }
            Step::Register(Way::Rest) => line.registered(now, of_http(status, Some(&body))),
            Step::Test => line.tested(now, of_http(status, Some(&body))),
            Step::Connect | Step::SetAside(_) | Step::Wait(_) | Step::Send(_) => {}
        }
    }
});
