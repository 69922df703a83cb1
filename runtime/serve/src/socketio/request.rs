//! What the query of a request says.

use percent_encoding::percent_decode_str;

/// The query of a connection's first request, decoded: `?EIO=4&transport=websocket&token=…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part behind the `?`.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether there is a value of that name and it is not `0`, `false` or `no`.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "0" | "false" | "no"))
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse(Some("EIO=4&transport=polling&name=a%20b+c&x&binary=1&y=%ff&b=0"));
        assert_eq!(query.get("EIO"), Some("4"));
        assert_eq!(query.get("name"), Some("a b c"));
        assert_eq!(query.get("x"), Some(""));
        assert_eq!(query.get("none"), None);
        assert!(query.flag("binary") && query.flag("x") && !query.flag("b") && !query.flag("none"));
        assert_eq!(query.get("y"), Some("\u{fffd}"));
        assert_eq!(Query::parse(None), Query::default());
    }
}
