//! What plugins can ask of the runtime, beside what the host itself answers. Requests come from plugins, which pass on what
//! strangers have sent: nothing in them is trusted but that it is JSON.

use super::journal::Audit;
use crate::clock::unix_ms;
use crate::operator;
use gantry_access::{Access, Login, Logins, Password};
use gantry_control::{Answer, Control, Who};
use gantry_core::Runtime;
use gantry_core::access::Role;
use gantry_core::config::Anonymous;
use gantry_core::services::{Caller, Reply, ServiceError};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Who knocks, and what becomes of it.
pub(crate) struct Door {
    pub(crate) access: Arc<Access>,
    pub(crate) logins: Logins,
    pub(crate) audit: Arc<Audit>,
    anonymous: Mutex<Anonymous>,
}

impl Door {
    pub(crate) fn new(access: Arc<Access>, logins: Logins, audit: Arc<Audit>) -> Self {
        Self { access, logins, audit, anonymous: Mutex::default() }
    }

    /// What clients may do from now on that have not logged in.
    pub(crate) fn set_anonymous(&self, anonymous: Anonymous) {
        *self.anonymous.lock().unwrap_or_else(PoisonError::into_inner) = anonymous;
    }

    fn anonymous(&self) -> Option<Role> {
        self.anonymous.lock().unwrap_or_else(PoisonError::into_inner).role()
    }

    /// Whose token a request shows, and whether it shows one that has ended.
    pub(crate) fn who(&self, caller: &Caller, request: &Value) -> (Who, bool) {
        if operator::is_operator(caller) {
            return (Who::part("operator"), false);
        }
        let address = request.get("address").and_then(Value::as_str).map(str::to_owned);
        let via = caller.plugin.clone();
        let token = request.get("token").and_then(Value::as_str);
        match token.map(|token| self.access.who(token, unix_ms())) {
            Some(Some(who)) => {
                (Who { user: Some(who.user.to_string()), role: Some(who.role), via, address }, false)
            }
            ended => (Who { user: None, role: self.anonymous(), via, address }, ended.is_some()),
        }
    }
}

/// Offers everything.
pub(crate) fn offer(runtime: &Runtime, control: &Arc<Control>, door: &Arc<Door>) {
    let services = &runtime.services;
    let begin = Instant::now();
    services.offer_sync("gateway.info", move |caller, _| {
        let (version, uptime) = (env!("CARGO_PKG_VERSION"), begin.elapsed().as_secs());
        Ok(json!({ "name": "gantry", "version": version, "uptime_s": uptime, "plugin": &*caller.plugin }))
    });

    let writing = control.clone();
    services.offer("state.write", {
        let door = door.clone();
        Arc::new(move |caller, request, reply| state_write(&writing, &door, caller, request, reply))
    });

    let (at, writing) = (door.clone(), control.clone());
    let mapping_write = move |caller: &Caller, mut request: Value, reply: Reply| {
        let mapping = text(&request, "mapping");
        let Some(Value::Object(values)) = request.get_mut("values").map(Value::take) else {
            return reply(Err(ServiceError(
                "mapping.write: send {\"mapping\", \"token\", \"values\": {key: value}}".to_owned(),
            )));
        };
        let (who, ended) = at.who(caller, &request);
        let done = move |answer: Result<Answer, String>| {
            reply(answer.map(|answer| marked(answer.to_json("accepted"), ended)).map_err(ServiceError));
        };
        writing.write_mapped(&mapping, who, values, Box::new(done));
    };
    services.offer("mapping.write", Arc::new(mapping_write));

    let (at, reading) = (door.clone(), control.clone());
    services.offer_sync("mapping.read", move |caller, request| {
        let (who, ended) = at.who(caller, &request);
        let keys = match request.get("keys") {
            None | Some(Value::Null) => None,
            Some(keys) => Some(serde_json::from_value::<Vec<String>>(keys.clone()).map_err(|_| {
                ServiceError("mapping.read: `keys` is a list of texts, or null for all".to_owned())
            })?),
        };
        let answer = reading.read_mapped(&text(&request, "mapping"), &who, keys.as_deref());
        answer.map(|answer| marked(answer.to_json("values"), ended)).map_err(ServiceError)
    });

    let (at, describing) = (door.clone(), control.clone());
    services.offer_sync("mapping.describe", move |caller, request| {
        let (who, ended) = at.who(caller, &request);
        let described = describing.describe(&text(&request, "mapping"), &who);
        described.map(|described| marked(described, ended)).map_err(ServiceError)
    });

    let at = door.clone();
    services.offer(
        "access.login",
        Arc::new(move |caller: &Caller, request: Value, reply: Reply| login(&at, caller, &request, reply)),
    );
    let at = door.clone();
    services.offer_sync("access.resume", move |_, request| {
        let login = at.access.resume(&text(&request, "token"), address(&request), unix_ms());
        Ok(outcome(login))
    });
    let at = door.clone();
    services.offer_sync("access.end", move |caller, request| {
        if let Some(who) = at.access.end(&text(&request, "token"), unix_ms()) {
            at.audit.login(&who.user, &caller.plugin, &address(&request).to_string(), "ended");
        }
        Ok(json!({}))
    });
}

/// A plugin writes in its own name, or in that of the user whose token it shows.
fn state_write(control: &Control, door: &Door, caller: &Caller, mut request: Value, reply: Reply) {
    let Some(Value::Object(values)) = request.get_mut("values").map(Value::take) else {
        return reply(Err(ServiceError("state.write: send {\"values\": {key: value}}".to_owned())));
    };
    // What the runtime itself says of cameras and counts is not for plugins to change.
    if let Some(key) = values.keys().find(|key| gantry_core::state::reserved(key).is_some()) {
        let message = format!("state.write: `{key}` is the runtime's own: write under another name");
        return reply(Err(ServiceError(message)));
    }
    let (who, ended) = match request.get("token") {
        None | Some(Value::Null) => (Who::part(&caller.plugin), false),
        Some(_) => door.who(caller, &request),
    };
    let done = move |answer: Result<Answer, String>| {
        reply(match answer {
            Ok(answer) => match answer.rejected.first() {
                Some(first) => {
                    let why = first.message.as_deref().unwrap_or(first.error);
                    Err(ServiceError(format!("state.write: `{}`: {why}", first.key)))
                }
                None => Ok(marked(json!({}), ended)),
            },
            Err(message) => Err(ServiceError(format!("state.write: {message}"))),
        });
    };
    control.write(who, values, Box::new(done));
}

fn login(door: &Arc<Door>, caller: &Caller, request: &Value, reply: Reply) {
    let (user, from) = (text(request, "username"), address(request));
    let password = Password::new(text(request, "password"));
    let (audit, via, name) = (door.audit.clone(), caller.plugin.clone(), user.clone());
    let done = move |login: Login| {
        let came_in = matches!(login, Login::Granted(_));
        audit.login(&name, &via, &from.to_string(), if came_in { "granted" } else { "refused" });
        reply(Ok(outcome(login)));
    };
    door.logins.submit(user, password, from, Box::new(done));
}

fn outcome(login: Login) -> Value {
    match login {
        Login::Granted(session) => json!({
            "authenticated": true, "token": session.token.reveal(), "user": &*session.user, "role": session.role,
        }),
        Login::Refused { retry_after } => {
            let mut refused = Map::from_iter([("authenticated".to_owned(), json!(false))]);
            if let Some(wait) = retry_after {
                refused.insert("retry_after_s".to_owned(), json!(wait.as_secs_f64().ceil() as u64));
            }
            Value::Object(refused)
        }
    }
}

/// Says that the token was one that has ended, so that the plugin forgets it.
fn marked(mut answer: Value, ended: bool) -> Value {
    if let (true, Some(answer)) = (ended, answer.as_object_mut()) {
        answer.insert("ended".to_owned(), json!(true));
    }
    answer
}

fn text(request: &Value, key: &str) -> String {
    request.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Where the client connects from; what is not an address counts as one and the same.
fn address(request: &Value) -> IpAddr {
    let text = request.get("address").and_then(Value::as_str).unwrap_or_default();
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| text.parse()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
