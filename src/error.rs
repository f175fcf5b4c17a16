//! What can go wrong, grouped by who must act.

mod fault;

use std::time::Duration;

use fault::Fault;

/// The library's error: each variant holds one sentence that names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: an unknown language, a bad range. The caller must change the request.
    #[error("{0}")]
    Request(String),
    /// The audio cannot be used: not audio, an unknown codec, nothing in it. The caller must send another file.
    #[error("{0}")]
    Audio(String),
    /// The recording is larger or longer than allowed. The caller must send less.
    #[error("{0}")]
    TooLarge(String),
    /// A model could not be found, fetched, verified or read. The caller or the operator must provide it.
    #[error("{0}")]
    Weights(String),
    /// The machine lacks something: disk space, a device, a permission. The operator must act.
    #[error("{0}")]
    Machine(String),
    /// The device has too little memory. The operator must ask for less, or provide more.
    #[error("{0}")]
    OutOfMemory(String),
    /// The device failed and cannot be used again by this process, which must end and start anew.
    #[error("{0}")]
    DeviceLost(String),
    /// The service has no room for this work now. The caller may try again after `retry_after`.
    #[error("{message}")]
    Busy {
        /// What is full.
        message: String,
        /// When there is likely to be room.
        retry_after: Duration,
    },
    /// The work took longer than its caller allows it.
    #[error("{0}")]
    Deadline(String),
    /// The work was cancelled from outside; nobody must act.
    #[error("cancelled")]
    Cancelled,
    /// A tensor operation failed: a bug in Palabra.
    #[error("internal error in a tensor operation: {}", sentence(.0))]
    Tensor(candle_core::Error),
    /// A bug in Palabra.
    #[error("internal error: {0}")]
    Bug(String),
}

/// Not the source of the error, which callers print after it: its text ends in a backtrace when RUST_BACKTRACE is set.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match fault_of(&error) {
            Some(Fault::Memory) => Self::OutOfMemory(
                "the memory of the GPU is full; ask for a smaller batch size or a smaller model, or end what else uses it"
                    .into(),
            ),
            Some(Fault::Lost(what)) => {
                Self::DeviceLost(format!("the GPU failed: {what} ({}); start palabra again", sentence(&error)))
            }
            None => Self::Tensor(error),
        }
    }
}

/// What befell the device, where that is why an operation failed.
fn fault_of(error: &candle_core::Error) -> Option<Fault> {
    use candle_core::Error as Tensor;
    match error {
        Tensor::WithBacktrace { inner, .. } | Tensor::WithPath { inner, .. } | Tensor::Context { inner, .. } => {
            fault_of(inner)
        }
        Tensor::WrappedContext { wrapped, .. } => wrapped.downcast_ref::<Tensor>().and_then(fault_of),
        Tensor::Cuda(reason) => fault::of(reason.as_ref()),
        _ => None,
    }
}

/// What went wrong in Candle, on one line and without the backtrace that it appends when RUST_BACKTRACE is set.
pub(crate) fn sentence(error: &candle_core::Error) -> String {
    use candle_core::Error as Tensor;
    let text = match error {
        Tensor::WithBacktrace { inner, .. } => sentence(inner),
        Tensor::WithPath { inner, path } => format!("{} ({})", sentence(inner), path.display()),
        Tensor::Context { inner, context } => format!("{context}: {}", sentence(inner)),
        Tensor::WrappedContext { wrapped, context } => match wrapped.downcast_ref::<Tensor>() {
            Some(inner) => format!("{context}: {}", sentence(inner)),
            None => format!("{context}: {wrapped}"),
        },
        other => other.to_string(),
    };
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;

    use candle_core::Error as Tensor;

    use super::*;

    #[test]
    fn a_tensor_error_is_one_line_without_a_backtrace() {
        let backtrace = Box::new(Backtrace::force_capture());
        let inner = Box::new(Tensor::Msg("shapes differ".into()).context("in the encoder"));
        let error = Error::from(Tensor::WithBacktrace { inner, backtrace });
        assert_eq!(error.to_string(), "internal error in a tensor operation: in the encoder: shapes differ");
        assert!(matches!(error, Error::Tensor(Tensor::WithBacktrace { .. })), "its kind is kept");
        assert!(std::error::Error::source(&error).is_none());
    }
}
