//! What is answered to HTTP requests: polling replies and refusals.

use super::Message;
use super::client::Client;
use super::engine::{SEPARATOR, Version};
use super::message::{Form, Outgoing};
use crate::SegmentsBuilder;
use crate::http::{self, Response, StatusCode, header};
use hyper::header::{HeaderMap, HeaderValue};
use std::sync::Arc;

/// The most packets in one polling reply: Python clients end the session above it.
pub(super) const REPLY_PACKETS: usize = 16;

/// What waits in the queue, as far as it goes into one reply.
pub(super) fn take(client: &Client) -> Vec<Arc<Message>> {
    let (mut messages, mut packets) = (Vec::new(), 0);
    let fits = |packets: usize| {
        move |item: &Outgoing| match item {
            // A message of more packets than any reply may hold goes alone.
            Outgoing::Message(message) => packets == 0 || packets + message.packets() <= REPLY_PACKETS,
            Outgoing::Control(_) => true,
        }
    };
    while let Some(item) = client.outbox.pop_if(fits(packets)) {
        if let Outgoing::Message(message) = item {
            packets += message.packets();
            messages.push(message);
        }
    }
    messages
}

/// A polling reply with queued messages and then a frame.
pub(super) fn reply(client: &Client, frame: &[&Message], messages: &[Arc<Message>]) -> Response {
    let mut builder = SegmentsBuilder::new();
    for (i, message) in messages.iter().map(|message| &**message).chain(frame.iter().copied()).enumerate() {
        if i > 0 && client.version == Version::V4 {
            builder.copy(&[SEPARATOR]);
        }
        builder.append(message.encoded(Form::Polling(client.version)));
    }
    let segments = builder.finish();
    client.counters.add_sent_bytes(segments.len() as u64);
    uncached(http::response(StatusCode::OK, "text/plain; charset=UTF-8", segments))
}

fn noop_body(version: Version) -> &'static str {
    match version {
        Version::V4 => "6",
        Version::V3 => "1:6",
    }
}

/// Ends a poll that has nothing to say.
pub(super) fn noop(version: Version) -> Response {
    uncached(http::response(StatusCode::OK, "text/plain; charset=UTF-8", noop_body(version)))
}

pub(super) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn bad(code: u8, message: &'static str) -> Response {
    refuse(StatusCode::BAD_REQUEST, code, message)
}

pub(super) fn refuse(status: StatusCode, code: u8, message: &'static str) -> Response {
    http::response(status, "application/json", format!(r#"{{"code":{code},"message":"{message}"}}"#))
}

pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    // Old browsers' clients send their requests with credentials; nothing here looks at cookies.
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}
