//! The bus: messages to whoever listens now. What must not be lost is a record, not a message.

use crate::lock;
use crate::topic::{self, TopicError};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The largest payload, in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Whether only the runtime itself may send on this topic: what it tells there is believed.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    ["access/", "analysis/", "counts/", "events/", "faces/", "mappings/", "records/"]
        .iter()
        .any(|own| topic.starts_with(own))
}

/// One message. Cloning it shares the payload.
#[derive(Debug, Clone)]
pub struct Message {
    /// The topic.
    pub topic: Arc<str>,
    /// The payload; JSON by convention.
    pub payload: Bytes,
    /// Who sent it: a subscriber of the same name does not get it back.
    pub sender: Arc<str>,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The topic cannot be a topic.
    #[error("topic `{topic}`: {source}")]
    Topic {
        /// The topic as given.
        topic: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// The payload is larger than [`MAX_PAYLOAD`].
    #[error(
        "topic `{topic}`: the message has {len} bytes, at most {MAX_PAYLOAD} fit: send a reference instead"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// The size of the payload in bytes.
        len: usize,
    },
}

/// Called with each message, on the thread that publishes. Must not block.
pub type MessageSink = Arc<dyn Fn(&Message) + Send + Sync>;

struct Subscriber {
    id: u64,
    filter: String,
    name: Arc<str>,
    sink: MessageSink,
}

/// Topics and whoever listens.
#[derive(Default)]
pub struct Bus {
    subscribers: Mutex<Arc<Vec<Arc<Subscriber>>>>,
    next_id: AtomicU64,
}

impl Bus {
    /// Gives a message to everybody who subscribed to its topic, except its sender. Returns how many that were.
    pub fn publish(&self, sender: &Arc<str>, topic: &str, payload: Bytes) -> Result<usize, BusError> {
        topic::check_name(topic).map_err(|source| BusError::Topic { topic: topic.to_owned(), source })?;
        if payload.len() > MAX_PAYLOAD {
            return Err(BusError::TooLarge { topic: topic.to_owned(), len: payload.len() });
        }
        let message = Message { topic: topic.into(), payload, sender: sender.clone() };
        let subscribers = lock(&self.subscribers).clone();
        let mut reached = 0;
        for one in subscribers.iter().filter(|s| s.name != *sender && topic::matches(&s.filter, topic)) {
            (one.sink)(&message);
            reached += 1;
        }
        Ok(reached)
    }

    /// Subscribes `name` to the topics that match `filter`, until the returned [`Subscription`] is dropped.
    pub fn subscribe(
        self: &Arc<Self>,
        name: &Arc<str>,
        filter: &str,
        sink: MessageSink,
    ) -> Result<Subscription, TopicError> {
        topic::check_filter(filter)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let subscriber = Arc::new(Subscriber { id, filter: filter.to_owned(), name: name.clone(), sink });
        Arc::make_mut(&mut lock(&self.subscribers)).push(subscriber);
        Ok(Subscription { bus: self.clone(), id })
    }
}

/// A subscription; dropping it ends it.
pub struct Subscription {
    bus: Arc<Bus>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        Arc::make_mut(&mut lock(&self.bus.subscribers)).retain(|s| s.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_those_who_listen_but_not_its_sender() {
        let bus = Arc::new(Bus::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (door, lamp): (Arc<str>, Arc<str>) = ("door".into(), "lamp".into());
        let listen = |name: &Arc<str>, filter: &str| {
            let (log, tag) = (seen.clone(), name.to_string());
            bus.subscribe(
                name,
                filter,
                Arc::new(move |m| lock(&log).push((tag.clone(), m.topic.to_string()))),
            )
            .expect("a good filter")
        };
        let on_door = listen(&door, "counts/#");
        let _on_lamp = listen(&lamp, "counts/+");
        assert_eq!(bus.publish(&door, "counts/in", Bytes::from_static(b"1")).expect("published"), 1);
        drop(on_door);
        assert_eq!(bus.publish(&lamp, "counts/in", Bytes::new()).expect("published"), 0);
        assert_eq!(*lock(&seen), [("lamp".to_owned(), "counts/in".to_owned())]);
    }

    #[test]
    fn wildcards_and_oversize_are_refused_with_the_topic_named() {
        let bus = Bus::default();
        let me: Arc<str> = "me".into();
        let error = bus.publish(&me, "counts/#", Bytes::new()).expect_err("a wildcard");
        assert!(error.to_string().starts_with("topic `counts/#`"), "{error}");
        let error = bus.publish(&me, "a", vec![0; MAX_PAYLOAD + 1].into()).expect_err("too large");
        assert!(error.to_string().contains("65537 bytes"), "{error}");
    }
}
