//! The command line of `stateload`.

use crate::options::{loopback, seconds};
use clap::Parser;
use std::net::IpAddr;

/// One writer and many readers of a key on loopback; prints one JSON object about what arrived when and what it cost.
#[derive(Debug, Clone, Parser)]
#[command(name = "stateload")]
pub struct Options {
    /// Address of the server; loopback only.
    #[arg(long, default_value = "127.0.0.1", value_parser = loopback)]
    pub host: IpAddr,
    /// Port of the server.
    #[arg(long)]
    pub port: u16,
    /// Path and query of the WebSocket.
    #[arg(long, default_value = "/")]
    pub path: String,
    /// How many clients read; the writer comes on top.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub readers: u32,
    /// Writes per second, each in a message of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub writes: u32,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds of writing before that.
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    pub warmup: f64,
    /// The key; its values are 0 to 100.
    #[arg(long, default_value = "brightness")]
    pub key: String,
    /// The writer's first message, such as `{"token":"…"}`; an answer with `"authenticated":true` is waited for.
    #[arg(long)]
    pub login: Option<String>,
    /// Milliseconds from one connection attempt to the next.
    #[arg(long, default_value_t = 2)]
    pub stagger_ms: u64,
    /// Processes of the server, whose CPU time and memory are reported.
    #[arg(long = "pid", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// A name for the report.
    #[arg(long, default_value = "")]
    pub label: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_bounded_runs_are_accepted() {
        let parses = |line: &str| Options::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("stateload --port 1 --readers 500 --writes 20"));
        assert!(!parses("stateload --port 1 --host 192.0.2.1"));
        assert!(!parses("stateload --port 1 --seconds 301"));
        assert!(!parses("stateload --port 1 --writes 0"));
        assert!(!parses("stateload --port 1 --readers 5001"));
    }
}
