//! The house rules of ARCHITECTURE.md that a machine can check.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every package of this workspace with its normal dependencies, direct and indirect, by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(gantry_tests::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect();
    let direct: BTreeMap<String, Vec<String>> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| {
            let normal = |dep: &&Value| {
                dep["dep_kinds"]
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            };
            let deps = node["deps"].as_array().expect("deps").iter().filter(normal);
            (text(&node["id"]), deps.map(|dep| text(&dep["pkg"])).collect())
        })
        .collect();
    let members = metadata["workspace_members"].as_array().expect("members");
    let mut all = BTreeMap::new();
    for member in members.iter().map(text) {
        let (mut seen, mut open) = (BTreeSet::new(), vec![member.clone()]);
        while let Some(id) = open.pop() {
            for next in direct.get(&id).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        all.insert(names[&member].clone(), seen.iter().map(|id| names[id].clone()).collect());
    }
    all
}

#[test]
fn the_contract_depends_on_nothing() {
    assert_eq!(dependencies()["gantry-abi"], BTreeSet::new());
}

/// What each crate of the runtime may use of the others, directly or not.
const RUNTIME: [(&str, &[&str]); 14] = [
    ("gantry-abi", &[]),
    ("gantry-plugin", &["gantry-abi"]),
    ("gantry-serve", &["gantry-abi", "gantry-plugin"]),
    ("gantry-core", &[]),
    ("gantry-store", &[]),
    ("gantry-access", &["gantry-core"]),
    ("gantry-control", &["gantry-core"]),
    ("gantry-media", &["gantry-core"]),
    ("gantry-outputs", &["gantry-core"]),
    ("gantry-script", &["gantry-core"]),
    ("gantry-vision", &["gantry-core"]),
    ("gantry-analysis", &["gantry-core", "gantry-vision"]),
    ("gantry-counting", &["gantry-core"]),
    ("gantry-host", &["gantry-abi", "gantry-core"]),
];

#[test]
fn each_crate_of_the_runtime_uses_no_other_than_it_may() {
    let root = gantry_tests::root();
    let all = dependencies();
    for entry in std::fs::read_dir(root.join("runtime")).expect("a folder").flatten() {
        let name =
            format!("gantry-{}", entry.file_name().to_string_lossy()).replace("gantry-sdk", "gantry-plugin");
        // The binary uses whatever it likes.
        if name == "gantry-gantry" || !entry.path().join("Cargo.toml").exists() {
            continue;
        }
        let (_, may) = RUNTIME
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name}: say what it may use"));
        let uses: Vec<_> = all[&name].iter().filter(|dep| dep.starts_with("gantry")).collect();
        assert!(
            uses.iter().all(|dep| may.contains(&dep.as_str())),
            "{name} uses {uses:?}, and may use {may:?}"
        );
    }
}

#[test]
fn plugins_depend_on_nothing_of_the_runtime_but_their_side_of_the_border() {
    // What two plugins of one protocol share is no part of the runtime either.
    let border = ["gantry-abi", "gantry-plugin", "gantry-serve", "gantry-lpr-protocol"];
    let mut count = 0;
    for (name, deps) in dependencies() {
        if gantry_tests::root().join("plugins").join(name.trim_start_matches("gantry-")).exists() {
            let wrong: Vec<_> = deps
                .iter()
                .filter(|dep| dep.starts_with("gantry") && !border.contains(&dep.as_str()))
                .collect();
            assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
            count += 1;
        }
    }
    assert!(count >= 3, "{count} plugins were found");
}

#[test]
fn each_heavy_dependency_has_one_home() {
    for (heavy, home) in [
        ("gstreamer", "gantry-media"),
        ("rhai", "gantry-script"),
        ("rusqlite", "gantry-store"),
        ("argon2", "gantry-access"),
        ("gpiocdev", "gantry-outputs"),
        ("rten", "gantry-vision"),
        ("embedded-graphics", "gantry-vision"),
    ] {
        let mut is_used = false;
        for (name, deps) in dependencies() {
            let is_home = name == home || deps.contains(home);
            assert!(is_home || !deps.contains(heavy), "{name} depends on {heavy} without {home}");
            is_used |= name == home && deps.contains(heavy);
        }
        assert!(is_used, "{home} does not use {heavy} any more");
    }
    // Nobody but the binary puts the parts of the runtime together, except as the table above says.
    let parts: Vec<_> =
        RUNTIME.iter().filter(|(_, may)| may.contains(&"gantry-core")).map(|(name, _)| *name).collect();
    for (name, deps) in dependencies() {
        let may = RUNTIME.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, may)| *may);
        let wrong: Vec<_> =
            parts.iter().filter(|part| deps.contains(**part) && !may.contains(part)).collect();
        assert!(wrong.is_empty() || name == "gantry", "{name} depends on {wrong:?}");
    }
}

#[test]
fn unsafe_code_is_forbidden_where_it_is_not_needed() {
    let root = gantry_tests::root();
    let allowed = ["runtime/abi", "runtime/sdk", "runtime/host"];
    let mut crates = Vec::new();
    for folder in ["runtime", "plugins", "plugins/lpr", "tests/fixtures/plugins"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder").flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let sources = ["src/lib.rs", "src/main.rs"].map(|file| entry.path().join(file));
            let found: Vec<_> = sources.into_iter().filter(|path| path.exists()).collect();
            if !found.is_empty() && !allowed.contains(&name.as_str()) {
                crates.push((name, found));
            }
        }
    }
    assert!(crates.len() >= 12, "{crates:?}");
    for (name, files) in crates {
        for file in files {
            let text = std::fs::read_to_string(&file).expect("readable");
            assert!(text.contains("#![forbid(unsafe_code)]"), "{name}: {}", file.display());
        }
    }
}
