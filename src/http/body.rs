//! A request's body under watch: no more bytes than allowed, and none that come too slowly.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    error::PayloadError,
    http::StatusCode,
    rt::time::{Instant, Sleep, sleep},
    web::Bytes,
};
use futures_util::Stream;

use super::failure::Failure;

/// A client that sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this time an upload must have kept the pace.
const HEAD_START: Duration = Duration::from_secs(60);
/// Bytes a second, on average, that keep a place occupied; a telephone line is faster.
const PACE: f64 = 4096.0;

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reason {
    #[default]
    None,
    TooLarge,
    TooSlow,
    CutOff,
}

/// Tells afterwards why the body could not be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Rc<Cell<Reason>>);

impl Ending {
    /// The failure that the end of the body explains.
    pub(super) fn explain(&self, limit: u64) -> Option<Failure> {
        match self.0.get() {
            Reason::None => None,
            Reason::TooLarge => Some(Self::over(limit)),
            Reason::TooSlow => Some(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body arrives too slowly; send it again over a better connection",
            )),
            Reason::CutOff => Some(Failure::request("the body ends in the middle of the form; send it whole")),
        }
    }

    /// The failure of a body with more than `limit` bytes.
    pub(super) fn over(limit: u64) -> Failure {
        let shown = if limit >= 1 << 20 { format!("{} MiB", limit >> 20) } else { format!("{limit} bytes") };
        Failure::too_large(format!(
            "the upload is larger than the limit of {shown}; send a shorter or compressed recording"
        ))
    }
}

/// A body that ends with an error where it goes too far.
pub(super) struct Body<S> {
    stream: S,
    left: u64,
    received: u64,
    started: Instant,
    idle: Pin<Box<Sleep>>,
    ending: Ending,
}

impl<S> Body<S> {
    pub(super) fn new(stream: S, limit: u64) -> (Self, Ending) {
        let ending = Ending::default();
        let body = Self {
            stream,
            left: limit,
            received: 0,
            started: Instant::now(),
            idle: Box::pin(sleep(PATIENCE)),
            ending: ending.clone(),
        };
        (body, ending)
    }

    fn fail(&self, reason: Reason, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.ending.0.set(reason);
        Poll::Ready(Some(Err(error)))
    }

    fn is_too_slow(&self) -> bool {
        let passed = self.started.elapsed();
        passed > HEAD_START && (self.received as f64) < PACE * (passed - HEAD_START).as_secs_f64()
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Body<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.stream).poll_next(context) {
            Poll::Ready(Some(Ok(chunk))) => {
                let length = chunk.len() as u64;
                if length > self.left {
                    return self.fail(Reason::TooLarge, PayloadError::Overflow);
                }
                if self.is_too_slow() {
                    return self.fail(Reason::TooSlow, PayloadError::Incomplete(None));
                }
                self.left -= length;
                self.received += length;
                self.idle.as_mut().reset(Instant::now() + PATIENCE);
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(Reason::CutOff, error),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.idle.as_mut().poll(context) {
                Poll::Ready(()) => self.fail(Reason::TooSlow, PayloadError::Incomplete(None)),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[actix_web::test]
    async fn a_body_within_its_limit_passes_and_one_byte_more_does_not() {
        let chunks = || stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"de"))]);
        let (body, ending) = Body::new(chunks(), 5);
        assert_eq!(body.filter_map(|chunk| async { chunk.ok() }).count().await, 2);
        assert!(ending.explain(5).is_none());
        let (body, ending) = Body::new(chunks(), 4);
        assert_eq!(body.filter_map(|chunk| async { chunk.ok() }).count().await, 1);
        assert!(ending.explain(4).is_some_and(|failure| failure.status == 413 && failure.message.contains("4 bytes")));
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_told_apart_from_a_broken_form() {
        let (body, ending) = Body::new(stream::iter([Err(PayloadError::Incomplete(None))]), 5);
        assert_eq!(body.count().await, 1);
        assert!(ending.explain(5).is_some_and(|failure| failure.status == 400 && failure.message.contains("ends")));
    }
}
