//! A [`Session`] over a WebSocket, on a task of its own.

use crate::answer::{Verdict, words};
use crate::dial::{Dialer, Flow, Stream};
use crate::message::Message;
use crate::session::{Effect, Session};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What a message of the upstream may have.
const MAX_MESSAGE: usize = 1 << 20;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(300);

type WebSocket = tungstenite::Message;

/// What has happened on a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// It is open; with the largest message that the upstream takes.
    Opened(Option<usize>),
    /// What became of the message.
    Answered(Verdict),
    /// It has ended, or could not be opened.
    Ended(String),
}

/// Connects and serves until it ends or `messages` does. The last that is told is [`News::Ended`].
pub(crate) async fn run(
    dialer: Arc<Dialer>,
    mut messages: mpsc::Receiver<Arc<Message>>,
    mut tell: impl FnMut(News),
) {
    let began = Instant::now();
    let wait = dialer.connect_timeout;
    let opened = tokio::select! {
        opened = timeout(wait, open(&dialer)) => opened,
        // Nothing is sent before it is open: this is the end.
        _ = messages.recv() => return,
    };
    let (socket, flow) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => return tell(News::Ended(why)),
        Err(_) => return tell(News::Ended(format!("no connection within {} s", wait.as_secs()))),
    };
    let auth = dialer.api_key.as_ref().map(|key| json!({ "api_key": key.reveal() }).to_string());
    let patience = dialer.answer_timeout;
    let session = Session::new(began.elapsed(), auth, wait, patience);
    let (sink, stream) = socket.split();
    let mut line = Line { began, session, sink, flow, patience };
    if let Some(why) = line.serve(stream, &mut messages, &mut tell).await {
        tell(News::Ended(why));
    }
    let _ = timeout(FAREWELL, line.sink.close()).await;
}

async fn open(dialer: &Dialer) -> Result<(WebSocketStream<Stream>, Flow), String> {
    let mut request = dialer.address.websocket().into_client_request().map_err(|error| error.to_string())?;
    if let Some(key) = &dialer.api_key
        && let Ok(mut key) = HeaderValue::from_str(key.reveal())
    {
        key.set_sensitive(true);
        request.headers_mut().insert("X-API-Key", key);
    }
    let stream = dialer.connect().await.map_err(|error| words(&error.to_string()))?;
    let flow = stream.flow();
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok((socket, flow)),
        Err(tungstenite::Error::Http(response)) => {
            let status = response.status().as_u16();
            Err(match status {
                300..=399 => {
                    format!("the upstream answers {status}, a redirect: set `url` to where it leads")
                }
                401 | 403 => format!("the upstream answers {status}: check `api_key`"),
                _ => format!("the upstream answers {status} to a WebSocket"),
            })
        }
        Err(error) => Err(words(&error.to_string())),
    }
}

struct Line {
    began: Instant,
    session: Session,
    sink: SplitSink<WebSocketStream<Stream>, WebSocket>,
    flow: Flow,
    patience: Duration,
}

impl Line {
    /// Until the session ends: why, or nothing when it is we who end it.
    async fn serve(
        &mut self,
        mut stream: SplitStream<WebSocketStream<Stream>>,
        messages: &mut mpsc::Receiver<Arc<Message>>,
        tell: &mut impl FnMut(News),
    ) -> Option<String> {
        let mut effects = Vec::new();
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Say(text) => {
                        if let Err(why) = self.say(text).await {
                            return Some(why);
                        }
                    }
                    Effect::Opened(max_payload) => tell(News::Opened(max_payload)),
                    Effect::Answered(verdict) => tell(News::Answered(verdict)),
                    Effect::Ended(why) => return Some(why),
                }
            }
            // What is too far away for a clock is never.
            let deadline = self.began.checked_add(self.session.deadline().min(Duration::from_secs(1 << 20)));
            tokio::select! {
                // What has come before a deadline counts, however late it is looked at.
                biased;
                message = stream.next() => match message {
                    Some(Ok(WebSocket::Text(text))) => {
                        self.session.text(self.began.elapsed(), &text, &mut effects);
                    }
                    Some(Ok(WebSocket::Binary(bytes))) => {
                        self.session.binary(self.began.elapsed(), bytes.len(), &mut effects);
                    }
                    Some(Ok(WebSocket::Close(_))) | None => {
                        return Some("the upstream has closed the connection".to_owned());
                    }
                    Some(Ok(other)) => {
                        // Pings of the WebSocket itself: reading on answers them.
                        self.session.binary(self.began.elapsed(), other.len(), &mut effects);
                    }
                    Some(Err(error)) => return Some(words(&error.to_string())),
                },
                message = messages.recv() => {
                    let message = message?;
                    let text = self.session.send(&message);
                    drop(message);
                    if let Err(why) = self.say(text).await {
                        return Some(why);
                    }
                    self.session.written(self.began.elapsed(), &mut effects);
                }
                () = sleep_until(deadline.unwrap_or(self.began)) => {
                    self.session.tick(self.began.elapsed(), &mut effects);
                }
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<(), String> {
        let text = Utf8Bytes::try_from(Bytes::from(text)).map_err(|error| error.to_string())?;
        self.flow.begin();
        tokio::select! {
            sent = self.sink.send(WebSocket::Text(text)) => sent.map_err(|error| words(&error.to_string())),
            () = self.flow.stalled(self.patience) => {
                Err(format!("the upstream has taken nothing for {} s", self.patience.as_secs()))
            }
        }
    }
}
