//! What can go wrong, grouped by who must act.

/// The library's error: each variant holds one sentence that names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: an unknown language, a bad range. The caller must change the request.
    #[error("{0}")]
    Request(String),
    /// The audio cannot be used: not audio, an unknown codec, nothing in it. The caller must send another file.
    #[error("{0}")]
    Audio(String),
    /// A model could not be found, fetched, verified or read. The caller or the operator must provide it.
    #[error("{0}")]
    Weights(String),
    /// The machine lacks something: disk space, a device, a permission. The operator must act.
    #[error("{0}")]
    Machine(String),
    /// The work was cancelled from outside; nobody must act.
    #[error("cancelled")]
    Cancelled,
    /// A tensor operation failed: a bug in Palabra, or a device out of memory.
    #[error("internal error in a tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A bug in Palabra.
    #[error("internal error: {0}")]
    Bug(String),
}

/// A result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;
