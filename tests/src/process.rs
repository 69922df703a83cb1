//! A program beside the test that is driven by lines of JSON (see `tests/clients`).

use crate::root;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a program that is asked to end by itself may take.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn folder() -> PathBuf {
    root().join("tests/clients")
}

/// Node with a program of `tests/clients`.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder().join(program));
    command
}

/// Python, with the packages that the clients need, and a program of `tests/clients`.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new(folder().join(".venv/bin/python"));
    command.arg(folder().join(program));
    command
}

/// A running program. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    /// `None` once it was closed, by which programs see that they are to end.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the test clients: run `make test`, which installs them");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines }
    }

    /// The next line within a time, or `None`.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the client has ended"),
        }
    }

    /// Writes all of these in one go.
    pub(crate) fn write<'a>(&mut self, lines: impl IntoIterator<Item = &'a Value>) {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        let stdin = self.stdin.as_mut().expect("it was not closed");
        stdin.write_all(text.as_bytes()).expect("the client runs");
    }

    /// Waits for it to end by itself, after `last` or for want of input.
    pub(crate) fn end(&mut self, last: Option<&Value>) {
        if let (Some(last), Some(stdin)) = (last, self.stdin.as_mut()) {
            let _ = writeln!(stdin, "{last}");
        } else {
            self.stdin = None;
        }
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
