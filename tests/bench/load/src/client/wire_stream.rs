//! A connection that may be a slow reader's.

use crate::wire::http::Head;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A whole frame of 50 KB as base64 fits, so that the clients make few system calls.
const BUFFER: usize = 1 << 18;

/// How often a slow reader reads.
const SLOW_STEP: Duration = Duration::from_millis(100);

/// A TCP connection and what was read from it.
#[derive(Debug)]
pub(crate) struct WireStream {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of `buffer` has been read and not yet been handed out.
    ready: std::ops::Range<usize>,
    /// The most that one read of a slow reader takes.
    step: Option<usize>,
}

impl WireStream {
    /// Connects. A reader that is slow takes so many bytes a second, from the first one after the handshake.
    pub(crate) async fn connect(server: (IpAddr, u16), slow: Option<usize>) -> Result<Self, String> {
        let stream = TcpStream::connect(server).await.map_err(|e| format!("connect: {e}"))?;
        stream.set_nodelay(true).map_err(|e| format!("connect: {e}"))?;
        let step = slow.map(|bytes| (bytes / 10).clamp(1, BUFFER));
        Ok(Self { stream, buffer: vec![0; BUFFER], ready: 0..0, step })
    }

    /// Sends all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|e| format!("write: {e}"))
    }

    /// The next bytes that arrive, in their buffer.
    pub(crate) async fn read(&mut self) -> Result<&[u8], String> {
        if self.ready.is_empty() {
            let room = match self.step {
                Some(step) => {
                    sleep(SLOW_STEP).await;
                    &mut self.buffer[..step]
                }
                None => &mut self.buffer[..],
            };
            let length = self.stream.read(room).await.map_err(|e| format!("read: {e}"))?;
            if length == 0 {
                return Err("the server closed the connection".into());
            }
            self.ready = 0..length;
        }
        Ok(&self.buffer[std::mem::take(&mut self.ready)])
    }

    /// Sends a request and reads the head of its answer; the body is left for [`WireStream::read`].
    pub(crate) async fn request(&mut self, request: &[u8]) -> Result<Head, String> {
        self.write(request).await?;
        let mut length = 0;
        loop {
            let read =
                self.stream.read(&mut self.buffer[length..]).await.map_err(|e| format!("read: {e}"))?;
            if read == 0 {
                return Err("the server closed the connection before it answered".into());
            }
            length += read;
            if let Some((head, body)) = Head::parse(&self.buffer[..length])? {
                self.ready = body..length;
                return Ok(head);
            }
        }
    }
}
