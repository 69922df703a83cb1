//! Every way in which a file is no plugin is refused with a sentence that ends in the next step.

mod common;

use common::{Bench, compile, faulty, section, sections, settings};
use gantry_core::config::{Isolation, Plugin};
use gantry_host::Plugins;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What `gantry check` would print for a plugin section, with the test's folder cut out.
fn findings(dir: &Path, plugin: &Plugin) -> Vec<String> {
    let checked = Plugins::check(&settings(dir), "door", plugin);
    let cut = format!("{}/", dir.display());
    let refusal = checked.refusal.iter().map(ToString::to_string);
    let findings = checked.findings.iter().map(ToString::to_string);
    refusal.chain(findings).map(|line| line.replace(&cut, "")).collect()
}

#[test]
fn wrong_tables_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for (wrong, expected) in [
        (
            "NO_SYMBOL",
            "is no Gantry plugin (it does not export `gantry_plugin_v1`): use `export_plugin!`, or the C header's `gantry_plugin_v1`",
        ),
        (
            "OTHER_MAJOR_SYMBOL",
            "built for plugin ABI 2, this runtime speaks 1: rebuild it with gantry-plugin 1.x, or update the gateway",
        ),
        (
            "OTHER_MAJOR_FIELD",
            "built for plugin ABI 2, this runtime speaks 1: rebuild it with gantry-plugin 1.x",
        ),
        (
            "NEWER_MINOR",
            "needs plugin ABI 1.7, this runtime speaks 1.1: update the gateway, or build the plugin against an older gantry-plugin",
        ),
        (
            "SHORTER_TABLE",
            "its `gantry_plugin_v1` is not a plugin table (it says 64 bytes, ABI 1.0 has 144): build it with gantry-plugin 1.x, or with the C header",
        ),
        (
            "SHORTER_SYMBOL",
            "its `gantry_plugin_v1` is not a plugin table (24 bytes, ABI 1.0 has 144): build it with gantry-plugin 1.x, or with the C header",
        ),
        (
            "BAD_MAGIC",
            "its `gantry_plugin_v1` is not a plugin table (its magic is wrong): build it with gantry-plugin 1.x, or with the C header",
        ),
        (
            "NAME_NOT_UTF8",
            "its `gantry_plugin_v1` is not a plugin table (its name is not UTF-8): build it with gantry-plugin 1.x, or with the C header",
        ),
        (
            "NAME_WITH_SLASH",
            "its `gantry_plugin_v1` is not a plugin table (its name `../door` is not made of a-z, 0-9 and `-`): build it with gantry-plugin 1.x, or with the C header",
        ),
    ] {
        let name = format!("{}.so", wrong.to_lowercase());
        let path = dir.path().join(&name);
        compile("tests/fixtures/plugins/c/wrong.c", &[&format!("-DWRONG={wrong}")], &path);
        let found = findings(dir.path(), &section(&path.display().to_string(), &json!({})));
        assert_eq!(found, [format!("{name}: {expected}")], "{wrong}");
    }
}

#[test]
fn what_the_linker_cannot_resolve_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("lost.so");
    compile("tests/fixtures/plugins/c/wrong.c", &["-DWRONG=UNRESOLVED"], &path);
    let found = findings(dir.path(), &section(&path.display().to_string(), &json!({})));
    assert!(found[0].starts_with("lost.so: the dynamic linker refuses it ("), "{found:?}");
    assert!(found[0].contains("nobody_defines_this"), "{found:?}");
}

#[test]
fn files_that_are_no_library_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = fs::read(faulty()).expect("the fixture");
    let mut other_machine = good.clone();
    other_machine[18..20].copy_from_slice(&[243, 0]); // EM_RISCV
    let mut program = good.clone();
    program[16..18].copy_from_slice(&[2, 0]); // ET_EXEC
    for (name, content, expected) in [
        (
            "text.so",
            b"#!/bin/sh\n".to_vec(),
            "it is no shared library (it does not begin with an ELF header): name the `.so` file that the build made",
        ),
        (
            "empty.so",
            Vec::new(),
            "it is no shared library (it does not begin with an ELF header): name the `.so` file that the build made",
        ),
        (
            "machine.so",
            other_machine,
            #[cfg(target_arch = "x86_64")]
            "it was built for RISC-V, this gateway is x86-64: build it for this machine",
            #[cfg(target_arch = "aarch64")]
            "it was built for RISC-V, this gateway is aarch64: build it for this machine",
        ),
        (
            "program.so",
            program,
            "it is an ELF file, but no shared library: build it as a `cdylib` (Rust) or with `-shared -fPIC` (C)",
        ),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("written");
        let found = findings(dir.path(), &section(&path.display().to_string(), &json!({})));
        assert_eq!(found, [format!("{name}: {expected}")]);
    }
    let path = dir.path().join("cut.so");
    fs::write(&path, &good[..good.len() / 2]).expect("written");
    let found = findings(dir.path(), &section(&path.display().to_string(), &json!({})));
    assert!(found[0].starts_with("cut.so: it is cut off ("), "{found:?}");
    assert!(found[0].ends_with("): copy it again"), "{found:?}");
    let found =
        findings(dir.path(), &section(&dir.path().join("no/such.so").display().to_string(), &json!({})));
    assert!(found[0].contains("no/such.so: cannot be read (No such file"), "{found:?}");
    let found = findings(dir.path(), &section(&dir.path().display().to_string(), &json!({})));
    assert!(found[0].ends_with("is no regular file: name the `.so` file itself"), "{found:?}");
}

#[test]
fn files_that_others_may_write_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("open.so");
    fs::copy(faulty(), &path).expect("copied");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).expect("set");
    let plugin = section(&path.display().to_string(), &json!({}));
    let expected =
        "open.so: open.so can be written to by others, who could run code here: run `chmod go-w open.so`";
    assert_eq!(findings(dir.path(), &plugin), [expected]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    assert_eq!(findings(dir.path(), &plugin), [""; 0]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("set");
    assert!(findings(dir.path(), &plugin)[0].contains("can be written to by others"));
}

#[test]
fn a_link_into_a_folder_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = dir.path().join("open");
    fs::create_dir(&open).expect("made");
    fs::copy(faulty(), open.join("door.so")).expect("copied");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("set");
    let link = dir.path().join("link.so");
    std::os::unix::fs::symlink(open.join("door.so"), &link).expect("linked");
    let found = findings(dir.path(), &section(&link.display().to_string(), &json!({})));
    assert!(found[0].contains("open can be written to by others"), "{found:?}");
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let pipe = dir.path().join("pipe.so");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let found = findings(dir.path(), &section(&pipe.display().to_string(), &json!({})));
    assert_eq!(found, ["pipe.so: is no regular file: name the `.so` file itself"]);
}

#[test]
fn only_the_wanted_digest_is_loaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plugin = section(&faulty(), &json!({}));
    plugin.sha256 = Some("0".repeat(64));
    let found = findings(dir.path(), &plugin);
    assert!(found[0].contains("its SHA-256 is "), "{found:?}");
    let digest = found[0].split("its SHA-256 is ").nth(1).and_then(|rest| rest.get(..64)).expect("a digest");
    plugin.sha256 = Some(digest.to_uppercase());
    assert_eq!(findings(dir.path(), &plugin), [""; 0]);
}

#[test]
fn isolation_is_refused_until_it_exists() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plugin = section(&faulty(), &json!({}));
    plugin.isolation = Isolation::Process;
    let expected = "isolation: isolation `process` is not available yet: leave the key out, or write `isolation = \"none\"`";
    assert_eq!(findings(dir.path(), &plugin), [expected]);
}

#[test]
fn all_findings_of_a_section_come_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let found = findings(dir.path(), &section(&faulty(), &json!({"varant": 1, "dawdle_ms": "long", "x": 1})));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "varant: unknown key; did you mean `variant`?");
    assert!(found[1].starts_with("x: unknown key: it can be `"), "{found:?}");
    assert!(found[2].starts_with("dawdle_ms: must be a whole number, 0 or more, not \"long\""), "{found:?}");
}

#[test]
fn a_panic_in_validate_is_a_finding() {
    let dir = tempfile::tempdir().expect("a folder");
    let found = findings(dir.path(), &section(&faulty(), &json!({ "panic_in": "validate" })));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("panicked in validate: told to panic ("), "{found:?}");
}

#[test]
fn a_running_gateway_reports_the_refusal_and_runs_the_rest() {
    let bench = Bench::new();
    let text = bench.dir.path().join("text.so");
    fs::write(&text, "hello").expect("written");
    bench.plugins.apply(&sections([
        ("bad", section(&text.display().to_string(), &json!({}))),
        ("good", section(&faulty(), &json!({}))),
    ]));
    bench.wait_for("bad", "refused");
    bench.wait_for("good", "running");
    assert!(bench.report("bad").expect("reported").health.message.contains("no shared library"));
    // Repaired in place, a reload takes it.
    fs::copy(faulty(), &text).expect("copied");
    bench.plugins.apply(&sections([
        ("bad", section(&text.display().to_string(), &json!({}))),
        ("good", section(&faulty(), &json!({}))),
    ]));
    bench.wait_for("bad", "running");
}
