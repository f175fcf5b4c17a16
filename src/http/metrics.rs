//! What the service counts, for Prometheus.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::http::Method;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::engine::{Admission, Engine};

/// Every counter of the service, and the page that shows them.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Outcome, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// Upper ends of the classes of durations, in seconds: from a health check to hours of audio.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0, 3600.0];

impl Metrics {
    /// Counters at zero, the engine's beside them.
    pub fn new(engine: &Engine) -> Self {
        let mut registry = Registry::with_prefix("palabra");
        let requests = Family::default();
        let durations = Family::<Route, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        let in_flight = Gauge::default();
        registry.register(
            "http_requests",
            "Requests answered; status 499 where the client left before",
            requests.clone(),
        );
        let help = "Seconds from the head of a request to the last byte of its answer";
        registry.register("http_request_duration_seconds", help, durations.clone());
        registry.register("http_requests_in_flight", "Requests that are not answered in full yet", in_flight.clone());
        registry.register_collector(Box::new(Queue(engine.admission().clone())));
        engine.metrics().register(&mut registry);
        Self { registry: Mutex::new(registry), requests, durations, in_flight }
    }

    /// The page in OpenMetrics' text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string cannot fail.
        let _written = prometheus_client::encoding::text::encode(&mut page, &registry);
        page
    }

    pub(super) fn request_started(&self) {
        self.in_flight.inc();
    }

    pub(super) fn request_ended(&self, method: &Method, route: &str, status: u16, seconds: f64) {
        self.in_flight.dec();
        // Methods are whatever callers invent; only the usual ones get a series of their own.
        let usual = matches!(method.as_str(), "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH");
        let method = if usual { method.as_str() } else { "other" }.to_owned();
        let route = route.to_owned();
        self.requests.get_or_create(&Outcome { method, route: route.clone(), status }).inc();
        self.durations.get_or_create(&Route { route }).observe(seconds);
    }
}

/// What is inside the service, read when the page is asked for.
#[derive(Debug)]
struct Queue(Arc<Admission>);

impl Collector for Queue {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (requests, seconds) = self.0.load();
        let depth = ConstGauge::new(i64::try_from(requests).unwrap_or(i64::MAX));
        let help = "Requests that wait or are worked on";
        depth.encode(encoder.encode_descriptor("queue_requests", help, None, depth.metric_type())?)?;
        let audio = ConstGauge::new(seconds);
        let help = "Seconds of audio that they hold";
        audio.encode(encoder.encode_descriptor("queue_audio_seconds", help, None, audio.metric_type())?)
    }
}
