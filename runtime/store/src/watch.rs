//! Waking whoever waits for records.

use crate::lock;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct List {
    next: u64,
    watchers: Vec<(u64, BTreeSet<String>, Wake)>,
}

/// Everybody who waits for records.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<List>);

impl Watchers {
    pub(crate) fn add(self: &Arc<Self>, collections: BTreeSet<String>, wake: Wake) -> Watch {
        let mut list = lock(&self.0);
        let id = list.next;
        list.next += 1;
        list.watchers.push((id, collections, wake));
        Watch { watchers: self.clone(), id }
    }

    /// Wakes those who wait for one of these collections.
    pub(crate) fn wake(&self, collections: &BTreeSet<String>) {
        let concerned: Vec<Wake> = lock(&self.0)
            .watchers
            .iter()
            .filter(|(_, wanted, _)| wanted.is_empty() || !wanted.is_disjoint(collections))
            .map(|(_, _, wake)| wake.clone())
            .collect();
        for wake in concerned {
            if catch_unwind(AssertUnwindSafe(|| wake())).is_err() {
                tracing::error!("whoever waits for records panicked when woken: this is a bug, report it");
            }
        }
    }
}

/// Calls back after appends; dropping it ends that.
pub struct Watch {
    watchers: Arc<Watchers>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.watchers.0).watchers.retain(|(id, _, _)| *id != self.id);
    }
}
