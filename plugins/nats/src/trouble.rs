//! Why something does not work, and what to do about it.

use async_nats::jetstream::context::{PublishError, PublishErrorKind, RequestError, RequestErrorKind};
use serde_json::Value;
use std::error::Error;
use std::fmt;

/// The message is larger than the stream takes.
const TOO_LARGE: u64 = 10_054;
/// There is no stream of that name.
pub(crate) const NO_STREAM: u64 = 10_059;
/// There is one of that name that differs.
pub(crate) const NAME_TAKEN: u64 = 10_058;
/// There is no such message.
pub(crate) const NO_MESSAGE: u64 = 10_037;

/// A sentence that ends in the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// JetStream's number for it, if it has one.
    pub(crate) code: u64,
    /// The message itself is too large, and no waiting helps.
    pub(crate) is_too_large: bool,
    text: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Trouble {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { code: 0, is_too_large: false, text: text.into() }
    }

    /// It is not the message, whatever it says: only waiting helps.
    pub(crate) fn that_lasts(self) -> Self {
        Self { is_too_large: false, ..self }
    }

    /// What JetStream refuses: `what` is a stream.
    fn refused(what: &str, code: u64, description: &str) -> Self {
        let text = match code {
            NO_STREAM => format!("there is no stream `{what}`: create it, or set `create_stream = true`"),
            10_039 | 10_076 => {
                "JetStream is off: turn it on in the server, and for this gateway's account".to_owned()
            }
            10_065 => format!(
                "`{what}` cannot be made, another stream takes some of its subjects: set `stream` to its name, or take them from it"
            ),
            TOO_LARGE => format!("`{what}` does not take so large a message: raise its max_msg_size"),
            // Storage of the server, of the account, of the stream.
            10_002 | 10_023 | 10_028 | 10_047 | 10_077 | 10_120 | 10_122 => {
                format!(
                    "there is no room in `{what}` ({description}): raise its limits, or have it discard what is old"
                )
            }
            _ => format!("`{what}` refuses ({description}): look into the log of the server"),
        };
        Self { code, is_too_large: code == TOO_LARGE, text }
    }

    /// What JetStream says of a stream, when it is no error.
    pub(crate) fn look(what: &str, answer: Value) -> Result<Value, Self> {
        let Some(error) = answer.get("error").filter(|error| !error.is_null()) else { return Ok(answer) };
        let code = error["err_code"].as_u64().unwrap_or_default();
        Err(Self::refused(what, code, error["description"].as_str().unwrap_or("no reason")))
    }

    /// Why JetStream does not answer. `hint` is what the server said last.
    pub(crate) fn of_request(what: &str, error: &RequestError, hint: Option<&str>) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::new(
                "JetStream does not answer: turn it on in the server, or set `jetstream_domain` to where the stream is",
            ),
            RequestErrorKind::TimedOut => Self::silence(what, hint),
            _ => {
                Self::new(format!("asking about `{what}` failed ({error}): look into the log of the server"))
            }
        }
    }

    /// Why a message was not taken.
    pub(crate) fn of_publish(what: &str, error: &PublishError, hint: Option<&str>) -> Self {
        if let Some(refused) = error.source().and_then(|e| e.downcast_ref::<async_nats::jetstream::Error>()) {
            return Self::refused(what, refused.error_code().0, &refused.to_string());
        }
        match error.kind() {
            PublishErrorKind::StreamNotFound => Self::new(format!(
                "no stream takes the subjects of this gateway: add them to `{what}`, or create it as the documents say"
            )),
            PublishErrorKind::TimedOut => Self::silence(what, hint),
            PublishErrorKind::MaxPayloadExceeded => Self {
                is_too_large: true,
                ..Self::new("the server does not take so large a message: raise max_payload")
            },
            _ => Self::new(format!("publishing to `{what}` failed ({error}): it is tried again")),
        }
    }

    fn silence(what: &str, hint: Option<&str>) -> Self {
        Self::new(match hint {
            Some(hint) => format!(
                "`{what}` does not answer, and the server says: {hint}: correct what this user may do"
            ),
            None => {
                format!("`{what}` does not answer in time: look whether its servers are up and have a leader")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{NO_STREAM, Trouble};
    use serde_json::json;

    #[test]
    fn what_the_server_says_becomes_a_sentence_with_the_next_step() {
        assert_eq!(Trouble::look("S", json!({"stream": "S"})), Ok(json!({"stream": "S"})));
        for (code, says) in [
            (NO_STREAM, "create_stream"),
            (10_076, "turn it on"),
            (10_065, "another stream"),
            (10_077, "no room"),
            (10_047, "no room"),
            (1, "log of the server"),
        ] {
            let trouble =
                Trouble::look("S", json!({"error": {"err_code": code, "description": "why"}})).unwrap_err();
            assert!(trouble.to_string().contains(says), "{trouble}");
            assert_eq!((trouble.code, trouble.is_too_large), (code, false));
        }
        let large = Trouble::look("S", json!({"error": {"err_code": 10_054}})).unwrap_err();
        assert!(large.is_too_large);
        assert!(Trouble::look("S", json!({"error": "odd"})).is_err());
    }
}
