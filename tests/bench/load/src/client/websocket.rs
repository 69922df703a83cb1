//! WebSocket clients, plain and Socket.IO.

use super::wire_stream::WireStream;
use crate::options::{Options, Protocol};
use crate::run::Run;
use crate::tally::Tally;
use crate::wire::websocket::{Event, PONG, Reader, TEXT, client_frame, upgrade};
use std::time::Instant;

/// The longest message that may be one of the handshake or heartbeat of Socket.IO.
const CONTROL_LIMIT: usize = 512;

pub(super) async fn receive(run: &Run, tally: &mut Tally, slow: bool) -> Result<(), String> {
    let options = &run.options;
    let begun = Instant::now();
    let mut stream = WireStream::connect((options.host, options.port), options.slow_bytes(slow)).await?;
    stream.request(&upgrade((options.host, options.port), options.path())).await?.expect(101)?;
    if options.protocol == Protocol::Ws {
        run.roster.note_connected(begun);
        send_greeting(&mut stream, options).await?;
    }

    let mut reader = Reader::default();
    let mut replies = Vec::new();
    loop {
        let mut connected = false;
        let mut input = stream.read().await?;
        while let Some(event) = reader.next(&mut input)? {
            match event {
                Event::Ping => replies.push(client_frame(PONG, reader.control())),
                Event::Close(code) => return Err(format!("closed by the server, code {code:?}")),
                Event::Message { text } => match socket_io(options, text, &reader) {
                    Packet::Event if run.is_measuring() => tally.message(reader.message(), options),
                    Packet::Event => {}
                    Packet::Answer(text) => replies.push(client_frame(TEXT, text)),
                    Packet::Connected => connected = true,
                    Packet::Refused => {
                        let reason = String::from_utf8_lossy(reader.message().head()).into_owned();
                        return Err(format!("refused by the server: {reason}"));
                    }
                },
            }
        }
        for reply in replies.drain(..) {
            stream.write(&reply).await?;
        }
        if connected {
            run.roster.note_connected(begun);
            send_greeting(&mut stream, options).await?;
        }
    }
}

/// What a message means to the connection.
enum Packet {
    /// Nothing: it is for the application.
    Event,
    /// It wants this answer.
    Answer(&'static [u8]),
    /// The namespace is open.
    Connected,
    /// The namespace is not, or no longer, open.
    Refused,
}

/// Reads the packet types of Engine.IO 4 and Socket.IO 5 that a client has to answer.
fn socket_io(options: &Options, text: bool, reader: &Reader) -> Packet {
    let message = reader.message();
    if options.protocol != Protocol::Sio || !text || message.len() > CONTROL_LIMIT {
        return Packet::Event;
    }
    match message.head() {
        [b'0', ..] => Packet::Answer(b"40"),
        [b'2', ..] => Packet::Answer(b"3"),
        [b'4', b'0', ..] => Packet::Connected,
        [b'4', b'1' | b'4', ..] => Packet::Refused,
        _ => Packet::Event,
    }
}

async fn send_greeting(stream: &mut WireStream, options: &Options) -> Result<(), String> {
    match &options.send {
        Some(text) => stream.write(&client_frame(TEXT, text.as_bytes())).await,
        None => Ok(()),
    }
}
