//! Sessions over WebSocket, from their beginning or after the upgrade from long-polling.

use super::answer::bad;
use super::client::{Client, OverWebSocket, Transport};
use super::engine::{decode_binary, decode_text};
use super::message::Outgoing;
use super::server::Server;
use super::session::Reason;
use crate::http::{Request, Response};
use crate::websocket::{self, Failure, Incoming, Reader};
use crate::{Connection, ReadHalf, WriteHalf, pump};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Server {
    /// Tries a WebSocket for a client that polls.
    pub(super) fn upgrade(
        &self,
        mut request: Request,
        client: Arc<Client>,
        connection: &Connection,
    ) -> Response {
        if client.transport() != Transport::Polling || client.ended().is_some() {
            return bad(3, "Bad request");
        }
        match websocket::upgrade(&mut request, connection, &self.inner.limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                let (server, connection) = (self.clone(), connection.clone());
                tokio::spawn(async move {
                    let wait = server.inner.settings.upgrade_timeout;
                    let mut began = false;
                    let mut draining = connection.draining();
                    let probing = tokio::time::timeout(wait, async {
                        let (mut reader, mut writer) = upgrade.finish().await.ok()?;
                        let changed = probe(&client, &mut reader, &mut writer, &mut began).await;
                        changed.then_some((reader, writer))
                    });
                    let probed = tokio::select! {
                        biased;
                        probed = probing => probed.ok().flatten(),
                        () = draining.wait() => None,
                    };
                    match probed {
                        Some((reader, writer)) => server.run(client, reader, writer, connection).await,
                        // It goes on polling, unless the upgrade that has begun is another one.
                        _ if began => drop(client.switch(Transport::Upgrading, Transport::Polling)),
                        _ => {}
                    }
                });
                response
            }
        }
    }

    /// Carries a session over a WebSocket to its end.
    pub(super) async fn run(
        &self,
        client: Arc<Client>,
        mut reader: Reader<ReadHalf>,
        mut writer: WriteHalf,
        connection: Connection,
    ) {
        reader.beat(client.outbox.pulse());
        // What came while it was neither polling nor here is not lost to it.
        let mut frames = self.inner.frames.subscribe_after(client.polled.load(Relaxed));
        let feed = OverWebSocket(client.clone());
        let writing = tokio::spawn(async move {
            let client = &feed.0;
            if pump(&mut writer, &client.outbox, &mut frames, &feed, &client.counters).await.is_err() {
                client.end(Reason::TransportClosed);
            }
        });
        let mut reason = Reason::TransportClosed;
        loop {
            let next = tokio::select! {
                // First, or one that goes on sending after its end would go on for ever.
                biased;
                () = client.outbox.given_up() => break,
                next = reader.next(|control| client.send(Outgoing::Control(control))) => next,
            };
            match next {
                Ok(Incoming::Text(text)) => client.receive(decode_text(&text, client.version)),
                Ok(Incoming::Binary(bytes)) => client.receive(decode_binary(bytes, client.version)),
                // The answer to it is queued by the next read.
                Ok(Incoming::Close) => reason = Reason::ClientLeft,
                Err(Failure::Gone) => break client.end(reason),
                Err(Failure::Broken(code, why)) => {
                    client.counters.add_rejected_messages(1);
                    break client.end_with(Reason::TransportClosed, Some(websocket::close(code, why)));
                }
            }
        }
        tokio::select! {
            _ = writing => {}
            () = client.outbox.given_up() => {}
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), reader.drain()).await;
        // Until here it counted as a connection.
        drop(connection);
    }
}

/// The dialogue before an upgrade. `true` once the client has changed over; `began` when it is this one that it began.
async fn probe(
    client: &Arc<Client>,
    reader: &mut Reader<ReadHalf>,
    writer: &mut WriteHalf,
    began: &mut bool,
) -> bool {
    loop {
        let mut replies = Vec::new();
        let next = reader.next(|control| replies.push(control)).await;
        match &next {
            Ok(Incoming::Text(text)) if text.as_str() == "2probe" && !*began => {
                *began = client.switch(Transport::Polling, Transport::Upgrading);
                if !*began {
                    return false;
                }
                replies.push(websocket::text(&Bytes::from_static(b"3probe")));
            }
            _ => {}
        }
        for segments in replies {
            if segments.write(writer, || {}).await.is_err() {
                return false;
            }
        }
        // Nothing is awaited after the change: it must not be forgotten half-way.
        match next {
            Ok(Incoming::Text(text)) if text.as_str() == "5" && *began => {
                return client.switch(Transport::Upgrading, Transport::WebSocket);
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
