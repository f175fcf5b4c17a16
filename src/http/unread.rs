//! The rest of a body that nobody reads, kept until the answer has left.
//!
//! A client that is refused while it is still sending must be able to read why. Actix listens to such a client for a
//! bounded time before it closes the connection ([`super::server`] sets it) only while the body has an owner; without
//! one it would read a chunked body to an end that may never come.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage,
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;

/// An owner of a request's body beside its reader.
pub(super) struct Unread(#[expect(dead_code, reason = "owns")] Rc<RefCell<Payload>>);

/// The reader.
struct Reader(Rc<RefCell<Payload>>);

impl Unread {
    /// Becomes an owner of the body of `request`, which handlers read as before.
    pub(super) fn of(request: &mut ServiceRequest) -> Self {
        let body = Rc::new(RefCell::new(request.take_payload()));
        let reader = Reader(body.clone());
        request.set_payload(Payload::Stream { payload: Box::pin(reader) });
        Self(body)
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}
