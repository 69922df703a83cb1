use super::{Block, Format, Picture, Request, Tick, View, pong, timestamp};
use bytes::Bytes;
use gantry_serve::socketio::packet::{Packet, decode};
use gantry_serve::socketio::{Event, Message, Part, Query, RawValue, Volatile};
use proptest::prelude::*;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TIME: Duration = Duration::from_micros(1_700_000_000_123_456);

fn now() -> SystemTime {
    UNIX_EPOCH + TIME
}

fn picture(jpeg: &'static [u8]) -> Picture {
    Picture { jpeg: Bytes::from_static(jpeg), width: 320, height: 180 }
}

fn view(blocks: &[Block]) -> View<'_> {
    View { camera_connected: true, clients: 2, blocks }
}

/// The packets of a message as text; attachments as their bytes.
fn parts(message: &Message) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    message
        .parts()
        .iter()
        .map(|part| match part {
            Part::Text(bytes) => text(bytes),
            Part::Binary(bytes) => format!("binary {bytes:?}"),
        })
        .collect()
}

#[test]
fn a_tick_is_sensor_data_and_then_status_with_their_keys_in_order() {
    let tick = Tick::new(&view(&[]), Some(picture(b"\xff\xd8\xff\xe0")), now());
    let sensor = r#"42["sensor_data",{"timestamp":1700000000.123456,"camera":{"frame":"/9j/4A==","width":320,"height":180,"format":"jpeg"}}]"#;
    let status =
        r#"42["status",{"timestamp":1700000000.123456,"camera_connected":true,"clients_connected":2}]"#;
    assert_eq!(parts(tick.message(Format::Base64 as u8)), [sensor, status]);
}

#[test]
fn a_binary_tick_has_the_camera_s_own_memory_as_an_attachment() {
    let picture = picture(b"\xff\xd8\xff\xe0");
    let tick = Tick::new(&view(&[]), Some(picture.clone()), now());
    let message = tick.message(Format::Binary as u8);
    let sensor = r#"451-["sensor_data",{"timestamp":1700000000.123456,"camera":{"frame":{"_placeholder":true,"num":0},"width":320,"height":180,"format":"jpeg"}}]"#;
    assert_eq!(parts(message)[0], sensor);
    let Part::Binary(bytes) = &message.parts()[1] else { panic!("no attachment") };
    assert_eq!(bytes.as_ptr(), picture.jpeg.as_ptr());
    assert_eq!(message.parts().len(), 3);
}

#[test]
fn a_tick_without_a_new_picture_has_a_null_camera() {
    let tick = Tick::new(&view(&[]), None, now());
    for format in [Format::Base64, Format::Binary] {
        let sensor = &parts(tick.message(format as u8))[0];
        assert_eq!(sensor, r#"42["sensor_data",{"timestamp":1700000000.123456,"camera":null}]"#);
    }
}

#[test]
fn without_a_camera_there_is_only_status() {
    let view = View { camera_connected: false, ..view(&[]) };
    let tick = Tick::new(&view, Some(picture(b"x")), now());
    let status =
        r#"42["status",{"timestamp":1700000000.123456,"camera_connected":false,"clients_connected":2}]"#;
    assert_eq!(parts(tick.message(0)), [status]);
}

#[test]
fn blocks_follow_the_camera_and_say_whether_they_are_there() {
    let block = |name: &str, json: &str| Block { name: name.into(), json: json.into() };
    let blocks = [block("lidar", r#"{"front":1.5}"#), block("rtk", "null")];
    let tick = Tick::new(&view(&blocks), None, now());
    let [sensor, status] = &parts(tick.message(0))[..] else { panic!("two packets") };
    assert!(sensor.ends_with(r#""camera":null,"lidar":{"front":1.5},"rtk":null}]"#), "{sensor}");
    assert!(
        status.ends_with(r#""clients_connected":2,"lidar_connected":true,"rtk_connected":false}]"#),
        "{status}"
    );
}

#[test]
fn a_format_is_encoded_once_however_many_clients_there_are() {
    let tick = Tick::new(&view(&[]), Some(picture(b"x")), now());
    for format in [0, 1] {
        assert!(std::ptr::eq(tick.message(format), tick.message(format)));
    }
}

#[test]
fn timestamps_are_seconds_with_microseconds() {
    assert_eq!(timestamp(now()), "1700000000.123456");
    assert_eq!(timestamp(UNIX_EPOCH + Duration::from_micros(7)), "0.000007");
    assert_eq!(pong(now()).get(), r#"{"timestamp":1700000000.123456}"#);
}

fn event(text: &str) -> Event {
    match decode(text) {
        Ok(Packet::Event { event, .. }) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_are_read_with_and_without_a_payload() {
    assert_eq!(Request::read(&event(r#"2["ping"]"#)), Request::Ping);
    assert_eq!(Request::read(&event(r#"2["ping",{"a":[1]},2]"#)), Request::Ping);
    let set = |format: &str| Request::read(&event(&format!(r#"2["set_format",{{"format":{format}}}]"#)));
    assert_eq!(set(r#""binary""#), Request::Format(Format::Binary));
    assert_eq!(set(r#""base64""#), Request::Format(Format::Base64));
    assert_eq!(set("7"), Request::UnknownFormat);
    assert_eq!(Request::read(&event(r#"2["set_format"]"#)), Request::UnknownFormat);
    assert_eq!(Request::read(&event(r#"2["drive",1]"#)), Request::Unknown);
}

#[test]
fn a_client_asks_for_binary_by_query_or_beside_its_connect() {
    let query = |text| Query::parse(Some(text));
    let auth = |text: &str| RawValue::from_string(text.into()).unwrap();
    assert_eq!(Format::asked(&query("binary=1"), None), Format::Binary);
    assert_eq!(Format::asked(&query("binary=0"), None), Format::Base64);
    assert_eq!(Format::asked(&query(""), Some(&auth(r#"{"binary":true,"x":1}"#))), Format::Binary);
    assert_eq!(Format::asked(&query("binary=1"), Some(&auth(r#"{"binary":false}"#))), Format::Base64);
    assert_eq!(Format::asked(&query("binary=1"), Some(&auth(r#"{"token":"x"}"#))), Format::Binary);
    assert_eq!(Format::asked(&query(""), Some(&auth("7"))), Format::Base64);
}

proptest! {
    #[test]
    fn what_is_sent_is_json_with_the_picture_in_it(jpeg in prop::collection::vec(any::<u8>(), 1..300), clients in any::<usize>()) {
        let picture = Picture { jpeg: jpeg.clone().into(), width: 1, height: 2 };
        let tick = Tick::new(&View { camera_connected: true, clients, blocks: &[] }, Some(picture), now());
        let texts = parts(tick.message(0));
        let sensor: Value = serde_json::from_str(&texts[0][2..]).unwrap();
        let frame = sensor[1]["camera"]["frame"].as_str().unwrap();
        use base64::Engine as _;
        prop_assert_eq!(base64::engine::general_purpose::STANDARD.decode(frame).unwrap(), jpeg);
        let status: Value = serde_json::from_str(&texts[1][2..]).unwrap();
        prop_assert_eq!(status[1]["clients_connected"].as_u64(), Some(clients as u64));
    }
}
