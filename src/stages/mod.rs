//! The steps of a run: each takes values and gives values, and changes nothing in place.

pub mod chunk;
pub mod vad;
