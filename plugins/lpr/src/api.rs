//! REST: every answer is JSON, every error `{"success": false, "message": …}`.

use crate::Config;
use crate::answer::running;
use crate::clock::stamp;
use crate::desk::Desk;
use crate::key::{Denied, Grant, Keys};
use crate::listing::{Listing, Wanted};
use crate::message::{Entry, Kind, Refusal, object};
use crate::openapi;
use crate::record::Failure;
use crate::server::Clients;
use bytes::Bytes;
use gantry_serve::http::header::{self, HeaderValue};
use gantry_serve::http::{self, BodyError, Method, Request, Response, StatusCode};
use gantry_serve::socketio::Query;
use gantry_serve::{Connection, Limits};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The requests that are no WebSocket.
pub(crate) struct Api {
    desk: Arc<Desk>,
    limits: Limits,
    keys: Keys,
    clients: Clients,
    listing: Listing,
    openapi: Bytes,
}

/// What a request may be sent to.
#[derive(Clone, Copy)]
enum Target {
    About,
    Openapi,
    Test,
    Statistics,
    Records,
    Cameras,
    Register,
    Detection,
    Health,
    /// `POST /api/statistics`.
    Any,
}

/// An error.
pub(crate) fn refuse(status: StatusCode, message: &str) -> Response {
    let mut response = answer(status, &json!({"success": false, "message": message}));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn answer(status: StatusCode, value: &Value) -> Response {
    uncached(http::json(status, value))
}

/// What cameras have sent is nothing to keep on the way.
fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The key that a request shows.
pub(crate) fn shown(request: &Request) -> Option<&str> {
    shown_with(request, |_| None)
}

/// The same of one whose query may show it.
pub(crate) fn shown_with<'a>(
    request: &'a Request,
    query: impl Fn(&str) -> Option<&'a str>,
) -> Option<&'a str> {
    crate::key::shown(|name| request.headers().get(name).and_then(|value| value.to_str().ok()), query)
}

fn denied(denied: Denied) -> Response {
    let status = match denied {
        Denied::Unknown(_) => StatusCode::UNAUTHORIZED,
        Denied::Other(_) => StatusCode::FORBIDDEN,
    };
    refuse(status, denied.message())
}

fn failed(failure: &Failure) -> Response {
    let status = match failure {
        Failure::Refused(Refusal::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Failure::Refused(_) | Failure::Bad(_) => StatusCode::BAD_REQUEST,
        Failure::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        Failure::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Denied(_) => StatusCode::FORBIDDEN,
    };
    refuse(status, &failure.to_string())
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence =
        value.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

impl Api {
    pub(crate) fn new(desk: Arc<Desk>, config: &Config, clients: Clients) -> Self {
        let keys = Keys::new(&config.api_keys);
        let openapi = openapi::document(!keys.is_empty()).to_string().into();
        let (limits, listing) = (config.limits.clone(), Listing::new(desk.clone()));
        Self { desk, limits, keys, clients, listing, openapi }
    }

    pub(crate) async fn call(&self, request: Request, connection: &Connection) -> Response {
        let path = request.uri().path();
        let reads = matches!(request.method(), &Method::GET | &Method::HEAD);
        let posts = request.method() == Method::POST;
        let (get, post) = match path.strip_suffix('/').unwrap_or(path) {
            "" | "/websocket" => (Some(Target::About), None),
            "/openapi.json" => (Some(Target::Openapi), None),
            "/api/test" => (Some(Target::Test), None),
            "/api/statistics" => (Some(Target::Statistics), Some(Target::Any)),
            "/api/records" => (Some(Target::Records), None),
            "/api/cameras" => (Some(Target::Cameras), None),
            "/api/cameras/register" => (None, Some(Target::Register)),
            "/api/detection" => (None, Some(Target::Detection)),
            "/api/health" => (None, Some(Target::Health)),
            _ => {
                let unknown =
                    refuse(StatusCode::NOT_FOUND, "There is nothing at this path: see /openapi.json");
                return self.unwanted(request, unknown).await;
            }
        };
        let target = if reads { get } else { post.filter(|_| posts) };
        let Some(target) = target else {
            let allowed = match (get, post) {
                (Some(_), Some(_)) => "GET, HEAD, POST",
                (Some(_), None) => "GET, HEAD",
                _ => "POST",
            };
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("Use {allowed}"));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            return self.unwanted(request, response).await;
        };
        let grant = self.keys.grant(shown(&request));
        let open = matches!(target, Target::About | Target::Openapi | Target::Test);
        if let (false, Err(why)) = (open, grant.reads()) {
            return self.unwanted(request, denied(why)).await;
        }
        if !reads {
            return self.post(target, request, connection, &grant).await;
        }
        self.get(target, &request).await
    }

    async fn get(&self, target: Target, request: &Request) -> Response {
        let now = Timestamp::now();
        match target {
            Target::About => answer(StatusCode::OK, &openapi::about(&stamp(now))),
            Target::Openapi => {
                uncached(http::response(StatusCode::OK, "application/json", self.openapi.clone()))
            }
            Target::Test => answer(StatusCode::OK, &running(&stamp(now))),
            Target::Statistics => {
                self.desk.look();
                let data = self.desk.registry().statistics(self.clients.count(), now);
                answer(StatusCode::OK, &json!({"success": true, "data": data}))
            }
            Target::Cameras => {
                self.desk.look();
                let cameras = self.desk.registry().cameras(now);
                let total = cameras.len();
                let all = json!({"success": true, "cameras": cameras, "total_cameras": total, "timestamp": stamp(now)});
                answer(StatusCode::OK, &all)
            }
            Target::Records => match Wanted::read(&Query::parse(request.uri().query())) {
                Err(why) => refuse(StatusCode::BAD_REQUEST, why),
                Ok(wanted) => match self.listing.answer(&wanted).await {
                    Ok(text) => uncached(http::response(StatusCode::OK, "application/json", text)),
                    Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, &why),
                },
            },
            Target::Register | Target::Detection | Target::Health | Target::Any => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "Use POST")
            }
        }
    }

    async fn post(
        &self,
        target: Target,
        request: Request,
        connection: &Connection,
        grant: &Grant,
    ) -> Response {
        if !is_json(&request) {
            let why = "Send JSON, with Content-Type: application/json";
            return self.unwanted(request, refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)).await;
        }
        let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if said
            .and_then(|said| said.parse::<u64>().ok())
            .is_some_and(|said| said > self.limits.message_bytes as u64)
        {
            return self.unwanted(request, self.not_read(BodyError::TooLarge)).await;
        }
        let body = match http::read_body(request.into_body(), &self.limits, connection).await {
            Ok(body) => body,
            Err(error) => return self.not_read(error),
        };
        match self.store(target, body, grant).await {
            Ok(value) => answer(StatusCode::OK, &value),
            Err(Failure::Denied(why)) => refuse(StatusCode::FORBIDDEN, why),
            Err(failure) => failed(&failure),
        }
    }

    async fn store(&self, target: Target, body: Bytes, grant: &Grant) -> Result<Value, Failure> {
        let message = object(&body)?;
        let kind = match target {
            Target::Register => Kind::Camera,
            Target::Detection => Kind::Detection,
            Target::Health => Kind::Health,
            _ => match typed(&message)? {
                None => return Ok(running(&stamp(Timestamp::now()))),
                Some(kind) => kind,
            },
        };
        let prepared = self.desk.prepare(Entry::new(kind, message)?, &[], body.len(), grant)?;
        drop(body);
        let done = self.desk.keep(prepared).await?;
        Ok(done.receipt.rest(&done.id, &done.at))
    }

    fn not_read(&self, error: BodyError) -> Response {
        let bytes = self.limits.message_bytes;
        let why = match error {
            BodyError::TooLarge => format!("The body is too large: send at most {bytes} bytes"),
            BodyError::TooSlow => "The body did not come in time".to_owned(),
            BodyError::Busy => "busy: try again (too much is being received)".to_owned(),
            BodyError::Broken => "The body is broken".to_owned(),
        };
        refuse(error.status(), &why)
    }

    /// Answers a request whose body nobody wants.
    async fn unwanted(&self, request: Request, response: Response) -> Response {
        // Who asks first is answered instead of being let go on.
        if request.headers().contains_key(header::EXPECT) {
            return response;
        }
        http::discard(request.into_body(), &self.limits).await;
        response
    }
}

/// What a message to `POST /api/statistics` is; `None` is a test.
fn typed(message: &Map<String, Value>) -> Result<Option<Kind>, Refusal> {
    match message.get("type") {
        None | Some(Value::Null) => Err(Refusal::Missing("type")),
        Some(Value::String(name)) if name.is_empty() => Err(Refusal::Missing("type")),
        Some(Value::String(name)) if name == "test" => Ok(None),
        Some(Value::String(name)) => match Kind::of_type(name) {
            Some(kind @ (Kind::Detection | Kind::Health)) => Ok(Some(kind)),
            _ => Err(Refusal::UnknownType(name.clone())),
        },
        Some(_) => Err(Refusal::Wrong("type")),
    }
}
