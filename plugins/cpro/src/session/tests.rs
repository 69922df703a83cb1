use super::{Delivery, Effect, Session, above_rate};
use crate::ask::Ask;
use crate::change::{Change, encode};
use crate::message::Secret;
use crate::role::Role;
use gantry_serve::Segments;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The messages in what is sent.
fn messages(frames: &Segments) -> Vec<Value> {
    let bytes = frames.to_bytes();
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        assert_eq!(rest[0], 0x81, "a whole text");
        let (head, len) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => (10, usize::try_from(u64::from_be_bytes(rest[2..10].try_into().unwrap())).unwrap()),
            short => (2, usize::from(short)),
        };
        messages.push(serde_json::from_slice(&rest[head..head + len]).expect("JSON"));
        rest = &rest[head + len..];
    }
    messages
}

/// What a session says and asks.
#[derive(Default)]
struct Seen {
    said: Vec<Value>,
    asked: Option<Ask>,
    told: Vec<Ask>,
}

impl From<Vec<Effect>> for Seen {
    fn from(effects: Vec<Effect>) -> Self {
        let mut seen = Self::default();
        for effect in effects {
            assert!(seen.asked.is_none(), "a question is the last");
            match effect {
                Effect::Send(frames) => seen.said.extend(messages(&frames)),
                Effect::Ask(ask) => seen.asked = Some(ask),
                Effect::Tell(ask) => seen.told.push(ask),
                Effect::Rejected => {}
            }
        }
        seen
    }
}

impl Seen {
    /// The request to this service, and nothing else.
    fn asks(self, service: &str) -> Value {
        let ask = self.asked.expect("a question");
        assert_eq!((ask.service, &self.said[..]), (service, &[][..]));
        ask.request
    }

    /// Messages, and no question.
    fn says(self) -> Value {
        assert!(self.asked.is_none(), "{:?} is asked", self.asked);
        self.said.into()
    }
}

fn session() -> Session {
    Session::new("cpro".into(), "192.0.2.7:4711".parse().unwrap())
}

fn say(session: &mut Session, json: Value) -> Seen {
    session.message(json.to_string().as_bytes()).into()
}

fn answer(session: &mut Session, json: Value) -> Seen {
    session.reply(Ok(json)).into()
}

fn log_in(session: &mut Session, message: Value, token: &str) {
    let service = if message.get("password").is_some() { "access.login" } else { "access.resume" };
    say(session, message).asks(service);
    let login = json!({"authenticated": true, "token": token, "user": "admin", "role": "operator"});
    answer(session, login).asks("mapping.describe");
    let said = answer(session, json!({"role": "operator", "keys": {}, "permissions": ["read:fps"]})).says();
    assert_eq!(said, json!([{"authenticated": true, "permissions": ["read:fps"]}]));
}

fn frame(sequence: u64, values: Value) -> Segments {
    let read: serde_json::Map<_, _> =
        values.as_object().unwrap().keys().map(|key| (key.clone(), "anonymous".into())).collect();
    let change = json!({"sequence": sequence, "values": values, "read": read});
    let change = Change::read(change.to_string().as_bytes()).unwrap();
    change.frame(Role::Anonymous).unwrap().clone()
}

#[test]
fn a_write_is_confirmed_once_in_its_order_and_each_refusal_is_a_message_after_it() {
    let mut session = session();
    let request = say(&mut session, json!({"sharpness": 45, "nonsense": 1, "fps": 500, "brightness": 75.0}));
    assert_eq!(
        request.asks("mapping.write"),
        json!({"mapping": "cpro", "token": null, "address": "192.0.2.7:4711",
            "values": {"sharpness": 45, "nonsense": 1, "fps": 500, "brightness": 75.0}})
    );
    let range = json!({"error": "Invalid value", "key": "fps", "message": "Value must be between 5 and 60"});
    let unknown = json!({"error": "Unknown key", "key": "nonsense", "message": null});
    let reply =
        json!({"sequence": 1, "accepted": {"brightness": 75, "sharpness": 45}, "rejected": [unknown, range]});
    let Effect::Send(frames) = session.reply(Ok(reply)).pop().unwrap() else { panic!("one piece") };
    let texts: Vec<_> = messages(&frames).iter().map(Value::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"{"sharpness":45,"brightness":75,"info":["sharpness","brightness"]}"#,
            r#"{"error":"Unknown key","key":"nonsense"}"#,
            r#"{"error":"Invalid value","key":"fps","message":"Value must be between 5 and 60"}"#,
        ]
    );
}

#[test]
fn a_write_of_which_nothing_is_accepted_is_not_confirmed() {
    let mut session = session();
    say(&mut session, json!({"brightness": 1})).asks("mapping.write");
    let denied = json!({"error": "Permission denied", "key": "brightness"});
    let said = answer(&mut session, json!({"sequence": 3, "accepted": {}, "rejected": [denied]})).says();
    assert_eq!(said, json!([denied]));
}

#[test]
fn one_message_logs_in_then_writes_then_reads() {
    let mut session = session();
    let all = json!({"get": ["fps", "none"], "fps": 30, "password": "p", "username": "admin"});
    let login = say(&mut session, all).asks("access.login");
    assert_eq!(login, json!({"username": "admin", "password": "p", "address": "192.0.2.7"}));
    let login = json!({"authenticated": true, "token": "t1", "user": "admin", "role": "operator"});
    assert_eq!(
        answer(&mut session, login).asks("mapping.describe"),
        json!({"mapping": "cpro", "token": "t1"})
    );
    let seen = answer(&mut session, json!({"role": "operator", "permissions": ["write:fps"]}));
    assert_eq!(seen.said, [json!({"authenticated": true, "permissions": ["write:fps"]})]);
    let write = seen.asked.expect("the write");
    assert_eq!((write.service, &write.request["token"]), ("mapping.write", &json!("t1")));
    let seen = answer(&mut session, json!({"sequence": 1, "accepted": {"fps": 30}, "rejected": []}));
    assert_eq!(seen.said, [json!({"fps": 30, "info": ["fps"]})]);
    assert_eq!(
        seen.asked.expect("the query").request,
        json!({"mapping": "cpro", "token": "t1", "keys": ["fps", "none"]})
    );
    let unknown = json!({"error": "Unknown key", "key": "none"});
    let said =
        answer(&mut session, json!({"sequence": 1, "values": {"fps": 30}, "rejected": [unknown]})).says();
    assert_eq!(said, json!([{"fps": 30}, unknown]));
}

#[test]
fn a_failed_login_says_so_in_exactly_these_words_and_what_follows_is_anonymous() {
    let failed = json!({"authenticated": false, "error": "Authentication failed"});
    for reply in [
        Ok(json!({"authenticated": false})),
        Ok(json!({"authenticated": false, "retry_after_s": 12})),
        Ok(json!({"authenticated": true})),
        Ok(json!("what?")),
        Err("the service is busy".to_owned()),
    ] {
        let mut session = session();
        say(&mut session, json!({"username": "admin", "password": "x", "fps": 30})).asks("access.login");
        let seen = Seen::from(session.reply(reply));
        assert_eq!(seen.said, std::slice::from_ref(&failed));
        assert_eq!(seen.asked.unwrap().request["token"], Value::Null);
    }
    assert_eq!(say(&mut session(), json!({"username": "admin"})).says(), json!([failed]), "nobody is asked");
}

#[test]
fn who_fails_to_log_in_anew_is_nobody_and_a_session_begun_here_ends() {
    let mut session = session();
    log_in(&mut session, json!({"username": "admin", "password": "p"}), "mine");
    assert_eq!(session.sees(None), Some(Role::Operator));
    say(&mut session, json!({"token": "wrong"})).asks("access.resume");
    let seen = answer(&mut session, json!({"authenticated": false}));
    assert_eq!(seen.told, [Ask::end(&Secret::new("mine".into()))]);
    assert_eq!((session.token(), session.sees(None)), (None, None));
}

#[test]
fn what_a_message_began_ends_with_the_connection_and_what_came_by_token_stays() {
    let mut own = session();
    log_in(&mut own, json!({"username": "admin", "password": "p"}), "mine");
    assert_eq!(Seen::from(own.gone()).told, [Ask::end(&Secret::new("mine".into()))]);
    let mut lent = session();
    log_in(&mut lent, json!({"token": "theirs"}), "theirs");
    assert!(lent.gone().is_empty());
}

#[test]
fn a_token_in_the_url_is_silent_when_it_holds_and_told_when_it_does_not() {
    let mut good = session();
    Seen::from(good.connected_with(Secret::new("t".into()))).asks("access.resume");
    let login = json!({"authenticated": true, "token": "t", "role": "viewer"});
    answer(&mut good, login).asks("mapping.describe");
    assert_eq!(answer(&mut good, json!({"role": "viewer", "permissions": []})).says(), json!([]));
    assert_eq!(good.sees(None), Some(Role::Viewer));
    let mut bad = session();
    Seen::from(bad.connected_with(Secret::new("t".into()))).asks("access.resume");
    let said = answer(&mut bad, json!({"authenticated": false})).says();
    assert_eq!(said, json!([{"authenticated": false, "error": "Authentication failed"}]));
}

#[test]
fn broadcasts_wait_for_the_confirmation_of_a_write_and_for_the_answer_to_a_query() {
    let mut session = session();
    let (mine, theirs) = (frame(2, json!({"fps": 30})), frame(1, json!({"gain": 1})));
    assert_eq!(session.broadcast(&theirs), Delivery::Now);
    say(&mut session, json!({"fps": 30, "x": 1})).asks("mapping.write");
    assert_eq!(session.broadcast(&theirs), Delivery::Held);
    assert_eq!(session.broadcast(&mine), Delivery::Held);
    let unknown = json!({"error": "Unknown key", "key": "x"});
    let said =
        answer(&mut session, json!({"sequence": 2, "accepted": {"fps": 30}, "rejected": [unknown]})).says();
    assert_eq!(said, json!([{"fps": 30, "info": ["fps"]}, unknown, {"gain": 1}, {"fps": 30}]));
    assert_eq!(session.broadcast(&mine), Delivery::Now);

    say(&mut session, json!({"get": "fps"})).asks("mapping.read");
    assert_eq!(session.broadcast(&frame(3, json!({"fps": 60}))), Delivery::Held);
    let said = answer(&mut session, json!({"sequence": 2, "values": {"fps": 30}})).says();
    assert_eq!(said, json!([{"fps": 30}, {"fps": 60}]), "the newer value comes last");
}

#[test]
fn what_is_held_has_a_bound() {
    let mut session = session();
    say(&mut session, json!({"fps": 30})).asks("mapping.write");
    let frame = encode(&json!({}));
    let held = (0..10_000).take_while(|_| session.broadcast(&frame) == Delivery::Held).count();
    assert_eq!((held, session.broadcast(&frame)), (super::MAX_HELD, Delivery::TooMany));
}

#[test]
fn a_query_is_answered_with_what_is_known_and_an_error_for_each_of_the_others() {
    let mut session = session();
    assert_eq!(say(&mut session, json!({"get": []})).says(), json!([{}]), "nothing was asked for");
    say(&mut session, json!({"get": ["b", "a"]})).asks("mapping.read");
    let seen = session.reply(Ok(json!({"sequence": 1, "values": {"a": 1, "b": 2, "c": 3}, "rejected": []})));
    assert_eq!(Seen::from(seen).says()[0].to_string(), r#"{"b":2,"a":1}"#, "as asked, and no more");
    say(&mut session, json!({"get": ["x"]})).asks("mapping.read");
    let unknown = json!({"error": "Unknown key", "key": "x"});
    let said = answer(&mut session, json!({"sequence": 1, "values": {}, "rejected": [unknown]})).says();
    assert_eq!(said, json!([unknown]));
    let seen = say(&mut session, json!({"get": 7, "fps": 1}));
    assert_eq!(seen.asks("mapping.write")["values"], json!({"fps": 1}), "the write beside it counts");
    let said = answer(&mut session, json!({"sequence": 1, "accepted": {"fps": 1}})).says();
    let wrong = json!({"error": "Invalid value", "key": "get", "message": "Must be a list of keys"});
    assert_eq!(said, json!([{"fps": 1, "info": ["fps"]}, wrong]));
}

#[test]
fn a_runtime_that_does_not_answer_is_an_error_for_each_key_and_the_next_message_is_done() {
    let mut session = session();
    say(&mut session, json!({"fps": 1, "gain": 2})).asks("mapping.write");
    let seen = Seen::from(session.reply(Err("no script runs".into()))).says();
    let told: Vec<_> = seen.as_array().unwrap().iter().map(|m| (&m["error"], &m["key"])).collect();
    assert_eq!(told, [(&json!("Unavailable"), &json!("fps")), (&json!("Unavailable"), &json!("gain"))]);
    say(&mut session, json!({"get": "fps"})).asks("mapping.read");
}

#[test]
fn a_session_that_has_ended_meanwhile_is_told_before_the_answer() {
    let mut session = session();
    log_in(&mut session, json!({"token": "t"}), "t");
    say(&mut session, json!({"fps": 1})).asks("mapping.write");
    let denied = json!({"error": "Permission denied", "key": "fps"});
    let reply = json!({"sequence": 1, "accepted": {}, "rejected": [denied], "ended": true});
    let said = answer(&mut session, reply).says();
    assert_eq!(said, json!([{"authenticated": false, "error": "Session ended"}, denied]));
    assert_eq!(session.token(), None);
}

#[test]
fn a_review_changes_the_rights_or_ends_them_but_only_of_the_token_that_was_reviewed() {
    let mut session = session();
    log_in(&mut session, json!({"token": "t"}), "t");
    let (t, other) = (Secret::new("t".into()), Secret::new("u".into()));
    assert!(session.reviewed(&other, None).is_empty() && session.token().is_some());
    assert!(session.reviewed(&t, Some(Some(Role::Viewer))).is_empty());
    assert_eq!(session.sees(Some(Role::Anonymous)), Some(Role::Viewer));
    let said = Seen::from(session.reviewed(&t, None)).says();
    assert_eq!(said, json!([{"authenticated": false, "error": "Session ended"}]));
    assert_eq!(session.sees(Some(Role::Anonymous)), Some(Role::Anonymous));
}

#[test]
fn an_empty_object_asks_for_nothing_and_gets_nothing() {
    assert_eq!(say(&mut session(), json!({})).says(), json!([]));
    assert_eq!(messages(&above_rate()), [json!({"error": "Rate limit exceeded"})]);
}

#[test]
fn passwords_and_tokens_are_not_shown() {
    let mut session = session();
    let effects = session.message(br#"{"username":"admin","password":"hunter2"}"#);
    let shown = format!("{session:?} {effects:?}");
    log_in(&mut session, json!({"token": "hunter2"}), "hunter2");
    assert!(!format!("{shown} {session:?}").contains("hunter2"));
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just(json!(1)),
        Just(json!("x")),
        Just(json!(["a", "b"])),
        Just(json!([1])),
        Just(json!(null))
    ];
    let key = prop_oneof!["get", "username", "password", "token", "[a-c]"];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec((key, value), 0..6).prop_map(|fields| Value::Object(
            fields.into_iter().collect()
        )
        .to_string()
        .into_bytes()),
    ]
}

fn any_reply() -> impl Strategy<Value = Result<Value, String>> {
    prop_oneof![
        Just(Err("no".to_owned())),
        Just(Ok(json!(null))),
        Just(Ok(json!({"authenticated": true, "token": "t", "role": "viewer"}))),
        Just(Ok(json!({"authenticated": false}))),
        Just(Ok(json!({"role": "viewer", "permissions": ["read:a"], "ended": true}))),
        Just(Ok(json!({"sequence": 1, "accepted": {"a": 1}, "values": {"b": 1}, "rejected": []}))),
        Just(Ok(json!({"sequence": 1, "rejected": [{"error": "Unknown key", "key": "c"}], "ended": true}))),
    ]
}

proptest! {
    /// Whatever strangers send and the runtime answers: all that is sent is JSON objects, every message comes to its end,
    /// and then nothing is held.
    #[test]
    fn every_message_comes_to_its_end_in_well_formed_words(
        bytes in prop::collection::vec(any_message(), 1..8),
        mut replies in prop::collection::vec(any_reply(), 8),
    ) {
        let mut session = session();
        let change = encode(&json!({"a": 1}));
        for bytes in bytes {
            let mut seen = Seen::from(session.message(&bytes));
            let mut steps = 0;
            loop {
                prop_assert!(seen.said.iter().all(Value::is_object));
                if seen.asked.is_none() {
                    break;
                }
                steps += 1;
                prop_assert!(steps <= 4, "a login is two questions, a write and a query one each");
                session.broadcast(&change);
                replies.rotate_left(1);
                seen = Seen::from(session.reply(replies[0].clone()));
            }
            prop_assert!(session.held.is_empty() && session.todo.is_empty());
            prop_assert_eq!(session.broadcast(&change), Delivery::Now);
        }
    }
}
