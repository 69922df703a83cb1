//! One writer and many readers of a key on loopback; prints one JSON object.
#![forbid(unsafe_code)]

use clap::Parser;
use gantry_load::state::options::Options;
use gantry_load::state::run::Run;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let report = Arc::new(Run::new(Options::parse())).measure().await;
    if report.received == 0 {
        let (errors, refused) = (&report.error_text, &report.refused_text);
        return fail(&format!("no update arrived: {errors:?}, refused: {refused:?}; is the server there?"));
    }
    match serde_json::to_string(&report) {
        Ok(line) => println!("{line}"),
        Err(error) => return fail(&error.to_string()),
    }
    ExitCode::SUCCESS
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("stateload: {reason}");
    ExitCode::FAILURE
}
