//! The configuration: one value merged from the file, the environment and the flags, and everything that is wrong with it.

mod environment;
mod file;
mod origin;
mod schema;
mod sections;

pub(crate) use file::File;
pub(crate) use origin::{Located, Origins, keys_of};

use figment::Figment;
use figment::providers::Serialized;
use gantry_core::config::Config;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where a configuration comes from, the later ones winning.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The TOML file.
    pub(crate) file: PathBuf,
    /// The environment; only `GANTRY_…` is looked at.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// `--camera`: the source of the first camera.
    pub(crate) camera: Option<String>,
}

/// A configuration as far as it can be understood.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The values. Sections with a finding are left out or at their default, so that the rest can be checked further.
    pub(crate) config: Config,
    /// What is wrong.
    pub(crate) findings: Vec<Located>,
    /// Where each key was set.
    pub(crate) origins: Origins,
}

impl Sources {
    /// Reads the file.
    pub(crate) fn read(&self) -> Result<String, Located> {
        let bytes = std::fs::read(&self.file).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "there is no such file: put it there, or name another with --config FILE".to_owned()
                }
                std::io::ErrorKind::PermissionDenied => {
                    "it may not be read: give its reader the right to".to_owned()
                }
                _ => format!("it cannot be read: {error}"),
            };
            Located::of_file(&self.file, hint)
        })?;
        String::from_utf8(bytes)
            .map_err(|_| Located::of_file(&self.file, "it is not UTF-8 text: save it as UTF-8".to_owned()))
    }

    /// Reads the file, merges and checks.
    pub(crate) fn load(&self) -> Merged {
        match self.read() {
            Ok(text) => self.merge(&text),
            Err(finding) => Merged::broken(finding),
        }
    }

    /// Merges a file's text with the environment and the flags, and checks the result against the schema.
    pub(crate) fn merge(&self, text: &str) -> Merged {
        let file = match File::parse(&self.file, text) {
            Ok(file) => file,
            Err(finding) => return Merged::broken(finding),
        };
        let schema = schema::Schema::of_config();
        let environment = environment::read(&self.environment, file.values(), &schema);
        let mut findings = environment.findings;
        let flags = self.camera.as_ref().map(|uri| (first_camera(&file, &environment.values), uri));
        let flag_values = flags
            .as_ref()
            .map_or_else(|| json!({}), |(name, uri)| json!({"cameras": {name: {"source": uri}}}));

        let merged: Result<Value, _> = Figment::from(Serialized::defaults(file.values()))
            .merge(Serialized::defaults(&environment.values))
            .merge(Serialized::defaults(&flag_values))
            .extract();
        let flag_key = flags.map(|(name, _)| vec!["cameras".to_owned(), name, "source".to_owned()]);
        let origins = Origins::new(file, environment.names, flag_key);
        let merged = match merged {
            Ok(merged) => merged,
            Err(error) => {
                findings.push(origins.locate(&[], error.to_string()));
                json!({})
            }
        };
        let (config, wrong) = sections::read(merged, &schema, &origins);
        findings.extend(wrong);
        findings.sort();
        Merged { config, findings, origins }
    }
}

impl Merged {
    /// What a file that cannot be read comes to.
    pub(crate) fn broken(finding: Located) -> Self {
        Self { config: Config::default(), findings: vec![finding], origins: Origins::default() }
    }
}

/// The first camera in file order; without one the first of the environment; without any a new one called `main`.
fn first_camera(file: &File, environment: &Map<String, Value>) -> String {
    let in_environment = || {
        environment
            .get("cameras")
            .and_then(Value::as_object)
            .and_then(|cameras| cameras.keys().next().cloned())
    };
    file.first_of("cameras").or_else(in_environment).unwrap_or_else(|| "main".to_owned())
}

/// The folder of plugin libraries: as configured, or that of the program.
pub(crate) fn plugin_dir(config: &Config) -> PathBuf {
    let beside_program = || std::env::current_exe().ok()?.parent().map(Path::to_path_buf);
    config.plugin_dir.clone().or_else(beside_program).unwrap_or_else(|| PathBuf::from("."))
}

/// The folder of pipeline files: as configured, or `pipelines` where such folders are.
pub(crate) fn pipeline_dir(config: &Config, file: &Path) -> PathBuf {
    config.pipeline_dir.clone().unwrap_or_else(|| shipped_dir("pipelines", file))
}

/// The folder of scripts: as configured, or `scripts` where such folders are.
pub(crate) fn script_dir(config: &Config, file: &Path) -> PathBuf {
    config.script_dir.clone().unwrap_or_else(|| shipped_dir("scripts", file))
}

/// A folder that comes with the gateway: beside the configuration's folder (as in the source tree), in it (as in
/// `/etc/gantry`), or in `share/gantry` of where the program is installed.
fn shipped_dir(name: &str, file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let beside = folder.join("..").join(name);
    let mut candidates = vec![beside.clone(), folder.join(name)];
    if let Ok(program) = std::env::current_exe() {
        candidates.extend(program.parent().map(|bin| bin.join("../share/gantry").join(name)));
    }
    candidates.into_iter().find(|dir| dir.is_dir()).unwrap_or(beside)
}

#[cfg(test)]
mod tests;
