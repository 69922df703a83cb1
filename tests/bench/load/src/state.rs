//! State that clients share: one of them writes a key, the others are to learn every value of it.
//!
//! The program is `stateload`. A message says no time and needs none: the values count from 0 to 100 and begin again, so
//! that [`journal`] knows which write a received value belongs to, and which writes a reader never heard of.

mod client;
pub mod journal;
pub mod options;
pub mod report;
pub mod run;
