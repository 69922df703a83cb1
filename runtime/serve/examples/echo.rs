//! A WebSocket that says what it is told, through the listener, the reader and the writer that plugins use. For
//! conformance tests: `cargo run --release -p gantry-serve --example echo -- PORT`.

use gantry_serve::http::{Request, Response};
use gantry_serve::websocket::{self, Failure, Incoming};
use gantry_serve::{Connection, Counters, Fanout, Feed, Limits, Listener, Outbox, Segments, Service, pump};
use std::sync::Arc;
use std::time::Duration;

struct Echo(Limits);

struct AsIs;

impl Feed for AsIs {
    type Item = Segments;
    type Frame = Segments;
    fn message(&self, item: &Segments) -> Option<Segments> {
        Some(item.clone())
    }
    fn frame(&self, frame: &Segments, _: u64) -> Option<Segments> {
        Some(frame.clone())
    }
}

impl Service for Echo {
    async fn call(&self, mut request: Request, connection: Connection) -> Response {
        let limits = self.0.clone();
        match websocket::upgrade(&mut request, &connection, &limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                tokio::spawn(async move {
                    let Ok((mut reader, mut writer)) = upgrade.finish().await else { return };
                    let outbox = Arc::new(Outbox::new(&limits));
                    let queue = outbox.clone();
                    let writing = tokio::spawn(async move {
                        let mut frames = Fanout::default().subscribe();
                        let _ = pump(&mut writer, &queue, &mut frames, &AsIs, &Counters::default()).await;
                    });
                    let last = loop {
                        let message = match reader
                            .next(|reply| {
                                let _ = outbox.push(reply);
                            })
                            .await
                        {
                            Ok(Incoming::Text(text)) => websocket::text(&text.into()),
                            Ok(Incoming::Binary(bytes)) => websocket::binary(&bytes),
                            Ok(Incoming::Close) => continue,
                            Err(Failure::Gone) => break None,
                            Err(Failure::Broken(code, why)) => break Some(websocket::close(code, why)),
                        };
                        if outbox.push(message).is_err() {
                            break Some(websocket::close(1008, "too slow"));
                        }
                        // An echo is as fast as its reader.
                        while outbox.len() > 8 {
                            tokio::task::yield_now().await;
                        }
                    };
                    outbox.close(last);
                    let _ = writing.await;
                    let _ = tokio::time::timeout(Duration::from_secs(1), reader.drain()).await;
                    drop(connection);
                });
                response
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(9001), |port| port.parse())?;
    let limits = Limits { messages_per_second: 1_000_000, queue_bytes: 64 << 20, ..Limits::default() };
    let listener = Listener::bind(([127, 0, 0, 1], port).into(), None, &limits)?;
    println!("listening on {}", listener.address());
    let stop = std::future::pending();
    listener.serve(Arc::new(Echo(limits)), stop, Duration::ZERO).await?;
    Ok(())
}
