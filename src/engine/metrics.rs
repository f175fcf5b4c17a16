//! What the engine counts, for whoever watches it.

use prometheus_client::registry::Registry;

/// Counters of the engine; registered once, read by the metrics page.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Names the counters in `registry`.
    pub fn register(&self, _registry: &mut Registry) {}
}
