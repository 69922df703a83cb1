//! `gantry plugins`: what runs, asked of the running gateway.

use crate::config::Sources;
use crate::statedir::Running;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

/// A gateway that runs answers at once.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any gateway has to say.
const MAX_ANSWER: u64 = 4 << 20;

/// Asks and prints.
pub(crate) fn command(sources: &Sources, json: bool) -> anyhow::Result<ExitCode> {
    let state_dir = sources.load().config.state_dir;
    let Some(running) = Running::read(&state_dir) else {
        bail!(
            "no gateway runs with state_dir {}: start one with `gantry run`, or name its --config",
            state_dir.display()
        );
    };
    let body = get(&running).with_context(|| {
        let (pid, admin) = (running.pid, running.admin);
        format!("the gateway (pid {pid}) does not answer on {admin}: if it is gone, start it again with `gantry run`")
    })?;
    let answer: Value = serde_json::from_str(&body).context("the gateway's answer is no JSON")?;
    if json {
        println!("{answer:#}");
    } else {
        print!("{}", table(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn get(running: &Running) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&running.admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /plugins HTTP/1.0\r\nHost: {}\r\n\r\n", running.admin)?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    if !head.starts_with("HTTP/1.") || !head.contains(" 200 ") {
        bail!("it answered {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// One line per instance and endpoint, aligned.
fn table(answer: &Value) -> String {
    let mut rows =
        vec![["PLUGIN", "VERSION", "STATE", "RESTARTS", "DROPPED", "ENDPOINT", "REPORT"].map(str::to_owned)];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for plugin in answer["plugins"].as_array().into_iter().flatten() {
        let number = |key: &str| plugin[key].as_u64().unwrap_or(0);
        let (name, id) = (text(&plugin["name"]), text(&plugin["id"]));
        let shown = if name.is_empty() || name == id { id } else { format!("{id} ({name})") };
        let urls: Vec<_> = plugin["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|endpoint| text(&endpoint["url"]))
            .collect();
        rows.push([
            shown,
            text(&plugin["version"]),
            text(&plugin["state"]),
            number("restarts").to_string(),
            (number("messages_dropped") + number("frames_dropped")).to_string(),
            if urls.is_empty() { "-".to_owned() } else { urls.join(" ") },
            text(&plugin["health"]["message"]),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_aligned_and_complete() {
        let answer = json!({"plugins": [
            {"id": "robocar", "name": "robocar", "version": "0.1.0", "state": "running", "restarts": 0,
             "messages_dropped": 1, "frames_dropped": 2, "health": {"message": "listening"},
             "endpoints": [{"url": "http://127.0.0.1:3000/socket.io/", "protocol": "Socket.IO"}]},
            {"id": "back", "name": "robocar", "version": "0.1.0", "state": "backoff", "restarts": 12,
             "messages_dropped": 0, "frames_dropped": 0, "health": {"message": "port 3000 is in use"}, "endpoints": []},
        ]});
        assert_eq!(
            table(&answer),
            "\
PLUGIN          VERSION  STATE    RESTARTS  DROPPED  ENDPOINT                          REPORT
robocar         0.1.0    running  0         3        http://127.0.0.1:3000/socket.io/  listening
back (robocar)  0.1.0    backoff  12        0        -                                 port 3000 is in use
"
        );
    }
}
