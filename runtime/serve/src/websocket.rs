//! WebSocket: the handshake, reading, and prebuilt frames.
//!
//! Reading and its rules (masks, fragments, UTF-8, close codes) are tungstenite's, fed with bytes: it owns no socket.
//! What it wants to write by itself (pongs, the answer to a close) is handed to the caller, who puts it into the client's
//! [`Outbox`](crate::Outbox), because only the client's writer may write. Our own frames are built here once and shared;
//! tungstenite would copy every payload for every client.

use crate::http::{self, Request, Response, StatusCode, header};
use crate::limits::Share;
use crate::{Connection, Limits, ReadHalf, Segments, SegmentsBuilder, Stream, WriteHalf};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use std::io;

mod reader;
mod session;

pub use reader::Reader;
pub use session::{Client, Handler, Message, session};
pub use tungstenite::Utf8Bytes;

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

/// A text frame of several pieces, sharing those that are large. Together they must be UTF-8.
#[must_use]
pub fn text_of(pieces: &[Bytes]) -> Segments {
    let mut builder = SegmentsBuilder::new();
    head(&mut builder, 1, pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| builder.share(piece));
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

#[cfg(test)]
mod tests {
    use super::{binary, close, text, text_of};
    use bytes::Bytes;
    use proptest::prelude::*;
    use tungstenite::protocol::{Role, WebSocketContext};

    /// What a client's library reads of our frames.
    fn as_client(bytes: &[u8]) -> tungstenite::Message {
        let mut stream = std::io::Cursor::new(bytes.to_vec());
        WebSocketContext::new(Role::Client, None).read(&mut stream).expect("a whole frame")
    }

    proptest! {
        #[test]
        fn a_client_reads_our_frames_whatever_their_length(len in prop_oneof![0..300usize, 65_500..65_600usize]) {
            let payload = Bytes::from(vec![b'x'; len]);
            let ours = text(&payload).to_bytes();
            prop_assert_eq!(as_client(&ours).into_data(), payload.clone());
            let pieces = [payload.slice(..len / 3), payload.slice(len / 3..)];
            prop_assert_eq!(as_client(&text_of(&pieces).to_bytes()).into_data(), payload.clone());
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
    }
}
