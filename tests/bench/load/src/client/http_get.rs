//! Clients that ask again and again.

use super::wire_stream::WireStream;
use crate::options::Options;
use crate::run::Run;
use crate::serial;
use crate::tally::Tally;
use crate::wire::http::Head;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

pub(super) async fn receive(run: &Run, tally: &mut Tally) -> Result<(), String> {
    let options = &run.options;
    let mut request = request(options, &run.body);
    let places = serial::places(&request);
    let begun = Instant::now();
    let mut stream = WireStream::connect((options.host, options.port), None).await?;
    run.roster.note_connected(begun);

    let mut ticks = interval(Duration::from_secs_f64(1.0 / options.rate.clamp(0.01, 1e6)));
    // A server that cannot keep the rate is asked as fast as it answers, not faster afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        run.serial.stamp(&mut request, &places);
        let asked = Instant::now();
        let head = stream.request(&request).await?;
        head.expect(200)?;
        let bytes = skip_body(&mut stream, &head).await?;
        if run.is_measuring() {
            tally.answer(bytes, asked.elapsed());
        }
        if head.closes() {
            stream = WireStream::connect((options.host, options.port), None).await?;
        }
    }
}

/// Reads the body and counts its bytes.
async fn skip_body(stream: &mut WireStream, head: &Head) -> Result<usize, String> {
    let length = head.content_length().ok_or("the answer has no Content-Length")?;
    let mut bytes = 0;
    while bytes < length {
        bytes += stream.read().await?.len();
    }
    Ok(bytes)
}

fn request(options: &Options, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}",
        method = options.method,
        path = options.path(),
        host = options.host,
        port = options.port,
        headers = options.header_lines(),
    );
    if options.method != "GET" {
        request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    [request.as_bytes(), body].concat()
}
