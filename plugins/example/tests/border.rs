//! The example through the real border, without loading it.

use gantry_example::gantry_plugin_v1 as plugin;
use gantry_plugin::test::Host;
use serde_json::json;

#[test]
fn it_tells_how_many_frames_it_has_seen() {
    let mut host = Host::start(&plugin, json!({ "stream": "main/jpeg" })).expect("it starts");
    assert!(host.frame("main/jpeg", 4, 4, b"jpeg"));
    assert!(host.frame("main/jpeg", 4, 4, b"jpeg"));
    assert!(!host.frame("side/jpeg", 4, 4, b"jpeg"));
    let told: Vec<_> = host.published().into_iter().map(|(_, text)| text).collect();
    assert_eq!(told, [b"1", b"2"]);
    assert_eq!(host.kept_frames(), 0);
}

#[test]
fn a_misspelt_key_is_named() {
    let findings = Host::validate(&plugin, &json!({ "strem": "main/jpeg" }));
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("strem"), "{findings:?}");
}
