//! One client of a protocol that is spoken over a plain WebSocket: the loop that all such plugins share.
//!
//! ```text
//! socket ─► Reader ─► rate ─► Handler::message, one after the other
//! socket ◄─ pump ◄─ outbox ◄─ Client::send, from anywhere
//!                └─ frames ◄─ Fanout::publish, newest wins
//! ```

use super::{Failure, Incoming, Upgrade, Utf8Bytes, close};
use crate::{
    Connection, Counters, Feed, Full, Limits, Outbox, RateLimit, Segments, Subscription, Weight, pump,
};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the peer may take to close after we did.
const GOODBYE: Duration = Duration::from_secs(1);

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// What a protocol does about one client. Its state is what the protocol knows of that client.
pub trait Handler: Send {
    /// A message has come. The next one is read when this is done, so answers keep the order of their questions. A client
    /// that has gone meanwhile is noticed after it.
    fn message(&mut self, message: Message) -> impl Future<Output = ()> + Send;

    /// A message was above the rate. It has been dropped and counted; a protocol that has words for that says them.
    fn above_rate(&mut self) {}
}

struct Shared<T> {
    outbox: Outbox<T>,
    counters: Counters,
    peer: SocketAddr,
}

/// What the rest of a plugin holds of a client: what is sent here must arrive. Cheap to clone; sending to a client that has
/// gone does nothing.
pub struct Client<T>(Arc<Shared<T>>);

impl<T> Clone for Client<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Weight + From<Segments>> Client<T> {
    /// A client that has come on this connection; what it costs is counted in `totals` as well.
    #[must_use]
    pub fn new(connection: &Connection, limits: &Limits, totals: &Arc<Counters>) -> Self {
        let (outbox, counters) = (Outbox::new(limits), Counters::of(totals));
        Self(Arc::new(Shared { outbox, counters, peer: connection.peer() }))
    }

    /// Queues a message. A client that does not keep up with what must arrive is closed with 1008.
    pub fn send(&self, item: T) {
        if self.0.outbox.push(item) == Err(Full::Overflowed) {
            self.0.counters.add_overflowed_clients(1);
            self.0.outbox.clear();
            self.close(1008, "too slow for what must arrive");
        }
    }

    /// Ends it after what is queued already, with this code and reason.
    pub fn close(&self, code: u16, reason: &str) {
        self.0.outbox.close([T::from(close(code, reason))]);
    }

    /// Whether it still takes messages.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.outbox.is_closed()
    }

    /// How many messages wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.outbox.len()
    }

    /// The address that the connection came from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// What it has cost so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

/// Carries a client to its end: until it closes or goes away, breaks a rule or a limit, is [closed](Client::close), or the
/// listener drains. To be spawned with what [`upgrade`](super::upgrade) has answered; `connection` is kept as long, so the
/// client counts against the limit of connections.
///
/// `feed` makes bytes of messages and of the frames of `frames`; one without frames gets an empty fan-out's.
pub async fn session<F, H>(
    upgrade: Upgrade,
    connection: Connection,
    client: Client<F::Item>,
    mut frames: Subscription<F::Frame>,
    feed: F,
    mut handler: H,
) where
    F: Feed + Sync + 'static,
    F::Item: From<Segments> + 'static,
    F::Frame: 'static,
    H: Handler,
{
    let limits = upgrade.limits.clone();
    let Ok(Ok((mut reader, mut writer))) = tokio::time::timeout(limits.handshake(), upgrade.finish()).await
    else {
        return client.0.outbox.close([]);
    };
    let outbox = &client.0.outbox;
    reader.beat(outbox.pulse());
    let writes = client.clone();
    let writing = tokio::spawn(async move {
        let Shared { outbox, counters, .. } = &*writes.0;
        if pump(&mut writer, outbox, &mut frames, &feed, counters).await.is_err() {
            outbox.close([]);
        }
    });
    let mut rate = RateLimit::new(limits.messages_per_second, Instant::now());
    let mut draining = connection.draining();
    let mut told = false;
    loop {
        let next = tokio::select! {
            // First, or one that goes on sending after its end would go on for ever.
            biased;
            () = outbox.given_up() => break,
            () = draining.wait(), if !told => {
                told = true;
                client.close(1001, "the server stops");
                continue;
            }
            next = reader.next(|control| client.send(control.into())) => next,
        };
        let message = match next {
            Ok(Incoming::Text(text)) => Message::Text(text),
            Ok(Incoming::Binary(bytes)) => Message::Binary(bytes),
            // The answer to it is queued by the next read.
            Ok(Incoming::Close) => continue,
            Err(Failure::Gone) => break outbox.close([]),
            Err(Failure::Broken(code, why)) => {
                client.counters().add_rejected_messages(1);
                break client.close(code, why);
            }
        };
        if !client.is_open() {
            continue;
        }
        client.counters().add_received_messages(1);
        if rate.allows(Instant::now()) {
            handler.message(message).await;
        } else {
            client.counters().add_rejected_messages(1);
            handler.above_rate();
        }
    }
    tokio::select! {
        _ = writing => {}
        () = outbox.given_up() => {}
    }
    let _ = tokio::time::timeout(GOODBYE, reader.drain()).await;
    // Until here it counted as a connection.
    drop(connection);
}
