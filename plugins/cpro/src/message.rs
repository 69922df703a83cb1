//! What a client asks for: any bytes are a request or a refusal.
//!
//! [`parse`] is what strangers reach first. It holds no state and calls nothing, so a fuzzer can call it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// The longest message in bytes: hundreds of keys. What is longer is not even read.
pub const MAX_BYTES: usize = 64 << 10;

/// The most keys in one message, and in one `get`.
pub const MAX_KEYS: usize = 1000;

/// A password or a token: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the runtime only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token of an earlier login. A `username` beside it says nothing that the token does not.
    Token(Secret),
    /// A part is missing or no text: these cannot be right.
    Incomplete,
}

/// One error, as clients get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of error.
    pub error: Cow<'static, str>,
    /// The key that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'static, str>>,
}

impl Refusal {
    /// One without a key.
    #[must_use]
    pub fn new(error: &'static str, message: Option<&'static str>) -> Self {
        Self { error: error.into(), key: None, message: message.map(Into::into) }
    }

    /// The same about a key.
    #[must_use]
    pub fn about(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

/// What one message asks for; done in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// To log in.
    pub credentials: Option<Credentials>,
    /// Keys and their new values, in the order of the message.
    pub writes: Map<String, Value>,
    /// Keys to be read, each once, or what is wrong with the list.
    pub get: Option<Result<Vec<String>, Refusal>>,
}

/// Reads a message. Of a key that comes twice the last value counts.
///
/// # Errors
/// What to answer when it is no JSON object, or more than anybody needs. Nothing of it is done then.
pub fn parse(bytes: &[u8]) -> Result<Request, Refusal> {
    if bytes.len() > MAX_BYTES {
        return Err(Refusal::new("Invalid value", Some("A message may have at most 65536 bytes")));
    }
    let fields = match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Refusal::new("Invalid JSON", Some("Send one JSON object"))),
        Err(_) => return Err(Refusal::new("Invalid JSON", None)),
    };
    if fields.len() > MAX_KEYS {
        return Err(Refusal::new("Invalid value", Some("A message may have at most 1000 keys")));
    }
    let (mut username, mut password, mut token, mut get) = (None, None, None, None);
    let mut writes = Map::with_capacity(fields.len());
    for (key, value) in fields {
        match key.as_str() {
            "username" => username = Some(value),
            "password" => password = Some(value),
            "token" => token = Some(value),
            "get" => get = Some(keys(value)),
            _ => drop(writes.insert(key, value)),
        }
    }
    let credentials = match (username, password, token) {
        (None, None, None) => None,
        (Some(Value::String(username)), Some(Value::String(password)), _) => {
            Some(Credentials::Password { username, password: Secret(password) })
        }
        (_, None, Some(Value::String(token))) => Some(Credentials::Token(Secret(token))),
        _ => Some(Credentials::Incomplete),
    };
    Ok(Request { credentials, writes, get })
}

/// The keys that a `get` names. One alone needs no list.
fn keys(value: Value) -> Result<Vec<String>, Refusal> {
    let wrong = |message| Err(Refusal::new("Invalid value", Some(message)).about("get"));
    let list = match value {
        Value::Array(list) if list.len() > MAX_KEYS => return wrong("Ask for at most 1000 keys at once"),
        Value::Array(list) => list,
        one @ Value::String(_) => vec![one],
        _ => return wrong("Must be a list of keys"),
    };
    let mut keys = Vec::with_capacity(list.len());
    let mut seen = HashSet::with_capacity(list.len());
    for key in list {
        let Value::String(key) = key else { return wrong("Must be a list of keys, each a text") };
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::{Credentials, MAX_KEYS, Request, Secret, parse};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Request {
        parse(text.as_bytes()).expect(text)
    }

    fn refused(text: impl AsRef<[u8]>) -> Value {
        serde_json::to_value(parse(text.as_ref()).expect_err("refused")).unwrap()
    }

    #[test]
    fn credentials_writes_and_a_query_come_in_one_message_and_keep_their_order() {
        let request = read(r#"{"z":1,"get":["b","a","b"],"token":"t","a":true,"m":null}"#);
        assert_eq!(request.credentials, Some(Credentials::Token(Secret::new("t".into()))));
        assert_eq!(request.writes.keys().collect::<Vec<_>>(), ["z", "a", "m"]);
        assert_eq!(request.get, Some(Ok(vec!["b".into(), "a".into()])));
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        assert_eq!(Value::Object(read(r#"{"a":1,"b":2,"a":3}"#).writes), json!({"a": 3, "b": 2}));
    }

    #[test]
    fn credentials_are_a_password_or_a_token_and_anything_else_cannot_be_right() {
        let credentials = |text| read(text).credentials;
        let token = Some(Credentials::Token(Secret::new("t".into())));
        let password =
            Some(Credentials::Password { username: "admin".into(), password: Secret::new("p".into()) });
        assert_eq!(credentials(r#"{"username":"admin","password":"p"}"#), password);
        assert_eq!(credentials(r#"{"username":"admin","token":"t"}"#), token, "as the document does it");
        assert_eq!(credentials(r#"{"username":"admin","password":"p","token":"t"}"#), password);
        for wrong in [
            r#"{"username":"admin"}"#,
            r#"{"password":"p"}"#,
            r#"{"username":1,"password":"p"}"#,
            r#"{"username":"admin","password":null}"#,
            r#"{"token":null}"#,
            r#"{"username":"admin","token":7}"#,
        ] {
            assert_eq!(credentials(wrong), Some(Credentials::Incomplete), "{wrong}");
        }
        assert_eq!(credentials(r#"{"brightness":1}"#), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", read(r#"{"username":"admin","password":"hunter2"}"#));
        assert!(shown.contains("admin") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_is_no_json_object_is_refused_in_the_words_of_the_protocol() {
        for text in ["", "{", "brightness", r#"{"a":NaN}"#, r#"{"a":1e999}"#, r#"{"a":1}{}"#, "{'a':1}"] {
            assert_eq!(refused(text), json!({"error": "Invalid JSON"}), "{text}");
        }
        assert_eq!(refused(b"\xff\xfe{}"), json!({"error": "Invalid JSON"}));
        for text in ["[]", "1", "null", r#""brightness""#] {
            assert_eq!(
                refused(text),
                json!({"error": "Invalid JSON", "message": "Send one JSON object"}),
                "{text}"
            );
        }
    }

    #[test]
    fn deep_nesting_and_too_many_keys_are_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(refused(deep), json!({"error": "Invalid JSON"}));
        let many = |n: usize| {
            let keys: Vec<_> = (0..n).map(|i| format!("\"k{i}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert_eq!(read(&many(MAX_KEYS)).writes.len(), MAX_KEYS);
        let why = json!({"error": "Invalid value", "message": "A message may have at most 1000 keys"});
        assert_eq!(refused(many(MAX_KEYS + 1)), why);
        let why = json!({"error": "Invalid value", "message": "A message may have at most 65536 bytes"});
        assert_eq!(refused(many(10_000)), why);
    }

    #[test]
    fn a_query_is_a_list_of_keys_or_one_key() {
        let get = |text| read(text).get.expect("a query");
        assert_eq!(get(r#"{"get":"brightness"}"#), Ok(vec!["brightness".into()]));
        assert_eq!(get(r#"{"get":[]}"#), Ok(vec![]));
        for wrong in [r#"{"get":1}"#, r#"{"get":null}"#, r#"{"get":{}}"#, r#"{"get":["a",1]}"#] {
            let refusal = get(wrong).expect_err(wrong);
            assert_eq!((&*refusal.error, refusal.key.as_deref()), ("Invalid value", Some("get")), "{wrong}");
        }
        let many = json!({"get": vec!["a"; MAX_KEYS + 1], "fps": 30}).to_string();
        assert!(get(&many).is_err());
        assert_eq!(read(&many).writes.len(), 1, "the writes beside it are not touched by that");
    }

    /// JSON with the words of the protocol among its keys.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        let key = prop_oneof!["get", "username", "password", "token", "info", "\\PC{0,6}"];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_object_is_a_request_with_each_of_its_keys_in_one_place(json in any_json()) {
            match (parse(json.to_string().as_bytes()), json) {
                (Ok(request), Value::Object(fields)) => {
                    let words = ["get", "username", "password", "token"];
                    prop_assert_eq!(request.get.is_some(), fields.contains_key("get"));
                    let credentials = words[1..].iter().any(|word| fields.contains_key(*word));
                    prop_assert_eq!(request.credentials.is_some(), credentials);
                    let rest: Vec<_> = fields.keys().filter(|key| !words.contains(&key.as_str())).collect();
                    prop_assert_eq!(request.writes.keys().collect::<Vec<_>>(), rest);
                }
                (Err(refusal), other) => {
                    prop_assert!(!other.is_object());
                    prop_assert_eq!(refusal.error, "Invalid JSON");
                }
                (Ok(_), other) => prop_assert!(false, "{} is no object", other),
            }
        }
    }
}
