//! Palabra: speech in, words out, each with its time and its speaker.

mod assemble;
pub mod audio;
pub mod device;
pub mod engine;
pub mod error;
pub mod formats;
pub mod language;
pub mod models;
pub mod ops;
pub mod progress;
pub mod span;
pub mod stages;
pub mod transcript;
pub mod weights;

pub use error::{Error, Result};
