//! The client's side of a Socket.IO session: text and times in, text and effects out. It knows no socket and no clock.
//!
//! One message at a time is on its way, so that an answer is never taken for that of another one. An upstream answers with
//! an event (`lpr_response`), with the acknowledgement of ours, or with both; for each kind of message the first answer of a
//! session decides which of them is listened to. When an answer does not come in time the session ends: one that came later would be taken for
//! the next message's.

use crate::answer::{Answer, Verdict, words};
use crate::message::{Kind, Message};
use crate::packet::{self, Packet};
use std::time::Duration;

/// Messages within a second that nobody needs.
const MOST_MESSAGES: usize = 1000;
/// The same of bytes.
const MOST_BYTES: usize = 16 << 20;
/// How long the answer to a registration is waited for: the document promises none.
const COURTESY: Duration = Duration::from_secs(2);

/// Times are since any fixed moment.
pub type Moment = Duration;

/// What the session wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this as a text message.
    Say(String),
    /// It is open. With the largest message that the upstream takes, in bytes.
    Opened(Option<usize>),
    /// What became of the message.
    Answered(Verdict),
    /// It has ended; with the reason.
    Ended(String),
}

/// How an upstream answers a kind of message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Style {
    #[default]
    Unknown,
    Events,
    Acknowledgements,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Joining,
    Open,
    Ended,
}

#[derive(Debug)]
struct Flight {
    kind: Kind,
    camera: String,
    checkpoint: String,
    id: u64,
    /// When it was handed to the network; not before is its answer waited for.
    written: Option<Moment>,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    stage: Stage,
    auth: Option<String>,
    /// How long an answer may take.
    patience: Duration,
    /// Until when it must be open.
    opens_by: Moment,
    heard: Moment,
    silence: Duration,
    max_payload: Option<usize>,
    detections: Style,
    health: Style,
    /// Registrations are not answered by this one.
    is_curt: bool,
    next_id: u64,
    flight: Option<Flight>,
    /// What came in the second that began then.
    window: (Moment, usize, usize),
}

impl Session {
    /// Begins. `auth`: JSON, what the upstream is told about us. It must be open by `opens_by`; answers may take `patience`.
    #[must_use]
    pub fn new(now: Moment, auth: Option<String>, opens_by: Moment, patience: Duration) -> Self {
        Self {
            stage: Stage::Opening,
            auth,
            patience,
            opens_by,
            heard: now,
            silence: Duration::MAX,
            max_payload: None,
            detections: Style::Unknown,
            health: Style::Unknown,
            is_curt: false,
            next_id: 0,
            flight: None,
            window: (now, 0, 0),
        }
    }

    fn end(&mut self, why: impl Into<String>, effects: &mut Vec<Effect>) {
        if self.stage != Stage::Ended {
            self.stage = Stage::Ended;
            self.flight = None;
            effects.push(Effect::Ended(why.into()));
        }
    }

    /// Whether it is too much. Nothing that is asked for here makes an upstream say so much.
    fn floods(&mut self, now: Moment, bytes: usize) -> bool {
        let (since, messages, sum) = &mut self.window;
        if now.saturating_sub(*since) >= Duration::from_secs(1) {
            (*since, *messages, *sum) = (now, 0, 0);
        }
        *messages += 1;
        *sum = sum.saturating_add(bytes);
        *messages > MOST_MESSAGES || *sum > MOST_BYTES
    }

    /// A text message has come.
    pub fn text(&mut self, now: Moment, text: &str, effects: &mut Vec<Effect>) {
        if !self.came(now, text.len(), effects) {
            return;
        }
        match packet::decode(text) {
            Err(error) => self.end(error.to_string(), effects),
            Ok(Packet::Open { silence, max_payload }) if self.stage == Stage::Opening => {
                (self.silence, self.max_payload) = (silence, max_payload);
                self.stage = Stage::Joining;
                effects.push(Effect::Say(packet::connect(self.auth.as_deref())));
            }
            Ok(Packet::Connected) if self.stage == Stage::Joining => {
                self.stage = Stage::Open;
                effects.push(Effect::Opened(self.max_payload));
            }
            Ok(Packet::Ping(said)) => effects.push(Effect::Say(format!("3{said}"))),
            Ok(Packet::Close) => self.end("the upstream has closed the session", effects),
            Ok(Packet::Disconnected) => self.end("the upstream has ended the session", effects),
            Ok(Packet::Refused(said)) => {
                let reason = Answer::read(said).map_or_else(|| words(said), |answer| answer.message);
                self.end(format!("the upstream does not let us in: {reason}: check `api_key`"), effects);
            }
            Ok(Packet::Event(name, argument)) => self.event(&name, argument, effects),
            Ok(Packet::Ack(id, argument)) => self.acknowledgement(id, argument, effects),
            Ok(Packet::Open { .. } | Packet::Connected | Packet::Other) => {}
        }
    }

    /// A binary message has come: an attachment of an event that means nothing here.
    pub fn binary(&mut self, now: Moment, bytes: usize, effects: &mut Vec<Effect>) {
        self.came(now, bytes, effects);
    }

    fn came(&mut self, now: Moment, bytes: usize, effects: &mut Vec<Effect>) -> bool {
        if self.stage == Stage::Ended {
            return false;
        }
        self.heard = now;
        if self.floods(now, bytes) {
            self.end("the upstream sends more than anybody asked for", effects);
        }
        self.stage != Stage::Ended
    }

    /// Whether an answer of this style counts. The first one decides it.
    fn is_style(&mut self, kind: Kind, style: Style) -> bool {
        let known = match kind {
            // It is of no consequence.
            Kind::Register => return true,
            Kind::Detection => &mut self.detections,
            Kind::Health => &mut self.health,
        };
        if *known == Style::Unknown {
            *known = style;
        }
        *known == style
    }

    fn event(&mut self, name: &str, argument: Option<&str>, effects: &mut Vec<Effect>) {
        let Some(flight) = &self.flight else { return };
        let answer = argument.and_then(Answer::read).unwrap_or_default();
        if name == "error" {
            return self.answered(Verdict::Refused(answer.reason()), effects);
        }
        // What names another camera is the answer to somebody else, told to everybody.
        let is_meant = name == flight.kind.answer() && answer.fits(&flight.camera, &flight.checkpoint);
        self.judge(is_meant, Some(&answer), Style::Events, effects);
    }

    fn acknowledgement(&mut self, id: u64, argument: Option<&str>, effects: &mut Vec<Effect>) {
        let is_meant = self.flight.as_ref().is_some_and(|flight| flight.id == id);
        // One that says nothing only means that the event has come.
        let answer = argument.and_then(Answer::read);
        self.judge(is_meant, answer.as_ref(), Style::Acknowledgements, effects);
    }

    fn judge(&mut self, is_meant: bool, answer: Option<&Answer>, style: Style, effects: &mut Vec<Effect>) {
        let Some(kind) = self.flight.as_ref().filter(|_| is_meant).map(|flight| flight.kind) else { return };
        if let Some(verdict) = answer.and_then(Answer::verdict)
            && self.is_style(kind, style)
        {
            self.answered(verdict, effects);
        }
    }

    fn answered(&mut self, verdict: Verdict, effects: &mut Vec<Effect>) {
        self.flight = None;
        effects.push(Effect::Answered(verdict));
    }

    /// What sends this message. There must be no other on its way, and the session open.
    #[must_use]
    pub fn send(&mut self, message: &Message) -> String {
        debug_assert!(self.flight.is_none() && self.stage == Stage::Open, "one after the other");
        let id = self.next_id;
        self.next_id += 1;
        self.flight = Some(Flight {
            kind: message.kind,
            camera: message.camera.clone(),
            checkpoint: message.checkpoint.clone(),
            id,
            written: None,
        });
        packet::event(message.kind.event(), id, &message.body)
    }

    /// The message has been handed to the network.
    pub fn written(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        // While it was being written nobody listened.
        self.heard = self.heard.max(now);
        let Some(flight) = &mut self.flight else { return };
        flight.written = Some(now);
        if flight.kind == Kind::Register && self.is_curt {
            self.answered(Verdict::Taken, effects);
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        match self.stage {
            Stage::Ended => Moment::MAX,
            Stage::Opening | Stage::Joining => self.opens_by,
            Stage::Open => {
                let dead = self.heard.saturating_add(self.silence);
                self.answer_by().map_or(dead, |by| by.min(dead))
            }
        }
    }

    fn answer_by(&self) -> Option<Moment> {
        let flight = self.flight.as_ref()?;
        let patience =
            if flight.kind == Kind::Register { COURTESY.min(self.patience) } else { self.patience };
        Some(flight.written?.saturating_add(patience))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self.stage {
            Stage::Ended => {}
            Stage::Opening | Stage::Joining if now >= self.opens_by => {
                self.end("the upstream does not greet in time", effects);
            }
            Stage::Opening | Stage::Joining => {}
            Stage::Open if now >= self.heard.saturating_add(self.silence) => {
                let silence = self.silence.as_secs();
                self.end(format!("the upstream has said nothing for {silence} s"), effects);
            }
            Stage::Open if self.answer_by().is_some_and(|by| now >= by) => {
                if self.flight.as_ref().is_some_and(|flight| flight.kind == Kind::Register) {
                    self.is_curt = true;
                    return self.answered(Verdict::Taken, effects);
                }
                let patience = self.patience.as_secs();
                self.end(format!("the upstream did not answer within {patience} s"), effects);
            }
            Stage::Open => {}
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }
}

#[cfg(test)]
mod tests;
