//! The networks: each reads its own config and checkpoint names, and knows tensors only (no files, threads, seconds).

pub mod aligner;
pub mod labels;
pub mod layers;
pub mod segmentation;
pub mod silero;
pub mod speaker;
pub mod wav2vec2;
pub mod whisper;
