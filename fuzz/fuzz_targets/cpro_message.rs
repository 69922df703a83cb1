//! Messages of the C Pro protocol: any bytes are a request or a refusal, and neither has more than is allowed.
#![no_main]

use gantry_cpro::message::{MAX_BYTES, MAX_KEYS, parse};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const WORDS: [&str; 4] = ["username", "password", "token", "get"];

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(request) => {
            assert!(data.len() <= MAX_BYTES && request.writes.len() <= MAX_KEYS);
            assert!(WORDS.iter().all(|word| !request.writes.contains_key(*word)));
            if let Some(Ok(keys)) = &request.get {
                assert!(keys.len() <= MAX_KEYS);
            }
            // What goes on to the runtime can be read there.
            let writes = serde_json::to_vec(&request.writes).expect("its keys are texts");
            let again: Map<String, Value> = serde_json::from_slice(&writes).expect("it was read before");
            assert!(again.keys().eq(request.writes.keys()), "the order is kept");
        }
        Err(refusal) => {
            let answer = serde_json::to_vec(&refusal).expect("its fields are texts");
            assert!(answer.len() < 200, "an error tells nothing that the client sent");
        }
    }
});
