//! The receiving side of a WebSocket client without extensions (RFC 6455).

use crate::edge::Edge;
use std::net::IpAddr;

/// The key that every client sends, and the accept value that belongs to it: both are the example of RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The opcode of a text message.
pub const TEXT: u8 = 1;
/// The opcode of a pong.
pub const PONG: u8 = 10;

const PING: u8 = 9;
const CLOSE: u8 = 8;

/// What a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A whole message; see [`Reader::message`].
    Message {
        /// Text, or binary.
        text: bool,
    },
    /// A ping; its payload is [`Reader::control`].
    Ping,
    /// The server closes, with this code.
    Close(Option<u16>),
}

/// Takes a stream of bytes apart.
#[derive(Debug, Default)]
pub struct Reader {
    header: Vec<u8>,
    frame: Option<Frame>,
    message: Edge,
    text: bool,
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    last: bool,
    left: u64,
}

impl Frame {
    fn is_control(self) -> bool {
        self.opcode >= 8
    }
}

impl Reader {
    /// Takes bytes off `input` up to the end of the next event; `None` once all are taken.
    ///
    /// # Errors
    /// When the server does what only a client may, or sends a control frame that is too long.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, String> {
        loop {
            let Some(mut frame) = self.frame else {
                if !self.take_header(input)? {
                    return Ok(None);
                }
                continue;
            };
            let length = input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
            let (payload, rest) = input.split_at(length);
            *input = rest;
            if frame.is_control() {
                self.control.extend_from_slice(payload);
            } else {
                self.message.push(payload);
            }
            frame.left -= length as u64;
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            self.frame = None;
            if let Some(event) = self.end_of(frame) {
                return Ok(Some(event));
            }
        }
    }

    /// The message that [`Event::Message`] announced.
    pub fn message(&self) -> &Edge {
        &self.message
    }

    /// The payload that [`Event::Ping`] announced.
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Whether the header of a frame became whole.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, String> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.header.push(byte);
            if let Some((frame, starts_message)) = parse_header(&self.header)? {
                self.header.clear();
                self.frame = Some(frame);
                if frame.is_control() {
                    self.control.clear();
                } else if starts_message {
                    self.message.clear();
                    self.text = frame.opcode == TEXT;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn end_of(&self, frame: Frame) -> Option<Event> {
        match frame.opcode {
            PING => Some(Event::Ping),
            CLOSE => Some(Event::Close(self.control.first_chunk().map(|code| u16::from_be_bytes(*code)))),
            _ if frame.is_control() || !frame.last => None,
            _ => Some(Event::Message { text: self.text }),
        }
    }
}

/// The frame that a header announces and whether it begins a message; `None` while the header is incomplete.
fn parse_header(header: &[u8]) -> Result<Option<(Frame, bool)>, String> {
    let &[first, second, ref extended @ ..] = header else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("the server masks its frames".into());
    }
    let left = match second {
        126 => extended.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))),
        127 => extended.first_chunk().map(|length| u64::from_be_bytes(*length)),
        length => Some(u64::from(length)),
    };
    let Some(left) = left else { return Ok(None) };
    let frame = Frame { opcode: first & 0x0f, last: first & 0x80 != 0, left };
    if frame.is_control() && left > 125 {
        return Err(format!("the server sent a control frame of {left} bytes"));
    }
    Ok(Some((frame, frame.opcode != 0)))
}

/// The request with which a client begins.
pub fn upgrade((host, port): (IpAddr, u16), path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A whole frame as a client sends it: masked, with a mask of zeros so that nothing has to be changed.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a text frame of `length` bytes as a server sends it.
pub fn server_text_header(length: usize) -> Vec<u8> {
    let mut header = vec![0x80 | TEXT];
    match length {
        0..126 => header.push(length as u8),
        126..=0xffff => {
            header.push(126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &[u8]) -> Vec<u8> {
        [server_text_header(payload.len()), payload.to_vec()].concat()
    }

    /// The events in `bytes` when they arrive in pieces of `step`, with the length of each message.
    fn events(bytes: &[u8], step: usize) -> Result<Vec<(Event, usize)>, String> {
        let mut reader = Reader::default();
        let mut events = vec![];
        for mut piece in bytes.chunks(step) {
            while let Some(event) = reader.next(&mut piece)? {
                let length = match event {
                    Event::Message { .. } => reader.message().len(),
                    Event::Ping | Event::Close(_) => reader.control().len(),
                };
                events.push((event, length));
            }
        }
        Ok(events)
    }

    #[test]
    fn events_do_not_depend_on_how_the_stream_is_cut() {
        let stream = [
            text(b""),
            text(&[b'a'; 125]),
            text(&[b'b'; 126]),
            text(&[b'c'; 70_000]),
            vec![0x02, 1, 1],          // the first part of a binary message
            vec![0x89, 2, b'h', b'i'], // a ping between the parts
            vec![0x80, 2, 2, 3],       // the rest
            vec![0x8a, 0],             // a pong that nobody asked for
            vec![0x88, 2, 0x03, 0xe9], // close 1001
        ]
        .concat();
        let message = Event::Message { text: true };
        let expected = vec![
            (message, 0),
            (message, 125),
            (message, 126),
            (message, 70_000),
            (Event::Ping, 2),
            (Event::Message { text: false }, 3),
            (Event::Close(Some(1001)), 2),
        ];
        for step in [1, 2, 3, 1000, stream.len()] {
            assert_eq!(events(&stream, step), Ok(expected.clone()), "pieces of {step}");
        }
    }

    #[test]
    fn a_masked_frame_and_a_long_control_frame_are_errors() {
        assert!(events(&client_frame(TEXT, b"x"), 100).is_err());
        assert!(events(&[0x89, 126, 0, 200], 100).is_err());
    }
}
