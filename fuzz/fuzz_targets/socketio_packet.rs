//! Socket.IO packets: any text is a packet or an error.
#![no_main]

use gantry_serve::socketio::packet::{MAX_ATTACHMENTS, Packet, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(Packet::Event { event, attachments, .. }) = decode(text) {
        assert!(attachments <= MAX_ATTACHMENTS);
        let _ = event.arg::<String>(0);
    }
});
