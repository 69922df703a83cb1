//! The example through the real border, without loading it.

use gantry_example::gantry_plugin_v1 as plugin;
use gantry_plugin::test::Host;
use serde_json::json;

#[test]
fn it_tells_every_so_many_frames() {
    let mut host = Host::start(&plugin, json!({ "every": 2 })).expect("it starts");
    for _ in 0..5 {
        assert!(host.frame("main/jpeg", 4, 4, b"jpeg"));
    }
    let told: Vec<_> = host.published().into_iter().map(|(_, text)| text).collect();
    assert_eq!(told, [b"2", b"4"]);
    assert_eq!(host.kept_frames(), 0);
}

#[test]
fn a_misspelt_key_is_named() {
    let findings = Host::validate(&plugin, &json!({ "evry": 2 }));
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("evry"), "{findings:?}");
}
