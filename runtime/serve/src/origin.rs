//! Which web pages may connect.

use schemars::JsonSchema;
use serde::Deserialize;

/// The allowed values of the `Origin` header, such as `https://dash.example`; `*` stands for any text. An empty list
/// allows every page. Requests without the header do not come from a web page and are always allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Whether a request with this `Origin` header may come in.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.0.is_empty() || self.0.iter().any(|pattern| matches(pattern.as_bytes(), origin.as_bytes()))
    }

    /// What is wrong with the list: the index and a sentence for each.
    #[must_use]
    pub fn check(&self) -> Vec<(usize, String)> {
        let wrong = |pattern: &str| {
            if pattern.is_empty() {
                Some("is empty: write `*` to allow every page".to_owned())
            } else if !pattern.contains('*') && !pattern.contains("://") {
                Some(format!(
                    "`{pattern}` is no origin: write it with its scheme, such as `https://{pattern}`"
                ))
            } else if pattern.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
                Some(format!(
                    "`{pattern}` has a path, which origins do not have: end it after the host and port"
                ))
            } else {
                None
            }
        };
        self.0.iter().enumerate().filter_map(|(i, pattern)| Some((i, wrong(pattern)?))).collect()
    }
}

/// Whether `text` is `pattern`, in which `*` is any run of bytes; upper and lower case are the same.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The usual two-finger glob: on a mismatch the last star takes one byte more.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| c.eq_ignore_ascii_case(&text[t])) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Origins, matches};
    use proptest::prelude::*;

    fn list(origins: &[&str]) -> Origins {
        Origins(origins.iter().map(|o| (*o).to_owned()).collect())
    }

    #[test]
    fn an_empty_list_allows_all_and_no_header_is_no_web_page() {
        assert!(list(&[]).allows(Some("https://evil.example")));
        assert!(list(&["https://dash.example"]).allows(None));
    }

    #[test]
    fn only_listed_pages_may_connect() {
        let origins = list(&["https://dash.example", "http://*.farm.example:80*"]);
        assert!(origins.allows(Some("https://DASH.example")));
        assert!(origins.allows(Some("http://north.farm.example:8080")));
        assert!(!origins.allows(Some("https://dash.example.evil.example")));
        assert!(!origins.allows(Some("http://farm.example:8080")));
        assert!(!origins.allows(Some("null")));
    }

    #[test]
    fn what_is_no_origin_is_found() {
        let findings = list(&["dash.example", "https://a.example/", "*", "https://a.example"]).check();
        assert_eq!(findings.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 1]);
    }

    proptest! {
        #[test]
        fn a_star_takes_whatever_is_between(a in "[a-z]{0,5}", b in "[a-z]{0,8}", c in "[a-z]{0,5}") {
            let pattern = format!("{a}*{c}");
            let text = format!("{a}{b}{c}");
            prop_assert!(matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
