//! The floor: what the kernel alone takes for this fan-out.
//!
//! One thread, one prebuilt WebSocket frame per tick, `write` straight to every socket. A socket with bytes left over
//! skips frames until they are gone. It is not a server: it looks at no header, answers no ping and forgets nobody
//! who does not write.
#![forbid(unsafe_code)]

use clap::Parser;
use gantry_load::peer::{Options, SensorData};
use gantry_load::stamp::find;
use gantry_load::wire::websocket::{ACCEPT, server_text_header};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let options = Options::parse();
    let picture = options.picture();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    listener.set_nonblocking(true)?;
    let mut clients = Vec::new();
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next {
            // After a pause the rate goes on; frames are not made up for.
            next = (next + options.period()).max(now);
            let text = SensorData::now(&picture).to_text();
            let frame = Arc::new([server_text_header(text.len()), text.into_bytes()].concat());
            clients.iter_mut().for_each(|client: &mut Client| client.offer(&frame));
        }
        while let Ok((stream, _)) = listener.accept() {
            clients.push(Client::new(stream)?);
        }
        clients.retain_mut(|client| client.proceed().is_ok());
        wait(&listener, &clients, next.saturating_duration_since(Instant::now()))?;
    }
}

struct Client {
    stream: TcpStream,
    state: State,
}

enum State {
    /// The request so far.
    Handshake(Vec<u8>),
    /// Nothing to send.
    Idle,
    /// A frame and how much of it was sent.
    Sending(Arc<Vec<u8>>, usize),
}

impl Client {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, state: State::Handshake(Vec::new()) })
    }

    /// Begins to send a frame, unless an older one is still on its way. An error shows again in `proceed`.
    fn offer(&mut self, frame: &Arc<Vec<u8>>) {
        if matches!(self.state, State::Idle) {
            self.state = State::Sending(Arc::clone(frame), 0);
            let _ = self.proceed();
        }
    }

    /// Does what can be done without waiting; an error means that the client is gone.
    fn proceed(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Handshake(request) => {
                let mut piece = [0; 4096];
                match self.stream.read(&mut piece) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(length) => request.extend_from_slice(&piece[..length]),
                    Err(error) => return or_later(error),
                }
                if find(request, b"\r\n\r\n").is_some() {
                    let answer = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
                    );
                    self.stream.write_all(answer.as_bytes())?;
                    self.state = State::Idle;
                }
            }
            State::Idle => {}
            State::Sending(frame, sent) => {
                while *sent < frame.len() {
                    match self.stream.write(&frame[*sent..]) {
                        Ok(length) => *sent += length,
                        Err(error) => return or_later(error),
                    }
                }
                self.state = State::Idle;
            }
        }
        Ok(())
    }

    /// What the client waits for.
    fn interest(&self) -> Option<PollFlags> {
        match self.state {
            State::Handshake(_) => Some(PollFlags::IN),
            State::Idle => None,
            State::Sending(..) => Some(PollFlags::OUT),
        }
    }
}

fn or_later(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

/// Sleeps until a client can go on, somebody connects, or it is time for the next frame.
fn wait(listener: &TcpListener, clients: &[Client], time: Duration) -> io::Result<()> {
    let waiting = clients.iter().filter_map(|client| Some((&client.stream, client.interest()?)));
    let mut sockets = vec![PollFd::new(listener, PollFlags::IN)];
    sockets.extend(waiting.map(|(stream, flags)| PollFd::new(stream, flags)));
    let time = Timespec { tv_sec: 0, tv_nsec: time.as_nanos().min(999_999_999) as i64 };
    match poll(&mut sockets, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
