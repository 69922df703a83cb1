//! What the receiver and the sender of the plate-reading cameras' protocol share: how the pictures of a message stand in a
//! record.
//!
//! This crate is *not* a plugin: it exists because two plugins cannot be linked into each other.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

pub mod picture;
