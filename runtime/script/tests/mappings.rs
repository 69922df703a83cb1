//! Mappings: tables, their mistakes, conversions.

mod common;

use common::{Folder, Running};
use gantry_core::access::Role;
use gantry_core::config::Kind;
use gantry_script::{Conversion, Direction, ErrorKind, Right};
use serde_json::json;

#[test]
fn a_table_is_read_whole() {
    let text = r#"
        fn twice(v) { v * 2 }
        fn half(v, current) { if current == "off" { v / 2 } else { throw "no" } }
        const TOP = 10;
        #{
            "zoom": "zoom",
            "speed": #{
                observable: "motorSpeed", type: ["int", "float"], range: [0, TOP], read: "viewer", write: "nobody",
                read_with: "twice", write_with: "half",
            },
            "mode": #{ observable: "mode", choices: ["a", "b"], write_with: |v| v + "!" },
        }
    "#;
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    let names: Vec<_> = mapping.keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["mode", "speed", "zoom"]);
    let speed = mapping.key("speed").expect("there");
    assert_eq!(speed.observable, "motorSpeed");
    assert_eq!((speed.read, speed.write), (Right::AtLeast(Role::Viewer), Right::Nobody));
    assert_eq!(speed.kinds, [Kind::Int, Kind::Float]);
    assert_eq!(speed.range, Some([0.0, 10.0]));
    assert_eq!(speed.reads, Conversion::Function("twice".into(), 1));
    assert_eq!(speed.writes, Conversion::Function("half".into(), 2));
    assert!(!mapping.key("zoom").expect("there").writes_by_function());
    let done = running.convert(&mapping, Direction::In, &[("mode", json!("a")), ("mode", json!("c"))]);
    assert_eq!(done[0], Ok(json!("a!")));
    assert_eq!(done[1].as_ref().expect_err("not a choice").for_client(), "Value must be a or b");
}

#[test]
fn every_mistake_of_a_table_is_found_at_its_place() {
    let text = r#"fn tiwce(v) { v * 2 }
fn three(a, b, c) { a }
#{
    "a": #{ observable: "a", wrte: "nobody" },
    "b": #{ observable: "b", write: "operater" },
    "c": #{ observable: "c", read_with: "twice" },
    "d": #{ observable: "d", write_with: "three" },
    "e": #{ type: "int" },
    "f": #{ observable: "f", type: "integer", range: [5, 1], choices: [] },
    "g": 7,
    "h": "no/#",
}"#;
    let folder = Folder::new(&[("mappings/m.rhai", text)]);
    let problems: Vec<_> =
        folder.problems().iter().map(|p| p.lines().next().unwrap_or_default().to_owned()).collect();
    let expected = [
        "mappings/m.rhai:4:30: unknown key; did you mean `write`?",
        "mappings/m.rhai:5:30: unknown role `operater`; did you mean `operator`?",
        "mappings/m.rhai:6:30: there is no function `twice`; did you mean `tiwce`?",
        "mappings/m.rhai:7:30: function `three` has the wrong parameters: it takes (value), or (value, current) to see \
         the observable's value too",
        "mappings/m.rhai:8:5: which observable? Add `observable: \"NAME\"`",
        "mappings/m.rhai:9:30: unknown type `integer`; did you mean `int`?",
        "mappings/m.rhai:9:47: a range is the least and the greatest number: write `range: [0, 100]`",
        "mappings/m.rhai:9:62: choices are the values that clients may send: write `choices: [\"on\", \"off\"]`",
        "mappings/m.rhai:10:5: a key's entry is the name of an observable or a map, and not 7: write `\"g\": #{ \
         observable: \"NAME\" }`",
        "mappings/m.rhai:11:5: observable `no/#`: ",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_found_with_a_caret() {
    let folder = Folder::new(&[("mappings/m.rhai", "#{\n    \"a\": \"a\",\n    \"a\": \"b\",\n}")]);
    assert_eq!(
        folder.problems(),
        ["mappings/m.rhai:3:5: `a` is there twice: remove one of the two lines\n    \"a\": \"b\",\n    ^"]
    );
}

#[test]
fn a_script_that_is_no_mapping_is_told_what_one_is() {
    let folder = Folder::new(&[("mappings/m.rhai", "let x = 1;")]);
    assert!(folder.problems()[0].contains("ends in its table of keys"), "{:?}", folder.problems());
}

#[test]
fn a_thrown_sentence_is_for_the_client_and_any_other_error_for_the_operator() {
    let text = "fn no(v) { throw \"Not on Sundays\"; }\nfn bad(v) { v.wrong }\nfn nothing(v) { |x| x }\n\
                #{ \"a\": #{ observable: \"a\", write_with: \"no\" }, \"b\": #{ observable: \"b\", write_with: \"bad\" }, \
                \"c\": #{ observable: \"c\", write_with: \"nothing\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    let done =
        running.convert(&mapping, Direction::In, &[("a", json!(1)), ("b", json!({})), ("c", json!(1))]);
    let errors: Vec<_> = done.into_iter().map(|done| done.expect_err("all fail")).collect();
    assert_eq!((errors[0].kind, errors[0].for_client()), (ErrorKind::Refused, "Not on Sundays"));
    assert_eq!(
        (errors[1].kind, errors[1].line, errors[1].column),
        (ErrorKind::Failed, 2, 15),
        "{}",
        errors[1]
    );
    assert_eq!((errors[2].kind, errors[2].line), (ErrorKind::Failed, 3), "{}", errors[2]);
}

#[test]
fn a_mapping_cannot_act() {
    let text = "fn act(v) { snapshot(); v }\n#{ \"a\": #{ observable: \"a\", write_with: \"act\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    let done = running.convert(&mapping, Direction::In, &[("a", json!(1))]);
    let error = done[0].as_ref().expect_err("only rules act");
    assert!(error.message.contains("only a hook of a rule can act"), "{error}");
    assert_eq!(error.kind, ErrorKind::Failed, "it is not the client's mistake");
}

#[test]
fn conversions_are_done_in_the_order_of_the_calls() {
    let text = "fn same(v) { v }\n#{ \"a\": #{ observable: \"a\", write_with: \"same\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    let (reply, replies) = std::sync::mpsc::channel();
    for n in 0..500 {
        let reply = reply.clone();
        let items = vec![gantry_script::Item { key: "a".into(), value: json!(n), current: None }];
        running.scripts.convert(&mapping, Direction::In, items, move |done| {
            let _ = reply.send(done[0].clone());
        });
    }
    drop(reply);
    let order: Vec<_> = replies.iter().map(|value| value.expect("converted")).collect();
    assert_eq!(order, (0..500).map(|n| json!(n)).collect::<Vec<_>>());
}

#[test]
fn more_jobs_than_the_queue_holds_are_refused_at_once() {
    let text = "fn same(v) { v }\n#{ \"a\": #{ observable: \"a\", write_with: \"same\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    // The first reply holds the script thread until all are sent.
    let (go, hold) = std::sync::mpsc::channel::<()>();
    let (reply, replies) = std::sync::mpsc::channel();
    let item = || vec![gantry_script::Item { key: "a".into(), value: json!(1), current: None }];
    running.scripts.convert(&mapping, Direction::In, item(), move |_| {
        let _ = hold.recv();
    });
    for _ in 0..2000 {
        let reply = reply.clone();
        running.scripts.convert(&mapping, Direction::In, item(), move |mut done| {
            let _ = reply.send(done.remove(0));
        });
    }
    let refused = replies.try_iter().collect::<Vec<_>>();
    assert!(refused.len() > 900, "{}", refused.len());
    assert!(refused.iter().all(|done| done.as_ref().is_err_and(|e| e.kind == ErrorKind::Busy)));
    go.send(()).expect("the thread waits");
    drop(reply);
    let done = replies.iter().collect::<Vec<_>>();
    assert_eq!(done.len() + refused.len(), 2000);
    assert!(done.iter().all(|done| *done == Ok(json!(1))));
}

#[test]
fn keys_of_observables_that_nobody_configured_are_found() {
    let text = "#{\n    \"zoom\": \"zoom\",\n    \"light\": #{ write: \"nobody\", observable: \"ligth0\" },\n    \"x\": \"other\",\n}";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let errors = running.mapping().unknown_observables(["zoom", "light0"]);
    let errors: Vec<_> = errors.iter().map(|error| common::told(&running.folder, error)).collect();
    assert_eq!(
        errors,
        [
            "mappings/m.rhai:3:34: key `light`: there is no observable `ligth0`; did you mean `light0`?\n    \"light\": #{ \
             write: \"nobody\", observable: \"ligth0\" },\n                                 ^",
            "mappings/m.rhai:4:5: key `x`: there is no observable `other`: add [state.other] to gantry.toml, or remove \
             the key\n    \"x\": \"other\",\n    ^",
        ]
    );
}

#[test]
fn a_reply_that_panics_takes_nothing_with_it() {
    let text = "fn same(v) { v }\n#{ \"a\": #{ observable: \"a\", write_with: \"same\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    running.scripts.convert(&mapping, Direction::In, Vec::new(), |_| panic!("a caller's mistake"));
    assert_eq!(running.convert(&mapping, Direction::In, &[("a", json!(1))]), [Ok(json!(1))]);
}

#[test]
fn new_limits_are_taken_while_everything_runs() {
    let text =
        "fn count(v) { for i in 0..v { } v }\n#{ \"a\": #{ observable: \"a\", write_with: \"count\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let before = running.mapping();
    assert_eq!(running.convert(&before, Direction::In, &[("a", json!(1000))]), [Ok(json!(1000))]);
    let mut settings = running.folder.settings();
    settings.limits.max_operations = 100;
    running.scripts.configure(settings.clone());
    let after = running.mapping();
    let done = running.convert(&after, Direction::In, &[("a", json!(1000))]);
    assert!(
        done[0].as_ref().is_err_and(|error| error.message.contains("more than 100 operations")),
        "{done:?}"
    );
    running.scripts.configure(settings);
    assert_eq!(running.changed(), Vec::<String>::new(), "nothing has changed");
}
