//! The gateway as its users meet it: the built binary, started on free ports, and real clients of its protocols.
//!
//! This crate is *not* for tests of single crates; those live beside the code.
#![forbid(unsafe_code)]

pub mod assets;
pub mod browser;
pub mod camera;
pub mod client;
pub mod cpro;
pub mod espcam;
pub mod eye;
pub mod film;
pub mod fleet;
pub mod gateway;
pub mod http;
pub mod lpr;
pub mod nats;
pub mod people;
mod process;
pub mod raw;
pub mod upstream;
pub mod websocket;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: it only ends tests that would hang.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The folder of the sources.
///
/// # Panics
/// When the sources have been moved since the build.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Waits until `look` finds something.
///
/// # Panics
/// When it has not after [`PATIENCE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a text of base64 stands for.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn base64(text: &str) -> Vec<u8> {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}
