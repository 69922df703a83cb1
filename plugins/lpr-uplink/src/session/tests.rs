use super::{Effect, Session};
use crate::answer::Verdict;
use crate::message::{Kind, Message};
use proptest::prelude::*;
use std::time::Duration;

const OPEN: &str = r#"0{"sid":"a","pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const PATIENCE: Duration = Duration::from_secs(30);

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn message(kind: Kind) -> Message {
    Message { kind, camera: "7".to_owned(), checkpoint: "c".to_owned(), body: r#"{"x":1}"#.to_owned() }
}

fn new() -> Session {
    Session::new(seconds(0), None, seconds(30), PATIENCE)
}

fn hear(session: &mut Session, now: u64, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    session.text(seconds(now), text, &mut effects);
    effects
}

fn tick(session: &mut Session, now: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    session.tick(seconds(now), &mut effects);
    effects
}

fn open() -> Session {
    let mut session = new();
    hear(&mut session, 0, OPEN);
    assert_eq!(hear(&mut session, 0, r#"40{"sid":"b"}"#), [Effect::Opened(Some(1_000_000))]);
    session
}

fn send(session: &mut Session, now: u64, kind: Kind) -> String {
    let text = session.send(&message(kind));
    session.written(seconds(now), &mut Vec::new());
    text
}

fn taken() -> Vec<Effect> {
    vec![Effect::Answered(Verdict::Taken)]
}

fn has_ended(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Ended(_)])
}

#[test]
fn it_opens_with_the_key_and_answers_pings() {
    let mut session = Session::new(seconds(0), Some(r#"{"api_key":"k"}"#.to_owned()), seconds(30), PATIENCE);
    assert_eq!(hear(&mut session, 1, OPEN), [Effect::Say(r#"40{"api_key":"k"}"#.to_owned())]);
    assert_eq!(hear(&mut session, 1, "2"), [Effect::Say("3".to_owned())]);
    assert_eq!(hear(&mut session, 1, r#"40{"sid":"b"}"#), [Effect::Opened(Some(1_000_000))]);
    assert_eq!(hear(&mut session, 2, r#"40{"sid":"b"}"#), [], "once");
    assert_eq!(hear(&mut session, 2, OPEN), []);
}

#[test]
fn each_kind_is_sent_and_answered_in_the_words_of_the_document() {
    let mut session = open();
    for (kind, sent, answer) in [
        (Kind::Register, r#"420["camera_register",{"x":1}]"#, r#"42["camera_register",{"success":true}]"#),
        (
            Kind::Detection,
            r#"421["lpr_data",{"x":1}]"#,
            r#"42["lpr_response",{"success":true,"camera_id":7}]"#,
        ),
        (Kind::Health, r#"422["health_status",{"x":1}]"#, r#"42["health_response",{"success":true}]"#),
    ] {
        assert_eq!(send(&mut session, 1, kind), sent);
        assert_eq!(hear(&mut session, 2, answer), taken(), "{answer}");
    }
}

#[test]
fn other_events_are_no_answers() {
    let mut session = open();
    send(&mut session, 1, Kind::Detection);
    for other in [
        r#"42["health_response",{"success":true}]"#,
        r#"42["new_detection",{"success":true}]"#,
        r#"42["lpr_response"]"#,
        r#"42["lpr_response",{"camera_id":7}]"#,
        r#"42["lpr_response",[true]]"#,
        r#"42["lpr_response",{"success":true,"camera_id":8,"checkpoint_id":"c"}]"#,
        r#"42/admin,["lpr_response",{"success":true}]"#,
        r#"451-["lpr_response",{"success":true}]"#,
        r#"433[{"success":true}]"#,
        r#"430[]"#,
    ] {
        assert_eq!(hear(&mut session, 2, other), [], "{other}");
    }
    let no = r#"42["lpr_response",{"success":false,"message":"full"}]"#;
    assert_eq!(
        hear(&mut session, 2, no),
        [Effect::Answered(Verdict::Refused("the upstream says: full".to_owned()))]
    );
    assert_eq!(hear(&mut session, 2, no), [], "nothing is on its way");
}

#[test]
fn an_error_is_the_answer_to_what_is_on_its_way() {
    let mut session = open();
    assert_eq!(hear(&mut session, 1, r#"42["error",{"message":"x"}]"#), []);
    send(&mut session, 1, Kind::Health);
    assert_eq!(
        hear(&mut session, 2, r#"42["error",{"message":"bad"}]"#),
        [Effect::Answered(Verdict::Refused("the upstream says: bad".to_owned()))]
    );
}

#[test]
fn of_an_upstream_that_answers_twice_only_one_answer_counts() {
    // Event first: acknowledgements are nothing from then on, the late one of the message before least of all.
    let mut session = open();
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"42["lpr_response",{"success":true}]"#), taken());
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"430[{"success":true}]"#), []);
    assert_eq!(hear(&mut session, 1, r#"431[{"success":true}]"#), []);
    assert_eq!(hear(&mut session, 1, r#"42["lpr_response",{"success":true}]"#), taken());
    // Acknowledgement first: the event of the message before is not taken for the next one's answer.
    let mut session = open();
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"430[{"success":true}]"#), taken());
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"42["lpr_response",{"success":true}]"#), []);
    assert_eq!(hear(&mut session, 1, r#"431[{"success":true}]"#), taken());
}

#[test]
fn each_kind_of_message_may_be_answered_in_its_own_way() {
    let mut session = open();
    send(&mut session, 1, Kind::Register);
    assert_eq!(hear(&mut session, 1, r#"430[{"success":true}]"#), taken());
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"42["lpr_response",{"success":true}]"#), taken());
    send(&mut session, 1, Kind::Health);
    assert_eq!(hear(&mut session, 1, r#"432[{"success":true}]"#), taken());
    send(&mut session, 1, Kind::Detection);
    assert_eq!(hear(&mut session, 1, r#"42["lpr_response",{"success":true}]"#), taken());
}

#[test]
fn an_answer_that_does_not_come_ends_the_session_so_that_it_cannot_be_anothers() {
    let mut session = open();
    let text = session.send(&message(Kind::Detection));
    assert!(text.starts_with("420"));
    assert_eq!(tick(&mut session, 31), [], "it is not written yet");
    hear(&mut session, 40, "2");
    session.written(seconds(40), &mut Vec::new());
    hear(&mut session, 60, "2");
    assert_eq!(session.deadline(), seconds(70));
    assert_eq!(tick(&mut session, 69), []);
    assert!(has_ended(&tick(&mut session, 70)) && session.has_ended());
    assert_eq!(hear(&mut session, 70, r#"42["lpr_response",{"success":true}]"#), []);
    assert_eq!(tick(&mut session, 1000), []);
}

#[test]
fn a_registration_that_nobody_answers_does_not_hold_up_anything() {
    let mut session = open();
    send(&mut session, 1, Kind::Register);
    assert_eq!(session.deadline(), seconds(3));
    assert_eq!(tick(&mut session, 3), taken());
    // The next one is not waited for at all.
    let _ = session.send(&message(Kind::Register));
    let mut effects = Vec::new();
    session.written(seconds(4), &mut effects);
    assert_eq!(effects, taken());
    // A late answer to the first one means nothing.
    send(&mut session, 4, Kind::Detection);
    assert_eq!(hear(&mut session, 4, r#"42["camera_register",{"success":true}]"#), []);
}

#[test]
fn silence_ends_it_and_any_word_is_a_sign_of_life() {
    let mut session = open();
    assert_eq!(session.deadline(), seconds(45));
    hear(&mut session, 40, "6");
    assert_eq!(tick(&mut session, 84), []);
    assert!(has_ended(&tick(&mut session, 85)));
}

#[test]
fn a_message_that_takes_long_to_write_is_no_silence_of_the_upstream() {
    let mut session = open();
    send(&mut session, 100, Kind::Detection);
    assert_eq!(tick(&mut session, 101), [], "nobody has listened until then");
    assert!(session.deadline() > seconds(101));
}

#[test]
fn who_does_not_greet_or_does_not_let_us_in_is_not_waited_for() {
    let mut session = new();
    assert_eq!(tick(&mut session, 29), []);
    assert!(has_ended(&tick(&mut session, 30)));
    let mut session = new();
    hear(&mut session, 1, OPEN);
    assert!(has_ended(&tick(&mut session, 30)), "greeted, but not let in");
    let mut session = new();
    hear(&mut session, 1, OPEN);
    let effects = hear(&mut session, 1, r#"44{"message":"who\nare you"}"#);
    assert_eq!(
        effects,
        [Effect::Ended("the upstream does not let us in: who are you: check `api_key`".to_owned())]
    );
}

#[test]
fn the_end_is_told_once() {
    for end in ["1", "41", "nonsense", ""] {
        let mut session = open();
        assert!(has_ended(&hear(&mut session, 1, end)), "{end}");
        assert_eq!(hear(&mut session, 1, end), []);
    }
}

#[test]
fn a_flood_ends_it_and_much_over_time_does_not() {
    let mut session = open();
    for second in 1..20 {
        for _ in 0..900 {
            assert_eq!(hear(&mut session, second, r#"42["new_detection",{}]"#), []);
        }
    }
    for _ in 0..100 {
        hear(&mut session, 19, "6");
    }
    assert!(has_ended(&hear(&mut session, 19, "6")));
    let mut session = open();
    let mut effects = Vec::new();
    session.binary(seconds(1), 17 << 20, &mut effects);
    assert!(has_ended(&effects));
}

proptest! {
    /// Whatever comes: no panic, an answer only for what is on its way, and nothing after the end.
    #[test]
    fn any_replies_are_survived(steps in prop::collection::vec((0u8..8, "[0-6]{1,2}[0-9]?\\PC{0,30}", 0u64..40), 1..60)) {
        let mut session = new();
        let (mut now, mut flying, mut opened, mut ended) = (0, false, false, false);
        for (what, text, later) in steps {
            now += later;
            let mut effects = Vec::new();
            match what {
                0 => session.text(seconds(now), OPEN, &mut effects),
                1 => session.text(seconds(now), "40{}", &mut effects),
                2 => session.text(seconds(now), r#"42["lpr_response",{"success":true}]"#, &mut effects),
                3 => session.text(seconds(now), &text, &mut effects),
                4 => session.tick(seconds(now), &mut effects),
                5 => session.text(seconds(now), r#"42["error",{}]"#, &mut effects),
                6 => session.binary(seconds(now), 10, &mut effects),
                _ if opened && !ended && !flying => {
                    let _ = session.send(&message(Kind::Detection));
                    session.written(seconds(now), &mut effects);
                    flying = true;
                }
                _ => {}
            }
            for effect in effects {
                prop_assert!(!ended, "{effect:?} after the end");
                match effect {
                    Effect::Opened(_) => {
                        prop_assert!(!opened);
                        opened = true;
                    }
                    Effect::Answered(_) => {
                        prop_assert!(flying);
                        flying = false;
                    }
                    Effect::Ended(_) => ended = true,
                    Effect::Say(_) => {}
                }
            }
            prop_assert_eq!(ended, session.has_ended());
        }
    }
}
