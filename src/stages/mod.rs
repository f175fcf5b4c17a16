//! The steps of one request: a batch of values in, as many values out.

pub mod align;
pub mod batch;
pub mod chunk;
pub mod cluster;
pub mod diarize;
pub mod embed;
pub mod identify;
pub mod language;
pub mod row;
pub mod rules;
pub mod script;
pub mod stage;
pub mod transcribe;
mod utter;
pub mod vad;
pub mod write;
