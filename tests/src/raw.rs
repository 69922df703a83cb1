//! A WebSocket without a library: for many of them at once, and for what no library would send.

use crate::PATIENCE;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A connection. Its frames are masked with zeros.
pub struct Raw(TcpStream);

/// The head of a masked frame of `bytes` bytes, with its first byte as given (`0x81`: one text message).
#[must_use]
pub fn head(first: u8, bytes: usize) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(bytes @ ..126), _) => head.push(0x80 | bytes),
        (_, Ok(bytes)) => {
            head.push(0xfe);
            head.extend(bytes.to_be_bytes());
        }
        _ => {
            head.push(0xff);
            head.extend((bytes as u64).to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

impl Raw {
    /// Connects to `HOST:PORT`.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn connect(address: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        // Byte by byte, because a message may follow at once.
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side has closed.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Sends text messages, in one write.
    ///
    /// # Panics
    /// When the other side has closed.
    pub fn send_all<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        let frames: Vec<u8> =
            texts.into_iter().flat_map(|text| [head(0x81, text.len()), text.into()].concat()).collect();
        self.write(&frames).expect("sent");
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.send_all([text]);
    }

    /// The next frame: its first byte and its content. `None` at the end of the connection.
    #[must_use]
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let more = match head[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut length = [0; 8];
        self.0.read_exact(&mut length[8 - more..]).ok()?;
        let length = if more == 0 { u64::from(head[1]) } else { u64::from_be_bytes(length) };
        let mut content = vec![0; usize::try_from(length).ok()?];
        self.0.read_exact(&mut content).ok()?;
        Some((head[0], content))
    }

    /// The next text message.
    ///
    /// # Panics
    /// When there is something else.
    #[must_use]
    pub fn text(&mut self) -> String {
        loop {
            match self.frame() {
                Some((0x81, text)) => return String::from_utf8(text).expect("UTF-8"),
                // A ping.
                Some((0x89, _)) => {}
                other => panic!("{other:?} instead of a text message"),
            }
        }
    }

    /// Reads to the end of the connection, and returns the code of the close frame if there was one.
    #[must_use]
    pub fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((first, content)) = self.frame() {
            if first == 0x88 {
                code = content.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        code
    }
}
