//! The one task that writes to a client.

use crate::outbox::Next;
use crate::{Counters, Outbox, Segments, Subscription, Weight};
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// How a client's messages become bytes.
pub trait Feed: Send {
    /// What is in the outbox.
    type Item: Weight + Send;
    /// What the fan-out carries.
    type Frame: ?Sized + Send + Sync;

    /// The bytes of a message, or `None` when it is not for this client.
    fn message(&self, item: &Self::Item) -> Option<Segments>;
    /// The bytes of a frame, or `None` when it is not for this client. `sequence` counts the frames of the fan-out.
    fn frame(&self, frame: &Self::Frame, sequence: u64) -> Option<Segments>;
}

/// Writes a client's messages and frames until its outbox is closed and empty, then ends the stream.
///
/// Queued messages go before a frame. A message that has begun is finished, unless the client takes nothing of it for
/// 1.5 s after the outbox was closed. Nothing is allocated per message.
pub async fn pump<W, F>(
    io: &mut W,
    outbox: &Outbox<F::Item>,
    frames: &mut Subscription<F::Frame>,
    feed: &F,
    counters: &Counters,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    F: Feed,
{
    let mut watches = false;
    loop {
        let segments = match outbox.next() {
            Next::Message(item) => feed.message(&item),
            Next::End => break,
            Next::Frame => match frames.take() {
                Some((frame, missed)) => {
                    let segments = feed.frame(&frame, frames.seen());
                    watches = segments.is_some();
                    if missed > 0 && watches {
                        counters.add_skipped_frames(missed);
                    }
                    segments
                }
                None => {
                    tokio::select! {
                        biased;
                        () = frames.changed() => {}
                        () = outbox.changed() => {}
                    }
                    continue;
                }
            },
        };
        let Some(segments) = segments else { continue };
        let written = tokio::select! {
            biased;
            result = segments.write(io, || outbox.pulse().beat()) => result,
            () = outbox.given_up() => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = written {
            if watches {
                // It was stuck until its end, and does not take another frame with which this would be counted.
                counters.add_skipped_frames(frames.missed());
            }
            return Err(error);
        }
        counters.add_sent_bytes(segments.len() as u64);
    }
    tokio::select! {
        biased;
        result = io.shutdown() => result,
        () = outbox.given_up() => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Feed, pump};
    use crate::{Counters, Fanout, Limits, Outbox, Segments};
    use bytes::Bytes;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    /// Memory of a camera: counts how many of it are alive.
    struct Picture(Vec<u8>, Arc<AtomicUsize>);
    impl Picture {
        fn frame(text: &str, alive: &Arc<AtomicUsize>) -> Arc<Segments> {
            alive.fetch_add(1, SeqCst);
            Arc::new(Bytes::from_owner(Self(text.as_bytes().to_vec(), alive.clone())).into())
        }
    }
    impl AsRef<[u8]> for Picture {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Picture {
        fn drop(&mut self) {
            self.1.fetch_sub(1, SeqCst);
        }
    }

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

    struct Client {
        outbox: Arc<Outbox<Segments>>,
        counters: Arc<Counters>,
        far: DuplexStream,
        task: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    fn client(fanout: &Fanout<Segments>, window: usize, limits: &Limits) -> Client {
        let (mut near, far) = duplex(window);
        let outbox = Arc::new(Outbox::new(limits));
        let counters = Arc::new(Counters::default());
        let mut frames = fanout.subscribe();
        let (o, c) = (outbox.clone(), counters.clone());
        let task = tokio::spawn(async move { pump(&mut near, &o, &mut frames, &AsIs, &c).await });
        Client { outbox, counters, far, task }
    }

    /// Lets every task run until it waits.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn read(far: &mut DuplexStream, n: usize) -> String {
        let mut bytes = vec![0; n];
        far.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn text(text: &'static str) -> Segments {
        Bytes::from_static(text.as_bytes()).into()
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_two_frames_and_sees_the_newest_next() {
        let alive = Arc::new(AtomicUsize::new(0));
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 4, &Limits::default());
        for i in 0..100 {
            fanout.publish(Picture::frame(&format!("frame {i:02};"), &alive));
            settle().await;
            assert!(alive.load(SeqCst) <= 2, "one in flight, one pending");
        }
        assert_eq!(read(&mut slow.far, 9).await, "frame 00;");
        assert_eq!(read(&mut slow.far, 9).await, "frame 99;");
        settle().await;
        assert_eq!(slow.counters.skipped_frames(), 98);
        assert_eq!(alive.load(SeqCst), 1, "the newest stays until the next");
        fanout.clear();
        assert_eq!(alive.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn a_hundred_clients_share_one_frame_and_a_stuck_one_costs_the_others_nothing() {
        let alive = Arc::new(AtomicUsize::new(0));
        let fanout = Fanout::default();
        let _stuck = client(&fanout, 1, &Limits::default());
        let mut quick: Vec<_> = (0..100).map(|_| client(&fanout, 1024, &Limits::default())).collect();
        for i in 0..10 {
            fanout.publish(Picture::frame(&format!("{i}"), &alive));
            settle().await;
            for client in &mut quick {
                assert_eq!(read(&mut client.far, 1).await, format!("{i}"));
            }
            assert!(alive.load(SeqCst) <= 2);
        }
    }

    #[tokio::test]
    async fn the_queue_goes_before_the_pending_frame_and_never_into_the_middle_of_one() {
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 2, &Limits::default());
        fanout.publish(Arc::new(text("first;")));
        settle().await;
        fanout.publish(Arc::new(text("second;")));
        slow.outbox.push(text("pong;")).unwrap();
        slow.outbox.push(text("ack;")).unwrap();
        assert_eq!(read(&mut slow.far, 22).await, "first;pong;ack;second;");
    }

    #[tokio::test]
    async fn a_closed_outbox_says_its_last_words_and_ends_the_stream() {
        let fanout = Fanout::default();
        let mut client = client(&fanout, 1024, &Limits::default());
        client.outbox.push(text("hello;")).unwrap();
        client.outbox.close([text("bye;")]);
        let mut all = String::new();
        client.far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello;bye;");
        client.task.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_client_that_takes_nothing_is_given_up() {
        let fanout = Fanout::default();
        let client = client(&fanout, 1, &Limits::default());
        fanout.publish(Arc::new(text("never read")));
        settle().await;
        for _ in 0..5 {
            fanout.publish(Arc::new(text("neither")));
        }
        client.outbox.close([text("bye")]);
        assert!(client.task.await.unwrap().is_err());
        assert_eq!(client.counters.skipped_frames(), 5, "what it missed is counted at its end");
    }

    #[tokio::test]
    async fn being_slow_is_a_sign_of_life() {
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 3, &Limits::default());
        fanout.publish(Arc::new(text("frame;")));
        settle().await;
        assert_eq!(slow.outbox.pulse().last(), None);
        assert_eq!(read(&mut slow.far, 6).await, "frame;");
        settle().await;
        assert!(slow.outbox.pulse().last().is_some());
    }
}
