//! The story of one request: models loaded once, stages run in turn.

mod load;
mod pipeline;

pub use load::{Models, embedder, transcriber, voice};
pub use pipeline::{Align, Options, Pipeline};
