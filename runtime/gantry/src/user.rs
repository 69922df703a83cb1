//! `gantry user`: who may log in. Works on the files of the state folder, also beside a running gateway, which notices.

use crate::clock::unix_ms;
use crate::config::Sources;
use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use gantry_access::{Password, Users};
use gantry_core::access::Role;
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use serde_json::json;
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

/// The most that is read as a password.
const MAX_INPUT: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a user. The password is asked for, or read from standard input.
    Add {
        /// The user's name: 1 to 64 characters out of a-z, A-Z, 0-9 and . _ - @
        name: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: UserRole,
        /// Read the password from standard input: one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change a user's password. The user's sessions end.
    Passwd {
        /// The user's name
        name: String,
        /// Read the password from standard input: one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change what a user may do.
    Role {
        /// The user's name
        name: String,
        /// What the user may do
        #[arg(value_enum)]
        role: UserRole,
    },
    /// Show the users.
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a user. The user's sessions end.
    Remove {
        /// The user's name
        name: String,
    },
}

/// The roles that a user can have.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum UserRole {
    /// Everything
    Administrator,
    /// Controls the cameras
    Operator,
    /// Sees what is not public
    Viewer,
}

impl From<UserRole> for Role {
    fn from(role: UserRole) -> Self {
        match role {
            UserRole::Administrator => Self::Administrator,
            UserRole::Operator => Self::Operator,
            UserRole::Viewer => Self::Viewer,
        }
    }
}

/// Does it.
pub(crate) fn command(sources: &Sources, command: Command) -> anyhow::Result<ExitCode> {
    let merged = sources.load();
    if merged.findings.iter().any(|finding| finding.concerns("state_dir")) {
        crate::check::print(&merged.findings);
        return Ok(ExitCode::from(crate::cli::EXIT_CONFIG));
    }
    let users = Users::open(&merged.config.state_dir)?;
    match command {
        Command::Add { name, role, password_stdin } => {
            let password = password(password_stdin)?;
            users.add(&name, role.into(), &password, unix_ms())?;
            println!("{name} may log in as {}", Role::from(role));
        }
        Command::Passwd { name, password_stdin } => {
            let password = password(password_stdin)?;
            users.set_password(&name, &password, unix_ms())?;
            println!("{name} has a new password; the sessions with the old one end");
        }
        Command::Role { name, role } => {
            users.set_role(&name, role.into(), unix_ms())?;
            println!("{name} is {} now", Role::from(role));
        }
        Command::List { json } => list(&users, json)?,
        Command::Remove { name } => {
            users.remove(&name)?;
            println!("{name} is removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(users: &Users, as_json: bool) -> anyhow::Result<()> {
    let users = users.list()?;
    if as_json {
        let users: Vec<_> = users.iter().map(|user| json!({"name": user.name, "role": user.role})).collect();
        println!("{}", json!({ "users": users }));
    } else if users.is_empty() {
        println!(
            "There are no users: the gateway makes `admin` when it starts, or add one with `gantry user add`."
        );
    } else {
        for user in users {
            println!("{:<14} {}", user.role.name(), user.name);
        }
    }
    Ok(())
}

fn password(from_stdin: bool) -> anyhow::Result<Password> {
    let stdin = std::io::stdin();
    if from_stdin {
        let mut text = String::new();
        stdin.lock().take(MAX_INPUT).read_to_string(&mut text).context("standard input is not text")?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        return Ok(Password::new(line));
    }
    if !isatty(&stdin) {
        bail!(
            "there is no terminal to ask for the password: give it on standard input, with --password-stdin"
        );
    }
    let first = ask("Password: ")?;
    if ask("Again: ")? != first {
        bail!("these are two different passwords: try again");
    }
    Ok(Password::new(first))
}

/// Asks without showing what is typed.
fn ask(prompt: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).context("the terminal cannot be asked")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    eprint!("{prompt}");
    std::io::stderr().flush().unwrap_or_default();
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("the terminal cannot be silenced")?;
    let mut line = String::new();
    let read = stdin.lock().take(MAX_INPUT).read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    eprintln!();
    read.context("nothing was typed")?;
    restored.context("the terminal stays silent: type `stty echo`")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
