//! Networks: `load` from a checkpoint, `forward` on tensors. They know nothing of files, threads or text.

pub mod silero;
