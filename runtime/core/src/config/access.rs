//! `[access]`: who may do what.

use crate::access::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who may do what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// What clients may do that have not logged in.
    pub anonymous: Anonymous,
    /// How long a session lasts after its login, such as `720h` or `8h`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub session_lifetime: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { anonymous: Anonymous::Public, session_lifetime: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// What clients may do that have not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Nothing.
    None,
    /// Read what `read = "anonymous"` makes public.
    #[default]
    Public,
    /// What a viewer may.
    Viewer,
    /// What an operator may: only where everybody on the network may control the cameras.
    Operator,
}

impl Anonymous {
    /// The role that anonymous clients have.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::None => None,
            Self::Public => Some(Role::Anonymous),
            Self::Viewer => Some(Role::Viewer),
            Self::Operator => Some(Role::Operator),
        }
    }
}
