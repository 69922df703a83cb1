//! Requests of strangers: what they may ask, and what is asked of the runtime for them.
//!
//! A request has the rights of the token that it shows and no others. This plugin asks in its own name, which may do more; so
//! whatever knows rights is always told a token, if only an empty one.

use serde_json::{Value, json};

/// The most bytes of a request; the border to the runtime takes no more.
pub const MOST_BYTES: usize = 200 * 1024;
/// Where requests come from, for the audit and for logins that fail: NATS does not say who asks, so all count as one.
const ADDRESS: &str = "nats";

/// A service that can be asked over NATS.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// Whether it looks at a token, and wants to know where the request comes from.
    is_guarded: bool,
}

impl Service {
    /// Whether what it answers may be as large as memory allows.
    #[must_use]
    pub fn is_large(name: &str) -> bool {
        name.starts_with("records.") || name.starts_with("faces.") || name == "counts.history"
    }
}

const fn open(name: &'static str) -> Service {
    Service { name, is_guarded: false }
}

const fn guarded(name: &'static str) -> Service {
    Service { name, is_guarded: true }
}

/// All services that can be asked over NATS: those that check rights themselves, or tell nothing that needs any.
pub const SERVICES: [Service; 16] = [
    open("gateway.info"),
    guarded("cameras.list"),
    guarded("state.write"),
    guarded("mapping.describe"),
    guarded("mapping.read"),
    guarded("mapping.write"),
    guarded("access.login"),
    guarded("access.resume"),
    guarded("access.end"),
    guarded("counts.read"),
    guarded("counts.history"),
    guarded("counts.correct"),
    guarded("faces.get"),
    guarded("faces.list"),
    guarded("faces.delete"),
    guarded("records.read"),
];

/// What to ask of the runtime.
///
/// # Errors
/// A sentence for who asks.
pub fn read(service: &str, allowed: &[String], payload: &[u8]) -> Result<(&'static str, Value), String> {
    let known = SERVICES.iter().find(|known| known.name == service);
    let Some(known) = known.filter(|known| allowed.iter().any(|name| name == known.name)) else {
        return Err(format!("this is not answered here: ask one of {}", allowed.join(", ")));
    };
    if payload.len() > MOST_BYTES {
        return Err(format!("the request has {} bytes: send at most {MOST_BYTES}", payload.len()));
    }
    // A request that says nothing is one without fields.
    let payload = if payload.is_empty() { b"{}" } else { payload };
    let Ok(Value::Object(mut request)) = serde_json::from_slice(payload) else {
        return Err("the request is no JSON object: send one, such as {}".to_owned());
    };
    if known.is_guarded {
        match request.get("token") {
            Some(Value::String(_)) => {}
            // Nobody's token: without one the rights would be this plugin's.
            None | Some(Value::Null) => _ = request.insert("token".into(), json!("")),
            Some(_) => return Err("`token` is a text, as `access.login` gives it".to_owned()),
        }
        request.insert("address".into(), json!(ADDRESS));
    }
    if request.get("blobs") == Some(&json!(true)) {
        // Of more than one, the pictures fit into no message, and would only be held in memory here.
        request.insert("limit".into(), json!(1));
    }
    Ok((known.name, Value::Object(request)))
}

/// What is answered: at most `most` bytes.
#[must_use]
pub fn answer(reply: Result<Value, String>, most: usize) -> String {
    let text = match reply {
        Ok(answer) => answer.to_string(),
        Err(error) => refusal(&error),
    };
    if text.len() <= most {
        return text;
    }
    let length = text.len();
    refusal(&format!(
        "the answer has {length} bytes and {most} fit into a message: ask for less, such as a `limit`"
    ))
}

/// What is answered to who cannot be helped.
#[must_use]
pub fn refusal(sentence: &str) -> String {
    json!({ "error": sentence }).to_string()
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, SERVICES, answer, read};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn all() -> Vec<String> {
        SERVICES.iter().map(|service| service.name.to_owned()).collect()
    }

    #[test]
    fn who_shows_no_token_is_nobody() {
        for service in SERVICES.iter().filter(|service| service.is_guarded) {
            for payload in ["", "{}", r#"{"token":null}"#] {
                let (_, request) = read(service.name, &all(), payload.as_bytes()).unwrap();
                assert_eq!(request["token"], "", "{} {payload}", service.name);
            }
            let (_, request) = read(service.name, &all(), br#"{"token":"t","address":"10.0.0.1"}"#).unwrap();
            assert_eq!(request["token"], "t");
            assert_eq!(request["address"], "nats", "nobody says himself where he is");
            assert!(read(service.name, &all(), br#"{"token":7}"#).is_err());
        }
    }

    #[test]
    fn pictures_are_asked_for_one_record_at_a_time() {
        let asked =
            |payload: &str| read("records.read", &all(), payload.as_bytes()).unwrap().1["limit"].clone();
        assert_eq!(asked(r#"{"blobs":true,"limit":1000}"#), 1);
        assert_eq!(asked(r#"{"blobs":false,"limit":1000}"#), 1000);
        assert_eq!(asked("{}"), Value::Null);
    }

    #[test]
    fn only_what_is_allowed_is_asked() {
        assert!(read("counts.read", &["counts.read".into()], b"").is_ok());
        for service in ["state.write", "records.query", "records.append", "endpoints.announce", ""] {
            let refused = read(service, &["counts.read".into(), "records.query".into()], b"{}").unwrap_err();
            assert!(refused.contains("counts.read"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_object_or_too_large_is_refused() {
        for payload in ["[]", "7", "null", "{", "\"a\"", "\u{feff}{}"] {
            assert!(read("counts.read", &all(), payload.as_bytes()).unwrap_err().contains("JSON object"));
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MOST_BYTES));
        assert!(read("counts.read", &all(), large.as_bytes()).unwrap_err().contains("at most"));
    }

    #[test]
    fn an_answer_that_is_too_large_says_so() {
        assert_eq!(answer(Ok(json!({"a": 1})), 100), r#"{"a":1}"#);
        assert_eq!(answer(Err("no".into()), 100), r#"{"error":"no"}"#);
        let told: Value = serde_json::from_str(&answer(Ok(json!("x".repeat(1000))), 200)).unwrap();
        assert!(told["error"].as_str().unwrap().contains("ask for less"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_reaches_a_guarded_service_without_a_token(payload: Vec<u8>, object: bool, key: String) {
            let payload = if object { json!({ key: payload }).to_string().into_bytes() } else { payload };
            if let Ok((_, request)) = read("state.write", &all(), &payload) {
                prop_assert!(request["token"].is_string() && request["address"] == "nats");
            }
        }
    }
}
