//! Gantry's lights: Linux LEDs and GPIO lines.
//!
//! [`Lights`] is told which lights there are ([`Lights::apply`]), switches them ([`Lights::set`]) and says why one cannot be
//! switched ([`Lights::available`]). An LED is a folder of the kernel's LED class; its brightness goes from off to all
//! there is. A GPIO line is driven through the character device (uAPI v2), from the moment it is configured until it is not
//! any more, as the level of a line that nobody holds is anybody's guess.
//!
//! What this crate is *not*: it knows no observables and nobody's rights, it does not remember over a restart what was on,
//! and it starts no thread: every call is a few system calls.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod check;
mod error;
mod gpio;
mod led;
mod lights;

pub use check::{check, check_all};
pub use error::OutputError;
pub use lights::Lights;
