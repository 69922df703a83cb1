//! The clients: one connection each, receiving until the run stops.

mod http_get;
mod mjpeg;
mod websocket;
pub(crate) mod wire_stream;

use crate::options::Protocol;
use crate::run::Run;
use crate::tally::Tally;

/// Receives into `tally` for ever.
///
/// # Errors
/// Why the connection ended.
pub async fn receive(run: &Run, tally: &mut Tally, slow: bool) -> Result<(), String> {
    match run.options.protocol {
        Protocol::Ws | Protocol::Sio => websocket::receive(run, tally, slow).await,
        Protocol::Mjpeg => mjpeg::receive(run, tally, slow).await,
        Protocol::Httpget => http_get::receive(run, tally).await,
    }
}
