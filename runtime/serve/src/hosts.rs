//! Under which names this server is asked.

use crate::origin::matches;
use schemars::JsonSchema;
use serde::Deserialize;

/// The names and addresses, without a port, that a request's `Host` may have, such as `gateway.local`, `192.168.1.20` or
/// `[fe80::1]`; `*` stands for any text. An empty list allows every name.
///
/// With a list, a web page that has its own name lead to this server (DNS rebinding) is refused, although its browser
/// takes the server for the page's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Hosts(pub Vec<String>);

impl Hosts {
    /// Whether a request with this `Host` may come in. One without it may not when there is a list.
    #[must_use]
    pub fn allows(&self, host: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(name) = host.map(name) else { return false };
        self.0.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    }

    /// What is wrong with the list: the index and a sentence for each.
    #[must_use]
    pub fn check(&self) -> Vec<(usize, String)> {
        let wrong = |pattern: &str| {
            if pattern.is_empty() {
                Some("is empty: write a name, or `*` to allow every name".to_owned())
            } else if pattern.contains('/') {
                Some(format!(
                    "`{pattern}` is no name: write it without scheme and path, such as `gateway.local`"
                ))
            } else if !pattern.starts_with('[') && pattern.matches(':').count() > 1 {
                Some(format!("`{pattern}` lacks brackets: write `[{pattern}]`"))
            } else if name(pattern) != pattern {
                Some(format!("`{pattern}` has a port or a dot at its end: write `{}`", name(pattern)))
            } else {
                None
            }
        };
        self.0.iter().enumerate().filter_map(|(i, pattern)| Some((i, wrong(pattern)?))).collect()
    }
}

/// A host without its port and without the dot that a complete name may end in.
fn name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !is_open(name) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether the colon after this is one inside the brackets of an IPv6 address.
fn is_open(name: &str) -> bool {
    name.starts_with('[') && !name.ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(hosts: &[&str]) -> Hosts {
        Hosts(hosts.iter().map(|host| (*host).to_owned()).collect())
    }

    #[test]
    fn only_listed_names_may_be_asked_for_at_whatever_port() {
        let hosts = list(&["gateway.local", "192.168.1.20", "*.farm.example", "[fe80::1]"]);
        for good in [
            "gateway.local",
            "Gateway.Local:8080",
            "gateway.local.",
            "gateway.local.:80",
            "192.168.1.20:3000",
            "north.farm.example",
            "[fe80::1]",
            "[FE80::1]:443",
            "gateway.local:",
        ] {
            assert!(hosts.allows(Some(good)), "{good}");
        }
        for bad in [
            "evil.example",
            "gateway.local.evil.example",
            "farm.example",
            "192.168.1.200",
            "",
            "[fe80::12]",
            "gateway.local@evil.example",
            "evil.example:gateway.local",
            "gateway.local:80:80",
        ] {
            assert!(!hosts.allows(Some(bad)), "{bad}");
        }
        assert!(!hosts.allows(None));
        assert!(list(&[]).allows(None) && list(&[]).allows(Some("evil.example")));
    }

    #[test]
    fn what_is_no_name_is_found() {
        let hosts = ["http://a", "a:80", "fe80::1", "", "a.", "a", "*", "[::1]", "[::1]:80", "10.0.0.1"];
        assert_eq!(list(&hosts).check().iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 8]);
    }
}
