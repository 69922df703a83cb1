//! Keys that cameras show, when the operator wants them to.

use gantry_plugin::Finding;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use subtle::ConstantTimeEq as _;

use crate::message::id_text;

/// The entry whose key is good for every camera.
const ANY: &str = "*";
/// A key in plain text that is shorter can be guessed.
const LEAST_CHARS: usize = 16;

/// A camera's key: its text, or `sha256:` and 64 hexadecimal digits. It is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ApiKey(String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl ApiKey {
    fn digest(&self) -> Result<[u8; 32], &'static str> {
        let Some(hex) = self.0.strip_prefix("sha256:") else {
            let enough = self.0.chars().count() >= LEAST_CHARS;
            return if enough {
                Ok(digest(&self.0))
            } else {
                Err("is too short to be a secret: use 16 characters or more")
            };
        };
        let wrong = "is no hash: write `sha256:` and the 64 hexadecimal digits that `sha256sum` gives";
        let mut out = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(wrong);
        }
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong)?;
        }
        Ok(out)
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// What is wrong with the keys of a configuration.
pub(crate) fn check(keys: &BTreeMap<String, ApiKey>) -> Vec<Finding> {
    let find = |(camera, key): (&String, &ApiKey)| {
        let message = key.digest().err()?.to_owned();
        Some(Finding { path: format!("api_keys.{camera}"), message })
    };
    keys.iter().filter_map(find).collect()
}

/// The headers in which somebody may show a key.
pub(crate) const HEADERS: [&str; 2] = ["x-api-key", "authorization"];

/// The key that a request shows. `Authorization` comes last: a proxy may have a use of its own for it.
pub(crate) fn shown<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    query: impl Fn(&str) -> Option<&'a str>,
) -> Option<&'a str> {
    let bearer = || {
        let (scheme, key) = header(HEADERS[1])?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    };
    header(HEADERS[0]).or_else(|| query("api_key")).or_else(|| query("token")).or_else(bearer)
}

/// All keys.
#[derive(Clone, Default)]
pub struct Keys(Vec<(String, [u8; 32])>);

impl Keys {
    /// Those of a configuration. What is no key there fits nobody.
    #[must_use]
    pub fn new(keys: &BTreeMap<String, ApiKey>) -> Self {
        Self(keys.iter().filter_map(|(camera, key)| Some((camera.clone(), key.digest().ok()?))).collect())
    }

    /// Whether nobody needs one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What somebody may do who shows this key. Takes as long for a wrong key as for a right one.
    #[must_use]
    pub fn grant(&self, shown: Option<&str>) -> Grant {
        if self.is_empty() {
            return Grant::All;
        }
        let Some(shown) = shown.filter(|shown| !shown.is_empty()) else { return Grant::Nothing };
        let shown = digest(shown);
        let fits = self.0.iter().map(|(camera, digest)| (camera, bool::from(digest.ct_eq(&shown))));
        let cameras: Vec<String> = fits.filter(|(_, fits)| *fits).map(|(camera, _)| camera.clone()).collect();
        match &cameras[..] {
            [] => Grant::Wrong,
            some if some.iter().any(|camera| camera == ANY) => Grant::All,
            _ => Grant::Cameras(cameras),
        }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Everything.
    All,
    /// Send as these cameras, and read.
    Cameras(Vec<String>),
    /// Nothing without a key.
    Nothing,
    /// Nothing with this key.
    Wrong,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No key, or one of nobody.
    Unknown(&'static str),
    /// The key of another camera.
    Other(&'static str),
}

impl Denied {
    /// The sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Unknown(message) | Self::Other(message) => message,
        }
    }
}

impl Grant {
    /// Whether he may read what cameras have sent.
    pub fn reads(&self) -> Result<(), Denied> {
        match self {
            Self::All | Self::Cameras(_) => Ok(()),
            Self::Nothing => Err(Denied::Unknown(
                "A key is needed: send it as X-API-Key, as Authorization: Bearer, or with Socket.IO as auth {\"api_key\": …}",
            )),
            Self::Wrong => Err(Denied::Unknown("This key is not known here")),
        }
    }

    /// Whether he may send as this camera.
    pub fn sends_as(&self, camera: &Value) -> Result<(), Denied> {
        self.reads()?;
        match self {
            Self::Cameras(cameras) if !cameras.contains(&id_text(camera)) => {
                Err(Denied::Other("This key is that of another camera"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, Denied, Grant, Keys, check};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, ApiKey> {
        pairs.iter().map(|(camera, key)| ((*camera).to_owned(), ApiKey((*key).to_owned()))).collect()
    }

    #[test]
    fn a_key_is_shown_by_a_header_of_its_own_or_as_a_bearer_s() {
        let shown = |own: Option<&'static str>, authorization: Option<&'static str>| {
            super::shown(|name| if name == "x-api-key" { own } else { authorization }, |_| None)
        };
        assert_eq!(shown(Some("key"), Some("Bearer other")), Some("key"));
        assert_eq!(shown(None, Some("bearer  key ")), Some("key"));
        for none in [None, Some("key"), Some("Basic key"), Some("")] {
            assert_eq!(shown(None, none), None);
        }
        let with_query = |own| {
            let header = move |name: &str| if name == "x-api-key" { own } else { Some("Bearer of-a-proxy") };
            super::shown(header, |name| (name == "token").then_some("asked"))
        };
        assert_eq!((with_query(None), with_query(Some("key"))), (Some("asked"), Some("key")));
    }

    #[test]
    fn without_keys_everybody_may_do_everything() {
        let grant = Keys::new(&keys(&[])).grant(None);
        assert!(grant.reads().is_ok() && grant.sends_as(&json!(1)).is_ok());
    }

    #[test]
    fn a_key_is_good_for_its_camera_whatever_the_type_of_the_id() {
        // What `printf %s a-long-secret-of-2 | sha256sum` gives.
        let hash = super::digest("a-long-secret-of-2").iter().map(|b| format!("{b:02x}")).collect::<String>();
        let all = keys(&[
            ("1", "a-long-secret-of-1"),
            ("2", &format!("sha256:{hash}")),
            ("*", "the-gateway-of-the-site"),
        ]);
        let all = Keys::new(&all);
        let one = all.grant(Some("a-long-secret-of-1"));
        assert!(one.sends_as(&json!("1")).is_ok() && one.sends_as(&json!(1)).is_ok() && one.reads().is_ok());
        assert!(matches!(one.sends_as(&json!("2")), Err(Denied::Other(_))));
        assert!(all.grant(Some("a-long-secret-of-2")).sends_as(&json!(2)).is_ok());
        assert!(all.grant(Some("the-gateway-of-the-site")).sends_as(&json!("any")).is_ok());
        assert_eq!(
            (all.grant(None), all.grant(Some("")), all.grant(Some("guess"))),
            (Grant::Nothing, Grant::Nothing, Grant::Wrong)
        );
        assert!(matches!(all.grant(Some(&format!("sha256:{hash}"))), Grant::Wrong), "a hash is no key");
    }

    #[test]
    fn keys_are_never_shown_and_wrong_ones_found() {
        let all = keys(&[
            ("1", "short"),
            ("2", "sha256:12"),
            ("3", "long-enough-to-be-one"),
            ("4", &format!("sha256:{}", "é".repeat(32))),
        ]);
        assert!(!format!("{all:?}").contains("long-enough"));
        let paths: Vec<_> = check(&all).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["api_keys.1", "api_keys.2", "api_keys.4"]);
    }
}
