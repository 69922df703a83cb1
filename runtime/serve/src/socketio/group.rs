//! Clients that get the same messages: what other servers call a room.

use super::{Message, Socket};
use crate::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A list of clients. A message to all of them is encoded once. Who has gone is dropped at the next message.
#[derive(Debug, Default)]
pub struct Group {
    members: Mutex<HashMap<String, Socket>>,
}

impl Group {
    /// Adds a client; `false` when it was in already.
    pub fn join(&self, socket: &Socket) -> bool {
        let mut members = lock(&self.members);
        // A list that nobody sends to must not grow with everybody who ever came.
        members.retain(|_, member| member.is_joined());
        members.insert(socket.id().to_owned(), socket.clone()).is_none()
    }

    /// Removes a client; `false` when it was not in.
    pub fn leave(&self, socket: &Socket) -> bool {
        lock(&self.members).remove(socket.id()).is_some()
    }

    /// Sends a message that must arrive to every member.
    pub fn send(&self, message: &Arc<Message>) {
        let members: Vec<Socket> = {
            let mut members = lock(&self.members);
            members.retain(|_, member| member.is_joined());
            members.values().cloned().collect()
        };
        // Outside of the lock: a member that does not keep up is ended, and its end may leave this group.
        members.iter().for_each(|member| member.send(message));
    }

    /// How many clients are in.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.members).values().filter(|member| member.is_joined()).count()
    }

    /// Whether nobody is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
