//! Many clients of one camera stream on loopback; prints one JSON object.
#![forbid(unsafe_code)]

use clap::Parser;
use gantry_load::options::Options;
use gantry_load::run::Run;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let body = match options.body.as_ref().map(std::fs::read).transpose() {
        Ok(body) => body.unwrap_or_default(),
        Err(error) => return fail(&format!("the file of --body cannot be read: {error}")),
    };
    let report = Arc::new(Run::new(options, body)).measure().await;
    if report.connected == 0 {
        return fail(&format!("no client could connect: {:?}; is the server there?", report.error_text));
    }
    match serde_json::to_string(&report) {
        Ok(line) => println!("{line}"),
        Err(error) => return fail(&error.to_string()),
    }
    ExitCode::SUCCESS
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("camload: {reason}");
    ExitCode::FAILURE
}
