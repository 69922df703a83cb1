//! What is wrong in the keys that every network plugin has.

use crate::{Hosts, Limits, Origins, Tls};
use gantry_plugin::Finding;

/// What the types of `tls`, `hosts`, `origins` and `limits` cannot say: reads the certificate, looks at every name and
/// number. The findings name these keys, so that a plugin adds them to its own.
#[must_use]
pub fn check(tls: Option<&Tls>, hosts: &Hosts, origins: &Origins, limits: &Limits) -> Vec<Finding> {
    let tls = tls.and_then(|tls| tls.load().err()).map(|error| ("tls".to_owned(), error.to_string()));
    let hosts = hosts.check().into_iter().map(|(i, message)| (format!("hosts[{i}]"), message));
    let origins = origins.check().into_iter().map(|(i, message)| (format!("origins[{i}]"), message));
    let limits = limits.check().into_iter().map(|(key, message)| (format!("limits.{key}"), message));
    let all = tls.into_iter().chain(hosts).chain(origins).chain(limits);
    all.map(|(path, message)| Finding { path, message }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_found_at_once_under_its_key() {
        let tls = Tls { certificate: "/no/a.pem".into(), key: "/no/b.pem".into() };
        let (hosts, origins) = (Hosts(vec!["a".into(), "a/b".into()]), Origins(vec!["a".into()]));
        let limits = Limits { connections: 0, ..Limits::default() };
        let findings = check(Some(&tls), &hosts, &origins, &limits);
        let paths: Vec<_> = findings.iter().map(|finding| &*finding.path).collect();
        assert_eq!(paths, ["tls", "hosts[1]", "origins[0]", "limits.connections"]);
        assert!(check(None, &Hosts::default(), &Origins::default(), &Limits::default()).is_empty());
    }
}
