//! Bytes ready for a socket, in pieces that are shared and never copied.

use bytes::{BufMut, Bytes, BytesMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::io::AsyncWrite;

/// A prebuilt message: a few refcounted pieces that are written one after the other. Cloning counts a reference.
#[derive(Debug, Clone)]
pub struct Segments(Arc<[Bytes]>);

impl Segments {
    /// How many bytes they are together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// The pieces.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    /// All of it in one piece: for tests and for what is small.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &*self.0 {
            [one] => one.clone(),
            many => {
                let mut all = BytesMut::with_capacity(self.len());
                many.iter().for_each(|piece| all.put_slice(piece));
                all.freeze()
            }
        }
    }

    /// Writes and flushes everything. `waited` is called when the peer has taken something after it made us wait, which
    /// is a sign of life. Dropped half-way it leaves a torn message behind: nothing else may be written then.
    pub async fn write<W>(&self, io: &mut W, mut waited: impl FnMut()) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        let (mut piece, mut offset, mut blocked) = (0, 0, false);
        poll_fn(|cx| {
            while let Some(first) = self.0.get(piece) {
                let poll = match &self.0[piece + 1..] {
                    [] => Pin::new(&mut *io).poll_write(cx, &first[offset..]),
                    rest => {
                        let mut slices = [IoSlice::new(&[]); 8];
                        slices[0] = IoSlice::new(&first[offset..]);
                        let count = 1 + rest.len().min(slices.len() - 1);
                        for (slice, bytes) in slices[1..].iter_mut().zip(rest) {
                            *slice = IoSlice::new(bytes);
                        }
                        Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count])
                    }
                };
                let mut written = match poll {
                    Poll::Pending => {
                        blocked = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(result) => result?,
                };
                if written == 0 && !first[offset..].is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if std::mem::take(&mut blocked) {
                    waited();
                }
                while let Some(bytes) = self.0.get(piece) {
                    let left = bytes.len() - offset;
                    if written < left {
                        offset += written;
                        break;
                    }
                    written -= left;
                    (piece, offset) = (piece + 1, 0);
                }
            }
            // TLS keeps bytes back until it is flushed; for a plain socket this is nothing.
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl From<Bytes> for Segments {
    fn from(bytes: Bytes) -> Self {
        Self(Arc::new([bytes]))
    }
}

/// Puts [`Segments`] together: what is small is copied into one piece, what is large is shared.
#[derive(Debug, Default)]
pub struct Builder {
    done: Vec<Bytes>,
    open: BytesMut,
}

/// From this size on a piece of its own is cheaper than a copy.
const SHARE: usize = 2048;

impl Builder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a copy.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.open.put_slice(bytes);
    }

    /// Appends bytes, sharing them when they are many.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE {
            self.copy(bytes);
        } else {
            self.close();
            self.done.push(bytes.clone());
        }
    }

    /// Appends what is already prebuilt.
    pub fn append(&mut self, segments: &Segments) {
        segments.iter().for_each(|piece| self.share(piece));
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open).freeze());
        }
    }

    /// The pieces.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        self.close();
        Segments(self.done.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Builder, SHARE, Segments};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::AsyncWrite;

    /// Takes at most `step` bytes at a time and every other time none.
    struct Trickle {
        got: Vec<u8>,
        step: usize,
        ready: bool,
        vectored: usize,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.ready = !self.ready;
            if !self.ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let n = buf.len().min(self.step);
            self.got.extend_from_slice(&buf[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[std::io::IoSlice<'_>],
        ) -> Poll<std::io::Result<usize>> {
            self.vectored += 1;
            let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn large_pieces_are_shared_and_small_ones_are_joined() {
        let large = Bytes::from(vec![7; SHARE]);
        let mut builder = Builder::new();
        builder.copy(b"head");
        builder.share(&Bytes::from_static(b"er"));
        builder.share(&large);
        builder.copy(b"tail");
        let segments = builder.finish();
        let pieces: Vec<_> = segments.iter().collect();
        assert_eq!(pieces.len(), 3);
        assert_eq!(&pieces[0][..], b"header");
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(segments.len(), 10 + SHARE);
    }

    proptest! {
        #[test]
        fn whatever_the_socket_takes_at_a_time_all_bytes_arrive_in_order(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            step in 1..50usize,
        ) {
            let all: Vec<u8> = pieces.concat();
            let segments = Segments(pieces.into_iter().map(Bytes::from).collect());
            let mut io = Trickle { got: Vec::new(), step, ready: true, vectored: 0 };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut waited = 0;
            runtime.block_on(segments.write(&mut io, || waited += 1)).unwrap();
            prop_assert_eq!(io.got, all);
        }
    }
}
