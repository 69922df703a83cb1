//! Bodies of LPR cameras: any bytes are a record that fits the border or a refusal, and what was sent can be given back.
#![no_main]

use gantry_lpr::answer::Receipt;
use gantry_lpr::message::{Entry, Kind, object};
use gantry_lpr::picture::{MAX_BLOBS, put_back};
use gantry_lpr::record::Record;
use gantry_lpr::session::plain;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::collections::HashMap;

fuzz_target!(|data: &[u8]| {
    let _ = plain(data);
    let Ok(message) = object(data) else { return };
    let read: Value = serde_json::from_slice(data).expect("serde_json reads what we read");
    assert_eq!(read, Value::Object(message.clone()));
    for kind in [Kind::Camera, Kind::Detection, Kind::Health] {
        let entry = match Entry::new(kind, message.clone()) {
            Ok(entry) => entry,
            Err(refusal) => {
                assert!(refusal.to_string().len() < 1000);
                continue;
            }
        };
        let receipt = Receipt::new(&entry);
        assert_eq!(receipt.response("id", "now")["success"], true);
        assert!(receipt.rest("id", "now").is_object() && receipt.plain("id", "now").is_object());
        let _ = receipt.notice("id", "now");
        let sent = entry.body.clone();
        let Ok(record) = Record::new(entry, &[], 0) else { continue };
        assert!(record.blobs.len() <= MAX_BLOBS);
        let request = record.request.to_string();
        assert!(request.len() < 1 << 20, "the border takes it");
        let mut again: Value = serde_json::from_str(&request).expect("the runtime reads it");
        let Value::Object(mut stored) = again["data"].take() else { panic!("no object") };
        let encode = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
        let blobs: HashMap<_, _> = record.blobs.iter().map(|blob| (blob.name.clone(), encode(&blob.bytes))).collect();
        put_back(&mut stored, &blobs);
        assert_eq!(Value::Object(stored), Value::Object(sent));
    }
});
