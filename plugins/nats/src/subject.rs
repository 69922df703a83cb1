//! Subjects, and the one rule that keeps data in its place in them: a token that is made of data has only bytes that mean
//! nothing to NATS.

use serde_json::Value;

/// The longest token that is made of data, in bytes, before what tells two longer ones apart.
const LONGEST: usize = 96;
/// What stands where the data has nothing.
const NOTHING: &str = "%";

/// Whether this can stand as one token that an operator writes: letters, digits, `-` and `_`.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether this is one or more tokens with dots between them.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.len() <= 128 && text.split('.').all(is_token)
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

/// A name of a machine as a token; `gateway` when nothing of it can be one.
#[must_use]
pub fn token_of_host(name: &str) -> String {
    // What comes after the first dot is the network's.
    let name = name.trim().split('.').next().unwrap_or_default();
    let token: String =
        name.bytes().take(64).map(|b| if is_plain(b) { char::from(b) } else { '-' }).collect();
    if token.bytes().any(|b| b.is_ascii_alphanumeric()) { token } else { "gateway".to_owned() }
}

/// Any text as one token: all but letters, digits, `-` and `_` is written `%XX`. Different texts are different tokens.
#[must_use]
pub fn escape(text: &str) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for (done, b) in text.bytes().enumerate() {
        if token.len() >= LONGEST {
            // `%~` comes of no byte.
            return format!("{token}%~{:016x}{:x}", fnv(text.as_bytes()), text.len() - done);
        }
        if is_plain(b) { token.push(char::from(b)) } else { token += &format!("%{b:02X}") }
    }
    token
}

/// FNV-1a: the same for the same text on every machine and in every version.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// What a record is about, which is the last token of its subject.
fn about(collection: &str, data: &Value) -> Option<String> {
    let key = match collection {
        "counts" => "camera",
        "events" => "event",
        "detections" | "health" | "cameras" => "camera_id",
        "pictures" => "device",
        "gateway" => "component",
        // Of what this plugin does not know, as of what says nothing of it.
        _ => return None,
    };
    match data.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The subjects of one gateway.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: String,
    own: String,
}

impl Subjects {
    /// Of the gateway `gateway` under `prefix`, which both are good.
    #[must_use]
    pub fn new(prefix: &str, gateway: &str) -> Self {
        Self { prefix: prefix.to_owned(), own: format!("{prefix}.{gateway}") }
    }

    /// Of a record.
    #[must_use]
    pub fn record(&self, collection: &str, data: &Value) -> String {
        let about = about(collection, data).map_or_else(|| NOTHING.to_owned(), |text| escape(&text));
        format!("{}.{}.{about}", self.own, escape(collection))
    }

    /// All of this gateway.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}.>", self.own)
    }

    /// What a stream for all gateways takes of these collections.
    #[must_use]
    pub fn of_stream(&self, collections: &[String]) -> Vec<String> {
        collections.iter().map(|name| format!("{}.*.{}.>", self.prefix, escape(name))).collect()
    }

    /// All requests to this gateway.
    #[must_use]
    pub fn requests(&self) -> String {
        format!("{}.request.>", self.own)
    }

    /// Where a service is asked.
    #[must_use]
    pub fn request(&self, service: &str) -> String {
        format!("{}.request.{service}", self.own)
    }

    /// The service that a request is for.
    #[must_use]
    pub fn service<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.own)?.strip_prefix(".request.").filter(|service| !service.is_empty())
    }

    /// Whether an answer may be sent there. Who asks chooses where the answer goes, and this plugin may send where he may not:
    /// only where it begins with one of `allowed`; and not as a record of any gateway, not as a request, and not to what is the
    /// server's own.
    #[must_use]
    pub fn may_answer(&self, reply: &str, allowed: &[String]) -> bool {
        let own =
            reply.strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let is_allowed = allowed.iter().any(|prefix| reply.starts_with(prefix));
        is_allowed && !own && !reply.starts_with('$')
    }
}

#[cfg(test)]
mod tests {
    use super::{Subjects, escape, is_prefix, is_token, token_of_host};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_record_has_its_place() {
        let subjects = Subjects::new("gantry", "north-gate");
        for (collection, data, subject) in [
            ("counts", json!({"camera": "main", "line": "door"}), "counts.main"),
            ("events", json!({"event": "busy"}), "events.busy"),
            ("detections", json!({"camera_id": "7"}), "detections.7"),
            ("detections", json!({"camera_id": 7}), "detections.7"),
            ("health", json!({"camera_id": "a b"}), "health.a%20b"),
            ("pictures", json!({"device": 200}), "pictures.200"),
            ("gateway", json!({"component": "plugin/lpr"}), "gateway.plugin%2Flpr"),
            ("gateway", json!({"component": ""}), "gateway.%"),
            ("events", json!({"event": {"a": 1}}), "events.%"),
            ("anything", json!([1]), "anything.%"),
        ] {
            assert_eq!(subjects.record(collection, &data), format!("gantry.north-gate.{subject}"));
        }
        assert_eq!(subjects.all(), "gantry.north-gate.>");
        assert_eq!(subjects.of_stream(&["counts".into()]), ["gantry.*.counts.>"]);
    }

    #[test]
    fn a_request_tells_its_service() {
        let subjects = Subjects::new("gantry", "g");
        assert_eq!(subjects.service("gantry.g.request.state.write"), Some("state.write"));
        assert_eq!(subjects.service(&subjects.request("counts.read")), Some("counts.read"));
        for other in ["gantry.g.request.", "gantry.g.counts.main", "gantry.gg.request.a", "x"] {
            assert_eq!(subjects.service(other), None, "{other}");
        }
    }

    #[test]
    fn answers_never_become_records_requests_or_orders_to_the_server() {
        let subjects = Subjects::new("gantry", "g");
        let allowed = ["_INBOX".to_owned(), "gantry".to_owned()];
        for good in ["_INBOX.a.b", "_INBOX_olga.a", "gantryx.y"] {
            assert!(subjects.may_answer(good, &allowed), "{good}");
        }
        for bad in [
            "gantry.g.counts.main",
            "gantry.h.request.x",
            "gantry",
            "$JS.API.STREAM.DELETE.GANTRY",
            "$O.b.C.x",
            "site.lights.on",
            "a._INBOX.b",
            "",
        ] {
            assert!(!subjects.may_answer(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn names_of_machines_become_tokens() {
        for (name, token) in [
            ("north-gate\n", "north-gate"),
            ("a.example.org", "a"),
            ("küche", "k--che"),
            ("", "gateway"),
            ("...", "gateway"),
        ] {
            assert_eq!(token_of_host(name), token);
        }
        assert!(is_prefix("gantry") && is_prefix("site.gantry"));
        assert!(!is_prefix("gantry.") && !is_prefix("a.*") && !is_prefix("") && !is_token("a.b"));
    }

    proptest! {
        #[test]
        fn no_data_breaks_out_of_its_token(text: String) {
            let token = escape(&text);
            prop_assert!(!token.is_empty() && token.len() <= 160, "{token}");
            let harmless = |b: u8| b.is_ascii_alphanumeric() || b"-_%~".contains(&b);
            prop_assert!(token.bytes().all(harmless), "{token}");
            let subject = Subjects::new("gantry", "g").record("events", &json!({ "event": text }));
            prop_assert_eq!(subject.split('.').count(), 4);
        }

        #[test]
        fn different_data_are_different_tokens(a in "[ab.%2*]{0,6}", b in "[ab.%2*]{0,6}") {
            prop_assert_eq!(escape(&a) == escape(&b), a == b);
            let (long_a, long_b) = (format!("{}{a}", "x".repeat(95)), format!("{}{b}", "x".repeat(95)));
            prop_assert_eq!(escape(&long_a) == escape(&long_b), a == b);
        }

        #[test]
        fn any_name_of_a_machine_is_a_token(name: String) {
            prop_assert!(is_token(&token_of_host(&name)));
        }
    }
}
