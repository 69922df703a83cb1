//! What changes in the folder while everything runs.

mod common;

use common::{Folder, Running};
use gantry_script::{Changed, Direction};
use proptest::prelude::*;
use serde_json::json;

const ONE: &str = "fn f(v) { v + 1 }\n#{ \"a\": #{ observable: \"a\", write_with: \"f\" } }";

#[test]
fn a_broken_edit_keeps_the_last_good_version_and_says_once_where_it_is() {
    let running = Running::new(&[("mappings/m.rhai", ONE)]);
    let mapping = running.mapping();
    running.folder.write("mappings/m.rhai", "fn f(v) {\n\tv + ;\n}\n#{ \"a\": \"a\" }");
    running.scripts.reload();
    running.scripts.reload();
    let changed = running.changed();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].starts_with("problem mappings/m: mappings/m.rhai:2:6: "), "{}", changed[0]);
    assert!(changed[0].ends_with("\n\tv + ;\n\t    ^"), "{}", changed[0]);
    assert_eq!(running.convert(&mapping, Direction::In, &[("a", json!(1))]), [Ok(json!(2))]);

    running.folder.write("mappings/m.rhai", ONE.replace("v + 1", "v + 10"));
    running.scripts.reload();
    let now = match running.changes.try_iter().collect::<Vec<_>>().as_slice() {
        [Changed::Recovered(name), Changed::Mapping(now)] if name == "mappings/m" => now.clone(),
        other => panic!("{other:?}"),
    };
    assert!(now.generation() > mapping.generation());
    assert_eq!(running.convert(&now, Direction::In, &[("a", json!(1))]), [Ok(json!(11))]);
    assert_eq!(running.convert(&mapping, Direction::In, &[("a", json!(1))]), [Ok(json!(2))], "as it did");
}

#[test]
fn every_script_is_loaded_on_its_own() {
    let running = Running::new(&[
        ("mappings/bad.rhai", "#{"),
        ("mappings/good.rhai", ONE),
        ("rules/r.rhai", "fn on_tick(event) {}"),
        ("rules/.hidden.rhai", "#{"),
        ("rules/r.rhai~", "#{"),
        ("rules/Not Good.rhai", "fn on_tick(event) {}"),
    ]);
    let changed = running.changed();
    assert!(changed[0].starts_with("problem mappings/bad: mappings/bad.rhai:1:"), "{changed:?}");
    assert_eq!(changed[1], "mapping good");
    assert!(changed[2].contains("rename the file"), "{changed:?}");
    assert_eq!(changed[3], "rule r");
    assert_eq!(changed.len(), 4);
    running.folder.write("mappings/good.rhai", ONE.replace("+ 1", "+ 2"));
    running.scripts.reload();
    assert_eq!(running.changed(), ["mapping good"]);
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new());
}

#[test]
fn a_changed_library_reloads_who_uses_it_and_nobody_else() {
    let uses = "fn f(v) { tools::next(v) }\n#{ \"a\": #{ observable: \"a\", write_with: \"f\" } }";
    let running = Running::new(&[
        ("lib/tools.rhai", "fn next(v) { step() + v }\nprivate fn step() { 1 }"),
        ("mappings/other.rhai", ONE),
        ("mappings/user.rhai", uses),
    ]);
    assert_eq!(running.changed(), ["mapping other", "mapping user"]);
    running.folder.write("lib/tools.rhai", "fn next(v) { v + 5 }");
    running.scripts.reload();
    let mapping = running.mapping();
    assert_eq!(mapping.name(), "user");
    assert_eq!(running.convert(&mapping, Direction::In, &[("a", json!(1))]), [Ok(json!(6))]);

    // A library that is broken stays as it was, for who uses it and for who is edited meanwhile.
    running.folder.write("lib/tools.rhai", "fn next(v) {");
    running.scripts.reload();
    assert!(running.changed()[0].starts_with("problem lib/tools: lib/tools.rhai:1:"));
    running.folder.write("mappings/user.rhai", uses.replace("next(v)", "next(v) + 100"));
    running.scripts.reload();
    let mapping = running.mapping();
    assert_eq!(running.convert(&mapping, Direction::In, &[("a", json!(1))]), [Ok(json!(106))]);

    // An error inside of a library is told with the library's file and line.
    running.folder.write("lib/tools.rhai", "fn next(v) {\n    v.wrong\n}");
    running.scripts.reload();
    let mapping = running.mapping();
    let done = running.convert(&mapping, Direction::In, &[("a", json!({}))]);
    let error = done[0].as_ref().expect_err("broken");
    assert!(error.file.ends_with("lib/tools.rhai") && error.line == 2, "{error}");
    assert_eq!(error.source_line, "    v.wrong");

    // So is a limit.
    running.folder.write("lib/tools.rhai", "\nfn next(v) {\n    loop { v += 1; }\n}");
    running.scripts.reload();
    let mapping = running.mapping();
    let done = running.convert(&mapping, Direction::In, &[("a", json!(1))]);
    let error = done[0].as_ref().expect_err("endless");
    assert!(error.file.ends_with("lib/tools.rhai") && error.line == 3, "{error}");
}

#[test]
fn who_uses_a_library_that_is_not_there_is_told_where_to_put_it() {
    let folder = Folder::new(&[("rules/r.rhai", "fn on_tick(event) { common::act(); }")]);
    let problems = folder.problems();
    assert!(problems[0].contains("put the functions into scripts/lib/common.rhai"), "{problems:?}");
}

#[test]
fn a_script_that_is_gone_is_removed_at_the_second_look() {
    let running = Running::new(&[("mappings/m.rhai", ONE), ("rules/r.rhai", "fn on_tick(event) {}")]);
    running.changed();
    running.folder.remove("mappings/m.rhai");
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new());
    running.folder.write("mappings/m.rhai", ONE);
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new(), "an editor's pause");
    running.folder.remove("mappings/m.rhai");
    running.folder.remove("rules/r.rhai");
    running.scripts.reload();
    running.scripts.reload();
    assert_eq!(running.changed(), ["removed mappings/m", "removed rules/r"]);
    assert!(running.event("on_tick", json!({})).is_empty());
    running.folder.write("mappings/m.rhai", ONE);
    running.scripts.reload();
    assert_eq!(running.changed(), ["mapping m"]);
}

#[test]
fn files_that_cannot_be_scripts_are_told_why() {
    let folder = Folder::new(&[]);
    folder.write("mappings/large.rhai", vec![b' '; 300 * 1024]);
    folder.write("mappings/marked.rhai", "\u{feff}#{ \"a\": \"a\" }");
    folder.write("mappings/latin.rhai", b"// caf\xe9");
    std::fs::create_dir(folder.path("rules/folder.rhai")).expect("a folder");
    folder.write("lib/log.rhai", "fn x() {}");
    folder.write("lib/shared.rhai", "fn x() {}");
    let problems = folder.problems();
    for says in [
        "log.rhai: `log::` is there already",
        "a word that Rhai keeps",
        "more than 256 KiB",
        "byte 7 is not UTF-8",
        "not a file",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(says)), "{says}: {problems:?}");
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn a_top_level_that_never_ends_is_a_problem_of_that_script() {
    let folder = Folder::new(&[("mappings/m.rhai", "let n = 0;\nloop { n += 1; }\n#{}")]);
    let problems = folder.problems();
    assert!(problems[0].starts_with("mappings/m.rhai:2:"), "{problems:?}");
    assert!(problems[0].contains("more than 1000000 operations"), "{problems:?}");
}

#[test]
fn polling_is_never_waited_for_and_done_once() {
    let running = Running::new(&[("mappings/m.rhai", ONE)]);
    running.changed();
    running.folder.write("mappings/m.rhai", ONE.replace("+ 1", "+ 3"));
    for _ in 0..10_000 {
        running.scripts.poll();
    }
    running.scripts.reload();
    assert_eq!(running.changed(), ["mapping m"]);
}

const CPRO: &str = include_str!("../../../scripts/mappings/cpro.rhai");

/// One place of the script, and what happens to it.
fn mutation() -> impl Strategy<Value = (usize, usize, String)> {
    let pieces = prop_oneof![
        "[a-z0-9 ]{0,4}",
        "[\\[\\]{}()#:;,|\"'`$!@.<>=&*/+-]{1,3}",
        prop::sample::select(vec![
            "fn ",
            "let ",
            "const ",
            "loop { ",
            "#{",
            "${",
            "/*",
            "\u{0}",
            "é",
            "🦀",
            "this",
            "=>",
            "global::",
            "9999999999999999999"
        ])
        .prop_map(str::to_owned),
    ];
    (0..CPRO.len(), 0..12_usize, pieces)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_text_makes_the_loader_or_a_call_panic(
        mutations in prop::collection::vec(mutation(), 1..6),
        value in prop::sample::select(vec![json!(1), json!(true), json!("pause"), json!({"a": [1.5]}), json!(null)]),
    ) {
        let mut text = CPRO.to_owned();
        for (at, cut, piece) in mutations {
            let from = text.floor_char_boundary(at.min(text.len()));
            let to = text.floor_char_boundary((from + cut).min(text.len())).max(from);
            text.replace_range(from..to, &piece);
        }
        let running = Running::new(&[("mappings/cpro.rhai", &text)]);
        for change in running.changes.try_iter() {
            match change {
                Changed::Problem(_, problem) => {
                    prop_assert!(!problem.contains("the script engine broke"), "{}", problem);
                }
                Changed::Mapping(mapping) => {
                    let items: Vec<_> =
                        mapping.keys().iter().map(|key| (key.name.as_str(), value.clone())).collect();
                    for direction in [Direction::In, Direction::Out] {
                        for done in running.convert(&mapping, direction, &items) {
                            let text = done.map_err(|error| error.to_string()).err().unwrap_or_default();
                            prop_assert!(!text.contains("the script engine broke"), "{}", text);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
