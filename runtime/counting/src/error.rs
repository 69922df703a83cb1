//! Why something is refused.

/// Why a correction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// No such line is configured, nor did anybody cross one of the name today.
    #[error("there is no line `{line}` of camera `{camera}`: use the names in [analysis.{camera}.lines]")]
    NoLine {
        /// The camera as given.
        camera: String,
        /// The line as given.
        line: String,
    },
    /// It changes nothing.
    #[error("the correction of `{camera}/{line}` changes nothing: give count_in or count_out other than 0")]
    Nothing {
        /// The camera.
        camera: String,
        /// The line.
        line: String,
    },
    /// There are not as many.
    #[error(
        "only {counted} went {direction} at `{camera}/{line}` today: take away that many or fewer, not {taken}"
    )]
    TooFew {
        /// The camera.
        camera: String,
        /// The line.
        line: String,
        /// `in` or `out`.
        direction: &'static str,
        /// How many were counted.
        counted: u64,
        /// How many should go.
        taken: u64,
    },
    /// It is beyond any count.
    #[error("{given} more at `{camera}/{line}` cannot be meant: add at most {max} at once", max = crate::ledger::MAX_CORRECTION)]
    TooMany {
        /// The camera.
        camera: String,
        /// The line.
        line: String,
        /// How many should be added.
        given: u64,
    },
    /// The day is over; what it counted is told already.
    #[error("the correction of `{camera}/{line}` is of another day than `{day}`: correct today's counts")]
    OtherDay {
        /// The camera.
        camera: String,
        /// The line.
        line: String,
        /// The day of now.
        day: String,
    },
}

/// Why an event does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// It runs already. Usual: a rule may begin it at every crossing.
    #[error("event `{0}` runs already: end it first")]
    Running(String),
    /// Too many run at once.
    #[error("event `{name}`: {max} events run already: end one first, or use fewer names", max = crate::events::MAX_EVENTS)]
    TooMany {
        /// The event's name.
        name: String,
    },
    /// The name is part of topics and state keys.
    #[error("an event cannot be called `{0}`: use 1 to {max} letters, digits, `-` and `_`", max = crate::events::MAX_NAME)]
    Name(
        /// As given, shortened.
        String,
    ),
    /// The data is too large.
    #[error("event `{name}`: its data has {len} bytes, at most {max} are kept: give less", max = crate::events::MAX_DATA)]
    TooLarge {
        /// The event's name.
        name: String,
        /// The size in bytes of JSON.
        len: usize,
    },
}

/// Why a stored record cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing says what it is.
    #[error("a stored record has no type: remove it or add one: {record}")]
    NoType {
        /// Its beginning.
        record: String,
    },
    /// Something that its type needs is missing or is something else.
    #[error("a stored {kind} is malformed ({source}): correct or remove it: {record}")]
    Malformed {
        /// Its type.
        kind: &'static str,
        /// Its beginning.
        record: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}
