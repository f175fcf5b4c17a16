//! The story of one request: models loaded once, stages run in turn, a bounded number of requests at a time.

mod admission;
mod load;
mod metrics;
mod pipeline;
mod service;

pub use admission::{Admission, Capacity, Permit};
pub use load::{Models, embedder, transcriber, voice};
pub use metrics::Metrics;
pub use pipeline::{Align, GivenText, Options, Pipeline};
pub use service::{Engine, EngineOptions, Keep, ModelState, ModelStatus};
