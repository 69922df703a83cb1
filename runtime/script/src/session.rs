//! What one call of a script may use, has used and has caused.

use crate::effect::{Effect, Level};
use rhai::Dynamic;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The clock is looked at once in so many operations: looking each time would cost most of the time.
const LOOK_EVERY: u64 = 256;
/// So many times the operations of a call may be used to set up a script: a list of the configuration is
/// looked at there.
const SET_UP_FACTOR: u64 = 20;
/// The most effects of one call, log lines included.
const MAX_EFFECTS: usize = 64;

/// Why a call was ended. It travels through Rhai as the token of `ErrorTerminated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Operations,
    Deadline,
}

/// What a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Set up a script: as [`Compute`](Self::Compute), and cost more. It is rare, and nobody waits for it.
    SetUp,
    /// Give a value, and write to the log.
    Compute,
    /// Act, too.
    Act,
    /// Act, and say what becomes of the record that it is asked about.
    Judge,
}

/// One call. The engine's native functions and callbacks share it with whoever makes the call.
pub(crate) struct Session {
    /// The most operations of a usual call, and of this one.
    usual_operations: u64,
    max_operations: Cell<u64>,
    operations: Cell<u64>,
    until: Cell<Option<Instant>>,
    allowed: Cell<Duration>,
    was_late: Cell<bool>,
    /// What `config` is in the script.
    config: RefCell<Dynamic>,
    effects: RefCell<Vec<Effect>>,
    may: Cell<May>,
    /// Where the debugger was last: the place of an error that has none itself.
    last: RefCell<(Option<String>, rhai::Position)>,
}

impl Session {
    pub(crate) fn new(max_operations: u64) -> Rc<Self> {
        Rc::new(Self {
            usual_operations: max_operations,
            max_operations: Cell::new(max_operations),
            operations: Cell::new(0),
            until: Cell::new(None),
            allowed: Cell::new(Duration::ZERO),
            was_late: Cell::new(false),
            config: RefCell::new(rhai::Map::new().into()),
            effects: RefCell::default(),
            may: Cell::new(May::Compute),
            last: RefCell::new((None, rhai::Position::NONE)),
        })
    }

    /// Begins a call.
    pub(crate) fn begin(&self, may: May, config: &Dynamic, deadline: Duration) {
        self.operations.set(0);
        let factor = if may == May::SetUp { SET_UP_FACTOR } else { 1 };
        self.max_operations.set(self.usual_operations.saturating_mul(factor));
        self.until.set(Instant::now().checked_add(deadline));
        self.allowed.set(deadline);
        self.was_late.set(false);
        self.may.set(may);
        self.effects.borrow_mut().clear();
        let _ = self.config.replace(config.clone());
        self.last.replace((None, rhai::Position::NONE));
    }

    /// How long the call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.allowed.get()
    }

    /// How many operations the call may take.
    pub(crate) fn max_operations(&self) -> u64 {
        self.max_operations.get()
    }

    /// What the call may do.
    pub(crate) fn may(&self) -> May {
        self.may.get()
    }

    /// What the call has caused.
    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        self.effects.take()
    }

    pub(crate) fn config(&self) -> Dynamic {
        self.config.borrow().clone()
    }

    /// One operation. Counted here and not by the engine, which begins anew in every callback of a native
    /// function.
    pub(crate) fn operation(&self) -> Option<Stop> {
        let count = self.operations.get() + 1;
        self.operations.set(count);
        if count > self.max_operations.get() {
            return Some(Stop::Operations);
        }
        let late = || self.until.get().is_some_and(|at| Instant::now() > at);
        let stop = (count.is_multiple_of(LOOK_EVERY) && late()).then_some(Stop::Deadline);
        self.was_late.set(stop.is_some());
        stop
    }

    /// Whether the call was ended by its deadline.
    pub(crate) fn was_late(&self) -> bool {
        self.was_late.get()
    }

    pub(crate) fn at(&self, source: Option<&str>, position: rhai::Position) {
        if !position.is_none() {
            self.last.replace((source.map(str::to_owned), position));
        }
    }

    pub(crate) fn last(&self) -> (Option<String>, rhai::Position) {
        self.last.borrow().clone()
    }

    /// Collects an effect; the error is a sentence.
    pub(crate) fn cause(&self, effect: Effect) -> Result<(), String> {
        match (self.may.get(), &effect) {
            (_, Effect::Log { .. }) | (May::Judge, _) => {}
            (May::Act, effect) if effect.is_about_a_record() => {
                return Err(
                    "there is no record in this hook: tag, alert, drop and forward are for on_detection, \
                            on_picture and on_health"
                        .into(),
                );
            }
            (May::Act, _) => {}
            (May::SetUp | May::Compute, _) => {
                return Err(
                    "only a hook of a rule can act: a mapping converts values, and the top level of a \
                            script only sets up"
                        .into(),
                );
            }
        }
        let mut effects = self.effects.borrow_mut();
        if effects.len() >= MAX_EFFECTS {
            return Err(format!("more than {MAX_EFFECTS} effects of one call: act once, not in a loop"));
        }
        effects.push(effect);
        Ok(())
    }

    /// Collects a line for the log. Those above the limit are lost: a log is no reason to fail.
    pub(crate) fn log(&self, level: Level, text: String) {
        let _ = self.cause(Effect::Log { level, text });
    }
}
