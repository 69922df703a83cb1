//! HTTP beside the WebSocket: login, logout, and what this is.

use crate::ask::{Ask, Login, Rights, typed};
use crate::hub::Hub;
use crate::hub::put;
use crate::message::{self, Credentials, Refusal, Secret};
use gantry_serve::http::header::{self, HeaderValue};
use gantry_serve::http::{self, Request, Response, StatusCode};
use gantry_serve::{Connection, Limits};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;

/// The requests that are no WebSocket.
pub(crate) struct Api {
    hub: Arc<Hub>,
    limits: Limits,
    since: Instant,
}

fn refuse(status: StatusCode, error: &'static str) -> Response {
    uncached(http::json(status, &json!({"error": error})))
}

fn unavailable() -> Response {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "The gateway cannot answer now: try again");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Neither a token nor a state is anything to keep.
fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn answer(value: &impl Serialize) -> Response {
    uncached(http::json(StatusCode::OK, value))
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(request: &Request) -> Option<Secret> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_one.then(|| Secret::new(token.to_owned()))
}

impl Api {
    pub(crate) fn new(hub: Arc<Hub>, limits: Limits) -> Self {
        Self { hub, limits, since: Instant::now() }
    }

    pub(crate) async fn login(&self, request: Request, connection: &Connection) -> Response {
        let body = match http::read_body(request.into_body(), &self.limits, connection).await {
            Ok(body) => body,
            Err(error) => {
                let why = match error {
                    http::BodyError::TooLarge => "The body is too large",
                    http::BodyError::TooSlow => "The body did not come in time",
                    http::BodyError::Busy => "Too much is in flight: try again later",
                    http::BodyError::Broken => "The body is broken",
                };
                return refuse(error.status(), why);
            }
        };
        let (username, password) = match message::parse(&body).map(|request| request.credentials) {
            Err(refusal) => return uncached(http::json(StatusCode::BAD_REQUEST, &refusal)),
            Ok(Some(Credentials::Password { username, password })) => (username, password),
            Ok(_) => {
                let why = "Send {\"username\": \"…\", \"password\": \"…\"}, both texts";
                let refusal = Refusal::new("Invalid value", Some(why));
                return uncached(http::json(StatusCode::BAD_REQUEST, &refusal));
            }
        };
        let ask = Ask::login(&username, &password, connection.peer());
        match typed::<Login>(put(&self.hub.calls, &ask).await) {
            Err(_) => unavailable(),
            Ok(Login { authenticated: true, token: Some(token), user, role, .. }) => {
                let role = role.map(|role| format!("{role:?}").to_lowercase());
                answer(&json!({"token": token, "user": user.unwrap_or(username), "role": role}))
            }
            Ok(Login { retry_after_s: Some(seconds), .. }) => {
                let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "Authentication failed");
                let seconds = HeaderValue::from(seconds.clamp(1.0, 86_400.0).ceil() as u32);
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
                response
            }
            Ok(_) => refuse(StatusCode::UNAUTHORIZED, "Authentication failed"),
        }
    }

    pub(crate) async fn logout(&self, request: &Request) -> Response {
        let Some(token) = bearer(request) else {
            let mut response = refuse(StatusCode::UNAUTHORIZED, "Send Authorization: Bearer TOKEN");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        };
        match put(&self.hub.calls, &Ask::end(&token)).await {
            Ok(_) => answer(&json!({"authenticated": false})),
            Err(_) => unavailable(),
        }
    }

    /// What this is, and the keys that the one who asks may read or write.
    pub(crate) async fn info(&self, request: &Request) -> Response {
        let Ok(Value::Object(mut info)) = put(&self.hub.calls, &Ask::gateway()).await else {
            return unavailable();
        };
        let describe = Ask::describe(&self.hub.mapping, bearer(request).as_ref());
        // Without a mapping the gateway still has a name.
        let rights = typed::<Rights>(put(&self.hub.calls, &describe).await).unwrap_or_default();
        let may = |rights: &Value, what: &str| rights.get(what) == Some(&Value::Bool(true));
        let keys = rights.keys.into_iter();
        let keys: Map<_, _> =
            keys.filter(|(_, rights)| may(rights, "read") || may(rights, "write")).collect();
        info.insert("keys".into(), keys.into());
        answer(&info)
    }

    pub(crate) fn status(&self) -> Response {
        let (uptime, clients) = (self.since.elapsed().as_secs(), self.hub.clients());
        answer(&json!({"status": "ok", "uptime": uptime, "clients": clients}))
    }
}
