//! What is on its way to the stream: bounded, and acknowledged to the store in order.

use std::collections::VecDeque;
use uuid::Uuid;

/// The most records that are not done with at the same time. [`Scan`](crate::resume::Scan) relies on it.
pub const MOST: usize = 32;
/// The most bytes of them; one alone may have more.
pub const MOST_BYTES: usize = 4 << 20;

#[derive(Debug)]
struct Slot {
    id: Uuid,
    /// `None`: it needs nothing any more.
    flying: Option<usize>,
}

/// Records between the store and the stream, the oldest first.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    bytes: usize,
}

impl Window {
    /// Whether another one of that size may be sent now.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.slots.len() < MOST && (self.bytes == 0 || self.bytes.saturating_add(bytes) <= MOST_BYTES)
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// It was sent.
    pub fn sent(&mut self, id: Uuid, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.slots.push_back(Slot { id, flying: Some(bytes) });
    }

    /// It does not need to be sent. The answer is as that of [`arrived`](Self::arrived).
    pub fn skipped(&mut self, id: Uuid) -> Option<Uuid> {
        self.slots.push_back(Slot { id, flying: None });
        self.done()
    }

    /// The oldest that was sent has arrived. The answer is up to which record the store may forget.
    pub fn arrived(&mut self) -> Option<Uuid> {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.flying.is_some()) {
            self.bytes = self.bytes.saturating_sub(slot.flying.take().unwrap_or_default());
        }
        self.done()
    }

    fn done(&mut self) -> Option<Uuid> {
        let mut last = None;
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.flying.is_none()) {
            last = Some(slot.id);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, MOST_BYTES, Window};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(n: usize) -> Uuid {
        Uuid::from_u128(n as u128)
    }

    #[test]
    fn one_is_always_let_in_and_more_only_within_bounds() {
        let mut window = Window::default();
        assert!(window.has_room(MOST_BYTES * 9));
        window.sent(id(1), MOST_BYTES * 9);
        assert!(!window.has_room(1));
        assert_eq!(window.arrived(), Some(id(1)));
        for n in 0..MOST {
            assert!(window.has_room(1), "{n}");
            window.sent(id(n), 1);
        }
        assert!(!window.has_room(1));
    }

    proptest! {
        #[test]
        fn nothing_is_acknowledged_before_all_that_came_before_it(steps: Vec<Option<bool>>) {
            let (mut window, mut pushed, mut acked) = (Window::default(), Vec::new(), 0);
            for step in steps {
                let up_to = match step {
                    Some(send) if window.has_room(1) => {
                        let next = id(pushed.len() + 1);
                        pushed.push(!send);
                        if send { window.sent(next, 1); None } else { window.skipped(next) }
                    }
                    _ => {
                        if let Some(first) = pushed.iter_mut().find(|done| !**done) {
                            *first = true;
                        }
                        window.arrived()
                    }
                };
                let done = pushed.iter().take_while(|done| **done).count();
                prop_assert_eq!(up_to, (done > acked).then(|| id(done)));
                acked = done;
                prop_assert_eq!(window.is_empty(), acked == pushed.len());
            }
        }
    }
}
