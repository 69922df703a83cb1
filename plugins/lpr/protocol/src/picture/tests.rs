use super::{Blob, MAX_BLOBS, encode, lines, put_back, take};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

fn mark(name: &str) -> Value {
    json!({ "$blob": name })
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("no object") };
    map
}

fn kept(blobs: &[Blob]) -> HashMap<String, String> {
    blobs.iter().map(|blob| (blob.name.clone(), encode(&blob.bytes))).collect()
}

/// What is stored and what is given back.
fn round(sent: &Value) -> (Map<String, Value>, Vec<Blob>, Value) {
    let mut message = object(sent.clone());
    let blobs = take(&mut message, &[]);
    let stored = message.clone();
    put_back(&mut message, &kept(&blobs));
    (stored, blobs, Value::Object(message))
}

fn jpeg(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + n) as u8).collect()
}

#[test]
fn pictures_become_blobs_and_come_back_as_they_were_sent() {
    let sent = json!({"camera_id": "1", "annotated_image": encode(&jpeg(1000)), "cropped_plates":
        [encode(&jpeg(99)), encode(&jpeg(101)), "short"], "original_image": null});
    let (stored, blobs, back) = round(&sent);
    assert_eq!(back, sent);
    assert_eq!(stored["annotated_image"], mark("annotated_image"));
    assert_eq!(
        stored["cropped_plates"],
        json!([{"$blob": "cropped_plates.0"}, {"$blob": "cropped_plates.1"}, "short"])
    );
    assert_eq!(
        blobs.iter().map(|blob| blob.name.as_str()).collect::<Vec<_>>(),
        ["annotated_image", "cropped_plates.0", "cropped_plates.1"]
    );
    assert_eq!(blobs[0].bytes, jpeg(1000));
}

#[test]
fn other_ways_to_write_base64_come_back_as_they_were_sent_too() {
    let base64 = encode(&jpeg(1000));
    let url_safe = base64.replace('+', "-").replace('/', "_");
    for (text, form, bytes) in [
        (format!("data:image/jpeg;base64,{base64}"), None, jpeg(1000)),
        (base64.trim_end_matches('=').to_owned(), Some("unpadded"), jpeg(1000)),
        (lines(&base64), Some("lines"), jpeg(1000)),
        (format!("{}é", "x".repeat(70_000)), Some("text"), format!("{}é", "x".repeat(70_000)).into_bytes()),
    ] {
        let sent = json!({ "annotated_image": text });
        let (stored, blobs, back) = round(&sent);
        assert_eq!(back, sent);
        assert_eq!(stored["annotated_image"].get("as").and_then(Value::as_str), form);
        assert_eq!(blobs[0].bytes, bytes);
    }
    // One bit that decoding would ignore, and what is no base64 of ours: they stay in the JSON.
    let odd = format!("{}/x==", "A".repeat(76));
    for text in [odd, url_safe, format!("{base64}!"), lines(&base64).trim_end().to_owned()] {
        let sent = json!({ "annotated_image": text });
        let (_, blobs, back) = round(&sent);
        assert!(back == sent && blobs.iter().all(|blob| blob.name == "annotated_image"));
    }
}

#[test]
fn pictures_in_other_fields_are_found_and_words_are_not() {
    let sent = json!({"message": "A".repeat(400), "plate_detections": [{"crop": encode(&jpeg(2000)), "text": "ABC1234"}]});
    let (stored, blobs, back) = round(&sent);
    assert_eq!(back, sent);
    assert_eq!(blobs.len(), 1);
    assert_eq!(stored["plate_detections"][0]["crop"], mark("plate_detections.0.crop"));
    assert_eq!(stored["message"], sent["message"]);
}

#[test]
fn more_pictures_than_a_record_has_blobs_share_the_last() {
    let plates: Vec<String> = (0..40).map(|i| encode(&jpeg(100 + i))).collect();
    let sent = json!({ "cropped_plates": plates, "annotated_image": encode(&jpeg(500)) });
    let (stored, blobs, back) = round(&sent);
    assert_eq!(back, sent);
    assert_eq!(blobs.len(), MAX_BLOBS);
    assert_eq!(stored["annotated_image"], mark("annotated_image"), "it comes first");
    assert_eq!(stored["cropped_plates"][39]["$blob"], "rest");
}

#[test]
fn what_a_client_sends_as_a_mark_is_none() {
    let sent = json!({"$blob": 1, "details": {"$blob": "annotated_image", "as": "text"}, "$$blob": 2, "$blobs": 3,
        "annotated_image": encode(&jpeg(200))});
    let (stored, blobs, back) = round(&sent);
    assert_eq!(serde_json::to_string(&back).unwrap(), serde_json::to_string(&sent).unwrap(), "order and all");
    assert_eq!(blobs.len(), 1);
    assert_eq!(stored["details"]["$$blob"], "annotated_image");
}

#[test]
fn bytes_that_came_beside_the_json_are_pictures_too() {
    let mut message = object(json!({"annotated_image": {"_placeholder": true, "num": 0},
        "details": {"_placeholder": true, "num": 7}}));
    let blobs = take(&mut message, &[Bytes::from_static(b"picture")]);
    assert_eq!(blobs[0].bytes, &b"picture"[..]);
    put_back(&mut message, &kept(&blobs));
    assert_eq!(message["annotated_image"], "cGljdHVyZQ==");
    assert_eq!(message["details"], json!({"_placeholder": true, "num": 7}), "there is no such attachment");
}

#[test]
fn a_picture_that_is_gone_is_null_and_a_broken_mark_no_panic() {
    let mut message =
        object(json!({"a": {"$blob": "x"}, "b": {"$blob": 1}, "c": {"$blob": "rest", "at": u64::MAX,
        "bytes": u64::MAX}, "d": {"$blob": "rest", "at": 1, "bytes": 5}}));
    put_back(&mut message, &HashMap::from([("rest".to_owned(), "AAAA".to_owned())]));
    assert_eq!(Value::Object(message), json!({"a": null, "b": null, "c": null, "d": null}));
}

/// Any JSON with keys and texts that are likely to hurt.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[A-Za-z0-9+/]{60,1100}={0,2}",
        "data:image/png;base64,[A-Za-z0-9+/]{64,90}={0,2}",
        prop::collection::vec(any::<u8>(), 40..1200).prop_map(|bytes| encode(&bytes)),
        prop::collection::vec(any::<u8>(), 40..1200).prop_map(|bytes| lines(&encode(&bytes))),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    let key = prop_oneof![
        Just("$blob".to_owned()),
        Just("$$blob".to_owned()),
        Just("annotated_image".to_owned()),
        Just("cropped_plates".to_owned()),
        Just("as".to_owned()),
        "\\PC{0,6}"
    ];
    leaf.prop_recursive(4, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_was_sent_comes_back_byte_for_byte(field in any_json(), image in any_json(), other in any_json()) {
        let sent = json!({"a": field, "annotated_image": image, "$blob": other});
        let (_, blobs, back) = round(&sent);
        prop_assert!(blobs.len() <= MAX_BLOBS);
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), serde_json::to_string(&sent).unwrap());
    }
}
