//! A WebSocket that says what it is told, through the listener and the session that plugins use. For conformance tests:
//! `cargo run --release -p gantry-serve --example echo -- PORT`.

use gantry_serve::http::{Request, Response};
use gantry_serve::websocket::{self, Client, Handler, Message};
use gantry_serve::{Connection, Counters, Fanout, Feed, Limits, Listener, Segments, Service};
use std::sync::Arc;
use std::time::Duration;

struct Echo(Limits, Arc<Counters>);

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

struct Back(Client<Segments>);

impl Handler for Back {
    async fn message(&mut self, message: Message) {
        self.0.send(match message {
            Message::Text(text) => websocket::text(&text.into()),
            Message::Binary(bytes) => websocket::binary(&bytes),
        });
        // An echo is as fast as its reader.
        while self.0.is_open() && self.0.waiting() > 8 {
            tokio::task::yield_now().await;
        }
    }
}

impl Service for Echo {
    async fn call(&self, mut request: Request, connection: Connection) -> Response {
        let Self(limits, totals) = self;
        match websocket::upgrade(&mut request, &connection, limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                let client = Client::new(&connection, limits, totals);
                let frames = Fanout::default().subscribe();
                let handler = Back(client.clone());
                tokio::spawn(websocket::session(upgrade, connection, client, frames, AsIs, handler));
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
    let (stop, totals) = (std::future::pending(), listener.counters().clone());
    listener.serve(Arc::new(Echo(limits, totals)), stop, Duration::ZERO).await?;
    Ok(())
}
