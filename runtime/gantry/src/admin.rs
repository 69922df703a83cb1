//! The listener for operators: health, readiness, metrics, and what runs. Read only.

use crate::readiness::Problem;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// At most so many connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 64;
/// A connection has one request, and this long for all of it.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// A request's head has this long to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// A request's head has at most so many bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What the listener tells. Called on its thread, so nothing in it may block.
pub(crate) trait Facts: Send + Sync + 'static {
    /// Every part that does not do its work.
    fn problems(&self) -> Vec<Problem>;
    /// What is worth telling although everything works.
    fn notes(&self) -> Vec<Problem>;
    /// The text for Prometheus.
    fn metrics(&self) -> String;
    /// `{"plugins": […]}`.
    fn plugins(&self) -> Value;
    /// `{"cameras": […]}`.
    fn cameras(&self) -> Value;
}

/// A listener that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Admin {
    /// Binds and serves.
    pub(crate) async fn bind(bind: SocketAddr, facts: Arc<dyn Facts>) -> anyhow::Result<Self> {
        let hint = || {
            format!(
                "admin.bind {bind}: another program has it, or it is none of this machine's: choose another"
            )
        };
        let listener = TcpListener::bind(bind).await.with_context(hint)?;
        let address = listener.local_addr().context("a bound socket has an address")?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the admin listener can be reached from other machines and asks for no password");
        }
        tracing::info!(%address, "admin listener");
        Ok(Self { address, task: tokio::spawn(accept(listener, facts)) })
    }

    /// Frees the address; connections that are being answered are.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        // It was cancelled, which is what the error says.
        let _ = (&mut self.task).await;
    }

    /// The address, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, facts: Arc<dyn Facts>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, mostly: waiting lets others close some.
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let facts = facts.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &*facts);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(MAX_HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(socket), service);
            // Whatever ends it early is the client's affair.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(slot);
        });
    }
}

type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// Every path with its sentence.
const PATHS: [(&str, &str); 5] = [
    ("/healthz", "ok while the gateway is alive"),
    ("/readyz", "200 when frames flow and all plugins run, 503 and what does not otherwise"),
    ("/metrics", "for Prometheus"),
    ("/plugins", "the plugin instances, as JSON"),
    ("/cameras", "the cameras, as JSON"),
];

fn answer(request: &Request<Incoming>, facts: &dyn Facts) -> Answer {
    let host = request.headers().get(HOST);
    if !host_is_ours(host, request.version()) {
        let text = "this listener answers to an IP address, `localhost` or this machine's name only\n";
        return respond(StatusCode::MISDIRECTED_REQUEST, TEXT, text);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response =
            respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "nothing here can be changed: use GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let wants_json = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains(JSON));
    route(request.uri().path(), wants_json, facts)
}

fn route(path: &str, wants_json: bool, facts: &dyn Facts) -> Answer {
    match path {
        "/healthz" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => readiness(wants_json, facts),
        "/metrics" => respond(StatusCode::OK, PROMETHEUS, facts.metrics()),
        "/plugins" => respond(StatusCode::OK, JSON, facts.plugins().to_string() + "\n"),
        "/cameras" => respond(StatusCode::OK, JSON, facts.cameras().to_string() + "\n"),
        "/" => respond(StatusCode::OK, TEXT, format!("Gantry {}\n\n{}", env!("CARGO_PKG_VERSION"), list())),
        _ => respond(StatusCode::NOT_FOUND, TEXT, format!("there is no such page; there are\n{}", list())),
    }
}

fn list() -> String {
    PATHS.iter().map(|(path, what)| format!("{path:<10} {what}\n")).collect()
}

fn readiness(wants_json: bool, facts: &dyn Facts) -> Answer {
    let (problems, notes) = (facts.problems(), facts.notes());
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if wants_json {
        let body = json!({"ready": ready, "problems": problems, "notes": notes});
        return respond(status, JSON, body.to_string() + "\n");
    }
    let mut text = if ready { "ready\n".to_owned() } else { String::new() };
    for line in problems.iter().chain(&notes) {
        text += &format!("{line}\n");
    }
    respond(status, TEXT, text)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page in a browser can point a name of its own at this address and then read the answers (DNS rebinding). It cannot
/// choose an IP address or this machine's name as `Host`, so only those are answered.
fn host_is_ours(host: Option<&HeaderValue>, version: Version) -> bool {
    let Some(host) = host else { return version == Version::HTTP_10 };
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.to_str().is_ok_and(|host| is_own_name(host, machine.trim()))
}

fn is_own_name(host: &str, machine: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        rest.split_once(']').map_or("", |(address, _)| address)
    } else {
        host.split_once(':').map_or(host, |(name, _)| name)
    };
    let same = |own: &str| !own.is_empty() && name.eq_ignore_ascii_case(own);
    name.parse::<IpAddr>().is_ok() || same("localhost") || same(machine) || same(&format!("{machine}.local"))
}

#[cfg(test)]
mod tests;
