//! Takes records from the store to the stream.

use crate::backoff::Backoff;
use crate::config::{Config, Limits, Pictures};
use crate::feed::Feed;
use crate::jetstream::{Info, JetStream};
use crate::link::Link;
use crate::message::{Form, Message, Record, object};
use crate::object::Bucket;
use crate::status::Status;
use crate::trouble::Trouble;
use crate::window::Window;
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use gantry_plugin::worker::Stopping;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long what is on its way may take when the plugin stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What publishes, over as many connections as it takes.
pub(crate) struct Publisher {
    feed: Arc<Feed>,
    status: Arc<Status>,
    form: Form,
    stream: String,
    make: Option<(Vec<String>, Limits)>,
    bucket: Option<Bucket>,
    batch: usize,
    /// How often it was begun anew: what is put into the object store has other keys each time.
    attempts: u32,
}

/// A message on its way: how large it is, and what becomes of it. `true`: the stream had it already.
struct Flying<'a> {
    bytes: usize,
    arrives: BoxFuture<'a, Result<bool, Trouble>>,
}

/// What one attempt knows.
struct Run<'a> {
    jetstream: &'a JetStream<'a>,
    info: Info,
    /// The most bytes of a message of the bucket.
    part: usize,
    window: Window,
    flying: VecDeque<Flying<'a>>,
    pending: VecDeque<Record>,
    /// The first of `pending`, when it was made and finds no room yet.
    made: Option<Message>,
    /// What the stream had before this attempt; unknown until there is something to ask for.
    present: Option<BTreeSet<Uuid>>,
}

impl Publisher {
    pub(crate) fn new(feed: Arc<Feed>, status: Arc<Status>, form: Form, config: &Config) -> Self {
        let make = (form.subjects.of_stream(&config.collections), config.limits.clone());
        Self {
            feed,
            status,
            stream: config.stream.clone(),
            make: config.create_stream.then_some(make),
            bucket: (config.pictures == Pictures::Object).then(|| Bucket::new(&form.bucket)),
            batch: config.batch,
            form,
            attempts: 0,
        }
    }

    /// Publishes over one connection, until the plugin stops.
    pub(crate) async fn run(&mut self, link: &Link, config: &Config, mut stopping: Stopping) {
        let jetstream = JetStream::new(link, config);
        let (mut backoff, mut most) = (Backoff::default(), usize::MAX);
        // The connection before this one was lost in the middle of it, and nobody came to count that.
        self.attempts = self.attempts.saturating_add(1);
        loop {
            let mut progress = false;
            let Err(trouble) = self.attempt(&jetstream, &mut most, &mut progress, &mut stopping).await else {
                return;
            };
            self.attempts = self.attempts.saturating_add(1);
            if progress {
                backoff.reset();
            }
            if !trouble.is_too_large {
                self.status.publishing(Some(&trouble.to_string()));
                tokio::select! {
                    () = tokio::time::sleep(backoff.wait()) => {}
                    () = stopping.wait() => return,
                }
            }
        }
    }

    /// Publishes until something does not work, or the plugin stops. `most` falls to what a message may have when the
    /// stream finds one too large.
    async fn attempt(
        &mut self,
        jetstream: &JetStream<'_>,
        most: &mut usize,
        progress: &mut bool,
        stopping: &mut Stopping,
    ) -> Result<(), Trouble> {
        let make = self
            .make
            .as_ref()
            .map(|(subjects, limits)| crate::jetstream::make(&self.stream, subjects, limits));
        let mut info = jetstream.stream(&self.stream, make).await?;
        info.most = info.most.min(*most);
        let part = match &self.bucket {
            Some(bucket) => bucket.open(jetstream, self.make.as_ref().map(|(_, limits)| limits)).await?,
            None => 0,
        };
        self.feed.rewind().await.map_err(Trouble::new)?;
        self.status.publishing(None);
        let mut run = Run {
            jetstream,
            info,
            part,
            window: Window::default(),
            flying: VecDeque::new(),
            pending: VecDeque::new(),
            made: None,
            present: None,
        };
        loop {
            if run.pending.is_empty() && run.window.has_room(1) && !stopping.is_stopping() {
                run.pending = self.feed.next(self.batch).await.map_err(Trouble::new)?.into();
            }
            self.send(&mut run, most, progress).await?;
            let is_dry = run.pending.is_empty();
            tokio::select! {
                arrived = first(&mut run.flying) => {
                    self.arrived(&mut run, arrived, most).await?;
                    *progress = true;
                }
                () = self.feed.more(), if is_dry => {}
                () = stopping.wait() => {
                    let rest = async {
                        while !run.flying.is_empty() {
                            let arrived = first(&mut run.flying).await;
                            self.arrived(&mut run, arrived, most).await?;
                        }
                        Ok::<_, Trouble>(())
                    };
                    // What has not arrived is asked for at the next start.
                    let _ = tokio::time::timeout(FAREWELL, rest).await;
                    return Ok(());
                }
            }
        }
    }

    /// Sends as much as there is and may be on its way.
    async fn send(
        &mut self,
        run: &mut Run<'_>,
        most: &mut usize,
        progress: &mut bool,
    ) -> Result<(), Trouble> {
        if let (None, Some(record)) = (&run.present, run.pending.front()) {
            let all = self.form.subjects.all();
            run.present = Some(run.jetstream.present(&self.stream, &all, record.id).await?);
        }
        while let Some(record) = run.pending.front_mut() {
            // What needs nothing takes a place all the same: see `resume`.
            if !run.window.has_room(0) {
                return Ok(());
            }
            let id = record.id;
            let is_there = run.present.as_mut().is_some_and(|present| present.remove(&id));
            if is_there || record.is_kept_back() {
                let meters = &self.status.meters;
                if is_there {
                    meters.published.record(1.0);
                    meters.duplicates.record(1.0);
                } else {
                    meters.kept_back.record(1.0);
                }
                run.pending.pop_front();
                self.skip(run, id).await?;
                *progress = true;
                continue;
            }
            let made = match run.made.take() {
                Some(made) => Ok(made),
                None => {
                    self.put(run.jetstream, run.part, record).await?;
                    let made = self.form.message(record, run.info.most);
                    if made.as_ref().is_ok_and(|made| !made.is_truncated) {
                        made
                    } else {
                        // Somebody may have raised the limit since.
                        let info = run.jetstream.stream(&self.stream, None).await?;
                        run.info.most = info.most.min(*most);
                        self.form.message(record, run.info.most)
                    }
                }
            };
            match made {
                Ok(message) if !run.window.has_room(message.payload.len()) => {
                    run.made = Some(message);
                    return Ok(());
                }
                Ok(message) => {
                    let bytes = message.payload.len();
                    let sent = run.jetstream.send(&self.stream, &message).await;
                    let sent = sent.inspect_err(|trouble| too_large(trouble, bytes, most))?;
                    if message.is_truncated {
                        self.status.meters.truncated.record(1.0);
                    }
                    run.window.sent(id, bytes);
                    let (jetstream, stream) = (run.jetstream, self.stream.clone());
                    let arrives = Box::pin(arrives(jetstream, stream, sent));
                    run.flying.push_back(Flying { bytes, arrives });
                    run.pending.pop_front();
                }
                Err(needed) => {
                    let reason = format!(
                        "a record of `{}` needs a message of {needed} bytes and {} fit: raise max_payload of the server and \
                         max_msg_size of `{}`",
                        record.collection, run.info.most, self.stream
                    );
                    self.feed.refuse(record, &reason).await.map_err(Trouble::new)?;
                    self.status.refused(&reason);
                    run.pending.pop_front();
                    self.skip(run, id).await?;
                }
            }
        }
        Ok(())
    }

    /// Puts the pictures of a record into the object store, so that they are there before the message that names them.
    async fn put(
        &mut self,
        jetstream: &JetStream<'_>,
        part: usize,
        record: &mut Record,
    ) -> Result<(), Trouble> {
        let Some(bucket) = self.bucket.as_ref().filter(|_| !record.blobs.is_empty()) else { return Ok(()) };
        record.blobs = self.feed.blobs(record).await.map_err(Trouble::new)?;
        for blob in &mut record.blobs {
            let Some(text) = blob.data.take() else { continue };
            let content = base64_simd::STANDARD.decode_to_vec(&text).map(Bytes::from);
            let content = content.map_err(|_| Trouble::new("records.query gives no base64"))?;
            let name = object(&record.id, &blob.name);
            let put = bucket.put(jetstream, &name, content, part, self.attempts).await;
            // It is the bucket that does not take it, and leaving out what the record says would not help.
            put.map_err(Trouble::that_lasts)?;
            self.status.meters.objects.record(1.0);
            // That it is there is all that its message needs to know.
            blob.data = Some(String::new());
        }
        Ok(())
    }

    async fn skip(&self, run: &mut Run<'_>, id: Uuid) -> Result<(), Trouble> {
        match run.window.skipped(id) {
            Some(up_to) => self.feed.ack(up_to).await.map_err(Trouble::new),
            None => Ok(()),
        }
    }

    /// The oldest message on its way is in the stream, or is not.
    async fn arrived(
        &self,
        run: &mut Run<'_>,
        (bytes, arrived): (usize, Result<bool, Trouble>),
        most: &mut usize,
    ) -> Result<(), Trouble> {
        let was_there = arrived.inspect_err(|trouble| too_large(trouble, bytes, most))?;
        self.status.meters.published.record(1.0);
        if was_there {
            self.status.meters.duplicates.record(1.0);
        }
        match run.window.arrived() {
            Some(up_to) => self.feed.ack(up_to).await.map_err(Trouble::new),
            None => Ok(()),
        }
    }
}

/// What the stream does not take is made smaller, as often as it takes.
fn too_large(trouble: &Trouble, bytes: usize, most: &mut usize) {
    if trouble.is_too_large {
        *most = bytes;
    }
}

async fn arrives(jetstream: &JetStream<'_>, stream: String, sent: PublishAckFuture) -> Result<bool, Trouble> {
    jetstream.arrived(&stream, sent).await
}

/// What becomes of the oldest message on its way; never, when there is none.
async fn first(flying: &mut VecDeque<Flying<'_>>) -> (usize, Result<bool, Trouble>) {
    let Some(oldest) = flying.front_mut() else { return std::future::pending().await };
    let arrived = (&mut oldest.arrives).await;
    (flying.pop_front().map_or(0, |oldest| oldest.bytes), arrived)
}
