//! What the store keeps: what the configuration says, without ages while the clock cannot be believed.

use gantry_store::{Keep, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct State {
    all: Keep,
    named: BTreeMap<String, Keep>,
    with_ages: bool,
}

/// What is in force.
pub(super) struct Rules(Mutex<State>);

fn without_age(keep: &Keep) -> Keep {
    Keep { max_age: None, ..keep.clone() }
}

impl State {
    fn apply(&self, store: &Store) -> Result<(), StoreError> {
        let (all, named) = self.in_force();
        store.set_keep(all, named)
    }

    fn in_force(&self) -> (Keep, BTreeMap<String, Keep>) {
        if self.with_ages {
            return (self.all.clone(), self.named.clone());
        }
        let named = self.named.iter().map(|(name, keep)| (name.clone(), without_age(keep)));
        (without_age(&self.all), named.collect())
    }
}

impl Rules {
    /// Those of a configuration, without ages until somebody believes the clock.
    pub(super) fn new(all: Keep, named: BTreeMap<String, Keep>) -> Self {
        Self(Mutex::new(State { all, named, with_ages: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With what a store is opened.
    pub(super) fn in_force(&self) -> (Keep, BTreeMap<String, Keep>) {
        self.state().in_force()
    }

    /// Those of another configuration.
    pub(super) fn set(
        &self,
        store: &Store,
        all: Keep,
        named: BTreeMap<String, Keep>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        (state.all, state.named) = (all, named);
        state.apply(store)
    }

    /// Whether the clock is believed. Tells whether that has changed.
    pub(super) fn believe(&self, store: &Store, with_ages: bool) -> bool {
        let mut state = self.state();
        if state.with_ages == with_ages {
            return false;
        }
        state.with_ages = with_ages;
        // It is refused only after the end.
        let _ = state.apply(store);
        true
    }
}
