//! What all requests share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{metrics::Metrics, readiness::Readiness, remote::Remote};
use crate::{
    engine::{Capacity, Engine, EngineOptions, Keep},
    settings::Settings,
};

/// The service: the engine, how it is to be run, what is counted. Clones are the same service.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    settings: Settings,
    metrics: Metrics,
    readiness: Readiness,
    remote: Remote,
    /// Decoders that may work at once: each holds a recording's samples while nobody has asked for them yet.
    decoders: Arc<Semaphore>,
    /// Threads that work for requests, also those whose client has left.
    jobs: AtomicUsize,
}

impl App {
    /// A service around an engine.
    pub fn new(engine: Engine, settings: Settings) -> Self {
        let metrics = Metrics::new(&engine);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let decoders = Arc::new(Semaphore::new(cores.max(2)));
        let readiness = Readiness::waiting_for(&settings.preload, engine.health().clone());
        let remote = Remote::new(&settings);
        Self(Arc::new(Inner { engine, settings, metrics, readiness, remote, decoders, jobs: AtomicUsize::new(0) }))
    }

    /// The same service with another way to recordings elsewhere.
    #[cfg(test)]
    pub(super) fn with_remote(engine: Engine, settings: Settings, remote: Remote) -> Self {
        let mut app = Self::new(engine, settings);
        if let Some(inner) = Arc::get_mut(&mut app.0) {
            inner.remote = remote;
        }
        app
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// How the service is to be run.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether requests should come.
    pub fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// The way to recordings elsewhere.
    pub(super) fn remote(&self) -> &Remote {
        &self.0.remote
    }

    pub(super) fn decoders(&self) -> &Arc<Semaphore> {
        &self.0.decoders
    }

    /// Notes that a thread works for a request, as long as the result lives.
    pub(super) fn job(&self) -> JobMark {
        self.0.jobs.fetch_add(1, Ordering::SeqCst);
        JobMark(self.clone())
    }

    /// Waits until no thread works for a request any more, for `patience` at most.
    pub(super) async fn settle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.0.jobs.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// How an engine works for these settings.
pub fn engine_options(settings: &Settings) -> EngineOptions {
    EngineOptions {
        batch_size: settings.batch_size,
        capacity: Capacity { requests: settings.max_requests, audio_seconds: settings.max_queued_seconds },
        keep: Keep {
            models: settings.max_models,
            bytes: settings.max_model_bytes,
            idle: settings.idle_unload,
            pinned: settings.pinned.clone(),
        },
        repositories: settings.repositories,
        align_model: settings.align_model.clone(),
        noncommercial_aligners: settings.noncommercial_aligners,
        speaker_model: settings.speaker_model.clone(),
        allowed: [&settings.model].into_iter().chain(&settings.preload).chain(&settings.pinned).cloned().collect(),
        ..EngineOptions::default()
    }
}

/// A thread at work.
pub(super) struct JobMark(App);

impl Drop for JobMark {
    fn drop(&mut self) {
        self.0.0.jobs.fetch_sub(1, Ordering::SeqCst);
    }
}
