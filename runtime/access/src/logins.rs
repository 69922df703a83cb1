//! The thread on which passwords are checked.

use crate::access::could_be;
use crate::throttle::network;
use crate::{Access, Login, Password, lock};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tracing::error;

/// The most logins that wait.
const MAX_WAITING: usize = 64;
/// The most of them from one address.
const MAX_OF_ADDRESS: usize = 8;
/// When to come again who finds the queue full.
const FULL: Duration = Duration::from_secs(2);

/// Called once with the answer.
pub type Reply = Box<dyn FnOnce(Login) + Send>;

/// Tells the time: unix time in milliseconds.
pub type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

struct Attempt {
    name: String,
    password: Password,
    address: IpAddr,
    reply: Reply,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Attempt>,
    closed: bool,
}

struct Shared {
    access: Arc<Access>,
    clock: Clock,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// Checks logins one after another on a thread of its own, `logins`, and holds a bounded number that wait. Dropping it
/// refuses those and ends the thread.
pub struct Logins {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Logins {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(access: Arc<Access>, clock: Clock) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { access, clock, queue: Mutex::default(), wake: Condvar::new() });
        let worker = shared.clone();
        let thread = thread::Builder::new().name("logins".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has a login checked. Never blocks. `reply` is called with the answer, on the thread `logins`, or before this returns
    /// when the answer is known already: too early, or 64 wait already, or 8 from the same address.
    pub fn submit(&self, name: String, password: Password, address: IpAddr, reply: Reply) {
        if !could_be(&name, &password) {
            return reply(Login::Refused { retry_after: None });
        }
        if let Some(wait) = self.shared.access.wait(&name, address, (self.shared.clock)()) {
            return reply(Login::Refused { retry_after: Some(wait) });
        }
        let mut queue = lock(&self.shared.queue);
        let from = network(address);
        let of_address = queue.waiting.iter().filter(|a| network(a.address) == from).count();
        if queue.closed || queue.waiting.len() >= MAX_WAITING || of_address >= MAX_OF_ADDRESS {
            drop(queue);
            return reply(Login::Refused { retry_after: Some(FULL) });
        }
        queue.waiting.push_back(Attempt { name, password, address, reply });
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = lock(&self.shared.queue);
            queue.closed = true;
            std::mem::take(&mut queue.waiting)
        };
        self.shared.wake.notify_one();
        for attempt in waiting {
            answer(attempt.reply, Login::Refused { retry_after: Some(FULL) });
        }
        if let Some(thread) = self.thread.take() {
            // It catches what replies panic with, and has nothing else to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(Attempt { name, password, address, reply }) = self.next() {
            answer(reply, self.access.login(&name, &password, address, (self.clock)()));
        }
    }

    fn next(&self) -> Option<Attempt> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(attempt) = queue.waiting.pop_front() {
                return Some(attempt);
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A reply that panics must not end all logins.
fn answer(reply: Reply, login: Login) {
    if catch_unwind(AssertUnwindSafe(|| reply(login))).is_err() {
        error!("whoever asked for a login panicked at the answer: report this with the lines above");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Users;
    use gantry_core::access::Role;
    use std::sync::mpsc;

    const NOW: u64 = 1_700_000_000_000;

    fn address(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    struct Bench {
        logins: Option<Logins>,
        sender: mpsc::Sender<(u8, Login)>,
        answers: mpsc::Receiver<(u8, Login)>,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let users = Users::cheap(dir.path());
            users.add("ann", Role::Operator, &Password::new("long enough".to_owned()), NOW).unwrap();
            let access = Arc::new(Access::open(users, Duration::from_secs(60), NOW).unwrap());
            let logins = Logins::start(access, Box::new(|| NOW)).unwrap();
            let (sender, answers) = mpsc::channel();
            Self { logins: Some(logins), sender, answers, _dir: dir }
        }

        fn submit(&self, id: u8, name: &str, password: &str, address: IpAddr) {
            let sender = self.sender.clone();
            let reply: Reply = Box::new(move |login| sender.send((id, login)).unwrap());
            let password = Password::new(password.to_owned());
            self.logins.as_ref().unwrap().submit(name.to_owned(), password, address, reply);
        }

        /// Keeps the thread busy with the login of `name` until what it returns is dropped.
        fn hold(&self, name: &str) -> mpsc::Sender<()> {
            let (release, held) = mpsc::channel();
            let (busy, is_busy) = mpsc::channel();
            let reply: Reply = Box::new(move |_| {
                busy.send(()).unwrap();
                let _ = held.recv();
            });
            let password = Password::new("long enough".to_owned());
            self.logins.as_ref().unwrap().submit(name.to_owned(), password, address(250), reply);
            is_busy.recv().unwrap();
            release
        }

        fn answered_at_once(&self) -> Vec<u8> {
            self.answers.try_iter().map(|(id, _)| id).collect()
        }
    }

    #[test]
    fn good_and_bad_logins_are_answered_in_order() {
        let bench = Bench::new();
        bench.submit(1, "ann", "long enough", address(1));
        bench.submit(2, "ann", "wrong", address(1));
        let (id, login) = bench.answers.recv().unwrap();
        assert!(
            id == 1 && matches!(login, Login::Granted(s) if &*s.user == "ann" && s.role == Role::Operator)
        );
        let (id, login) = bench.answers.recv().unwrap();
        assert!(id == 2 && matches!(login, Login::Refused { retry_after: None }));
    }

    #[test]
    fn one_address_holds_eight_places_and_all_hold_sixty_four() {
        let bench = Bench::new();
        let held = bench.hold("ann");
        for id in 0..9 {
            bench.submit(id, "ann", "long enough", address(1));
        }
        assert_eq!(bench.answered_at_once(), [8]);
        for n in 2..=9 {
            for _ in 0..7 {
                bench.submit(100 + n, "ann", "long enough", address(n));
            }
        }
        assert!(bench.answered_at_once().is_empty(), "64 wait now");
        bench.submit(200, "ann", "long enough", address(10));
        let (id, login) = bench.answers.try_recv().unwrap();
        assert!(id == 200 && matches!(login, Login::Refused { retry_after: Some(FULL) }));
        drop(held);
        let granted = bench.answers.iter().take(64).filter(|(_, l)| matches!(l, Login::Granted(_))).count();
        assert_eq!(granted, 64);
    }

    #[test]
    fn who_has_to_wait_takes_no_place() {
        let bench = Bench::new();
        for n in 0..5 {
            bench.submit(n, "ann", "wrong", address(1));
        }
        assert_eq!(bench.answers.iter().take(5).count(), 5);
        let held = bench.hold("nobody");
        bench.submit(9, "ann", "wrong", address(1));
        let (id, login) = bench.answers.try_recv().unwrap();
        assert!(
            id == 9 && matches!(login, Login::Refused { retry_after: Some(wait) } if wait.as_secs() == 1)
        );
        drop(held);
    }

    #[test]
    fn what_cannot_be_a_user_is_refused_without_a_place() {
        let bench = Bench::new();
        let held = bench.hold("ann");
        bench.submit(1, "not a name", "long enough", address(1));
        bench.submit(2, "ann", &"x".repeat(2000), address(1));
        assert_eq!(bench.answered_at_once(), [1, 2]);
        drop(held);
    }

    #[test]
    fn a_reply_that_panics_does_not_end_the_logins() {
        let bench = Bench::new();
        let password = Password::new("long enough".to_owned());
        let reply: Reply = Box::new(|_| panic!("a bug of the one who asked"));
        bench.logins.as_ref().unwrap().submit("ann".to_owned(), password, address(1), reply);
        bench.submit(1, "ann", "long enough", address(1));
        assert!(matches!(bench.answers.recv().unwrap(), (1, Login::Granted(_))));
    }

    #[test]
    fn dropping_answers_those_who_wait() {
        let mut bench = Bench::new();
        let held = bench.hold("ann");
        bench.submit(1, "ann", "long enough", address(1));
        let logins = bench.logins.take();
        let dropping = thread::spawn(move || drop(logins));
        assert!(matches!(bench.answers.recv().unwrap(), (1, Login::Refused { retry_after: Some(_) })));
        drop(held);
        dropping.join().unwrap();
    }
}
