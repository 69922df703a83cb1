//! What a client, and what all of them together, have cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident, $add:ident;)+) => {
        /// Counts that only grow. Those of one client add themselves to the totals.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($field: AtomicU64,)+
            total: Option<Arc<Counters>>,
        }

        impl Counters {
            /// Counters of one client, which are counted in `total` as well.
            #[must_use]
            pub fn of(total: &Arc<Counters>) -> Self {
                Self { total: Some(total.clone()), ..Self::default() }
            }

            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(&self) -> u64 {
                    self.$field.load(Relaxed)
                }

                /// Adds to the count of the same name.
                pub fn $add(&self, n: u64) {
                    self.$field.fetch_add(n, Relaxed);
                    if let Some(total) = &self.total {
                        total.$add(n);
                    }
                }
            )+
        }
    };
}

counters! {
    /// Bytes written to sockets, TLS and HTTP heads not counted.
    sent_bytes, add_sent_bytes;
    /// Frames that a client did not get because it was not done with the one before.
    skipped_frames, add_skipped_frames;
    /// Messages received.
    received_messages, add_received_messages;
    /// Messages received and not taken: malformed, unexpected, or above the rate.
    rejected_messages, add_rejected_messages;
    /// Connections refused because there were too many, of all or of their address.
    refused_connections, add_refused_connections;
    /// Connections that failed before their first request: TLS, or too slow.
    failed_handshakes, add_failed_handshakes;
    /// Polling sessions that made room because they said nothing.
    evicted_sessions, add_evicted_sessions;
    /// Clients closed because their queue of messages that must arrive was full.
    overflowed_clients, add_overflowed_clients;
}
