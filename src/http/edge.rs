//! Around every route: the request's name, the shape of its errors, its line in the log, its place in the counters.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{Bytes, Data},
};
use futures_util::FutureExt;
use tracing::{Instrument, Span, field::Empty};

use super::{
    app::App,
    failure::{CLIENT_LEFT, Failure, Shape},
    traces,
    unread::Unread,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of a request in logs and headers; handlers find it among the extensions of their request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The middleware.
pub(super) async fn around<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id(request.headers());
    let shape = Shape::of(request.path());
    let mut observation = Observation::start(&request, &id);
    let unread = Unread::of(&mut request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!(
        "request",
        id,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty
    );
    traces::join(&span, request.headers());
    observation.span = span.clone();
    let outcome = AssertUnwindSafe(next.call(request).instrument(span.clone())).catch_unwind().await;
    let response = match outcome {
        Ok(Ok(response)) => reshaped(response.map_into_boxed_body(), shape),
        Ok(Err(error)) => return Err(observation.refused(error, shape, &id)),
        Err(_) => {
            span.in_scope(|| tracing::error!("a handler panicked"));
            return Err(observation.refused(Failure::internal().into(), shape, &id));
        }
    };
    observation.answered(&response);
    let mut response = response.map_body(|_, body| BoxBody::new(ObservedBody { body, observation, _unread: unread }));
    name(response.headers_mut(), &id);
    Ok(response)
}

/// The caller's own name for the request where it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn name(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// Errors of handlers, and those that the framework answers with a status alone or plain text, in the shape of the path.
fn reshaped(response: ServiceResponse<BoxBody>, shape: Shape) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let failure = match response.response().error() {
        Some(error) => failure_of(error),
        None if status.is_client_error() && is_empty(&response) => Failure::new(status, sentence(status)),
        None => return response,
    };
    let (request, before) = response.into_parts();
    let mut after = failure.respond(shape);
    for (name, value) in before.headers() {
        // What others around the handler have added, such as permission for a page's origin.
        if !after.headers().contains_key(name) && *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE {
            after.headers_mut().append(name.clone(), value.clone());
        }
    }
    ServiceResponse::new(request, after)
}

fn is_empty(response: &ServiceResponse<BoxBody>) -> bool {
    matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0))
        && response.request().method() != Method::HEAD
}

fn failure_of(error: &Error) -> Failure {
    error.as_error::<Failure>().cloned().unwrap_or_else(|| {
        let status = error.as_response_error().status_code();
        if status.is_server_error() {
            tracing::error!("{error}");
            return Failure::internal();
        }
        Failure::new(status, error.to_string())
    })
}

/// What a bare status means to a caller.
fn sentence(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "there is nothing at this path; GET /docs lists what there is",
        405 => "this path does not take this method; GET /docs lists what it takes",
        _ => status.canonical_reason().unwrap_or("the request was refused"),
    }
}

/// One request from its first byte to the last byte of its answer; its end is noted whichever way it comes.
struct Observation {
    app: Option<Data<App>>,
    id: String,
    method: Method,
    route: String,
    status: u16,
    sent: u64,
    started: Instant,
    /// What a collector of traces is told; the log has a line of its own.
    span: Span,
}

impl Observation {
    fn start(request: &ServiceRequest, id: &str) -> Self {
        let app = request.app_data::<Data<App>>().cloned();
        if let Some(app) = &app {
            app.metrics().request_started();
        }
        let route = "unmatched".to_owned();
        let (id, method) = (id.to_owned(), request.method().clone());
        Self { app, id, method, route, status: CLIENT_LEFT, sent: 0, started: Instant::now(), span: Span::none() }
    }

    /// Until here the client may leave without an answer.
    fn answered(&mut self, response: &ServiceResponse<BoxBody>) {
        self.status = response.status().as_u16();
        if let Some(route) = response.request().match_pattern() {
            self.route = route;
        }
    }

    /// An error of the middleware below, as a response.
    fn refused(&mut self, error: Error, shape: Shape, id: &str) -> Error {
        let failure = failure_of(&error);
        let mut response: HttpResponse = failure.respond(shape);
        self.status = response.status().as_u16();
        name(response.headers_mut(), id);
        InternalError::from_response(failure, response).into()
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let (id, method, route, status) = (&self.id, &self.method, &self.route, self.status);
        self.span.record("http.request.method", method.as_str());
        self.span.record("http.route", route);
        self.span.record("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.span.record("otel.status_code", "ERROR");
        }
        traces::name(&self.span, method, route);
        tracing::info!(target: "palabra.access", id, %method, route, status, ms = (seconds * 1e3) as u64, bytes = self.sent, "request");
        if let Some(app) = &self.app {
            app.metrics().request_ended(method, route, status, seconds);
        }
    }
}

/// A response body that counts what leaves.
struct ObservedBody {
    body: BoxBody,
    observation: Observation,
    _unread: Unread,
}

impl MessageBody for ObservedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            self.observation.sent += bytes.len() as u64;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_name_of_a_request_is_taken_over() {
        let named = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            request_id(&headers) == id
        };
        assert!(named("a-1_b.c:D"));
        assert!(!named("a b") && !named("") && !named("<script>"));
    }
}
