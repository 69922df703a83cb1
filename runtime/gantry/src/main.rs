//! The Gantry gateway: reads its configuration, wires cameras, plugins and the admin listener together, and runs them.
//!
//! This crate is *not* where work is done: frames are `gantry-media`'s, plugins are `gantry-host`'s. It alone installs a
//! log subscriber, reads the environment, handles signals and exits.
#![forbid(unsafe_code)]

mod admin;
mod check;
mod cli;
mod clock;
mod config;
mod count;
mod counts;
mod encoder;
mod faces;
mod log;
mod looks;
mod metrics;
mod operator;
mod plugins;
mod readiness;
mod records;
mod run;
mod runtime;
mod scaffold;
mod script;
mod state;
mod statedir;
mod statefile;
mod systemd;
mod tape;
mod user;
mod vitals;
mod watch;
mod watchdog;

fn main() -> std::process::ExitCode {
    cli::main()
}
