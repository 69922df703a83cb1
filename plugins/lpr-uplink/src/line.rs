//! What to do next: connect, fall back to REST, send, wait, set aside. It knows no socket and no clock; whoever drives it
//! asks [`next`](Line::next), does it, and tells what came of it.
//!
//! A *try* is to connect by Socket.IO and, when that fails, by REST. Tries come after one another in a *round*: the first,
//! and `max_retries` more, each after a longer pause. After a round in which nothing was taken the line is
//! [degraded](Line::is_degraded), and the next round begins after the retry interval. It never gives up.
//!
//! A record that is refused is offered again through the rest of a round, from the second time on over REST, whose status
//! tells a refusal from a bad moment. After that it is [set aside](Step::SetAside), so that it does not hold up what is
//! behind it. One at which the upstream fails for many rounds, though it answers a test, holds up the rest and is
//! [named](Line::holds_up): it may be the upstream that is ill. One that twice ended the connection goes over REST too: what is too large for a server's Socket.IO ends it.

mod step;

use crate::answer::Verdict;
use std::collections::HashSet;
use std::time::Duration;

use step::{Busy, Offer};
pub use step::{Head, Mode, Moment, Settings, Step, Way};

/// The pause after the first try of a round; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lives so long with nothing to send is no failure.
const STEADY: Duration = Duration::from_secs(10);
/// Connections that a record may end before it goes another way.
const MAX_CUTS: u32 = 2;
/// Cameras whose registration is remembered; with more of them it begins anew.
const MAX_CAMERAS: usize = 4096;
/// Rounds of tries that fail at one record, each on a way that is there, before it is named.
const HELD_ROUNDS: u32 = 3;
/// What is around a message in its packet.
const PACKET_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    Closed,
    Dialing,
    Open { since: Moment, took: bool },
}

/// See the module.
#[derive(Debug)]
pub struct Line {
    settings: Settings,
    socket: Socket,
    /// REST is in use, for want of Socket.IO.
    rest: bool,
    /// Something was taken by REST since Socket.IO was tried last.
    rest_took: bool,
    test_due: bool,
    busy: Option<Busy>,
    tries: u32,
    not_before: Moment,
    return_at: Moment,
    max_payload: Option<usize>,
    /// Cameras that are registered on the way in use.
    registered: HashSet<String>,
    offer: Offer,
    dial_error: String,
    error: Option<String>,
}

impl Line {
    /// Nothing is open, and the first try is due.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            socket: Socket::Closed,
            rest: false,
            rest_took: false,
            test_due: false,
            busy: None,
            tries: 0,
            not_before: Moment::ZERO,
            return_at: Moment::ZERO,
            max_payload: None,
            registered: HashSet::new(),
            offer: Offer::default(),
            dial_error: String::new(),
            error: None,
        }
    }

    /// How records go.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.socket {
            Socket::Open { .. } => Mode::SocketIo,
            _ if self.rest => Mode::Rest,
            _ => Mode::Offline,
        }
    }

    /// Whether a whole round of tries has brought nothing.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.tries > self.settings.max_retries
    }

    /// Tries that failed since something last went well.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// What went wrong last, as long as nothing has gone well since.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Why Socket.IO is not in use while REST is.
    #[must_use]
    pub fn detour(&self) -> Option<&str> {
        (self.mode() == Mode::Rest).then_some(self.dial_error.as_str())
    }

    /// The record at which the upstream fails again and again, though it is there.
    #[must_use]
    pub fn holds_up(&self) -> Option<&str> {
        let many = HELD_ROUNDS.saturating_mul(self.settings.max_retries.saturating_add(1));
        (self.offer.failures >= many).then_some(self.offer.id.as_str())
    }

    /// Whether the head is on its way.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        matches!(self.busy, Some(Busy::Send(_)))
    }

    /// Whether REST is being asked whether it is there.
    #[must_use]
    pub fn is_testing(&self) -> bool {
        self.busy == Some(Busy::Test)
    }

    /// What is to be done. Asked again after each thing that was done, and when something has happened.
    pub fn next(&mut self, now: Moment, head: Option<Head<'_>>) -> Step {
        if let Some(head) = head
            && head.id != self.offer.id
        {
            self.offer = Offer { id: head.id.to_owned(), camera: head.camera.to_owned(), ..Offer::default() };
        }
        let step = self.choose(now, head);
        match &step {
            Step::Connect => self.socket = Socket::Dialing,
            Step::Test => (self.test_due, self.busy) = (false, Some(Busy::Test)),
            Step::Register(way) => self.busy = Some(Busy::Register(*way)),
            Step::Send(way) => self.busy = Some(Busy::Send(*way)),
            Step::SetAside(_) => self.busy = Some(Busy::Aside),
            Step::Wait(_) => {}
        }
        step
    }

    fn choose(&mut self, now: Moment, head: Option<Head<'_>>) -> Step {
        // While REST serves, Socket.IO is tried beside it.
        let returns = self.rest && self.socket == Socket::Closed;
        if returns && now >= self.return_at {
            return Step::Connect;
        }
        if self.busy.is_some() {
            return Step::Wait(returns.then_some(self.return_at));
        }
        let until = |at: Moment| Step::Wait(Some(if returns { at.min(self.return_at) } else { at }));
        let is_early = now < self.not_before;
        if let Some(reason) = head.and_then(|head| head.unfit) {
            return if is_early { until(self.not_before) } else { Step::SetAside(reason.to_owned()) };
        }
        if self.test_due {
            return Step::Test;
        }
        if self.mode() == Mode::Offline {
            return match self.socket {
                Socket::Dialing => Step::Wait(None),
                _ if is_early => until(self.not_before),
                _ => Step::Connect,
            };
        }
        let Some(head) = head else { return self.idle(now, returns) };
        if is_early {
            return until(self.not_before);
        }
        if self.offer.refusals > self.settings.max_retries {
            return Step::SetAside(self.offer.reason.clone());
        }
        let way = if self.mode() == Mode::SocketIo { Way::SocketIo } else { Way::Rest };
        if way == Way::SocketIo && (self.offer.by_rest || self.is_too_large(head)) {
            Step::Send(Way::Rest)
        } else if self.registered.contains(head.camera) {
            Step::Send(way)
        } else {
            Step::Register(way)
        }
    }

    /// There is nothing to send.
    fn idle(&mut self, now: Moment, returns: bool) -> Step {
        match self.socket {
            Socket::Open { since, .. } if now < since.saturating_add(STEADY) => {
                Step::Wait(Some(since.saturating_add(STEADY)))
            }
            _ => {
                self.well();
                Step::Wait(returns.then_some(self.return_at))
            }
        }
    }

    fn is_too_large(&self, head: Head<'_>) -> bool {
        self.max_payload.is_some_and(|most| head.bytes.saturating_add(PACKET_BYTES) > most)
    }

    fn well(&mut self) {
        self.tries = 0;
        self.error = None;
    }

    /// The pause after so many tries.
    fn pause(&self, tries: u32) -> Duration {
        let longest = self.settings.retry_interval;
        let pause = match tries % self.settings.max_retries.saturating_add(1) {
            0 => longest,
            // Sixteen times doubled it is longer than anybody waits.
            place => FIRST_PAUSE.saturating_mul(1 << (place - 1).min(16)).min(longest),
        };
        pause.mul_f64(1.0 + self.settings.jitter.clamp(0.0, 1.0) / 10.0)
    }

    fn failure(&mut self, now: Moment, why: String) {
        self.tries = self.tries.saturating_add(1);
        self.not_before = now.saturating_add(self.pause(self.tries));
        self.error = Some(why);
    }

    fn refusal(&mut self, now: Moment, why: String) {
        self.offer.refusals += 1;
        self.offer.by_rest = true;
        self.not_before = now.saturating_add(self.pause(self.offer.refusals));
        self.error = Some(why.clone());
        self.offer.reason = why;
    }

    /// Socket.IO is open; with the largest message that the upstream takes.
    pub fn opened(&mut self, now: Moment, max_payload: Option<usize>) {
        self.socket = Socket::Open { since: now, took: false };
        self.max_payload = max_payload;
        (self.rest, self.test_due) = (false, false);
        self.registered.clear();
    }

    /// Socket.IO could not be opened, or has ended.
    pub fn lost(&mut self, now: Moment, why: String) {
        match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Closed => {}
            Socket::Dialing if self.rest => {
                self.dial_error = why;
                self.return_at = now.saturating_add(self.settings.return_interval);
                // Whether REST is still there is known of what it has taken, or else is to be asked.
                self.test_due = !std::mem::take(&mut self.rest_took);
            }
            Socket::Dialing => (self.test_due, self.dial_error) = (true, why),
            Socket::Open { since, took } => {
                self.registered.clear();
                let flying =
                    matches!(self.busy, Some(Busy::Send(Way::SocketIo) | Busy::Register(Way::SocketIo)));
                if self.busy == Some(Busy::Send(Way::SocketIo)) {
                    self.offer.cuts += 1;
                    self.offer.failures = self.offer.failures.saturating_add(1);
                    self.offer.by_rest |= self.offer.cuts >= MAX_CUTS;
                }
                if flying {
                    self.busy = None;
                }
                if took || (!flying && now >= since.saturating_add(STEADY)) {
                    self.tries = 0;
                    self.error = Some(why);
                } else {
                    self.failure(now, why);
                }
            }
        }
    }

    /// What REST has answered to a test.
    pub fn tested(&mut self, now: Moment, verdict: Verdict) {
        self.busy = None;
        if self.mode() == Mode::SocketIo {
            return;
        }
        match verdict {
            Verdict::Taken => {
                if !self.rest {
                    self.registered.clear();
                    self.return_at = now.saturating_add(self.settings.return_interval);
                }
                self.rest = true;
            }
            Verdict::Refused(why) | Verdict::Failed(why) | Verdict::Absent(why) => {
                self.rest = false;
                let why = match &self.dial_error {
                    socket if *socket == why => why,
                    socket => format!("Socket.IO: {socket}; REST: {why}"),
                };
                self.failure(now, why);
            }
        }
    }

    /// What became of the registration of the head's camera.
    pub fn registered(&mut self, now: Moment, verdict: Verdict) {
        let Some(Busy::Register(way)) = self.busy.take() else { return };
        match verdict {
            Verdict::Failed(why) => self.not_now(now, way, why),
            // Who does not want to know cameras may want to have what they send.
            _ => {
                if self.registered.len() >= MAX_CAMERAS {
                    self.registered.clear();
                }
                self.registered.insert(self.offer.camera.clone());
            }
        }
    }

    /// What became of the head. `true`: it is done with.
    pub fn answered(&mut self, now: Moment, verdict: Verdict) -> bool {
        let Some(Busy::Send(way)) = self.busy.take() else { return false };
        if matches!(verdict, Verdict::Failed(_)) {
            self.offer.failures = self.offer.failures.saturating_add(1);
        }
        match verdict {
            Verdict::Taken => {
                match (&mut self.socket, way) {
                    (Socket::Open { took, .. }, Way::SocketIo) => *took = true,
                    _ => self.rest_took = true,
                }
                self.well();
                self.offer = Offer::default();
                return true;
            }
            Verdict::Refused(why) => self.refusal(now, why),
            Verdict::Failed(why) => self.not_now(now, way, why),
            Verdict::Absent(why) if self.mode() == Mode::SocketIo => {
                if self.offer.refusals > 0 {
                    // There is no second opinion.
                    let reason = self.offer.reason.clone();
                    self.refusal(now, reason);
                } else if self.offer.by_rest {
                    (self.offer.by_rest, self.offer.cuts) = (false, 0);
                    self.failure(now, why);
                } else {
                    self.refusal(
                        now,
                        format!("it is more than the upstream takes over Socket.IO, and {why}"),
                    );
                }
            }
            Verdict::Absent(why) => self.not_now(now, way, why),
        }
        false
    }

    /// It is not the record's fault.
    fn not_now(&mut self, now: Moment, way: Way, why: String) {
        if way == Way::Rest {
            self.rest = false;
            if self.offer.cuts > 0 {
                (self.offer.by_rest, self.offer.cuts) = (self.offer.refusals > 0, 0);
            }
        }
        self.failure(now, why);
    }

    /// Whether the head could be kept elsewhere. `true`: it is done with.
    pub fn set_aside(&mut self, now: Moment, done: Result<(), String>) -> bool {
        if self.busy == Some(Busy::Aside) {
            self.busy = None;
        }
        match done {
            Ok(()) => {
                self.offer = Offer::default();
                true
            }
            Err(why) => {
                self.error = Some(why);
                self.not_before = now.saturating_add(self.settings.retry_interval.min(STEADY));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
