//! HTTP/1.1: requests in, responses out of shared bytes, and nothing a slow peer can hold on to.

use crate::limits::{Budget, Share};
use crate::{Connection, Limits, Segments, Service, Stream};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use hyper::{Method, StatusCode, header};

/// How many times `handshake_seconds` a whole body may take: a large picture over a poor line is no attack.
const SLOW_BODY: u32 = 20;

/// What is read and forgotten of a body that nobody wants, in bytes of `message_bytes` and in time.
const UNWANTED: usize = 4;
const UNWANTED_TIME: Duration = Duration::from_secs(10);

/// Room that is made at once for a body that says how long it is.
const ROOM: usize = 256 << 10;

/// A request with a body that has not been read yet.
pub type Request = hyper::Request<Incoming>;
/// A response.
pub type Response = hyper::Response<Body>;

/// The largest head of a request.
const HEAD_BYTES: usize = 32 << 10;

/// The body of a response: shared pieces, written without a copy.
#[derive(Debug, Default)]
pub struct Body {
    segments: Option<Segments>,
    next: usize,
}

impl From<Segments> for Body {
    fn from(segments: Segments) -> Self {
        Self { segments: Some(segments), next: 0 }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Segments::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.segments.as_ref().and_then(|segments| segments.iter().nth(self.next).cloned());
        self.next += 1;
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.segments.as_ref().is_none_or(|segments| segments.iter().count() <= self.next)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.segments.as_ref().map_or(0, |s| s.iter().skip(self.next).map(Bytes::len).sum());
        SizeHint::with_exact(left as u64)
    }
}

/// A response with a status, a content type and a body.
pub fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response with a JSON body.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    // Serialising fails for maps whose keys are no text only; such a type never passes its first test.
    let text = serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned());
    response(status, "application/json", text)
}

/// 405 with the methods that are allowed.
pub fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response =
        json(StatusCode::METHOD_NOT_ALLOWED, &serde_json::json!({"error": format!("use {allowed}")}));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// More than `message_bytes`: answer 413.
    TooLarge,
    /// Nothing came for `handshake_seconds`, or too little for long: answer 408.
    TooSlow,
    /// All connections together hold too much: answer 503.
    Busy,
    /// The peer went away or broke HTTP.
    Broken,
}

impl BodyError {
    /// The status that says so.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the body of a request, within the limits. `connection` is the one that the request came on. A peer may be
/// slow, but not silent for longer than `handshake_seconds`, and not slow for ever.
pub async fn read_body(body: Incoming, limits: &Limits, connection: &Connection) -> Result<Bytes, BodyError> {
    read_body_with(body, limits, connection, || {}).await
}

/// The same; `beat` is called with everything that comes in.
pub(crate) async fn read_body_with(
    body: Incoming,
    limits: &Limits,
    connection: &Connection,
    beat: impl FnMut(),
) -> Result<Bytes, BodyError> {
    let mut body = body;
    if connection.asks_first && body.size_hint().lower() > limits.message_bytes as u64 {
        // Reading it would have it sent.
        return Err(BodyError::TooLarge);
    }
    let read = collect(&mut body, limits, Share::new(connection.budget()), beat);
    let read = tokio::time::timeout(slow_body(limits), read).await.unwrap_or(Err(BodyError::TooSlow));
    if matches!(read, Err(BodyError::TooLarge | BodyError::Busy)) {
        discard(body, limits).await;
    }
    read
}

/// Reads a body that nobody wants and forgets it, within bounds: a peer that is still sending when its connection is closed
/// may never see the answer.
pub async fn discard(mut body: Incoming, limits: &Limits) {
    let mut left = limits.message_bytes.saturating_mul(UNWANTED);
    let read = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // What does not end in time is not waited for.
    let _ = tokio::time::timeout(UNWANTED_TIME.min(limits.handshake()), read).await;
}

async fn collect(
    body: &mut Incoming,
    limits: &Limits,
    mut share: Share,
    mut beat: impl FnMut(),
) -> Result<Bytes, BodyError> {
    let max = limits.message_bytes;
    let Some(said) = usize::try_from(body.size_hint().lower()).ok().filter(|said| *said <= max) else {
        return Err(BodyError::TooLarge);
    };
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let Ok(frame) = tokio::time::timeout(limits.handshake(), frame).await else {
            return Err(BodyError::TooSlow);
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        beat();
        if first.len() + all.len() + data.len() > max {
            return Err(BodyError::TooLarge);
        }
        if !share.take(data.len()) {
            return Err(BodyError::Busy);
        }
        // Most bodies are one piece, which needs no copy.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(said.clamp(first.len() + data.len(), ROOM.max(first.len() + data.len())));
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Serves one connection until it ends, is upgraded, or drains.
pub(crate) async fn serve<S: Service>(
    stream: Stream,
    service: Arc<S>,
    connection: Connection,
    limits: &Limits,
) {
    let mut draining = connection.draining();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake())
        .max_buf_size(HEAD_BYTES)
        .keep_alive(true);
    let handle = service_fn(move |request| {
        let (service, mut connection) = (service.clone(), connection.clone());
        async move {
            connection.asks_first = request.headers().contains_key(header::EXPECT);
            if !connection.hosts().allows(host(&request)) {
                return Ok::<_, Infallible>(misdirected());
            }
            Ok(service.call(request, connection).await)
        }
    });
    let http = builder.serve_connection(TokioIo::new(stream), handle).with_upgrades();
    let mut http = std::pin::pin!(http);
    // An error here is the peer's: a reset, a broken head, or too slow. hyper has answered what can be answered.
    tokio::select! {
        _ = http.as_mut() => return,
        () = draining.wait() => {}
    }
    http.as_mut().graceful_shutdown();
    let _ = http.await;
}

/// Whom a request is for. What stands in the request's line comes before the header (RFC 9112, section 3.2.2).
fn host(request: &Request) -> Option<&str> {
    let header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    request.uri().authority().map(|authority| authority.as_str()).or_else(header)
}

fn misdirected() -> Response {
    let why = "this name is not one of this server's: ask under another one, or add it to `hosts`";
    json(StatusCode::MISDIRECTED_REQUEST, &serde_json::json!({"error": why}))
}

/// How long a whole body or message may take that keeps coming.
pub(crate) fn slow_body(limits: &Limits) -> Duration {
    limits.handshake() * SLOW_BODY
}

/// For the tests of this crate and for connections outside a listener.
pub(crate) fn budget(limits: &Limits) -> Arc<Budget> {
    Arc::new(Budget::new(limits.incomplete_bytes))
}
