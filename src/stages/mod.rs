//! The steps of one request: a batch of values in, as many values out.

pub mod align;
pub mod attribute;
pub mod batch;
pub mod chunk;
pub mod cluster;
pub mod diarize;
pub mod dtw;
pub mod ears;
pub mod embed;
pub mod identify;
pub mod language;
pub mod linkage;
mod order;
pub mod reconstruct;
pub mod romanise;
pub mod roster;
pub mod row;
pub mod rules;
pub mod script;
pub mod segment;
mod sounds;
pub mod stage;
pub mod transcribe;
pub mod utter;
pub mod vad;
pub mod write;
pub mod written;
