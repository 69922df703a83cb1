//! The two kinds of clients.

use super::journal::{Follower, value};
use super::options::Options;
use super::report::Received;
use super::run::{Answers, Run};
use crate::client::wire_stream::WireStream;
use crate::stamp::find;
use crate::tally::milliseconds;
use crate::wire::websocket::{Event, PONG, Reader, TEXT, client_frame, upgrade};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

async fn connect(options: &Options) -> Result<WireStream, String> {
    let server = (options.host, options.port);
    let mut stream = WireStream::connect(server, None).await?;
    stream.request(&upgrade(server, &options.path)).await?.expect(101)?;
    Ok(stream)
}

/// Takes the messages out of `input`; what the server is to be answered with is put into `answers`.
fn each_message(
    reader: &mut Reader,
    mut input: &[u8],
    answers: &mut Vec<u8>,
    mut take: impl FnMut(&Reader),
) -> Result<(), String> {
    while let Some(event) = reader.next(&mut input)? {
        match event {
            Event::Ping => answers.extend(client_frame(PONG, reader.control())),
            Event::Close(code) => return Err(format!("closed by the server, code {code:?}")),
            Event::Message { .. } => take(reader),
        }
    }
    Ok(())
}

/// Receives for ever.
pub(super) async fn read(run: &Run, received: &mut Received) -> Result<(), String> {
    let begun = Instant::now();
    let mut stream = connect(&run.options).await?;
    run.roster.note_connected(begun);
    let (mut reader, mut follower, mut answers) = (Reader::default(), Follower::default(), Vec::new());
    loop {
        let input = stream.read().await?;
        each_message(&mut reader, input, &mut answers, |reader| {
            let message = reader.message();
            received.messages += 1;
            received.bytes += message.len() as u64;
            match value(message, &run.key).and_then(|value| run.see(&mut follower, value)) {
                Some(seen) if seen.counts => {
                    received.updates += 1;
                    received.latencies_ms.push(milliseconds(seen.after));
                    run.note_arrival();
                }
                Some(_) => {}
                None => received.strange += 1,
            }
        })?;
        if !answers.is_empty() {
            stream.write(&answers).await?;
            answers.clear();
        }
    }
}

/// Logs in, writes at the rate while the run wants it, and receives for ever.
pub(super) async fn write(run: &Run, answered: &mut Answers) -> Result<(), String> {
    let options = &run.options;
    let begun = Instant::now();
    let mut stream = connect(options).await?;
    let mut reader = Reader::default();
    if let Some(login) = &options.login {
        log_in(&mut stream, &mut reader, login).await?;
    }
    run.roster.note_connected(begun);
    let (mut follower, mut answers) = (Follower::default(), Vec::new());
    let mut ticks = interval(Duration::from_secs(1) / options.writes);
    // A hiccup makes the rate lower for a moment, which is reported, and not higher afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let input = tokio::select! {
            _ = ticks.tick(), if run.is_writing() => None,
            input = stream.read() => Some(input?),
        };
        match input {
            Some(input) => each_message(&mut reader, input, &mut answers, |reader| {
                take_answer(run, reader, &mut follower, answered);
            })?,
            None if run.is_writing() => answers.extend(client_frame(TEXT, run.next_write().as_bytes())),
            None => {}
        }
        if !answers.is_empty() {
            stream.write(&answers).await?;
            answers.clear();
        }
    }
}

/// A writer is sent confirmations (`info`), errors, and by some servers its own updates, too.
fn take_answer(run: &Run, reader: &Reader, follower: &mut Follower, answered: &mut Answers) {
    let message = reader.message();
    if find(message.head(), b"\"error\"").is_some() {
        answered.refused += 1;
        answered.refused_text.get_or_insert_with(|| String::from_utf8_lossy(message.head()).into_owned());
    } else if find(message.head(), b"\"info\"").is_some()
        && let Some(value) = value(message, &run.key)
        && let Some(seen) = run.see(follower, value)
        && seen.counts
    {
        answered.confirms_ms.push(milliseconds(seen.after));
    }
}

async fn log_in(stream: &mut WireStream, reader: &mut Reader, login: &str) -> Result<(), String> {
    stream.write(&client_frame(TEXT, login.as_bytes())).await?;
    let mut answer = None;
    while answer.is_none() {
        let input = stream.read().await?;
        each_message(reader, input, &mut Vec::new(), |reader| {
            answer = Some(reader.message().head().to_vec())
        })?;
    }
    let answer = answer.unwrap_or_default();
    let is_true = |rest: &[u8]| rest.iter().find(|byte| !matches!(byte, b' ' | b':')) == Some(&b't');
    const WORD: &[u8] = b"\"authenticated\"";
    match find(&answer, WORD) {
        Some(at) if is_true(&answer[at + WORD.len()..]) => Ok(()),
        _ => Err(format!("the login failed: {}", String::from_utf8_lossy(&answer))),
    }
}
