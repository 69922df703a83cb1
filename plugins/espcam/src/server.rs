//! The socket, and what the worker does between it, the session and the runtime.

use crate::config::Config;
use crate::figures::Figures;
use crate::picture::{APPEND, Outcome};
use crate::session::{Effect, Moment, Session};
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Health, Host, Metric, debug, info, warn};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Larger than any datagram, so that none is cut without notice.
const BUFFER: usize = 1 << 16;
/// Datagrams that are taken before anything else has its turn.
const BATCH: usize = 64;
/// How often times are looked at while there are transfers.
const TICK: Duration = Duration::from_millis(200);
/// A datagram that the socket did not give has left an error; it is not asked again before.
const BREATH: Duration = Duration::from_millis(50);

/// Answers of the store, with the tokens of the attempts.
pub(crate) type Answers = mpsc::UnboundedReceiver<(u64, Outcome)>;

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) socket: UdpSocket,
    pub(crate) answers: Answers,
    /// The token of the first attempt: those below are the plugin's own.
    pub(crate) first_token: u64,
}

/// Opens the socket. The second number is how many bytes the kernel lets wait.
pub(crate) fn open(config: &Config) -> io::Result<(UdpSocket, usize)> {
    let bind = config.bind;
    let socket = socket2::Socket::new(socket2::Domain::for_address(bind), socket2::Type::DGRAM, None)?;
    // The kernel gives what it may, and says so by what it answers.
    let _ = socket.set_recv_buffer_size(config.receive_buffer);
    let _ = socket.set_send_buffer_size(config.receive_buffer);
    let room = socket.recv_buffer_size()?;
    socket.bind(&bind.into())?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), room))
}

/// Serves until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, socket, mut answers, first_token } = parts;
    let socket = match tokio::net::UdpSocket::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return host.health(Health::Failed, &format!("cannot use the socket: {error}")),
    };
    let address = socket.local_addr().unwrap_or(config.bind);
    let mut server = Server {
        host,
        socket,
        session: Session::new(config),
        effects: Vec::new(),
        meters: Meters::new(&host),
        start: Instant::now(),
        first_token,
        unsent: 0,
        address,
        refused: false,
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut metered = server.start;
    let mut buffer = vec![0; BUFFER];
    loop {
        let busy = !server.session.is_idle() || server.meters.are_behind(&server.session.figures());
        tokio::select! {
            () = stopping.wait() => return,
            Some((token, outcome)) = answers.recv() => server.stored(token, outcome),
            ready = server.socket.readable() => {
                if ready.is_err() || !server.receive(&mut buffer) {
                    tokio::time::sleep(BREATH).await;
                }
            }
            _ = ticks.tick(), if busy => {
                let now = server.now();
                server.session.tick(now, &mut server.effects);
                server.act();
                if metered.elapsed() >= Duration::from_secs(1) {
                    metered = Instant::now();
                    server.meters.record(&server.session.figures(), server.unsent);
                }
            }
        }
    }
}

struct Server {
    host: Host,
    socket: tokio::net::UdpSocket,
    session: Session,
    /// Empty between two events.
    effects: Vec<Effect>,
    meters: Meters,
    start: Instant,
    first_token: u64,
    /// Replies that the kernel had no room for.
    unsent: u64,
    address: SocketAddr,
    /// Whether the store refused last.
    refused: bool,
}

impl Server {
    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { at: self.start.elapsed(), unix_ms: i64::try_from(since.as_millis()).unwrap_or_default() }
    }

    /// Takes what has come. `false`: the socket is in trouble.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    let now = self.now();
                    self.session.datagram(now, from, &buffer[..length], &mut self.effects);
                    self.act();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) => {
                    debug!(self.host, "cannot receive: {error}");
                    return false;
                }
            }
        }
        true
    }

    fn stored(&mut self, token: u64, outcome: Outcome) {
        let Some(token) = token.checked_sub(self.first_token) else { return };
        self.judge(&outcome);
        let now = self.now();
        self.session.stored(now, token, outcome, &mut self.effects);
        self.act();
    }

    /// Tells how the store does, when that has changed.
    fn judge(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Refused(why) if !self.refused => {
                self.refused = true;
                let text = format!("listening on {}, but pictures cannot be stored: {why}", self.address);
                self.host.health(Health::Degraded, &text);
                warn!(self.host, "a picture is refused by the store, its device is told to repeat it: {why}");
            }
            Outcome::Kept(_) | Outcome::Dropped if self.refused => {
                self.refused = false;
                self.host.health(Health::Ok, &format!("listening on {}", self.address));
                info!(self.host, "pictures are stored again");
            }
            _ => {}
        }
    }

    /// Does what the session wants.
    fn act(&mut self) {
        // A call that is refused at once makes the session want something more.
        while !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.act_on(effect);
            }
            if self.effects.is_empty() {
                // The memory is for the next time.
                self.effects = effects;
                return;
            }
        }
    }

    fn act_on(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, datagram } => {
                // It is not waited for: a reply to an address that nobody has fills the kernel's memory for seconds.
                // Devices repeat what is not answered.
                if let Err(error) = self.socket.try_send_to(&datagram, to) {
                    self.unsent += 1;
                    debug!(self.host, "no reply to {to}: {error}");
                }
            }
            Effect::Store { token, picture } => {
                let call = self.first_token + token;
                if let Err(error) = self.host.call_with(APPEND, &picture.record(), &[&picture.bytes], call) {
                    self.stored(call, Outcome::Refused(error.to_string()));
                }
            }
            Effect::Publish { picture, record } => {
                let message = picture.message(&record).to_string();
                if let Err(error) = self.host.publish(&picture.topic(), message.as_bytes()) {
                    debug!(self.host, "nobody hears of picture {record}: {error}");
                }
            }
        }
    }
}

type Read = fn(&Figures) -> u64;

/// The plugin's metrics, fed from the session's figures.
struct Meters {
    counters: Vec<(Metric, Read)>,
    unsent: Metric,
    open: Metric,
    held: Metric,
    last: (Figures, u64),
}

impl Meters {
    fn new(host: &Host) -> Self {
        let counter = |name, help, read: Read| (host.counter(name, help), read);
        let counters = vec![
            counter("datagrams", "Datagrams received", |f| f.datagrams),
            counter("malformed_datagrams", "Datagrams that no device sends", |f| f.malformed),
            counter("limited_datagrams", "Datagrams beyond the rates, dropped", |f| f.limited),
            counter("repeated_packets", "Packets received again", |f| f.repeated),
            counter("put_off_packets", "Packets that could not be kept when they came", |f| f.put_off),
            counter("refused_requests", "Requests refused", |f| f.refused),
            counter("transfers", "Requests accepted", |f| f.transfers),
            counter("completed_pictures", "Pictures stored", |f| f.completed),
            counter("dropped_pictures", "Pictures dropped by a rule", |f| f.dropped),
            counter("aborted_transfers", "Transfers that ended without a picture", |f| f.aborted),
            counter("store_refusals", "Attempts to store a picture that failed", |f| f.store_refusals),
            counter("picture_bytes", "Bytes of stored pictures", |f| f.bytes),
        ];
        Self {
            counters,
            unsent: host.counter("unsent_replies", "Replies that the system did not take"),
            open: host.gauge("open_transfers", "Transfers going on"),
            held: host.gauge("held_bytes", "Bytes of pictures in memory"),
            last: <(Figures, u64)>::default(),
        }
    }

    fn are_behind(&self, figures: &Figures) -> bool {
        self.last.0 != *figures
    }

    fn record(&mut self, figures: &Figures, unsent: u64) {
        for (metric, read) in &self.counters {
            let more = read(figures) - read(&self.last.0);
            if more > 0 {
                metric.record(more as f64);
            }
        }
        if unsent > self.last.1 {
            self.unsent.record((unsent - self.last.1) as f64);
        }
        self.open.record(figures.open_transfers as f64);
        self.held.record(figures.held_bytes as f64);
        self.last = (*figures, unsent);
    }
}
