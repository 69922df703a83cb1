//! Gantry's eyes.
#![forbid(unsafe_code)]
