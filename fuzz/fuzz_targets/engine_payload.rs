//! Engine.IO payloads and packets: any bytes are packets or errors, in bounded number.
#![no_main]

use bytes::Bytes;
use gantry_serve::socketio::Version;
use gantry_serve::socketio::engine::{decode_binary, decode_payload, decode_text, utf16_len};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for version in [Version::V3, Version::V4] {
        for binary in [false, true] {
            assert!(decode_payload(&body, version, binary).count() <= data.len().min(4097));
        }
        let _ = decode_binary(body.clone(), version);
        if let Ok(text) = std::str::from_utf8(data) {
            let _ = decode_text(text, version);
            assert_eq!(utf16_len(data), text.encode_utf16().count());
        }
    }
});
