//! The command line of `camload`.

use crate::stamp::Stamp;
use clap::{Parser, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// How the clients receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Plain WebSocket.
    Ws,
    /// Socket.IO 5 (Engine.IO 4) over WebSocket.
    Sio,
    /// HTTP `multipart/x-mixed-replace`.
    Mjpeg,
    /// One HTTP request after the other, at `--rate`.
    Httpget,
}

/// Many clients of one camera stream on loopback; prints one JSON object about what they got and what it cost.
#[derive(Debug, Clone, Parser)]
#[command(name = "camload")]
pub struct Options {
    /// How the clients receive.
    #[arg(long, value_enum, default_value = "ws")]
    pub protocol: Protocol,
    /// Address of the server; loopback only.
    #[arg(long, default_value = "127.0.0.1", value_parser = loopback)]
    pub host: IpAddr,
    /// Port of the server.
    #[arg(long)]
    pub port: u16,
    /// Path and query; `/`, or the one of Socket.IO.
    #[arg(long)]
    pub path: Option<String>,
    /// How many clients, the slow ones included.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub clients: u32,
    /// How many of the clients read slowly.
    #[arg(long, default_value_t = 0)]
    pub slow: u32,
    /// Bytes per second that a slow client reads.
    #[arg(long, default_value_t = 20_000)]
    pub slow_bytes: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds between the last connection and the measurement.
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    pub warmup: f64,
    /// Milliseconds from one connection attempt to the next.
    #[arg(long, default_value_t = 2)]
    pub stagger_ms: u64,
    /// Where a message says when it was made.
    #[arg(long, value_enum, default_value = "epoch")]
    pub stamp: Stamp,
    /// The JSON key of the time stamp, quotes included.
    #[arg(long, default_value = "\"timestamp\"")]
    pub stamp_key: String,
    /// Seconds by which the server's local time is ahead of UTC.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub utc_offset: f64,
    /// A shorter message is not counted as a frame.
    #[arg(long, default_value_t = 1000)]
    pub min_bytes: usize,
    /// Processes of the server, whose CPU time and memory are reported.
    #[arg(long = "pid", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// A text message that each client sends once it is connected.
    #[arg(long)]
    pub send: Option<String>,
    /// Requests per second and client (httpget).
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Method of the request (httpget).
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// A file whose contents are the request's body, as JSON (httpget). Where it has the text SERIAL0000000000 each request
    /// has another number.
    #[arg(long)]
    pub body: Option<PathBuf>,
    /// A header line of the request, such as `Authorization: Bearer x` (httpget, mjpeg).
    #[arg(long = "header")]
    pub headers: Vec<String>,
    /// A name for the report.
    #[arg(long, default_value = "")]
    pub label: String,
}

impl Options {
    /// Path and query of the request.
    pub fn path(&self) -> &str {
        match (&self.path, self.protocol) {
            (Some(path), _) => path,
            (None, Protocol::Sio) => "/socket.io/?EIO=4&transport=websocket",
            (None, _) => "/",
        }
    }

    /// The bytes that a client takes in a second, when it is `slow`.
    pub fn slow_bytes(&self, slow: bool) -> Option<usize> {
        slow.then_some(self.slow_bytes)
    }

    /// The extra header lines, each with its line end.
    pub fn header_lines(&self) -> String {
        self.headers.iter().map(|line| format!("{line}\r\n")).collect()
    }
}

/// This tool is for measuring on one machine; pointed elsewhere it would be an attack.
pub(crate) fn loopback(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Ok(address),
        Ok(_) => Err("only a loopback address is allowed: use 127.0.0.1 or ::1".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Every run ends by itself.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=300.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("use 0 to 300 seconds".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn only_loopback_and_bounded_runs_are_accepted() {
        assert!(parse("camload --port 1 --host ::1 --seconds 300 --clients 5000").is_ok());
        assert!(parse("camload --port 1 --host 192.0.2.1").is_err_and(|text| text.contains("loopback")));
        assert!(parse("camload --port 1 --seconds 301").is_err());
        assert!(parse("camload --port 1 --seconds NaN").is_err());
        assert!(parse("camload --port 1 --clients 5001").is_err());
    }

    #[test]
    fn socket_io_has_its_own_path_unless_one_is_given() -> Result<(), String> {
        assert_eq!(parse("camload --port 1 --protocol sio")?.path(), "/socket.io/?EIO=4&transport=websocket");
        assert_eq!(parse("camload --port 1 --protocol sio --path /x")?.path(), "/x");
        assert_eq!(parse("camload --port 1")?.path(), "/");
        Ok(())
    }
}
