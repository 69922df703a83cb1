//! Requests of the people counter: any bytes are a request or a refusal, as a parser of JSON judges them, and what is
//! answered at once is one short text frame of JSON.
#![no_main]

use gantry_people_counter::faces::{Ask, Step};
use gantry_people_counter::message;
use gantry_people_counter::request::{MOST_FACES, Refusal, Request};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let read = Request::read(data);
    // A parser that keeps what it reads has bounds of its own: on depth, size of numbers, halves of characters.
    if let Ok(json) = serde_json::from_slice::<Value>(data) {
        assert_ne!(read, Err(Refusal::NotJson));
        if !json.is_object() {
            assert_eq!(read, Err(Refusal::Internal));
        }
        if let Ok(request) = &read {
            let kind = match request {
                Request::Face(_) => "get_face",
                Request::Faces(_) => "get_all_faces",
            };
            assert_eq!(json["type"], kind);
        }
    }
    let said = match read.map(Step::from) {
        Ok(Step::Ask(Ask::Face(_))) => return,
        Ok(Step::Ask(Ask::Faces(count))) => return assert!(count <= MOST_FACES),
        Ok(Step::Say(said)) => said,
        Err(refusal) => message::error(refusal),
    };
    let said = said.to_bytes();
    assert!(said.len() < 5000 && said[0] == 0x81, "one text frame, whatever was sent");
    let begin = said.iter().position(|byte| *byte == b'{').expect("an object");
    // Ids may have more digits than a parser keeps.
    let _: &serde_json::value::RawValue = serde_json::from_slice(&said[begin..]).expect("JSON");
});
