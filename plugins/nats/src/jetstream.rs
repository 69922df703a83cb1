//! As much of JetStream as it takes, in words that server 2.9 understands.

use crate::config::{Config, Limits};
use crate::link::Link;
use crate::message::Message;
use crate::resume::{Scan, Step};
use crate::trouble::{NAME_TAKEN, NO_MESSAGE, NO_STREAM, Trouble};
use async_nats::jetstream::context::{Context, ContextBuilder, PublishAckFuture};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// How long JetStream may take to answer: a cluster may choose a leader first.
const PATIENCE: Duration = Duration::from_secs(10);

/// JetStream, as this connection sees it.
pub(crate) struct JetStream<'a> {
    context: Context,
    pub(crate) link: &'a Link,
}

/// What is to be known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    /// The first place that it still has, and the last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The most bytes of a message, headers included.
    pub(crate) most: usize,
}

/// A message found in a stream.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: u64,
    pub(crate) id: Option<Uuid>,
    pub(crate) data: Vec<u8>,
}

impl<'a> JetStream<'a> {
    pub(crate) fn new(link: &'a Link, config: &Config) -> Self {
        let builder = ContextBuilder::new().timeout(PATIENCE);
        let context = match &config.jetstream_domain {
            Some(domain) => builder.domain(domain.as_str()).build(link.client.clone()),
            None => builder.build(link.client.clone()),
        };
        Self { context, link }
    }

    async fn ask(&self, what: &str, stream: &str, request: &Value) -> Result<Value, Trouble> {
        let answer = self.context.request(format!("{what}.{stream}"), request).await;
        let complaint = self.link.complaint();
        let answer = answer.map_err(|error| Trouble::of_request(stream, &error, complaint.as_deref()))?;
        Trouble::look(stream, answer)
    }

    /// What a stream is like. One that is missing is made, if that is wanted.
    pub(crate) async fn stream(&self, name: &str, make: Option<Value>) -> Result<Info, Trouble> {
        let asked = self.ask("STREAM.INFO", name, &json!({})).await;
        let told = match (asked, make) {
            (Err(trouble), Some(make)) if trouble.code == NO_STREAM => {
                match self.ask("STREAM.CREATE", name, &make).await {
                    // Somebody else was quicker.
                    Err(taken) if taken.code == NAME_TAKEN => {
                        self.ask("STREAM.INFO", name, &json!({})).await?
                    }
                    made => made?,
                }
            }
            (told, _) => told?,
        };
        let payload = self.link.client.server_info().max_payload;
        let own = told["config"]["max_msg_size"].as_i64().and_then(|most| usize::try_from(most).ok());
        let most = own.filter(|most| *most > 0).map_or(payload, |most| most.min(payload));
        let place = |key: &str| told["state"][key].as_u64().unwrap_or_default();
        Ok(Info { first: place("first_seq"), last: place("last_seq"), most })
    }

    /// A message of a stream, if there is one.
    async fn get(&self, stream: &str, which: &Value) -> Result<Option<Found>, Trouble> {
        match self.ask("STREAM.MSG.GET", stream, which).await {
            Ok(answer) => Ok(Some(found(&answer["message"]))),
            Err(trouble) if trouble.code == NO_MESSAGE => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The last message of a subject. It has no wildcards: server 2.9.10 has crashed over such a question.
    pub(crate) async fn last(&self, stream: &str, subject: &str) -> Result<Option<Found>, Trouble> {
        self.get(stream, &json!({ "last_by_subj": subject })).await
    }

    /// Which ids from `first` on the stream has under a subject.
    pub(crate) async fn present(
        &self,
        stream: &str,
        subject: &str,
        first: Uuid,
    ) -> Result<BTreeSet<Uuid>, Trouble> {
        let info = self.stream(stream, None).await?;
        let mut scan = Scan::new(first, info.first, info.last);
        while let Step::Look(place) = scan.step() {
            let which = json!({ "next_by_subj": subject, "seq": place });
            let found = self.get(stream, &which).await?;
            scan.found(found.map(|found| (found.place, found.id)));
        }
        Ok(scan.present())
    }

    /// Removes the messages of a subject.
    pub(crate) async fn purge(&self, stream: &str, subject: &str) -> Result<(), Trouble> {
        self.ask("STREAM.PURGE", stream, &json!({ "filter": subject })).await.map(|_| ())
    }

    /// Sends a record's message. It is in the stream when what is returned says so, see [`arrived`](Self::arrived).
    pub(crate) async fn send(&self, stream: &str, message: &Message) -> Result<PublishAckFuture, Trouble> {
        let publish = PublishMessage::build().message_id(message.id.to_string());
        self.publish(stream, message.subject.clone(), publish.payload(message.payload.clone())).await
    }

    /// Sends part of an object.
    pub(crate) async fn put(
        &self,
        stream: &str,
        subject: String,
        payload: Bytes,
        replaces: bool,
    ) -> Result<PublishAckFuture, Trouble> {
        let mut publish = PublishMessage::build().payload(payload);
        if replaces {
            publish = publish.header("Nats-Rollup", "sub");
        }
        self.publish(stream, subject, publish).await
    }

    async fn publish(
        &self,
        stream: &str,
        subject: String,
        publish: PublishMessage,
    ) -> Result<PublishAckFuture, Trouble> {
        // It does not name the stream that it expects: a hub that fetches it into one of another name would refuse it.
        let sent = self.context.send_publish(subject, publish).await;
        sent.map_err(|error| Trouble::of_publish(stream, &error, None))
    }

    /// Waits until a message is in the stream. `true`: it was there before.
    pub(crate) async fn arrived(&self, stream: &str, sent: PublishAckFuture) -> Result<bool, Trouble> {
        match sent.await {
            Ok(ack) if ack.stream == stream => Ok(ack.duplicate),
            Ok(ack) => Err(Trouble::new(format!(
                "the stream `{}` takes the subjects of this gateway, and not `{stream}`: set `stream` to its name",
                ack.stream
            ))),
            Err(error) => {
                let complaint = self.link.complaint();
                Err(Trouble::of_publish(stream, &error, complaint.as_deref()))
            }
        }
    }
}

fn found(message: &Value) -> Found {
    let bytes = |key: &str| {
        let text = message[key].as_str().unwrap_or_default();
        base64_simd::STANDARD.decode_to_vec(text).unwrap_or_default()
    };
    Found { place: message["seq"].as_u64().unwrap_or_default(), id: id(&bytes("hdrs")), data: bytes("data") }
}

/// The id that the headers of a message tell.
fn id(headers: &[u8]) -> Option<Uuid> {
    let text = String::from_utf8_lossy(headers);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, id) = lines.find(|(name, _)| name.eq_ignore_ascii_case("Nats-Msg-Id"))?;
    id.trim().parse().ok()
}

/// How a stream is made. JetStream counts nanoseconds, and takes −1 for no bound.
pub(crate) fn make(name: &str, subjects: &[String], limits: &Limits) -> Value {
    let age = limits.max_age().map_or(0, |age| age.as_nanos());
    let bytes = i64::try_from(limits.max_bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(-1);
    json!({
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": u64::try_from(age).unwrap_or_default(),
        "max_bytes": bytes,
        "num_replicas": limits.replicas,
        "duplicate_window": limits.duplicate_window_ms.saturating_mul(1_000_000),
        "allow_direct": true,
    })
}

#[cfg(test)]
mod tests {
    use super::{found, id, make};
    use crate::config::Limits;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "0192f0c1-2345-7000-8000-000000000001";

    #[test]
    fn a_message_tells_its_place_its_id_and_its_data() {
        let headers =
            base64_simd::STANDARD.encode_to_string(format!("NATS/1.0\r\nA: b\r\nNats-Msg-Id: {ID}\r\n\r\n"));
        let found = found(&json!({"seq": 9, "hdrs": headers, "data": "e30="}));
        assert_eq!(
            (found.place, found.id.map(|id| id.to_string()).as_deref(), &*found.data),
            (9, Some(ID), &b"{}"[..])
        );
        assert_eq!(id(b"NATS/1.0\r\nNats-Msg-Id: something else\r\n\r\n"), None);
    }

    #[test]
    fn no_bound_is_said_as_jetstream_wants_it() {
        let made = make("S", &["a.>".into()], &Limits { max_age_seconds: 0, ..Limits::default() });
        assert_eq!((&made["max_age"], &made["max_bytes"]), (&json!(0), &json!(-1)));
        assert_eq!(made["duplicate_window"], 120_000_000_000u64);
    }

    proptest! {
        #[test]
        fn headers_of_strangers_are_read_without_harm(bytes: Vec<u8>) {
            let _ = id(&bytes);
        }
    }
}
