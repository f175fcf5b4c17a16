//! What the engine counts, for whoever watches it. Clones of a counter count together.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::transcript::Transcript;

type Seconds = Counter<f64, AtomicU64>;

/// Which stage a number is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

/// Which stage on which device a number is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    stage: &'static str,
    device: String,
}

/// How a job or a load ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageOutcome {
    stage: &'static str,
    outcome: &'static str,
}

/// How the loading of a model ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Upper bounds of the histograms: jobs in a step, seconds, times faster than real time.
const FILL: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0];
const SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];
const SPEED: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];

/// A histogram with these bounds.
#[derive(Debug, Clone)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Counters of the engine; registered once, read by the metrics page.
#[derive(Debug, Clone)]
pub struct Metrics {
    jobs: Family<StageOutcome, Counter>,
    queued: Family<Stage, Gauge>,
    fill: Family<Stage, Histogram, Bounds>,
    waits: Family<Stage, Histogram, Bounds>,
    busy: Family<Stage, Seconds>,
    places: Family<Place, Gauge>,
    shortages: Family<Place, Counter>,
    stage_seconds: Family<Stage, Seconds>,
    audio_seconds: Seconds,
    speed: Histogram,
    fallbacks: Counter,
    cancellations: Counter,
    loads: Family<Outcome, Counter>,
    load_seconds: Histogram,
    warm: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            jobs: Family::default(),
            queued: Family::default(),
            fill: Family::new_with_constructor(Bounds(&FILL)),
            waits: Family::new_with_constructor(Bounds(&SECONDS)),
            busy: Family::default(),
            places: Family::default(),
            shortages: Family::default(),
            stage_seconds: Family::default(),
            audio_seconds: Counter::default(),
            speed: Bounds(&SPEED).new_metric(),
            fallbacks: Counter::default(),
            cancellations: Counter::default(),
            loads: Family::default(),
            load_seconds: Bounds(&SECONDS).new_metric(),
            warm: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Names the counters in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("stage_jobs", "Jobs that left a stage, by how they ended", self.jobs.clone());
        registry.register("stage_queue_depth", "Jobs that wait for a stage", self.queued.clone());
        registry.register("stage_batch_fill", "Jobs in a step of a stage", self.fill.clone());
        registry.register("stage_wait_seconds", "Time a job waits before its stage takes it", self.waits.clone());
        registry.register("stage_busy_seconds", "Time a stage's thread works", self.busy.clone());
        registry.register("stage_places", "Jobs that a stage has room for on a device", self.places.clone());
        registry.register("out_of_memory", "Steps that a device had too little memory for", self.shortages.clone());
        registry.register("request_stage_seconds", "Time requests spend in each stage", self.stage_seconds.clone());
        registry.register("audio_seconds", "Audio that was transcribed", self.audio_seconds.clone());
        registry.register("real_time_factor", "Seconds of audio done in a second of a request", self.speed.clone());
        registry.register("fallbacks", "Chunks decoded again at a higher temperature", self.fallbacks.clone());
        registry.register("cancellations", "Requests that ended before they were done", self.cancellations.clone());
        registry.register("model_loads", "Models loaded, by how it ended", self.loads.clone());
        registry.register("model_load_seconds", "Time to load a model", self.load_seconds.clone());
        registry.register("models_warm", "Transcribers in memory", self.warm.clone());
    }

    /// The counters of one stage's worker on `device`.
    pub(super) fn stage(&self, stage: &'static str, device: String) -> StageMetrics {
        let (label, place) = (Stage { stage }, Place { stage, device });
        let ended = |outcome| self.jobs.get_or_create_owned(&StageOutcome { stage, outcome });
        StageMetrics {
            done: ended("done"),
            failed: ended("failed"),
            dropped: ended("dropped"),
            queued: self.queued.get_or_create_owned(&label),
            fill: self.fill.get_or_create_owned(&label),
            waits: self.waits.get_or_create_owned(&label),
            busy: self.busy.get_or_create_owned(&label),
            shortages: self.shortages.get_or_create_owned(&place),
            all_places: self.places.get_or_create_owned(&place),
            places: 0,
        }
    }

    /// A recording was transcribed.
    pub(super) fn transcribed(&self, transcript: &Transcript) {
        self.audio_seconds.inc_by(transcript.duration);
        let mut total = 0.0;
        for (stage, seconds) in transcript.timings.0.iter().filter(|(stage, _)| !matches!(*stage, "load" | "total")) {
            self.stage_seconds.get_or_create(&Stage { stage }).inc_by(*seconds);
            total += seconds;
        }
        if total > 0.0 && transcript.duration > 0.0 {
            self.speed.observe(transcript.duration / total);
        }
    }

    /// Chunks were decoded again.
    pub(super) fn fell_back(&self, times: usize) {
        self.fallbacks.inc_by(times as u64);
    }

    /// A request ended before it was done.
    pub(super) fn cancelled(&self) {
        self.cancellations.inc();
    }

    /// A model was loaded, or could not be.
    pub(super) fn loaded(&self, succeeded: bool, took: Duration) {
        self.loads.get_or_create(&Outcome { outcome: if succeeded { "done" } else { "failed" } }).inc();
        self.load_seconds.observe(took.as_secs_f64());
    }

    /// So many transcribers are in memory.
    pub(super) fn warm(&self, models: usize) {
        self.warm.set(models as i64);
    }
}

/// Counters of one worker of a stage.
#[derive(Debug)]
pub(super) struct StageMetrics {
    done: Counter,
    failed: Counter,
    dropped: Counter,
    queued: Gauge,
    fill: Histogram,
    waits: Histogram,
    busy: Seconds,
    shortages: Counter,
    /// Of all workers of the stage on this device; several models may have some.
    all_places: Gauge,
    /// Those of this worker among them.
    places: i64,
}

/// The places of a worker go with it.
impl Drop for StageMetrics {
    fn drop(&mut self) {
        self.has_room(0);
    }
}

impl StageMetrics {
    /// A step with so many jobs was made.
    pub(super) fn worked(&self, took: Duration, jobs: usize) {
        self.busy.inc_by(took.as_secs_f64());
        self.fill.observe(jobs as f64);
    }

    /// A job's turn has come.
    pub(super) fn started(&self, waited: Duration) {
        self.waits.observe(waited.as_secs_f64());
    }

    /// A job has left, done or with an error.
    pub(super) fn finished(&self, succeeded: bool) {
        if succeeded { &self.done } else { &self.failed }.inc();
    }

    /// Jobs were dropped because their requests have left.
    pub(super) fn dropped(&self, jobs: usize) {
        self.dropped.inc_by(jobs as u64);
    }

    /// The device had too little memory.
    pub(super) fn ran_short(&self) {
        self.shortages.inc();
    }

    /// The worker has room for so many jobs.
    pub(super) fn has_room(&mut self, places: usize) {
        let places = i64::try_from(places).unwrap_or(i64::MAX);
        self.all_places.inc_by(places - self.places);
        self.places = places;
    }

    /// So many jobs wait.
    pub(super) fn queued(&self, jobs: usize) {
        self.queued.set(jobs as i64);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn every_counter_has_a_name_and_counts() {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let mut stage = metrics.stage("transcriber", "cuda:1".into());
        let mut gone = metrics.stage("transcriber", "cuda:1".into());
        gone.has_room(7);
        drop(gone);
        stage.has_room(16);
        stage.has_room(8);
        stage.ran_short();
        stage.worked(Duration::from_millis(250), 3);
        stage.started(Duration::from_millis(5));
        stage.finished(true);
        stage.dropped(2);
        metrics.fell_back(4);
        metrics.loaded(false, Duration::from_secs(2));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        for line in [
            "stage_jobs_total{stage=\"transcriber\",outcome=\"done\"} 1",
            "stage_jobs_total{stage=\"transcriber\",outcome=\"dropped\"} 2",
            "stage_batch_fill_sum{stage=\"transcriber\"} 3.0",
            "stage_busy_seconds_total{stage=\"transcriber\"} 0.25",
            "stage_places{stage=\"transcriber\",device=\"cuda:1\"} 8",
            "out_of_memory_total{stage=\"transcriber\",device=\"cuda:1\"} 1",
            "fallbacks_total 4",
            "model_loads_total{outcome=\"failed\"} 1",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
