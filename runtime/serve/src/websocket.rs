//! WebSocket: the handshake, reading, and prebuilt frames.
//!
//! Reading and its rules (masks, fragments, UTF-8, close codes) are tungstenite's, fed with bytes: it owns no socket.
//! What it wants to write by itself (pongs, the answer to a close) is handed to the caller, who puts it into the client's
//! [`Outbox`](crate::Outbox), because only the client's writer may write. Our own frames are built here once and shared;
//! tungstenite would copy every payload for every client.

use crate::http::{self, Request, Response, StatusCode, header};
use crate::limits::Share;
use crate::{Connection, Limits, Pulse, ReadHalf, Segments, SegmentsBuilder, Stream, WriteHalf};
use bytes::{Buf, Bytes, BytesMut};
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use std::io::{self, Read, Write};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tungstenite::error::{CapacityError, Error as WsError};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

pub use tungstenite::Utf8Bytes;

/// What a read asks the socket for at first; it grows while the peer fills it.
const READ_BYTES: usize = 2 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

/// The header of an unmasked, unfragmented frame.
fn head(builder: &mut SegmentsBuilder, opcode: u8, len: usize) {
    let first = 0x80 | opcode;
    match len {
        0..126 => builder.copy(&[first, len as u8]),
        126..0x1_0000 => {
            builder.copy(&[first, 126]);
            builder.copy(&(len as u16).to_be_bytes());
        }
        _ => {
            builder.copy(&[first, 127]);
            builder.copy(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a text frame to what is being built. The bytes must be UTF-8.
pub fn put_text(builder: &mut SegmentsBuilder, text: &Bytes) {
    head(builder, 1, text.len());
    builder.share(text);
}

/// Appends a binary frame to what is being built: `before`, then `bytes`, as one payload.
pub fn put_binary(builder: &mut SegmentsBuilder, before: &[u8], bytes: &Bytes) {
    head(builder, 2, before.len() + bytes.len());
    builder.copy(before);
    builder.share(bytes);
}

/// A text frame. The bytes must be UTF-8.
#[must_use]
pub fn text(text: &Bytes) -> Segments {
    let mut builder = SegmentsBuilder::new();
    put_text(&mut builder, text);
    builder.finish()
}

/// A binary frame.
#[must_use]
pub fn binary(bytes: &Bytes) -> Segments {
    let mut builder = SegmentsBuilder::new();
    put_binary(&mut builder, &[], bytes);
    builder.finish()
}

/// A close frame with its code (1000 normal, 1001 going away, 1008 policy, 1013 try again later) and a reason of at most
/// 123 bytes; what is more is cut.
#[must_use]
pub fn close(code: u16, reason: &str) -> Segments {
    let reason = &reason[..reason.floor_char_boundary(123)];
    let mut builder = SegmentsBuilder::new();
    head(&mut builder, 8, 2 + reason.len());
    builder.copy(&code.to_be_bytes());
    builder.copy(reason.as_bytes());
    builder.finish()
}

/// Whether a request wants to become a WebSocket.
#[must_use]
pub fn is_upgrade(request: &Request) -> bool {
    has_token(request, header::UPGRADE, "websocket")
}

fn has_token(request: &Request, name: header::HeaderName, token: &str) -> bool {
    let values = request.headers().get_all(name);
    let mut texts = values.iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

/// A handshake that has been answered: becomes a WebSocket when the answer is out.
pub struct Upgrade {
    upgrade: hyper::upgrade::OnUpgrade,
    connection: Connection,
    limits: Limits,
}

/// Answers a handshake: 101 and what becomes of the connection, or an error to answer with.
pub fn upgrade(
    request: &mut Request,
    connection: &Connection,
    limits: &Limits,
) -> Result<(Response, Upgrade), Box<Response>> {
    let refuse = |status, why: &str| Box::new(http::json(status, &serde_json::json!({"error": why})));
    if request.method() != http::Method::GET
        || !is_upgrade(request)
        || !has_token(request, header::CONNECTION, "upgrade")
    {
        let mut response =
            refuse(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket address: connect with ws:// or wss://");
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(response);
    }
    if request.headers().get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = refuse(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(response);
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(key) = key.filter(|key| key.len() == 24) else {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "the Sec-WebSocket-Key is missing or not 16 bytes in base64",
        ));
    };
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let Ok(accept) = HeaderValue::from_str(&accept) else {
        return Err(refuse(StatusCode::BAD_REQUEST, "the Sec-WebSocket-Key is not base64"));
    };
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    let upgrade = hyper::upgrade::on(request);
    Ok((response, Upgrade { upgrade, connection: connection.clone(), limits: limits.clone() }))
}

impl Upgrade {
    /// The WebSocket, once the 101 is on its way. An error when the peer went away before.
    pub async fn finish(self) -> io::Result<(Reader<ReadHalf>, WriteHalf)> {
        let upgraded = self.upgrade.await.map_err(io::Error::other)?;
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| io::Error::other("the connection is not one of this listener's"))?;
        let (read, write) = parts.io.into_inner().split();
        let share = Share::new(self.connection.budget());
        Ok((Reader::new(read, &parts.read_buf, &self.limits, share), write))
    }
}

/// A message that has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// The peer closes; the answer was handed out. Go on reading until the end.
    Close,
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The peer is gone: nothing can be sent any more.
    Gone,
    /// The peer broke the protocol or a limit: send a close frame with this code and reason.
    Broken(u16, &'static str),
}

/// The bytes between the socket and tungstenite.
struct Pipe {
    incoming: BytesMut,
    outgoing: Vec<u8>,
    ended: bool,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let n = buf.len().min(self.incoming.len());
        self.incoming.copy_to_slice(&mut buf[..n]);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading side of a WebSocket.
pub struct Reader<R> {
    io: R,
    pipe: Pipe,
    context: WebSocketContext,
    share: Share,
    step: usize,
    pulse: Option<Arc<Pulse>>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    fn new(io: R, read: &[u8], limits: &Limits, share: Share) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let pipe = Pipe { incoming: read.into(), outgoing: Vec::new(), ended: false };
        let context = WebSocketContext::new(Role::Server, Some(config));
        Self { io, pipe, context, share, step: READ_BYTES, pulse: None }
    }

    /// Lets whatever comes in count as a sign of life, parts of a large message as well.
    pub fn beat(&mut self, pulse: &Arc<Pulse>) {
        self.pulse = Some(pulse.clone());
    }

    /// The next message. `reply` gets prebuilt frames to be sent to the peer. May be dropped and called again.
    pub async fn next(&mut self, mut reply: impl FnMut(Segments)) -> Result<Incoming, Failure> {
        loop {
            let result = self.context.read(&mut self.pipe);
            if !self.pipe.outgoing.is_empty() {
                reply(Bytes::from(std::mem::take(&mut self.pipe.outgoing)).into());
            }
            match result {
                Ok(message) => {
                    self.share.give_back();
                    match message {
                        tungstenite::Message::Text(text) => return Ok(Incoming::Text(text)),
                        tungstenite::Message::Binary(bytes) => return Ok(Incoming::Binary(bytes)),
                        tungstenite::Message::Close(_) => return Ok(Incoming::Close),
                        // The answer to a ping is flushed by the next read.
                        _ => {}
                    }
                }
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.fill().await?,
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    /// Reads and forgets until the peer has closed: closing a socket with unread bytes would reset it, and take with it
    /// what the peer has not read yet. Bounded by the caller in time and here in bytes.
    pub async fn drain(&mut self) {
        let mut sink = [0; 4096];
        for _ in 0..64 {
            if !matches!(self.io.read(&mut sink).await, Ok(1..)) {
                return;
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        self.pipe.incoming.reserve(self.step);
        let n = match (&mut self.io).take(self.step as u64).read_buf(&mut self.pipe.incoming).await {
            Ok(0) => {
                self.pipe.ended = true;
                return Ok(());
            }
            Ok(n) => n,
            Err(_) => return Err(Failure::Gone),
        };
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
        if n == self.step {
            self.step = (self.step * 2).min(READ_BYTES_MAX);
        } else if n < READ_BYTES && self.step > READ_BYTES {
            // The large message is over: an idle client keeps a small buffer only.
            self.step = READ_BYTES;
            self.pipe.incoming = BytesMut::from(&self.pipe.incoming[..]);
        }
        // What is small is not worth the counting; the parts of a large message are shared out.
        if n >= READ_BYTES && !self.share.take(n) {
            return Err(Failure::Broken(1013, "too much in flight: try again later"));
        }
        Ok(())
    }
}

fn failure(error: &WsError) -> Failure {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Failure::Broken(1009, "message too large"),
        WsError::Capacity(_) => Failure::Broken(1009, "too large"),
        WsError::Utf8(_) => Failure::Broken(1007, "text is not UTF-8"),
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => Failure::Gone,
        WsError::Protocol(_) => Failure::Broken(1002, "protocol error"),
        _ => Failure::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Incoming, Reader, binary, close, text};
    use crate::limits::Share;
    use crate::{Limits, http};
    use bytes::Bytes;
    use proptest::prelude::*;
    use tungstenite::protocol::{Role, WebSocketContext};

    /// What a client's library reads of our frames.
    fn as_client(bytes: &[u8]) -> tungstenite::Message {
        let mut stream = std::io::Cursor::new(bytes.to_vec());
        WebSocketContext::new(Role::Client, None).read(&mut stream).expect("a whole frame")
    }

    fn reader(bytes: &[u8], limits: &Limits) -> Reader<std::io::Cursor<Vec<u8>>> {
        let share = Share::new(http::budget(limits));
        Reader::new(std::io::Cursor::new(bytes.to_vec()), &[], limits, share)
    }

    /// A masked frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n => {
                frame.push(0x80 | 127);
                frame.extend((n as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m));
        frame
    }

    proptest! {
        #[test]
        fn a_client_reads_our_frames_whatever_their_length(len in prop_oneof![0..300usize, 65_500..65_600usize]) {
            let payload = Bytes::from(vec![b'x'; len]);
            let ours = text(&payload).to_bytes();
            prop_assert_eq!(as_client(&ours).into_data(), payload.clone());
            let ours = binary(&payload).to_bytes();
            prop_assert_eq!(as_client(&ours), tungstenite::Message::Binary(payload));
        }

        #[test]
        fn a_close_frame_is_one_whatever_the_reason(reason in "\\PC{0,200}") {
            let ours = close(1008, &reason).to_bytes();
            prop_assert!(ours.len() <= 127);
            let tungstenite::Message::Close(Some(frame)) = as_client(&ours) else { panic!("no close") };
            prop_assert_eq!(u16::from(frame.code), 1008);
            prop_assert!(reason.starts_with(frame.reason.as_str()));
        }

        #[test]
        fn random_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut reader = reader(&bytes, &Limits::default());
                while reader.next(|_| {}).await.is_ok() {}
            });
        }
    }

    #[tokio::test]
    async fn fragments_are_joined_and_a_ping_between_them_is_answered() {
        let bytes =
            [masked(0x01, b"he"), masked(0x89, b"?"), masked(0x80, b"llo"), masked(0x82, b"\0")].concat();
        let mut reader = reader(&bytes, &Limits::default());
        let mut replies = Vec::new();
        let first = reader.next(|segments| replies.push(segments.to_bytes())).await;
        assert_eq!(first, Ok(Incoming::Text("hello".into())));
        assert_eq!(replies, [Bytes::from_static(b"\x8a\x01?")]);
        assert_eq!(reader.next(|_| {}).await, Ok(Incoming::Binary(Bytes::from_static(b"\0"))));
        assert_eq!(reader.next(|_| {}).await, Err(Failure::Gone));
    }

    #[tokio::test]
    async fn a_close_is_answered_and_reading_goes_on_to_the_end() {
        let mut reader = reader(&masked(0x88, &[3, 232]), &Limits::default());
        let mut replies = Vec::new();
        assert_eq!(reader.next(|s| replies.push(s.to_bytes())).await, Ok(Incoming::Close));
        assert_eq!(reader.next(|s| replies.push(s.to_bytes())).await, Err(Failure::Gone));
        assert_eq!(replies, [Bytes::from_static(&[0x88, 2, 3, 232])]);
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_told_with_its_code() {
        let limits = Limits { message_bytes: 1024, ..Limits::default() };
        let large = masked(0x82, &[0; 2000]);
        for (bytes, code) in
            [(&large[..], 1009), (&masked(0x81, &[0xff, 0xfe])[..], 1007), (&[0x81, 1, b'x'][..], 1002)]
        {
            let Err(Failure::Broken(got, _)) = reader(bytes, &limits).next(|_| {}).await else {
                panic!("expected {code}")
            };
            assert_eq!(got, code);
        }
    }

    #[tokio::test]
    async fn messages_larger_than_what_all_may_hold_together_are_refused() {
        let limits = Limits { incomplete_bytes: 65_536, ..Limits::default() };
        let bytes = masked(0x82, &vec![0; 300_000]);
        let failure = reader(&bytes, &limits).next(|_| {}).await;
        assert_eq!(failure, Err(Failure::Broken(1013, "too much in flight: try again later")));
    }
}
