//! The steps of one request: a batch of values in, as many values out.

pub mod align;
pub mod batch;
pub mod chunk;
pub mod cluster;
pub mod diarize;
pub mod identify;
pub mod language;
pub mod row;
pub mod rules;
pub mod transcribe;
pub mod vad;
