//! The configuration as an operator meets it: what wins, and what is said about mistakes.

use super::*;
use gantry_core::config::LogFormat;

fn sources(environment: &[(&str, &str)], camera: Option<&str>) -> Sources {
    Sources {
        file: "gantry.toml".into(),
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        camera: camera.map(str::to_owned),
    }
}

fn findings(text: &str, environment: &[(&str, &str)]) -> String {
    let merged = sources(environment, None).merge(text);
    merged.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

const FILE: &str = r#"
[cameras.zebra]
source = "demo:"
[cameras.ape]
fps = 15
[plugins.people-counter]
bind = "0.0.0.0:8765"
"#;

#[test]
fn an_empty_file_is_all_defaults() {
    let merged = sources(&[], None).merge("");
    assert!(merged.findings.is_empty(), "{:?}", merged.findings);
    assert_eq!(merged.config, Config::default());
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let environment = [
        ("GANTRY_CAMERAS__ZEBRA__SOURCE", "v4l2:///dev/video0"),
        ("GANTRY_CAMERAS__APE__FPS", "20"),
        ("GANTRY_PLUGINS__PEOPLE_COUNTER__BIND", "127.0.0.1:0"),
        ("gantry_log__format", "json"),
        ("GANTRY_STATE_DIR", "2024"),
        ("GANTRY_TEST_ASSETS", "/somewhere"),
        ("OTHER", "x"),
    ];
    let merged = sources(&environment, Some("demo:?seed=7")).merge(FILE);
    assert!(merged.findings.is_empty(), "{:?}", merged.findings);
    let config = merged.config;
    assert_eq!(config.cameras["zebra"].source, "demo:?seed=7", "the first camera of the file");
    assert_eq!(config.cameras["ape"].source, "demo:");
    assert_eq!(config.cameras["ape"].fps, 20);
    assert_eq!(config.plugins["people-counter"].own["bind"], "127.0.0.1:0");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.state_dir, Path::new("2024"));
}

#[test]
fn all_findings_come_at_once_with_their_places() {
    let text = r#"
state_dirr = "x"
[log]
format = "xml"
[admin]
bind = "nowhere"
[cameras.main]
fsp = 30
width = 3
stall_timeout = "soon"
[cameras.Door]
fps = "many"
[plugins.robocar]
sha256 = "abc"
"#;
    let found =
        findings(text, &[("GANTRY_CAMERAS__MAIN__JPEG_QUALTIY", "80"), ("GANTRY_LOG__LEVEL__X", "1")]);
    for expected in [
        "gantry.toml:2: state_dirr: unknown key; did you mean `state_dir`?\n",
        "gantry.toml:4: log.format: must be `auto`, `human` or `json`, not \"xml\"\n",
        "gantry.toml:6: admin.bind: ",
        "gantry.toml:8: cameras.main.fsp: unknown key; did you mean `fps`?\n",
        "gantry.toml:9: cameras.main.width: must be a whole number from 16 to 8192, not 3\n",
        "gantry.toml:12: cameras.Door.fps: must be a whole number from 1 to 240, not \"many\"\n",
        "gantry.toml:14: plugins.robocar.sha256: must be 64 hexadecimal digits, as `sha256sum` prints them, not \"abc\"\n",
        "environment GANTRY_CAMERAS__MAIN__JPEG_QUALTIY: cameras.main.jpeg_qualtiy: unknown key; did you mean `GANTRY_CAMERAS__MAIN__JPEG_QUALITY`?\n",
        "environment GANTRY_LOG__LEVEL__X: ",
    ] {
        assert!(found.contains(expected), "`{expected}` is missing in:\n{found}");
    }
}

#[test]
fn a_syntax_error_is_shown_with_a_caret() {
    let found = findings("[cameras.main]\nsource = demo:\n", &[]);
    assert!(found.starts_with("gantry.toml:2:10: "), "{found}");
    assert!(found.contains("2 | source = demo:\n"), "{found}");
    assert!(found.lines().last().is_some_and(|line| line.trim_end().ends_with('^')), "{found}");
}

#[test]
fn names_that_could_not_be_topics_or_threads_are_refused() {
    let found = findings("[plugins.\"a/b\"]\n[cameras.\"Ä\"]\n", &[]);
    assert_eq!(found.matches("rename it").count(), 2, "{found}");
}

#[test]
fn two_variables_for_one_key_are_a_finding() {
    let found = findings(FILE, &[("GANTRY_CAMERAS__APE__FPS", "1"), ("gantry_cameras__ape__fps", "2")]);
    assert!(found.contains("sets the same key: remove one of them"), "{found}");
}

#[test]
fn a_file_that_is_not_there_says_what_to_do() {
    let mut sources = sources(&[], None);
    sources.file = "/no/such/gantry.toml".into();
    let merged = sources.load();
    let text = merged.findings[0].to_string();
    assert_eq!(
        text,
        "/no/such/gantry.toml: there is no such file: put it there, or name another with --config FILE"
    );
}

#[test]
fn a_collection_of_records_that_cannot_be_or_is_a_slip_is_found() {
    let said = |name: &str| findings(&format!("[records.collections.{name}]\nmax_count = 1\n"), &[]);
    for (slip, meant) in [("detection", "detections"), ("pictuers", "pictures"), ("snapshot", "snapshots")] {
        assert!(said(slip).contains(&format!("did you mean `{meant}`?")), "{}", said(slip));
    }
    for own in ["pictures", "gate-events", "my_pictures", "brief", "plates2"] {
        assert_eq!(said(own), "");
    }
    let long = "x".repeat(65);
    for none in ["Pictures", "\"two words\"", "\"a.b\"", "\"\"", &long] {
        assert!(said(none).contains("1 to 64 characters"), "{none}: {}", said(none));
    }
    assert!(said("counts").contains("said in [counts]"));
}
