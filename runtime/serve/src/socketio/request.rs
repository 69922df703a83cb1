//! What the query of a request says.

use percent_encoding::percent_decode_str;

/// The longest query that is read; it is kept as long as its client.
const MAX_BYTES: usize = 8 << 10;
/// The most values of a query. Each takes many times the memory of the three bytes that it may be made of.
const MAX_VALUES: usize = 64;

/// The query of a connection's first request, decoded: `?EIO=4&transport=websocket&token=…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Whether a query is more than anybody needs.
    pub(super) fn is_too_long(text: Option<&str>) -> bool {
        text.is_some_and(|text| text.len() > MAX_BYTES || text.split('&').count() > MAX_VALUES)
    }

    /// Reads the part behind the `?`, its first 64 values.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MAX_VALUES);
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

    #[test]
    fn a_query_that_takes_much_memory_is_found() {
        assert!(!Query::is_too_long(Some("EIO=4&transport=polling")));
        assert!(Query::is_too_long(Some(&"a&".repeat(65))));
        assert!(Query::is_too_long(Some(&"a".repeat(9000))));
        assert!(Query::parse(Some(&"a&".repeat(1000))).0.len() <= 64);
    }
}
