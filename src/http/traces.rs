//! Traces of requests for a collector (OTLP, http/protobuf), in builds with the feature `otlp`.
//!
//! A span a request, with a span inside for each piece of its work. They tell what the access log tells (route, status,
//! times) and nothing of what was sent or said. A caller's `traceparent` header is taken up. What OpenTelemetry calls by
//! environment variable works as it does elsewhere: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
//! OTEL_EXPORTER_OTLP_HEADERS (where a collector wants a key), OTEL_TRACES_SAMPLER.

use actix_web::http::{Method, header::HeaderMap};
use tracing::{Span, Subscriber};
use tracing_subscriber::{Layer, registry::LookupSpan};
use url::Url;

use crate::error::Result;

/// The way of spans to a collector; what is on it is sent when this value goes.
pub struct Exporter(inner::Exporter);

impl Exporter {
    /// To the collector at `endpoint`, to whose path `/v1/traces` is added where it is missing.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for an address that cannot be one, and in builds without the feature.
    pub fn to(endpoint: &Url) -> Result<Self> {
        inner::Exporter::to(endpoint).map(Self)
    }

    /// What a subscriber needs to send its spans this way.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        self.0.layer()
    }
}

/// Makes `span` a part of the trace that the caller names in `headers`.
pub(super) fn join(span: &Span, headers: &HeaderMap) {
    inner::join(span, headers);
}

/// Calls `span` by what was asked for, which is known only at the end.
pub(super) fn name(span: &Span, method: &Method, route: &str) {
    inner::name(span, method, route);
}

#[cfg(not(feature = "otlp"))]
mod inner {
    use super::*;
    use crate::error::Error;

    pub(super) enum Exporter {}

    impl Exporter {
        pub(super) fn to(_endpoint: &Url) -> Result<Self> {
            Err(Error::Request(
                "this palabra was built without OTLP: build it with `cargo build --release --features otlp`, or drop \
                 otlp_endpoint"
                    .into(),
            ))
        }

        pub(super) fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
            tracing_subscriber::layer::Identity::new()
        }
    }

    pub(super) fn join(_span: &Span, _headers: &HeaderMap) {}

    pub(super) fn name(_span: &Span, _method: &Method, _route: &str) {}
}

#[cfg(feature = "otlp")]
mod inner {
    use std::time::Duration;

    use async_trait::async_trait;
    use opentelemetry::{
        propagation::{Extractor, TextMapPropagator},
        trace::{TraceContextExt, TracerProvider},
    };
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use ureq::Agent;

    use super::*;
    use crate::error::Error;

    /// How long a collector may take to answer.
    const PATIENCE: Duration = Duration::from_secs(10);
    const PATH: &str = "/v1/traces";

    pub(super) struct Exporter(SdkTracerProvider);

    impl Exporter {
        pub(super) fn to(endpoint: &Url) -> Result<Self> {
            let mut place = endpoint.clone();
            if !place.path().ends_with(PATH) {
                place.set_path(&format!("{}{PATH}", endpoint.path().trim_end_matches('/')));
            }
            let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Client(Agent::new_with_config(config)))
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(place.as_str())
                .with_timeout(PATIENCE)
                .build()
                .map_err(|reason| Error::Request(format!("otlp_endpoint cannot be used: {reason}")))?;
            let mut resource = Resource::builder();
            if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
                resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
            }
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
            Ok(Self(provider.build()))
        }

        pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
            let tracer = self.0.tracer(env!("CARGO_PKG_NAME"));
            tracing_opentelemetry::layer().with_location(false).with_threads(false).with_tracer(tracer)
        }
    }

    impl Drop for Exporter {
        fn drop(&mut self) {
            if let Err(reason) = self.0.shutdown_with_timeout(PATIENCE) {
                tracing::warn!("the last traces did not reach the collector: {reason}");
            }
        }
    }

    pub(super) fn join(span: &Span, headers: &HeaderMap) {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        // Fails where nothing listens for traces.
        let _joined = span.set_parent(context);
    }

    pub(super) fn name(span: &Span, method: &Method, route: &str) {
        span.context().span().update_name(format!("{method} {route}"));
    }

    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name).and_then(|value| value.to_str().ok())
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(|name| name.as_str()).collect()
        }
    }

    /// The exporter calls it on a thread of its own, where it may block.
    #[derive(Debug)]
    struct Client(Agent);

    #[async_trait]
    impl HttpClient for Client {
        async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
            let (head, body) = request.into_parts();
            let response = self.0.run(Request::from_parts(head, body.to_vec()))?;
            let (head, mut body) = response.into_parts();
            Ok(Response::from_parts(head, body.read_to_vec()?.into()))
        }
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use actix_web::http::header::{HeaderName, HeaderValue};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Takes one request and answers it; gives its head and its body.
    fn collector() -> (Url, thread::JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://{}/base/", listener.local_addr().unwrap()).parse().unwrap();
        let taken = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            let end = loop {
                let mut block = [0; 4096];
                let count = stream.read(&mut block).unwrap();
                bytes.extend_from_slice(&block[..count]);
                if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
            };
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut rest = vec![0; length.parse::<usize>().unwrap() - (bytes.len() - end)];
            stream.read_exact(&mut rest).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            (head, [&bytes[end..], &rest].concat())
        });
        (place, taken)
    }

    #[test]
    fn a_collector_gets_the_spans_of_a_request_in_the_callers_trace() {
        let (place, taken) = collector();
        let exporter = Exporter::to(&place).unwrap();
        let subscriber = tracing_subscriber::registry().with(exporter.layer());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", id = "name-of-it");
            let mut headers = HeaderMap::new();
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(trace));
            join(&span, &headers);
            span.in_scope(|| tracing::info_span!("work").in_scope(|| {}));
            name(&span, &Method::POST, "/asr");
        });
        drop(exporter);
        let (head, body) = taken.join().unwrap();
        assert!(head.starts_with("post /base/v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let holds = |bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
        for text in ["POST /asr", "name-of-it", "work", "palabra"] {
            assert!(holds(text.as_bytes()), "{text} is missing");
        }
        assert!(holds(&[0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd]), "the trace is another one");
    }
}
