//! The upstream's REST: one request at a time over a connection that is kept.

use crate::answer::{Verdict, of_http, words};
use crate::dial::{Dialer, Flow};
use crate::message::Message;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::time::timeout;

/// What an answer may have.
const MAX_ANSWER: usize = 64 << 10;
/// What its head may have.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

struct Open {
    sender: SendRequest<Full<Bytes>>,
    flow: Flow,
}

/// See the module.
pub(crate) struct Rest {
    dialer: Arc<Dialer>,
    open: Option<Open>,
}

impl Rest {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, open: None }
    }

    /// Whether the upstream is there.
    pub(crate) async fn test(&mut self) -> Verdict {
        self.ask(Method::GET, "/api/test", Bytes::new()).await
    }

    /// Posts a message.
    pub(crate) async fn post(&mut self, message: &Message) -> Verdict {
        self.ask(Method::POST, message.kind.path(), Bytes::from(message.body.clone())).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Verdict {
        let kept = self.open.take();
        let was_kept = kept.is_some();
        let mut answer = self.try_once(kept, &method, path, &body).await;
        if was_kept && matches!(answer, Err(Trouble::Gone(_))) {
            // The upstream has closed a connection that had nothing to do: that says nothing about this request.
            answer = self.try_once(None, &method, path, &body).await;
        }
        answer.unwrap_or_else(|trouble| Verdict::Failed(trouble.why()))
    }

    async fn try_once(
        &mut self,
        kept: Option<Open>,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Verdict, Trouble> {
        let mut open = match kept {
            Some(open) => open,
            None => self.open().await?,
        };
        open.sender.ready().await.map_err(|error| Trouble::of(&error))?;
        let request = self.request(method, path, body)?;
        let patience = self.dialer.answer_timeout;
        open.flow.begin();
        let response = tokio::select! {
            response = open.sender.send_request(request) => response.map_err(|error| Trouble::of(&error))?,
            () = open.flow.stalled(patience) => return Err(slow(patience.as_secs())),
        };
        let status = response.status().as_u16();
        let read = timeout(patience, read(response)).await.map_err(|_| slow(patience.as_secs()))?;
        let body = read?;
        if body.is_some() {
            // Of what was not read to its end the rest would be taken for the next answer.
            self.open = Some(open);
        }
        Ok(of_http(status, body.as_deref()))
    }

    async fn open(&self) -> Result<Open, Trouble> {
        let opening = async {
            let stream = self.dialer.connect().await.map_err(|error| words(&error.to_string()))?;
            let flow = stream.flow();
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| words(&error.to_string()))?;
            // It ends with its sender.
            tokio::spawn(async move {
                let _ = connection.await;
            });
            Ok(Open { sender, flow })
        };
        let wait = self.dialer.connect_timeout;
        match timeout(wait, opening).await {
            Ok(opened) => opened.map_err(Trouble::Other),
            Err(_) => Err(Trouble::Other(format!("no connection within {} s", wait.as_secs()))),
        }
    }

    fn request(&self, method: &Method, path: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, Trouble> {
        let address = &self.dialer.address;
        let mut request =
            Request::builder().method(method).uri(address.path(path)).header(HOST, address.authority());
        if *method == Method::POST {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(mut key) =
            self.dialer.api_key.as_ref().and_then(|key| HeaderValue::from_str(key.reveal()).ok())
        {
            key.set_sensitive(true);
            request = request.header("X-API-Key", key);
        }
        request.body(Full::new(body.clone())).map_err(|error| Trouble::Other(error.to_string()))
    }
}

enum Trouble {
    /// The connection was closed.
    Gone(String),
    Other(String),
}

impl Trouble {
    fn why(self) -> String {
        match self {
            Self::Gone(why) | Self::Other(why) => why,
        }
    }

    fn of(error: &hyper::Error) -> Self {
        let mut why = words(&error.to_string());
        if let Some(cause) = std::error::Error::source(error) {
            why = format!("{why}: {}", words(&cause.to_string()));
        }
        if error.is_parse() || error.is_timeout() { Self::Other(why) } else { Self::Gone(why) }
    }
}

fn slow(seconds: u64) -> Trouble {
    Trouble::Other(format!("the upstream did not answer within {seconds} s"))
}

/// The body; `None`: more than an answer may have.
async fn read(response: Response<Incoming>) -> Result<Option<Bytes>, Trouble> {
    match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Ok(None),
        Err(error) => Err(Trouble::Other(format!("half an answer: {}", words(&error.to_string())))),
    }
}
