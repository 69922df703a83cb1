//! The reading side of a WebSocket, and what it may hold of a peer.

use super::{Failure, Incoming};
use crate::limits::Share;
use crate::{Limits, Pulse, Segments, http};
use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use tungstenite::error::{CapacityError, Error as WsError};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// What a read asks the socket for at first; it grows while the peer fills it.
const READ_BYTES: usize = 2 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// A frame beyond this leaves a buffer behind that an idle client must not keep.
const KEPT_BYTES: u64 = 64 << 10;

/// The bytes between the socket and tungstenite. They are handed over frame by frame, so that after a message tungstenite
/// holds nothing and can be replaced together with the buffer that it would keep.
struct Pipe {
    incoming: BytesMut,
    outgoing: Vec<u8>,
    ended: bool,
    /// What has not been handed over of the frame that has begun.
    left: u64,
    /// The largest frame that this tungstenite has seen.
    largest: u64,
}

/// How long the frame is that begins here, or `None` while its header is not complete.
fn frame_len(bytes: &[u8]) -> Option<u64> {
    let second = *bytes.get(1)?;
    let mask: u64 = if second & 0x80 == 0 { 0 } else { 4 };
    let (extended, payload) = match second & 0x7f {
        126 => (2, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (8, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (0, short.into()),
    };
    Some((2 + extended + mask).saturating_add(payload))
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = match frame_len(&self.incoming) {
                Some(len) => len,
                // Whatever this is, there will be no more of it.
                None if self.ended => self.incoming.len() as u64,
                None => return Err(io::ErrorKind::WouldBlock.into()),
            };
            self.largest = self.largest.max(self.left);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let n = buf.len().min(self.incoming.len()).min(left);
        if n == 0 {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        self.incoming.copy_to_slice(&mut buf[..n]);
        self.left -= n as u64;
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading side of a WebSocket.
pub struct Reader<R> {
    io: R,
    pipe: Pipe,
    config: WebSocketConfig,
    context: WebSocketContext,
    share: Share,
    /// Bytes of the current message that are too few to be shared out.
    uncounted: usize,
    /// How long a large message may take, and when the current one must be there.
    patience: Duration,
    deadline: Option<Instant>,
    step: usize,
    pulse: Option<Arc<Pulse>>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R, read: &[u8], limits: &Limits, share: Share) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let pipe = Pipe { incoming: read.into(), outgoing: Vec::new(), ended: false, left: 0, largest: 0 };
        let context = WebSocketContext::new(Role::Server, Some(config));
        let patience = http::slow_body(limits);
        Self {
            io,
            pipe,
            config,
            context,
            share,
            uncounted: 0,
            patience,
            deadline: None,
            step: READ_BYTES,
            pulse: None,
        }
    }

    /// Lets whatever comes in count as a sign of life, parts of a large message as well.
    pub fn beat(&mut self, pulse: &Arc<Pulse>) {
        self.pulse = Some(pulse.clone());
    }

    /// The next message. `reply` gets prebuilt frames to be sent to the peer. May be dropped and called again.
    pub async fn next(&mut self, mut reply: impl FnMut(Segments)) -> Result<Incoming, Failure> {
        loop {
            // One peer that floods must not have the thread for itself until its socket is empty.
            tokio::task::coop::consume_budget().await;
            let result = self.context.read(&mut self.pipe);
            if !self.pipe.outgoing.is_empty() {
                reply(Bytes::from(std::mem::take(&mut self.pipe.outgoing)).into());
            }
            let message = match result {
                Ok(message) => message,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.fill().await?;
                    continue;
                }
                Err(error) => return Err(failure(&error)),
            };
            match message {
                tungstenite::Message::Text(text) => {
                    self.message_is_complete();
                    return Ok(Incoming::Text(text));
                }
                tungstenite::Message::Binary(bytes) => {
                    self.message_is_complete();
                    return Ok(Incoming::Binary(bytes));
                }
                tungstenite::Message::Close(_) => return Ok(Incoming::Close),
                // The answer to a ping is flushed by the next read. It may come in the middle of a message, which is
                // none the smaller for it.
                _ => {}
            }
        }
    }

    fn message_is_complete(&mut self) {
        self.share.give_back();
        (self.uncounted, self.deadline) = (0, None);
        if self.pipe.largest > KEPT_BYTES {
            self.context = WebSocketContext::new(Role::Server, Some(self.config));
            self.pipe.largest = 0;
        }
    }

    /// Reads and forgets until the peer has closed: closing a socket with unread bytes would reset it, and take with it
    /// what the peer has not read yet. Bounded by the caller in time and here in bytes.
    pub async fn drain(&mut self) {
        // On the heap, or every client would carry it along from the beginning.
        let mut sink = vec![0; 16 << 10];
        for _ in 0..1024 {
            if !matches!(self.io.read(&mut sink).await, Ok(1..)) {
                return;
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        self.pipe.incoming.reserve(self.step);
        let mut io = (&mut self.io).take(self.step as u64);
        let read = io.read_buf(&mut self.pipe.incoming);
        let read = match self.deadline {
            None => read.await,
            Some(deadline) => tokio::time::timeout_at(deadline, read)
                .await
                .map_err(|_| Failure::Broken(1008, "the message did not come in time"))?,
        };
        let n = match read {
            Ok(0) => {
                self.pipe.ended = true;
                return Ok(());
            }
            Ok(n) => n,
            Err(_) => return Err(Failure::Gone),
        };
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
        if n == self.step {
            self.step = (self.step * 2).min(READ_BYTES_MAX);
        } else if n < READ_BYTES && self.step > READ_BYTES {
            // The large message is over: an idle client keeps a small buffer only.
            self.step = READ_BYTES;
            self.pipe.incoming = BytesMut::from(&self.pipe.incoming[..]);
        }
        // What is small is not worth the counting; a large message is shared out, in however small parts it comes.
        self.uncounted += n;
        if self.uncounted >= READ_BYTES {
            if !self.share.take(std::mem::take(&mut self.uncounted)) {
                return Err(Failure::Broken(1013, "too much in flight: try again later"));
            }
            self.deadline.get_or_insert_with(|| Instant::now() + self.patience);
        }
        Ok(())
    }
}

fn failure(error: &WsError) -> Failure {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Failure::Broken(1009, "message too large"),
        WsError::Capacity(_) => Failure::Broken(1009, "too large"),
        WsError::Utf8(_) => Failure::Broken(1007, "text is not UTF-8"),
        WsError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => Failure::Gone,
        WsError::Protocol(_) => Failure::Broken(1002, "protocol error"),
        _ => Failure::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Incoming, Reader};
    use crate::limits::Share;
    use crate::{Limits, http};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn reader(bytes: &[u8], limits: &Limits) -> Reader<std::io::Cursor<Vec<u8>>> {
        let share = Share::new(http::budget(limits));
        Reader::new(std::io::Cursor::new(bytes.to_vec()), &[], limits, share)
    }

    /// A masked frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n => {
                frame.push(0x80 | 127);
                frame.extend((n as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m));
        frame
    }

    proptest! {
        #[test]
        fn random_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut reader = reader(&bytes, &Limits::default());
                while reader.next(|_| {}).await.is_ok() {}
            });
        }
    }

    #[tokio::test]
    async fn a_ping_between_fragments_gives_back_nothing() {
        let limits = Limits { incomplete_bytes: 65_536, ..Limits::default() };
        let mut bytes = masked(0x02, &[0; 40_000]);
        for _ in 0..4 {
            bytes.extend(masked(0x89, b"?"));
            bytes.extend(masked(0x00, &[0; 40_000]));
        }
        let failure = reader(&bytes, &limits).next(|_| {}).await;
        assert_eq!(failure, Err(Failure::Broken(1013, "too much in flight: try again later")));
    }

    /// Gives a byte for each read.
    struct Drops(Vec<u8>);
    impl tokio::io::AsyncRead for Drops {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let byte = self.0.pop();
            buf.put_slice(byte.as_slice());
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_large_message_is_counted_in_however_small_parts_it_comes() {
        let limits = Limits { incomplete_bytes: 65_536, ..Limits::default() };
        let mut bytes = masked(0x82, &[0; 70_000]);
        bytes.reverse();
        let mut reader = Reader::new(Drops(bytes), &[], &limits, Share::new(http::budget(&limits)));
        let failure = reader.next(|_| {}).await;
        assert_eq!(failure, Err(Failure::Broken(1013, "too much in flight: try again later")));
    }

    #[tokio::test]
    async fn frames_come_one_by_one_and_a_large_one_leaves_no_buffer_behind() {
        let bytes = [masked(0x82, &[7; 300_000]), masked(0x81, b"a"), masked(0x01, b"b"), masked(0x80, b"c")];
        let mut reader = reader(&bytes.concat(), &Limits::default());
        let Ok(Incoming::Binary(large)) = reader.next(|_| {}).await else { panic!("no message") };
        assert_eq!(large.len(), 300_000);
        assert!(large.is_unique(), "nobody keeps its memory when it is dropped");
        assert_eq!(reader.next(|_| {}).await, Ok(Incoming::Text("a".into())));
        assert_eq!(reader.next(|_| {}).await, Ok(Incoming::Text("bc".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_message_may_not_take_for_ever() {
        let limits = Limits { handshake_seconds: 1, ..Limits::default() };
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let mut reader = Reader::new(near, &[], &limits, Share::new(http::budget(&limits)));
        let part = masked(0x82, &[0; 10_000])[..5_000].to_vec();
        tokio::io::AsyncWriteExt::write_all(&mut far, &part).await.unwrap();
        let failure = reader.next(|_| {}).await;
        assert_eq!(failure, Err(Failure::Broken(1008, "the message did not come in time")));
    }

    #[tokio::test]
    async fn fragments_are_joined_and_a_ping_between_them_is_answered() {
        let bytes =
            [masked(0x01, b"he"), masked(0x89, b"?"), masked(0x80, b"llo"), masked(0x82, b"\0")].concat();
        let mut reader = reader(&bytes, &Limits::default());
        let mut replies = Vec::new();
        let first = reader.next(|segments| replies.push(segments.to_bytes())).await;
        assert_eq!(first, Ok(Incoming::Text("hello".into())));
        assert_eq!(replies, [Bytes::from_static(b"\x8a\x01?")]);
        assert_eq!(reader.next(|_| {}).await, Ok(Incoming::Binary(Bytes::from_static(b"\0"))));
        assert_eq!(reader.next(|_| {}).await, Err(Failure::Gone));
    }

    #[tokio::test]
    async fn a_close_is_answered_and_reading_goes_on_to_the_end() {
        let mut reader = reader(&masked(0x88, &[3, 232]), &Limits::default());
        let mut replies = Vec::new();
        assert_eq!(reader.next(|s| replies.push(s.to_bytes())).await, Ok(Incoming::Close));
        assert_eq!(reader.next(|s| replies.push(s.to_bytes())).await, Err(Failure::Gone));
        assert_eq!(replies, [Bytes::from_static(&[0x88, 2, 3, 232])]);
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_told_with_its_code() {
        let limits = Limits { message_bytes: 1024, ..Limits::default() };
        let large = masked(0x82, &[0; 2000]);
        for (bytes, code) in
            [(&large[..], 1009), (&masked(0x81, &[0xff, 0xfe])[..], 1007), (&[0x81, 1, b'x'][..], 1002)]
        {
            let Err(Failure::Broken(got, _)) = reader(bytes, &limits).next(|_| {}).await else {
                panic!("expected {code}")
            };
            assert_eq!(got, code);
        }
    }

    #[tokio::test]
    async fn messages_larger_than_what_all_may_hold_together_are_refused() {
        let limits = Limits { incomplete_bytes: 65_536, ..Limits::default() };
        let bytes = masked(0x82, &vec![0; 300_000]);
        let failure = reader(&bytes, &limits).next(|_| {}).await;
        assert_eq!(failure, Err(Failure::Broken(1013, "too much in flight: try again later")));
    }
}
