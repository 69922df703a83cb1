//! Clients of an MJPEG stream.

use super::wire_stream::WireStream;
use crate::run::Run;
use crate::tally::Tally;
use crate::wire::chunked::Chunked;
use crate::wire::multipart::Parts;
use std::time::Instant;

pub(super) async fn receive(run: &Run, tally: &mut Tally, slow: bool) -> Result<(), String> {
    let options = &run.options;
    let begun = Instant::now();
    let mut stream = WireStream::connect((options.host, options.port), options.slow_bytes(slow)).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}\r\n",
        path = options.path(),
        host = options.host,
        port = options.port,
        headers = options.header_lines(),
    );
    let head = stream.request(request.as_bytes()).await?;
    head.expect(200)?;
    run.roster.note_connected(begun);

    let mut parts = Parts::default();
    let mut chunked = head.is_chunked().then(Chunked::default);
    loop {
        let mut input = stream.read().await?;
        loop {
            let mut data = match &mut chunked {
                Some(chunked) => match chunked.next(&mut input)? {
                    Some(data) => data,
                    None => break,
                },
                None if input.is_empty() => break,
                None => std::mem::take(&mut input),
            };
            while parts.next(&mut data)? {
                if run.is_measuring() {
                    tally.message(parts.part(), options);
                }
            }
        }
    }
}
