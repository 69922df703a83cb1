//! Who may see what.

use serde::Deserialize;

/// What somebody may see. Each role sees everything that the ones before it see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever has not said who he is.
    Anonymous,
    /// Sees what is not public.
    Viewer,
    /// Controls the cameras.
    Operator,
    /// Everything.
    Administrator,
}

impl Role {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Anonymous, Self::Viewer, Self::Operator, Self::Administrator];
}
