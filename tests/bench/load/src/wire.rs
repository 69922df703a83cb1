//! Just enough of each protocol to receive: bytes in, events out, no socket.

pub mod chunked;
pub mod http;
pub mod multipart;
pub mod websocket;
