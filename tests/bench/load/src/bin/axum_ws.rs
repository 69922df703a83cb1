//! A peer on axum as it comes: plain WebSocket, a `watch` of one shared message, so that the newest frame wins.
#![forbid(unsafe_code)]

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use gantry_load::peer::{Options, SensorData};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let (sender, frames) = watch::channel(Utf8Bytes::default());
    tokio::spawn(capture(options, sender));
    let upgrade =
        async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(move |socket| serve(socket, frames));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route("/", get(upgrade))).await
}

async fn capture(options: Options, frames: watch::Sender<Utf8Bytes>) {
    let picture = options.picture();
    let mut ticks = interval(options.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        frames.send_replace(SensorData::now(&picture).to_text().into());
    }
}

async fn serve(mut socket: WebSocket, mut frames: watch::Receiver<Utf8Bytes>) {
    loop {
        tokio::select! {
            changed = frames.changed() => {
                let frame = frames.borrow_and_update().clone();
                if changed.is_err() || socket.send(Message::Text(frame)).await.is_err() {
                    return;
                }
            }
            received = socket.recv() => {
                if !matches!(received, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
}
