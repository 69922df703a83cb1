//! A peer on socketioxide as it comes: Socket.IO, a broadcast to the namespace for every frame.
#![forbid(unsafe_code)]

use axum::Router;
use axum::serve::ListenerExt;
use clap::Parser;
use gantry_load::peer::{Options, SensorData};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    // The default of 128 messages would hold 9 MB for every viewer that does not read.
    let (layer, io) = SocketIo::builder().max_buffer_size(16).build_layer();
    io.ns("/", async |_: SocketRef| {});
    tokio::spawn(capture(options, io));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}

async fn capture(options: Options, io: SocketIo) {
    let picture = options.picture();
    let mut ticks = interval(options.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // An error names the viewers whose buffer was full: they miss this frame.
        let _ = io.emit("sensor_data", &SensorData::now(&picture)).await;
    }
}
