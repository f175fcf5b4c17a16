//! The story of one request, and of many at once: models loaded once, stages that batch across requests, a bounded number
//! of requests at a time.
//!
//! ```text
//! Engine -- Admission: who may come in
//!        -- Shelf: which models are in memory -> Pipeline: one request in five lines
//!                                                  |-- Hearing: voice detection, speakers
//!                                                  |-- Incoming: the chunks, found while those before are written
//!                                                  +-- Recording -> Batcher<Writer>: the transcriber's threads
//! ```

mod admission;
mod aligners;
mod batcher;
mod channels;
mod forced;
mod given;
mod health;
mod hearing;
mod incoming;
mod int8;
mod load;
mod memory;
mod metrics;
mod pipeline;
mod queue;
mod recording;
mod room;
mod service;
mod shelf;
mod timekeeper;
mod worker;

pub use admission::{Admission, Capacity, Permit};
pub use channels::Channels;
pub use given::GivenText;
pub use health::Health;
pub use load::{aligner_heads, embedder, segmenter, transcriber, voice, wav2vec2};
pub use metrics::Metrics;
pub use pipeline::{Align, NO_SPEAKERS, Options, Pipeline};
pub use service::{Engine, EngineOptions, Keep, ModelState, ModelStatus};
