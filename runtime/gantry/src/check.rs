//! Everything that is wrong with a configuration: its own values, the cameras' pipelines, the plugins' own keys.

use crate::cli::EXIT_CONFIG;
use crate::config::{Located, Merged, Sources, keys_of, pipeline_dir, plugin_dir};
use gantry_core::access::Role;
use gantry_core::config::{Config, Finding, Plugin};
use gantry_core::spelling;
use gantry_host::{Plugins, Settings};
use gantry_media::Cameras;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// All findings, in the order in which one reads the sources. Loads the plugins' libraries, with private copies under
/// `state_dir`, but makes no instance and opens no camera. `spares` says of which plugins a library that cannot be loaded is
/// left to the host, which tells about it and shows the plugin as refused.
pub(crate) fn findings(
    merged: &Merged,
    file: &Path,
    state_dir: &Path,
    spares: impl Fn(&str, &Plugin) -> bool,
) -> Vec<Located> {
    let (config, origins) = (&merged.config, &merged.origins);
    let mut all = merged.findings.clone();
    if let Err(message) = crate::log::check_level(&config.log.level) {
        all.push(origins.locate(&keys_of("log.level"), message));
    }
    let pipelines = pipeline_dir(config, file);
    for (name, camera) in &config.cameras {
        let found = Cameras::check(&pipelines, name, camera);
        all.extend(found.iter().map(|finding| origins.locate_in(&["cameras", name], finding)));
    }
    all.extend(
        Cameras::check_mixes(&config.cameras).iter().map(|finding| origins.locate_in(&["cameras"], finding)),
    );
    for (name, analysis) in &config.analysis {
        let found = gantry_analysis::check(name, analysis, &config.cameras);
        all.extend(found.iter().map(|finding| origins.locate_in(&["analysis", name], finding)));
    }
    for (name, detector) in &config.detectors {
        let found = gantry_analysis::check_detector(name, detector);
        all.extend(found.iter().map(|finding| origins.locate_in(&["detectors", name], finding)));
    }
    for (id, plugin) in &config.plugins {
        let found = unknown_detector(id, plugin, config);
        all.extend(found.iter().map(|finding| origins.locate_in(&["plugins", id], finding)));
    }
    if let Err(found) = gantry_counting::Settings::from_config(&config.counts) {
        all.extend(found.iter().map(|finding| origins.locate_in(&["counts"], finding)));
    }
    for (name, light) in &config.lights {
        let found = gantry_outputs::check(name, light);
        all.extend(found.iter().map(|finding| origins.locate_in(&["lights", name], finding)));
    }
    let settings = Settings { state_dir: state_dir.to_owned(), plugin_dir: plugin_dir(config) };
    for (id, plugin) in &config.plugins {
        let checked = Plugins::check(&settings, id, plugin);
        all.extend(checked.findings.iter().map(|finding| origins.locate_in(&["plugins", id], finding)));
        if let Some(refusal) = checked.refusal.filter(|_| !spares(id, plugin)) {
            all.push(origins.locate_in(&["plugins", id], &Finding::new("", refusal.to_string())));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// A detector that the plugin for pictures is told to use and that there is not. The plugin itself cannot know.
fn unknown_detector(id: &str, plugin: &Plugin, config: &Config) -> Option<Finding> {
    let name = plugin.own.get("analysis").and_then(Value::as_str)?;
    if !plugin.enabled || !takes_pictures(id, plugin) || config.detectors.contains_key(name) {
        return None;
    }
    let near = spelling::nearest(name, config.detectors.keys().map(String::as_str));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let message = match name {
        "motion" => {
            "`motion` can tell nothing of a single picture: name one of [detectors], which has a model"
                .to_owned()
        }
        _ => format!("there is no detector `{name}`{near}: configure [detectors.{name}] with a model"),
    };
    Some(Finding::new("analysis", message))
}

/// Whether it is the plugin for pictures; told without loading it. Others may have a key `analysis` of their own.
fn takes_pictures(id: &str, plugin: &Plugin) -> bool {
    let library = Path::new(plugin.library.as_deref().unwrap_or(id));
    let stem = library.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    matches!(stem.strip_prefix("lib").unwrap_or(stem), "espcam" | "gantry_espcam")
}

/// What is allowed and may not be meant.
fn notes(merged: &Merged) -> Vec<Located> {
    let (config, origins) = (&merged.config, &merged.origins);
    let policy = crate::faces::Policy::of(config);
    if !policy.available || policy.read != Role::Anonymous {
        return Vec::new();
    }
    let shows_to_all = |(id, plugin): &(&String, &Plugin)| {
        let said = plugin.own.get("origins").and_then(Value::as_array);
        plugin.enabled && shows_faces(id, plugin) && said.is_none_or(|list| list.is_empty())
    };
    let note = |(id, _): (&String, &Plugin)| {
        let finding = Finding::new(
            "origins",
            "any web page that somebody in this network opens can fetch the faces: list the pages that may, or set \
             faces.read",
        );
        origins.locate_in(&["plugins", id], &finding)
    };
    config.plugins.iter().filter(shows_to_all).map(note).collect()
}

/// Whether it is the people counter, which shows kept faces; told without loading it.
fn shows_faces(id: &str, plugin: &Plugin) -> bool {
    let library = plugin.library.as_deref().unwrap_or(id);
    library.replace('-', "_").contains("people_counter")
}

/// Prints findings, one a line.
pub(crate) fn print(findings: &[Located]) {
    print_lines(findings);
}

fn print_lines(findings: &[impl std::fmt::Display]) {
    for finding in findings {
        eprintln!("{finding}");
    }
    eprintln!("gantry: {}: nothing was started or changed", count(findings.len(), "finding"));
}

/// `1 camera`, `2 cameras`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `gantry check`.
pub(crate) fn command(sources: &Sources) -> anyhow::Result<ExitCode> {
    let merged = sources.load();
    // Copies of libraries go to a folder of this process: what a running gateway of another user has is left alone.
    let folder = tempfile::Builder::new().prefix("gantry-check-").tempdir()?;
    let mut findings = findings(&merged, &sources.file, folder.path(), |_, _| false);
    // A gateway runs without its models, and looks for them again and again: the stream is worth more. Who asks wants to know.
    for (name, analysis) in &merged.config.analysis {
        let found = gantry_analysis::check_models(name, analysis);
        findings.extend(found.iter().map(|finding| merged.origins.locate_in(&["analysis", name], finding)));
    }
    for (name, detector) in &merged.config.detectors {
        let found = gantry_analysis::check_detector_model(name, detector);
        findings.extend(found.iter().map(|finding| merged.origins.locate_in(&["detectors", name], finding)));
    }
    let scripts = gantry_script::check(&crate::state::script_settings(&merged.config, &sources.file));
    if !findings.is_empty() || !scripts.problems.is_empty() {
        let scripts = scripts.problems.iter().map(ToString::to_string);
        print_lines(&findings.iter().map(ToString::to_string).chain(scripts).collect::<Vec<_>>());
        return Ok(ExitCode::from(EXIT_CONFIG));
    }
    for note in notes(&merged) {
        println!("note: {note}");
    }
    let running = merged.config.plugins.values().filter(|plugin| plugin.enabled).count();
    let cameras = merged.config.cameras.len();
    println!(
        "{}: good, with {} and {}",
        sources.file.display(),
        count(cameras, "camera"),
        count(running, "plugin")
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(text: &str) -> Vec<String> {
        let file = "gantry.toml".into();
        let merged = Sources { file, environment: Vec::new(), camera: None }.merge(text);
        assert!(merged.findings.is_empty(), "{:?}", merged.findings);
        notes(&merged).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_detector_that_a_plugin_asks_for_must_be_there() {
        let found = |text: &str| {
            let file = "gantry.toml".into();
            let merged = Sources { file, environment: Vec::new(), camera: None }.merge(text);
            assert!(merged.findings.is_empty(), "{:?}", merged.findings);
            let plugins = merged.config.plugins.iter();
            plugins
                .filter_map(|(id, plugin)| unknown_detector(id, plugin, &merged.config))
                .collect::<Vec<_>>()
        };
        let people = "[detectors.people]\nmodel = \"m.onnx\"\n";
        let espcam = "[plugins.espcam]\nanalysis = \"people\"\n";
        assert_eq!(found(&format!("{people}{espcam}")), []);
        assert_eq!(found(&format!("{espcam}enabled = false\n")), []);
        assert_eq!(found("[plugins.other]\nanalysis = \"people\"\n"), []);
        for (other, findings) in [
            ("gantry_espcam", 1),
            ("/opt/espcam/libgantry_espcam.so", 1),
            ("/opt/libespcam.so", 1),
            ("gantry_espcam_archive", 0),
            ("/opt/espcam/libdoor.so", 0),
        ] {
            let section = format!("[plugins.door]\nlibrary = \"{other}\"\nanalysis = \"deep\"\n");
            assert_eq!(found(&section).len(), findings, "{other}");
        }
        let wrong =
            found(&format!("{people}[plugins.cam]\nlibrary = \"gantry_espcam\"\nanalysis = \"peopel\"\n"));
        assert_eq!(
            wrong[0].to_string(),
            "analysis: there is no detector `peopel`; did you mean `people`?: configure [detectors.peopel] with a model"
        );
        let motion = found("[plugins.espcam]\nanalysis = \"motion\"\n");
        assert!(motion[0].message.starts_with("`motion` can tell nothing of a single picture"), "{motion:?}");
    }

    const FACES: &str = "[analysis.main]\nfaces = { model = \"face.onnx\" }\n";

    #[test]
    fn faces_that_any_web_page_can_fetch_are_noted() {
        for plugin in [
            "[plugins.people-counter]\nbind = \"0.0.0.0:1\"",
            "[plugins.people-counter]\norigins = []",
            "[plugins.door]\nlibrary = \"gantry_people_counter\"",
            "[plugins.door]\nlibrary = \"/opt/libgantry_people_counter.so\"",
        ] {
            let noted = noted(&format!("{FACES}{plugin}\n"));
            assert_eq!(noted.len(), 1, "{plugin}");
            assert!(noted[0].starts_with("gantry.toml:"), "{noted:?}");
            assert!(noted[0].contains("origins: any web page"), "{noted:?}");
        }
    }

    #[test]
    fn nothing_is_noted_where_faces_are_kept_from_strange_pages() {
        let open = "[plugins.people-counter]\n";
        for text in [
            open.to_owned(),
            FACES.to_owned(),
            FACES.replace("faces =", "enabled = false\nfaces =") + open,
            format!("{FACES}{open}origins = [\"https://dash.example\"]\n"),
            format!("{FACES}{open}enabled = false\n"),
            format!("{FACES}{open}[faces]\nread = \"viewer\"\n"),
            format!("{FACES}[plugins.robocar]\n"),
        ] {
            assert_eq!(noted(&text), Vec::<String>::new(), "{text}");
        }
    }
}
