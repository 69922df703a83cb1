//! The scripts that Gantry ships, and what is generated from the engine.

use gantry_script::{Changed, Conversion, Right, Scripts, Settings, check, docs, test};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts")
}

fn settings() -> Settings {
    Settings { dir: shipped(), ..Settings::default() }
}

#[test]
fn every_test_beside_a_shipped_script_holds() {
    let report = test::run(&settings());
    assert!(report.failed.is_empty(), "{}", report.failed.join("\n"));
    assert!(report.passed > 80, "only {} tests were found", report.passed);
}

#[test]
fn the_shipped_scripts_are_good() {
    let check = check(&settings());
    let problems: Vec<_> = check.problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(check.good, ["mappings/cpro", "rules/busy-period", "rules/crowded", "rules/watch-list"]);
}

/// What the guide shows must work: its rules, and their test.
#[test]
fn the_rules_of_the_guide_are_good_and_their_test_holds() {
    let guide = std::fs::read_to_string(shipped().join("README.md")).expect("the guide");
    let blocks: Vec<String> = guide
        .split("\n\n")
        .filter(|block| block.starts_with("    "))
        .map(|block| {
            block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
        })
        .collect();
    let block = |begins: &str| blocks.iter().find(|block| block.starts_with(begins)).expect(begins);
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    std::fs::write(rules.join("late-visitor.rhai"), block("fn on_count")).expect("written");
    std::fs::write(rules.join("health-noise.rhai"), block("fn on_health")).expect("written");
    std::fs::write(rules.join("late-visitor.test.toml"), block("[[case]]")).expect("written");
    let mut config: toml::Table = toml::from_str(block("[rules.late-visitor]")).expect("TOML");
    let tables = config.remove("rules").expect("rules").try_into().expect("tables");
    let report = test::run(&Settings { dir: dir.path().into(), rules: tables, ..Settings::default() });
    assert_eq!((report.passed, report.failed.as_slice()), (1, &[][..]));
}

#[test]
fn the_generated_reference_is_the_one_in_the_tree() {
    let dir = shipped().join("api");
    let update = std::env::var_os("UPDATE_SCRIPT_API").is_some();
    for (name, text) in docs() {
        let path = dir.join(&name);
        if update {
            std::fs::create_dir_all(&dir).expect("the folder");
            std::fs::write(&path, &text).expect("written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, text, "{name} is not what the engine gives: run with UPDATE_SCRIPT_API=1");
    }
    let mut there: Vec<_> = std::fs::read_dir(&dir)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let names: Vec<_> = docs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, names);
}

/// The document's tables: key and observable.
const DOCUMENT: [(&str, &str); 23] = [
    ("cam1-light", "light0"),
    ("cam2-light", "light1"),
    ("cam1-exists", "cam0Exists"),
    ("cam2-exists", "cam1Exists"),
    ("main-camera", "cameraSwitch"),
    ("cam1-sensor", "cam0SelectedSensor"),
    ("cam2-sensor", "cam1SelectedSensor"),
    ("resolution", "resolution"),
    ("fps", "fps"),
    ("pip-mode", "pip"),
    ("brightness", "brightness"),
    ("contrast", "contrast"),
    ("sharpness", "sharpness"),
    ("saturation", "saturation"),
    ("gain", "gain"),
    ("red-gain", "redGain"),
    ("blue-gain", "blueGain"),
    ("auto-exposure", "exposure"),
    ("auto-white-balance", "whiteBalance"),
    ("noise-supression", "noiseSuppression"),
    ("record", "record"),
    ("snap", "takePicture"),
    ("jpeg-quality", "pictureQuality"),
];

#[test]
fn without_a_folder_the_built_in_scripts_are_there_and_the_mapping_has_the_documents_keys_and_no_other() {
    let (changes, changed) = channel();
    let dir = tempfile::tempdir().expect("a folder");
    let settings = Settings { dir: dir.path().join("not-there"), ..Settings::default() };
    let _scripts = Scripts::start(settings, move |change| {
        let _ = changes.send(change);
    })
    .expect("a thread");
    let Ok(Changed::Mapping(mapping)) = changed.try_recv() else { panic!("a mapping") };
    assert_eq!(mapping.name(), "cpro");
    assert!(mapping.file().starts_with("built-in"), "{}", mapping.file());
    let mut keys: Vec<_> =
        mapping.keys().iter().map(|key| (key.name.as_str(), key.observable.as_str())).collect();
    let mut document = DOCUMENT.to_vec();
    keys.sort_unstable();
    document.sort_unstable();
    assert_eq!(keys, document);
    for name in ["cam1-exists", "cam2-exists"] {
        assert_eq!(mapping.key(name).expect("there").write, Right::Nobody);
    }
    assert_eq!(mapping.key("brightness").expect("there").writes, Conversion::Direct);
    assert_eq!(mapping.keys_of("light0").count(), 1);
    for rule in ["busy-period", "crowded", "watch-list"] {
        assert!(matches!(changed.try_recv(), Ok(Changed::Rule(name)) if name == rule));
    }
    assert!(changed.try_recv().is_err(), "nothing else");
}
