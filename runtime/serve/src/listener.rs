//! One address: accepts, limits, and at the end drains.

use crate::addresses::{Addresses, Place};
use crate::http::{self, Request, Response, StatusCode};
use crate::limits::Budget;
use crate::{Counters, Error, Hosts, Limits, Stream, Tls};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// What the kernel takes of a connection before it has sent it. What it has taken cannot be replaced by a newer frame: a
/// viewer at 20 kB/s sees pictures that are 23 s old in the middle (and ever older) without this, 12 s with 128 KiB,
/// 9 s with this, 7 s with 32 KiB. Less would make a fast viewer wait for this thread in the middle of large frames.
const UNSENT_BYTES: u32 = 64 << 10;
/// A peer that takes nothing of what is sent to it for this long is gone, or as good as gone: the kernel ends the
/// connection. One that takes a little is slow and stays.
const SILENCE: Duration = Duration::from_secs(60);
/// Connections beyond the limit that are answered 503 at the same time; the rest is closed without a word.
const REFUSALS: usize = 16;
/// How long answering 503 may take.
const REFUSAL_TIME: Duration = Duration::from_secs(3);

/// What a plugin makes of requests.
pub trait Service: Send + Sync + 'static {
    /// Answers a request. A WebSocket is taken over with [`websocket::upgrade`](crate::websocket::upgrade).
    fn call(&self, request: Request, connection: Connection) -> impl Future<Output = Response> + Send;
}

/// A connection that a request came on. A task that takes the connection over keeps this as long as it runs: it counts
/// against the limit and is waited for when the listener drains.
#[derive(Clone)]
pub struct Connection {
    peer: SocketAddr,
    shared: Arc<Shared>,
    /// The peer sends its body when it is asked to.
    pub(crate) asks_first: bool,
}

struct Shared {
    draining: watch::Receiver<bool>,
    budget: Arc<Budget>,
    hosts: Arc<Hosts>,
    _permit: OwnedSemaphorePermit,
    _place: Option<Place>,
}

impl Connection {
    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Tells when it is time to end.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining(self.shared.draining.clone())
    }

    pub(crate) fn budget(&self) -> Arc<Budget> {
        self.shared.budget.clone()
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.shared.hosts
    }
}

/// Tells when it is time to end.
#[derive(Debug, Clone)]
pub struct Draining(watch::Receiver<bool>);

impl Draining {
    /// Returns once the listener drains.
    pub async fn wait(&mut self) {
        // An error means that the listener is gone, which is an end as well.
        let _ = self.0.wait_for(|draining| *draining).await;
    }
}

/// A bound address.
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    hosts: Arc<Hosts>,
    counters: Arc<Counters>,
}

impl Listener {
    /// Binds at once, so that a port in use is an error of whoever starts and not of a task later. Needs no runtime.
    pub fn bind(bind: SocketAddr, tls: Option<&Tls>, limits: &Limits) -> Result<Self, Error> {
        let tls = tls.map(Tls::load).transpose()?.map(TlsAcceptor::from);
        let open = || {
            let domain = socket2::Domain::for_address(bind);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
            // A restart must not wait for connections of the one before to be forgotten by the kernel.
            socket.set_reuse_address(true)?;
            socket.bind(&bind.into())?;
            socket.listen(1024)?;
            socket.set_nonblocking(true)?;
            let socket: std::net::TcpListener = socket.into();
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = open().map_err(|error| Error::bind(bind, &error))?;
        Ok(Self {
            socket,
            address,
            tls,
            limits: limits.clone(),
            hosts: Arc::default(),
            counters: Arc::default(),
        })
    }

    /// Refuses requests for other names than these with 421, before the service sees them.
    #[must_use]
    pub fn only_for(mut self, hosts: &Hosts) -> Self {
        self.hosts = Arc::new(hosts.clone());
        self
    }

    /// The address with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a client on this machine finds it: `url("http", "/socket.io/")` is `http://127.0.0.1:3000/socket.io/`, or
    /// with `https` when there is TLS.
    #[must_use]
    pub fn url(&self, scheme: &str, path: &str) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let secure = if self.tls.is_some() { "s" } else { "" };
        format!("{scheme}{secure}://{address}{path}")
    }

    /// The totals of all its connections.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Accepts and serves until `stop` returns, then drains: no new connections, requests in progress are answered,
    /// tasks that keep a [`Connection`] are told. Whoever is not done `within` that time is cut off when the runtime
    /// ends. `stop` may say good-bye to clients before it returns. Answers whether all ended in time.
    pub async fn serve<S: Service>(
        self,
        service: Arc<S>,
        stop: impl Future<Output = ()>,
        within: Duration,
    ) -> std::io::Result<bool> {
        let listener = tokio::net::TcpListener::from_std(self.socket)?;
        let (drain, draining) = watch::channel(false);
        let budget = http::budget(&self.limits);
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let addresses = Addresses::new(self.limits.connections_per_address);
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A connection that is gone already is nothing; without file descriptors only time helps.
                    if !is_gone(&error) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    continue;
                }
            };
            let shared = |permit, place| Connection {
                peer,
                asks_first: false,
                shared: Arc::new(Shared {
                    draining: draining.clone(),
                    budget: budget.clone(),
                    hosts: self.hosts.clone(),
                    _permit: permit,
                    _place: place,
                }),
            };
            let (tls, limits, counters) = (self.tls.clone(), self.limits.clone(), self.counters.clone());
            let room = match (slots.clone().try_acquire_owned(), addresses.take(peer.ip())) {
                (Err(_), _) => Err("too many connections: try again later"),
                (Ok(_), None) => Err("too many connections from your address: try again later"),
                (Ok(slot), place) => Ok((slot, place)),
            };
            match room {
                Ok((slot, place)) => {
                    let (service, connection) = (service.clone(), shared(slot, place));
                    tokio::spawn(async move {
                        match accept(socket, tls, &limits).await {
                            Some(stream) => http::serve(stream, service, connection, &limits).await,
                            None => counters.add_failed_handshakes(1),
                        }
                    });
                }
                Err(why) => {
                    counters.add_refused_connections(1);
                    if let Ok(refusal) = refusals.clone().try_acquire_owned() {
                        let connection = shared(refusal, None);
                        tokio::spawn(tokio::time::timeout(REFUSAL_TIME, async move {
                            if let Some(stream) = accept(socket, tls, &limits).await {
                                let refusal = Refusal(why, limits.clone());
                                http::serve(stream, Arc::new(refusal), connection, &limits).await;
                            }
                        }));
                    }
                }
            }
        }
        drop((listener, draining));
        drain.send_replace(true);
        Ok(tokio::time::timeout(within, drain.closed()).await.is_ok())
    }
}

/// Prepares a socket and shakes hands. `None` when the peer does not do its part in time.
async fn accept(socket: TcpStream, tls: Option<TlsAcceptor>, limits: &Limits) -> Option<Stream> {
    // All of these are wishes: a kernel without them still serves.
    let _ = socket.set_nodelay(true);
    let options = socket2::SockRef::from(&socket);
    let _ = options.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(SILENCE / 2));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let _ = options.set_tcp_notsent_lowat(UNSENT_BYTES);
        let _ = options.set_tcp_user_timeout(Some(SILENCE));
    }
    match tls {
        None => Some(Stream::Plain(socket)),
        Some(tls) => {
            let stream = tokio::time::timeout(limits.handshake(), tls.accept(socket)).await.ok()?.ok()?;
            Some(Stream::Tls(Box::new(stream)))
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Answers those who are too many.
struct Refusal(&'static str, Limits);

impl Service for Refusal {
    async fn call(&self, request: Request, _: Connection) -> Response {
        // Who asks first is answered instead of being let go on.
        if !request.headers().contains_key(http::header::EXPECT) {
            // One that goes on and on is answered all the same.
            let read = http::discard(request.into_body(), &self.1);
            let _ = tokio::time::timeout(REFUSAL_TIME / 2, read).await;
        }
        let why = serde_json::json!({"error": self.0});
        let mut response = http::json(StatusCode::SERVICE_UNAVAILABLE, &why);
        let headers = response.headers_mut();
        headers.insert(http::header::CONNECTION, http::header::HeaderValue::from_static("close"));
        headers.insert(http::header::RETRY_AFTER, http::header::HeaderValue::from_static("5"));
        // A browser shows a refusal to its page only when the page may read it.
        headers
            .insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, http::header::HeaderValue::from_static("*"));
        response
    }
}
