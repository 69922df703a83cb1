//! Everybody who is connected, and what all of them are told.

use crate::ask::{Ask, Login, Reply, Rights, Values, typed};
use crate::change::{Change, encode, join};
use crate::message::Secret;
use crate::role::Role;
use crate::session::{Delivery, Effect, Session};
use gantry_plugin::calls::Calls;
use gantry_plugin::{Health, Host, Metric, debug, warn};
use gantry_serve::websocket::Client;
use gantry_serve::{Meters, Segments};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

/// Changes that may wait for the worker. What is more is lost, and made good by reading everything anew.
const WAITING: usize = 1024;
/// Changes that go out together at most.
const BATCH: usize = 64;
/// How long between two times that everything is read anew: a flood of changes must not become a flood of these.
const REREAD: Duration = Duration::from_millis(100);
/// How long between two looks at the tokens of all clients, and before a failed question is asked again.
const PAUSE: Duration = Duration::from_secs(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a question to the runtime.
pub(crate) async fn put(calls: &Calls, ask: &Ask) -> Reply {
    calls.ask(ask.service, &ask.request).await
}

/// A client that is connected.
pub(crate) struct Peer {
    id: u64,
    pub(crate) client: Client<Segments>,
    session: Mutex<Session>,
}

impl Peer {
    /// Carries a message, or whatever begins with `first`, through all of its questions.
    pub(crate) async fn drive(&self, calls: &Calls, first: impl FnOnce(&mut Session) -> Vec<Effect>) {
        let mut open = self.apply(calls, first);
        while let Some(ask) = open {
            let reply = put(calls, &ask).await;
            open = self.apply(calls, |session| session.reply(reply));
        }
    }

    /// Sends while the session is locked: what it says must not be overtaken by a broadcast.
    fn apply(&self, calls: &Calls, f: impl FnOnce(&mut Session) -> Vec<Effect>) -> Option<Ask> {
        let mut session = lock(&self.session);
        let mut open = None;
        for effect in f(&mut session) {
            match effect {
                Effect::Send(frames) => self.client.send(frames),
                Effect::Ask(ask) => open = Some(ask),
                Effect::Tell(ask) => calls.tell(ask.service, &ask.request),
                Effect::Rejected => self.client.counters().add_rejected_messages(1),
            }
        }
        open
    }

    fn broadcast(&self, frames: &[Option<Segments>; Role::COUNT], anonymous: Option<Role>) {
        let mut session = lock(&self.session);
        let Some(frame) = session.sees(anonymous).and_then(|role| frames[role as usize].as_ref()) else {
            return;
        };
        match session.broadcast(frame) {
            Delivery::Now => self.client.send(frame.clone()),
            Delivery::Held => {}
            Delivery::TooMany => self.client.close(1013, "the gateway does not answer: try again later"),
        }
    }
}

/// What the plugin's thread hands to the worker.
pub(crate) struct Inbox {
    changes: mpsc::Sender<Change>,
    lost: Notify,
    access: Notify,
}

impl Inbox {
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(WAITING);
        (Arc::new(Self { changes, lost: Notify::new(), access: Notify::new() }), receiver)
    }

    pub(crate) fn change(&self, change: Change) {
        if self.changes.try_send(change).is_err() {
            self.lost.notify_one();
        }
    }

    /// Users, roles or sessions have changed.
    pub(crate) fn access_changed(&self) {
        self.access.notify_one();
    }
}

/// Everybody who is connected.
pub(crate) struct Hub {
    host: Host,
    pub(crate) calls: Arc<Calls>,
    pub(crate) mapping: Arc<str>,
    listening: String,
    inbox: Arc<Inbox>,
    next: AtomicU64,
    peers: Mutex<BTreeMap<u64, Arc<Peer>>>,
    /// What somebody without a name may see.
    anonymous: Mutex<Option<Role>>,
    /// Whether the runtime was asked that.
    ready: watch::Sender<bool>,
    resyncs: Metric,
}

impl Hub {
    pub(crate) fn new(
        host: Host,
        calls: Arc<Calls>,
        mapping: &str,
        listening: String,
        inbox: Arc<Inbox>,
    ) -> Arc<Self> {
        let help = "Times that everything was read anew because changes were lost";
        Arc::new(Self {
            host,
            calls,
            mapping: mapping.into(),
            listening,
            inbox,
            next: AtomicU64::new(0),
            peers: Mutex::default(),
            anonymous: Mutex::default(),
            ready: watch::Sender::new(false),
            resyncs: host.counter("resyncs", help),
        })
    }

    /// Returns once it is known what somebody without a name may see: who came before would miss changes.
    pub(crate) async fn ready(&self) {
        // An error means that the hub is gone, and with it whoever waits.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Somebody new.
    pub(crate) fn join(&self, client: Client<Segments>) -> Arc<Peer> {
        let id = self.next.fetch_add(1, Relaxed);
        let session = Mutex::new(Session::new(self.mapping.clone(), client.peer()));
        let peer = Arc::new(Peer { id, client, session });
        lock(&self.peers).insert(id, peer.clone());
        peer
    }

    /// Somebody has gone.
    pub(crate) fn leave(&self, peer: &Peer) {
        lock(&self.peers).remove(&peer.id);
        peer.apply(&self.calls, Session::gone);
    }

    /// How many are connected.
    pub(crate) fn clients(&self) -> usize {
        lock(&self.peers).len()
    }

    pub(crate) async fn measure(self: Arc<Self>, meters: Meters) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            meters.record(self.clients());
        }
    }

    /// Tells everybody what changes, for ever.
    pub(crate) async fn publish(self: Arc<Self>, mut changes: mpsc::Receiver<Change>) {
        let mut sync = Following::new(Instant::now());
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                _ = changes.recv_many(&mut batch, BATCH) => {}
                () = self.inbox.lost.notified() => sync.stale = true,
                () = tokio::time::sleep_until(sync.not_before), if sync.stale => {}
            }
            sync.stale |= sync.follow(&batch);
            if sync.stale && Instant::now() >= sync.not_before {
                sync.stale = !self.resync(&mut sync.from).await;
                sync.not_before = Instant::now() + if sync.stale { PAUSE } else { REREAD };
            }
            self.broadcast(&join(&batch, &sync.from));
            batch.clear();
            // Everybody writes what he has got before there is more: a burst must not fill a queue that nobody is slow in
            // emptying.
            tokio::task::yield_now().await;
        }
    }

    fn broadcast(&self, frames: &[Option<Segments>; Role::COUNT]) {
        if frames.iter().all(Option::is_none) {
            return;
        }
        let anonymous = *lock(&self.anonymous);
        for peer in lock(&self.peers).values() {
            peer.broadcast(frames, anonymous);
        }
    }

    /// Reads everything anew, once for each role that somebody has, and tells it to everybody who has that role. Changes
    /// that wait meanwhile are newer or already in it: `from` says which is the first that each role needs. Answers whether
    /// everybody has got everything.
    async fn resync(&self, from: &mut [u64; Role::COUNT]) -> bool {
        self.resyncs.record(1.0);
        *from = [0; Role::COUNT];
        let mut complete = true;
        let anonymous = *lock(&self.anonymous);
        for role in Role::ALL {
            let mut tokens: Vec<Option<Secret>> = {
                let peers = lock(&self.peers);
                let sessions = peers.values().map(|peer| lock(&peer.session));
                let those = sessions.filter(|session| session.sees(anonymous) == Some(role));
                those.map(|session| session.token().cloned()).collect()
            };
            // Who has no name cannot be logged out half-way.
            tokens.sort_by_key(Option::is_some);
            tokens.dedup();
            for token in tokens {
                match typed::<Values>(put(&self.calls, &Ask::read(&self.mapping, token.as_ref(), None)).await)
                {
                    Ok(read) if read.ended => {}
                    Ok(read) => {
                        from[role as usize] = read.sequence.saturating_add(1);
                        let mut frames = [const { None }; Role::COUNT];
                        if !read.values.is_empty() {
                            frames[role as usize] = Some(encode(&read.values));
                        }
                        self.broadcast(&frames);
                        break;
                    }
                    Err(error) => {
                        warn!(
                            self.host,
                            "changes were lost and reading anew failed, it is tried again: {error}"
                        );
                        complete = false;
                        break;
                    }
                }
            }
        }
        complete
    }

    /// Looks after who may see what, for ever: at the beginning, and when users, roles or sessions change.
    pub(crate) async fn review(self: Arc<Self>) {
        let mut well = true;
        loop {
            let known = self.review_anonymous().await;
            match &known {
                Ok(()) if well => {}
                Ok(()) => self.host.health(Health::Ok, &self.listening),
                Err(error) => {
                    let text = format!(
                        "{}, but the mapping `{}` cannot be used: {error}",
                        self.listening, self.mapping
                    );
                    self.host.health(Health::Degraded, &text);
                }
            }
            well = known.is_ok();
            self.ready.send_replace(true);
            let peers: Vec<_> = lock(&self.peers).values().cloned().collect();
            for peer in peers {
                let token = lock(&peer.session).token().cloned();
                if let Some(token) = token {
                    self.review_peer(&peer, &token).await;
                }
            }
            // At most once in a while: each login may be a reason to look at all.
            tokio::time::sleep(PAUSE).await;
            if well {
                self.inbox.access.notified().await;
            }
        }
    }

    async fn review_anonymous(&self) -> Result<(), String> {
        let rights = typed::<Rights>(put(&self.calls, &Ask::describe(&self.mapping, None)).await)?;
        let before = std::mem::replace(&mut *lock(&self.anonymous), rights.role);
        if before < rights.role && *self.ready.borrow() {
            // There were changes that nobody without a name has heard of, and he may know them now.
            self.inbox.lost.notify_one();
        }
        Ok(())
    }

    /// A runtime that cannot answer now is no reason to log anybody out: it tests every write itself.
    async fn review_peer(&self, peer: &Peer, token: &Secret) {
        let resume = Ask::resume(token, peer.client.peer());
        let Ok(login) = typed::<Login>(put(&self.calls, &resume).await) else { return };
        let role = if login.authenticated {
            let describe = Ask::describe(&self.mapping, Some(token));
            let Ok(rights) = typed::<Rights>(put(&self.calls, &describe).await) else { return };
            (!rights.ended).then_some(rights.role)
        } else {
            None
        };
        if role.is_none() {
            debug!(self.host, "the session of client {} has ended", peer.client.peer());
        }
        peer.apply(&self.calls, |session| session.reviewed(token, role));
    }
}

/// How far the changes were followed.
#[derive(Debug)]
struct Following {
    /// The number of the next change, once there was one.
    next: Option<u64>,
    /// Something was lost and not made good yet.
    stale: bool,
    /// The first change that each role has not got by reading.
    from: [u64; Role::COUNT],
    /// When everything may be read anew again.
    not_before: Instant,
}

impl Following {
    fn new(now: Instant) -> Self {
        Self { next: None, stale: false, from: [0; Role::COUNT], not_before: now }
    }

    /// Whether some are missing before or between these.
    fn follow(&mut self, changes: &[Change]) -> bool {
        let mut gap = false;
        for change in changes {
            gap |= self.next.is_some_and(|next| next != change.sequence());
            self.next = Some(change.sequence().wrapping_add(1));
        }
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::{Following, Inbox, WAITING};
    use crate::change::Change;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use tokio::time::Instant;

    fn changes(sequences: &[u64]) -> Vec<Change> {
        let read = |n: &u64| Change::read(format!(r#"{{"sequence":{n},"values":{{}}}}"#).as_bytes()).unwrap();
        sequences.iter().map(read).collect()
    }

    #[test]
    fn a_number_that_is_not_the_next_is_a_gap_also_between_two_batches_and_backwards() {
        let mut following = Following::new(Instant::now());
        assert!(!following.follow(&changes(&[17, 18, 19])), "the first may be any");
        assert!(!following.follow(&changes(&[20])));
        assert!(!following.follow(&[]));
        assert!(following.follow(&changes(&[22, 23])));
        assert!(!following.follow(&changes(&[24])));
        assert!(following.follow(&changes(&[25, 27, 28])));
        assert!(following.follow(&changes(&[1])), "the runtime counts anew");
        assert!(!following.follow(&changes(&[2])));
    }

    fn is_lost(inbox: &Inbox) -> bool {
        pin!(inbox.lost.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn changes_that_the_worker_does_not_take_are_bounded_and_remembered_as_lost() {
        let (inbox, mut waiting) = Inbox::new();
        let change = changes(&[1]).remove(0);
        (0..WAITING).for_each(|_| inbox.change(change.clone()));
        assert!(!is_lost(&inbox));
        inbox.change(change);
        assert!(is_lost(&inbox));
        assert_eq!(std::iter::from_fn(|| waiting.try_recv().ok()).count(), WAITING);
    }
}
