//! The command line.

use crate::config::Sources;
use crate::{check, count, faces, operator, plugins, records, run, scaffold, script, user};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a process answers whose configuration is wrong (`EX_CONFIG` of `sysexits.h`); the systemd unit does not restart
/// on it, because a restart would not help.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// A plugin-based edge camera runtime.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, arg_required_else_help = true, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "\
Every key of the configuration can also be given in the environment, which wins over the file: GANTRY_ and the key, with
two underscores between levels, in any case: GANTRY_ADMIN__BIND=127.0.0.1:9601, GANTRY_PLUGINS__PEOPLE_COUNTER__ENABLED=false
(one underscore also stands for the `-` of a section that the file has). GANTRY_TEST_… belongs to the tests and is ignored.

Exit codes: 0 it did what was asked, 1 it could not, 2 wrong usage, 78 the configuration is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM; SIGHUP or a changed file reloads the configuration.
    Run(Source),
    /// Say everything that is wrong with the configuration, its pipelines and its plugins, and exit 78 if anything is.
    Check(Source),
    /// Show the plugins of the running gateway.
    Plugins {
        #[command(flatten)]
        source: File,
        /// Print the answer of the gateway as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Work on plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Read what was recorded: who changed what, events, recordings, snapshots.
    Records {
        #[command(flatten)]
        source: File,
        #[command(subcommand)]
        command: records::Command,
    },
    /// Look at the faces that were kept, and delete them.
    Faces {
        #[command(flatten)]
        source: File,
        #[command(subcommand)]
        command: faces::Command,
    },
    /// Ask a service of the running gateway, such as counts.read, as its administrator.
    Call {
        #[command(flatten)]
        source: File,
        /// The service
        service: String,
        /// The request as JSON, or `-` to read it from standard input
        #[arg(default_value = "{}")]
        request: String,
    },
    /// Write down what rules of the running gateway are told, for `gantry script replay`.
    Record {
        #[command(flatten)]
        source: File,
        #[command(flatten)]
        record: operator::Recording,
    },
    /// Count people in a recording, as fast as this machine can, and compare with the truth.
    Count {
        #[command(flatten)]
        source: File,
        #[command(flatten)]
        count: Box<count::Recording>,
    },
    /// Work on scripts: mappings and rules.
    Script {
        #[command(flatten)]
        source: File,
        #[command(subcommand)]
        command: script::Command,
    },
    /// Say who may log in.
    User {
        #[command(flatten)]
        source: File,
        #[command(subcommand)]
        command: user::Command,
    },
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file [default: config/gantry.toml, else /etc/gantry/gantry.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Source {
    #[command(flatten)]
    file: File,
    /// The source of the first camera in the file, in place of the one given there: demo:, v4l2:///dev/video0, rtsp://…
    #[arg(long, value_name = "URI")]
    camera: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Plugin {
    /// Write a new plugin in Rust that builds and passes its own test at once.
    New {
        /// The plugin's name: a-z, 0-9 and `-`
        name: String,
        /// The folder in which the plugin's own folder NAME is made
        #[arg(long, value_name = "DIR", default_value = ".")]
        path: PathBuf,
    },
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(source) => sources(source.file, source.camera).and_then(run::run),
        Command::Check(source) => {
            sources(source.file, source.camera).and_then(|sources| check::command(&sources))
        }
        Command::Plugins { source, json } => {
            sources(source, None).and_then(|sources| plugins::command(&sources, json))
        }
        Command::Records { source, command } => {
            sources(source, None).and_then(|sources| records::command(&sources, command))
        }
        Command::Faces { source, command } => {
            sources(source, None).and_then(|sources| faces::command(&sources, &command))
        }
        Command::Call { source, service, request } => {
            sources(source, None).and_then(|sources| operator::call_command(&sources, &service, &request))
        }
        Command::Record { source, record } => {
            sources(source, None).and_then(|sources| operator::record_command(&sources, &record))
        }
        Command::Count { source, count } => count::command(*count, || sources(source, None)),
        Command::Script { source, command } => {
            sources(source, None).and_then(|sources| script::command(&sources, command))
        }
        Command::User { source, command } => {
            sources(source, None).and_then(|sources| user::command(&sources, command))
        }
        Command::Plugin(Plugin::New { name, path }) => scaffold::command(&name, &path),
    };
    done.unwrap_or_else(|error| {
        eprintln!("gantry: {error:#}");
        if error.is::<NoConfig>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
    })
}

/// There is no configuration where one is looked for.
#[derive(Debug)]
struct NoConfig;

impl std::fmt::Display for NoConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [here, system] = DEFAULTS;
        write!(f, "no configuration: neither {here} nor {system} is there: name one with --config FILE")
    }
}

impl std::error::Error for NoConfig {}

const DEFAULTS: [&str; 2] = ["config/gantry.toml", "/etc/gantry/gantry.toml"];

fn sources(file: File, camera: Option<String>) -> anyhow::Result<Sources> {
    let file = match file.config {
        Some(file) => file,
        None => DEFAULTS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(NoConfig)?,
    };
    Ok(Sources { file, environment: std::env::vars_os().collect(), camera })
}
