//! The operator's door: a socket in the state folder through which whoever may use that folder asks the running gateway.
//!
//! ```text
//! {"call": "counts.read", "request": {}}      ─► {"reply": …} or {"error": "…"}
//! {"record": ["on_count", "on_tick"]}         ─► {"hook": …, "event": …}, line by line, until one side closes
//! ```
//!
//! There is no password: the rights are those of the file, which only its owner may open, and at the door itself root and
//! the gateway's own user are let in alone. What comes through it counts as an administrator's.

mod client;
mod command;

pub(crate) use client::call;
pub(crate) use command::{Recording, call_command, record_command};

use crate::tape::Tape;
use anyhow::Context;
use gantry_core::services::{Caller, Services};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// The socket's name in the state folder.
const NAME: &str = "operator.sock";
/// At most so many connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 32;
/// The longest request, in bytes.
const MAX_REQUEST: u64 = 1 << 20;
/// A service that has not answered by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who asks, as services see it. No plugin can have this name.
pub(crate) const CALLER: &str = "(operator)";

/// Whether a call came through the operator's door.
pub(crate) fn is_operator(caller: &Caller) -> bool {
    &*caller.plugin == CALLER
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Request {
    Call {
        call: String,
        #[serde(default)]
        request: Value,
    },
    Record {
        record: Vec<String>,
    },
}

/// The door, open until it is dropped.
pub(crate) struct Operator {
    task: JoinHandle<()>,
    path: PathBuf,
}

/// A path by which a socket in `dir` can be named, however long that of `dir` is: names of sockets have 107 bytes at most.
fn short(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()))
}

/// The users who are let in: root, and the one that this process runs as. The file's mode says the same, but between the
/// making of the socket and the setting of its mode others may have come.
fn welcome() -> std::io::Result<[u32; 2]> {
    let (this, _) = UnixStream::pair()?;
    Ok([0, this.peer_cred()?.uid()])
}

impl Operator {
    /// Opens it. A gateway that cannot be asked serves everybody else all the same: that it is not open is told in the log.
    pub(crate) fn open(state_dir: &Path, services: Arc<Services>, tape: Arc<Tape>) -> Option<Self> {
        let door = Self::bind(state_dir, services, tape);
        let told = |error: &anyhow::Error| {
            tracing::error!("`gantry call`, `record` and `faces rm` do not reach this gateway: {error:#}");
        };
        door.inspect_err(told).ok()
    }

    fn bind(state_dir: &Path, services: Arc<Services>, tape: Arc<Tape>) -> anyhow::Result<Self> {
        let path = state_dir.join(NAME);
        let listener = || -> std::io::Result<(UnixListener, [u32; 2])> {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let dir = File::open(state_dir)?;
            let listener = UnixListener::bind(short(&dir))?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok((listener, welcome()?))
        };
        let (listener, welcome) = listener().with_context(|| {
            format!(
                "{} cannot be made: remove what is there, or give the gateway's user the right to",
                path.display()
            )
        })?;
        let task = tokio::spawn(accept(listener, welcome, services, tape));
        Ok(Self { task, path })
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, welcome: [u32; 2], services: Arc<Services>, tape: Arc<Tape>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, mostly: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let (services, tape) = (services.clone(), tape.clone());
        tokio::spawn(async move {
            // One that has gone needs no answer.
            let _ = serve(stream, &welcome, &services, &tape).await;
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, welcome: &[u32], services: &Services, tape: &Tape) -> std::io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    if !welcome.contains(&user) {
        tracing::warn!(user, "somebody else's user knocked at the operator's door");
        let error =
            json!({ "error": "this takes root or the user that runs the gateway: ask as one of them" });
        return write.write_all(format!("{error}\n").as_bytes()).await;
    }
    let mut lines = BufReader::new(read.take(MAX_REQUEST));
    let mut line = String::new();
    loop {
        line.clear();
        lines.get_mut().set_limit(MAX_REQUEST);
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(Request::Call { call, request }) => ask(services, &call, request).await,
            Ok(Request::Record { record }) => return play(&record, tape, write, lines).await,
            Err(_) => Err("a request is {\"call\": …, \"request\": {…}} or {\"record\": [hooks]}".to_owned()),
        };
        let answer = match answer {
            Ok(reply) => json!({ "reply": reply }),
            Err(error) => json!({ "error": error }),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        if !line.ends_with('\n') {
            return Ok(());
        }
    }
}

async fn ask(services: &Services, name: &str, request: Value) -> Result<Value, String> {
    let (reply, answer) = oneshot::channel();
    let request = if request.is_null() { json!({}) } else { request };
    let reply = Box::new(|answer| _ = reply.send(answer));
    let caller = Caller { plugin: CALLER.into() };
    if services.call(&caller, name, request, Vec::new(), reply).is_err() {
        let near = services.names();
        let known = near.iter().map(String::as_str);
        return Err(match gantry_core::spelling::nearest(name, known) {
            Some(near) => format!("there is no service `{name}`; did you mean `{near}`?"),
            None => format!("there is no service `{name}`: there are {}", near.join(", ")),
        });
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer.map_err(|error| error.0),
        _ => Err(format!("`{name}` does not answer: look at the gateway's log")),
    }
}

/// Tells every event of these hooks until the other side closes.
async fn play(
    hooks: &[String],
    tape: &Tape,
    mut write: tokio::net::unix::OwnedWriteHalf,
    mut read: impl tokio::io::AsyncRead + Unpin,
) -> std::io::Result<()> {
    let mut events = tape.listen();
    let mut rest = [0; 64];
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // It has nothing more to say; the end of its side is the end of the recording.
            gone = read.read(&mut rest) => if gone? == 0 { return Ok(()) } else { continue },
        };
        match event {
            Ok(event) if hooks.is_empty() || hooks.iter().any(|hook| *hook == event.hook) => {
                write.write_all(event.line.as_bytes()).await?;
            }
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::RecvError::Lagged(n)) => {
                let error =
                    json!({ "error": format!("{n} events were lost: write the recording to a faster disk") });
                return write.write_all(format!("{error}\n").as_bytes()).await;
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
