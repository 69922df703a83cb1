//! One client's side of the protocol: bytes and answers of the runtime in, messages and questions out. No I/O.
//!
//! A message is done step by step (credentials, writes, query), each step is one question to the runtime or two, and the
//! next message comes when all of them are answered. Broadcasts come at any time; while a write or a query is open they are
//! held: nobody hears of his own write before it is confirmed, and no answer that was made before a change comes after it.

use crate::ask::{Ask, Login, Reply, Rights, Values, Written, typed};
use crate::change::put;
use crate::message::{self, Credentials, Refusal, Secret};
use crate::role::Role;
use gantry_serve::{Segments, SegmentsBuilder};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// The most broadcasts that are held for one client.
const MAX_HELD: usize = 1024;

/// What is to be done, in this order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send this to the client.
    Send(Segments),
    /// Ask the runtime; the answer goes to [`Session::reply`]. Always the last.
    Ask(Ask),
    /// Ask the runtime, whatever it answers.
    Tell(Ask),
    /// The message was malformed or had no right to what it asked for: count it.
    Rejected,
}

/// What becomes of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Send it now.
    Now,
    /// It comes out with the effects of a later reply.
    Held,
    /// More are held than anybody should hold: close the client.
    TooMany,
}

#[derive(Debug)]
struct User {
    token: Secret,
    /// Whether the session behind the token was begun here, and ends with the connection.
    own: bool,
    role: Option<Role>,
}

#[derive(Debug)]
enum Todo {
    Login(Credentials),
    Write(Map<String, Value>),
    Get(Vec<String>),
    Refuse(Refusal),
}

#[derive(Debug)]
enum Waiting {
    Login { own: bool, quiet: bool },
    Describe { quiet: bool },
    Write(Vec<String>),
    Get(Vec<String>),
}

#[derive(Serialize)]
struct Authenticated<'a> {
    authenticated: bool,
    permissions: &'a [Value],
}

#[derive(Serialize)]
struct NotAuthenticated {
    authenticated: bool,
    error: &'static str,
}

const FAILED: NotAuthenticated = NotAuthenticated { authenticated: false, error: "Authentication failed" };
const ENDED: NotAuthenticated = NotAuthenticated { authenticated: false, error: "Session ended" };
const UNAVAILABLE: (&str, &str) = ("Unavailable", "The gateway cannot answer now: try again");

/// The answer to a message above the rate.
#[must_use]
pub fn above_rate() -> Segments {
    let mut out = Out::default();
    out.say(&Refusal::new("Rate limit exceeded", None));
    out.0.finish()
}

/// The messages of one step: one piece, one write.
#[derive(Default)]
struct Out(SegmentsBuilder, bool);

impl Out {
    fn say(&mut self, message: &impl Serialize) {
        put(&mut self.0, message);
        self.1 = true;
    }

    fn append(&mut self, frame: &Segments) {
        self.0.append(frame);
        self.1 = true;
    }

    fn finish_into(self, effects: &mut Vec<Effect>) {
        if self.1 {
            effects.push(Effect::Send(self.0.finish()));
        }
    }
}

/// One client's side of the protocol.
#[derive(Debug)]
pub struct Session {
    mapping: Arc<str>,
    peer: SocketAddr,
    user: Option<User>,
    todo: VecDeque<Todo>,
    waiting: Option<Waiting>,
    held: Vec<Segments>,
}

impl Session {
    /// A client that has connected and is nobody yet. Nothing is sent to it.
    #[must_use]
    pub fn new(mapping: Arc<str>, peer: SocketAddr) -> Self {
        Self { mapping, peer, user: None, todo: VecDeque::new(), waiting: None, held: Vec::new() }
    }

    /// The token of the user that it is, if it is one.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        self.user.as_ref().map(|user| &user.token)
    }

    /// What it may see; `anonymous` is what somebody without a name may see. `None`: nothing.
    #[must_use]
    pub fn sees(&self, anonymous: Option<Role>) -> Option<Role> {
        self.user.as_ref().map_or(anonymous, |user| user.role)
    }

    /// It brought a token along in the URL. Nothing is said about one that holds: nothing is sent on connect.
    pub fn connected_with(&mut self, token: Secret) -> Vec<Effect> {
        self.waiting = Some(Waiting::Login { own: false, quiet: true });
        vec![Effect::Ask(Ask::resume(&token, self.peer))]
    }

    /// A message has come. Only to be called when the one before is done: when no question is open.
    pub fn message(&mut self, bytes: &[u8]) -> Vec<Effect> {
        let request = match message::parse(bytes) {
            Ok(request) => request,
            Err(refusal) => {
                let mut effects = vec![Effect::Rejected];
                let mut out = Out::default();
                out.say(&refusal);
                out.finish_into(&mut effects);
                return effects;
            }
        };
        self.todo.extend(request.credentials.map(Todo::Login));
        if !request.writes.is_empty() {
            self.todo.push_back(Todo::Write(request.writes));
        }
        self.todo.extend(request.get.map(|get| get.map_or_else(Todo::Refuse, Todo::Get)));
        let mut effects = Vec::new();
        self.go_on(Out::default(), &mut effects);
        effects
    }

    /// Does what can be done until something has to be asked.
    fn go_on(&mut self, mut out: Out, effects: &mut Vec<Effect>) {
        while let Some(todo) = self.todo.pop_front() {
            let (ask, waiting) = match todo {
                Todo::Login(Credentials::Password { username, password }) => {
                    let ask = Ask::login(&username, &password, self.peer);
                    (ask, Waiting::Login { own: true, quiet: false })
                }
                Todo::Login(Credentials::Token(token)) => {
                    (Ask::resume(&token, self.peer), Waiting::Login { own: false, quiet: false })
                }
                Todo::Login(Credentials::Incomplete) => {
                    self.nobody(effects);
                    out.say(&FAILED);
                    effects.push(Effect::Rejected);
                    continue;
                }
                Todo::Write(values) => {
                    let keys = values.keys().cloned().collect();
                    (Ask::write(&self.mapping, self.token(), self.peer, values), Waiting::Write(keys))
                }
                Todo::Get(keys) if keys.is_empty() => {
                    out.say(&Map::new());
                    continue;
                }
                Todo::Get(keys) => (Ask::read(&self.mapping, self.token(), Some(&keys)), Waiting::Get(keys)),
                Todo::Refuse(refusal) => {
                    out.say(&refusal);
                    effects.push(Effect::Rejected);
                    continue;
                }
            };
            self.waiting = Some(waiting);
            out.finish_into(effects);
            effects.push(Effect::Ask(ask));
            return;
        }
        out.finish_into(effects);
    }

    /// The answer to the question that is open.
    pub fn reply(&mut self, reply: Reply) -> Vec<Effect> {
        let (mut effects, mut out) = (Vec::new(), Out::default());
        match self.waiting.take() {
            None => return effects,
            Some(Waiting::Login { own, quiet }) => {
                let login = typed::<Login>(reply).ok().filter(|login| login.authenticated);
                self.nobody(&mut effects);
                let Some((token, role)) = login.and_then(|login| Some((login.token?, login.role))) else {
                    out.say(&FAILED);
                    effects.push(Effect::Rejected);
                    self.go_on(out, &mut effects);
                    return effects;
                };
                let user = User { token: Secret::new(token), own, role };
                let ask = Ask::describe(&self.mapping, Some(&user.token));
                self.user = Some(user);
                self.waiting = Some(Waiting::Describe { quiet });
                effects.push(Effect::Ask(ask));
                return effects;
            }
            Some(Waiting::Describe { quiet }) => {
                // Without an answer the role of the login holds; what it permits is tested with every write anyway.
                let rights = typed::<Rights>(reply).ok();
                if let (Some(rights), Some(user)) = (&rights, &mut self.user) {
                    user.role = rights.role;
                }
                let permissions = rights.map(|rights| rights.permissions).unwrap_or_default();
                if !quiet {
                    out.say(&Authenticated { authenticated: true, permissions: &permissions });
                }
            }
            Some(Waiting::Write(keys)) => match typed::<Written>(reply) {
                Ok(written) => self.written(&keys, written, &mut out, &mut effects),
                Err(_) => unavailable(&keys, &mut out, &mut effects),
            },
            Some(Waiting::Get(keys)) => match typed::<Values>(reply) {
                Ok(read) => {
                    self.ended(read.ended, &mut out);
                    let found = in_order(&keys, &read.values);
                    if !found.is_empty() {
                        out.say(&found);
                    }
                    refuse(&read.rejected, &mut out, &mut effects);
                }
                Err(_) => unavailable(&keys, &mut out, &mut effects),
            },
        }
        self.held.drain(..).for_each(|frame| out.append(&frame));
        self.go_on(out, &mut effects);
        effects
    }

    fn written(&mut self, keys: &[String], written: Written, out: &mut Out, effects: &mut Vec<Effect>) {
        self.ended(written.ended, out);
        let mut confirmation = in_order(keys, &written.accepted);
        if !confirmation.is_empty() {
            let info = confirmation.keys().cloned().collect::<Vec<_>>();
            confirmation.insert("info".into(), info.into());
            out.say(&confirmation);
        }
        refuse(&written.rejected, out, effects);
    }

    /// Becomes anonymous when the runtime says that the session has ended meanwhile.
    fn ended(&mut self, ended: bool, out: &mut Out) {
        if ended && self.user.take().is_some() {
            out.say(&ENDED);
        }
    }

    /// Becomes anonymous of its own doing.
    fn nobody(&mut self, effects: &mut Vec<Effect>) {
        if let Some(User { token, own: true, .. }) = self.user.take() {
            effects.push(Effect::Tell(Ask::end(&token)));
        }
    }

    /// New values for this client.
    pub fn broadcast(&mut self, frame: &Segments) -> Delivery {
        if !matches!(self.waiting, Some(Waiting::Write(_) | Waiting::Get(_))) {
            Delivery::Now
        } else if self.held.len() < MAX_HELD {
            self.held.push(frame.clone());
            Delivery::Held
        } else {
            Delivery::TooMany
        }
    }

    /// What the runtime says about `token` now: the rights of its holder, or that it is over. Says nothing when the client
    /// has another one meanwhile.
    pub fn reviewed(&mut self, token: &Secret, role: Option<Option<Role>>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(user) = self.user.as_mut().filter(|user| user.token == *token) else { return effects };
        match role {
            Some(role) => user.role = role,
            None => {
                let mut out = Out::default();
                self.ended(true, &mut out);
                out.finish_into(&mut effects);
            }
        }
        effects
    }

    /// The connection is gone.
    pub fn gone(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.nobody(&mut effects);
        effects
    }
}

/// The values of `keys`, in that order.
fn in_order(keys: &[String], values: &Map<String, Value>) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some((key.clone(), values.get(key)?.clone()))).collect()
}

fn refuse(refusals: &[Refusal], out: &mut Out, effects: &mut Vec<Effect>) {
    refusals.iter().for_each(|refusal| out.say(refusal));
    if !refusals.is_empty() {
        effects.push(Effect::Rejected);
    }
}

/// The runtime does not answer, or not in the words agreed: each key is told so, as with any other error.
fn unavailable(keys: &[String], out: &mut Out, effects: &mut Vec<Effect>) {
    let (error, message) = UNAVAILABLE;
    let refusals: Vec<_> = keys.iter().map(|key| Refusal::new(error, Some(message)).about(key)).collect();
    refuse(&refusals, out, effects);
}

#[cfg(test)]
mod tests;
