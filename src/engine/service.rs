//! The engine of a service: models that come when they are asked for and leave when nobody does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    admission::{Admission, Capacity},
    load::Models,
    metrics::Metrics,
    pipeline::Pipeline,
};
use crate::{
    audio::{Audio, decode::Decoded},
    device::Compute,
    error::{Error, Result},
    progress::Watch,
    stages::diarize::DiarizeOptions,
    transcript::Transcript,
    weights::Store,
};

/// How long models stay in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    /// Transcribers at most; the one that was used longest ago leaves first. `None`: any number.
    pub models: Option<usize>,
    /// Bytes of weights of all transcribers at most. `None`: any number.
    pub bytes: Option<u64>,
    /// A model that nobody used for so long leaves. `None`: never.
    pub idle: Option<Duration>,
    /// Models that never leave.
    pub pinned: Vec<String>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { models: Some(2), bytes: None, idle: None, pinned: Vec::new() }
    }
}

/// How an engine works.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// Chunks that are written side by side.
    pub batch_size: usize,
    /// How much may be inside at once.
    pub capacity: Capacity,
    /// How long models stay.
    pub keep: Keep,
    /// Whether any Whisper repository of the hub may be asked for, besides the models that have a name.
    pub repositories: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { batch_size: 16, capacity: Capacity::default(), keep: Keep::default(), repositories: false }
    }
}

/// Whether a model is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// On disk, or to be fetched.
    Cold,
    /// On its way.
    Loading,
    /// Ready.
    Warm,
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelStatus {
    /// Its name, as it is asked for.
    pub name: String,
    /// Where it is.
    pub state: ModelState,
    /// Whether it never leaves.
    pub pinned: bool,
}

/// Models, the batches that their requests share, and the door in front of them. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    compute: Compute,
    options: EngineOptions,
    admission: Arc<Admission>,
    metrics: Metrics,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
}

impl Engine {
    /// An engine that has loaded nothing yet.
    pub fn new(store: Store, compute: Compute, options: EngineOptions) -> Self {
        let admission = Admission::new(options.capacity);
        let pipelines = Mutex::default();
        Self(Arc::new(Inner { store, compute, options, admission, metrics: Metrics::default(), pipelines }))
    }

    /// Where it computes.
    pub fn compute(&self) -> &Compute {
        &self.0.compute
    }

    /// Where models come from.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// How it works.
    pub fn options(&self) -> &EngineOptions {
        &self.0.options
    }

    /// The door.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Every model that has a name and can transcribe, and every other one in memory.
    pub fn models(&self) -> Vec<ModelStatus> {
        let warm = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |name: &str| if warm.contains_key(name) { ModelState::Warm } else { ModelState::Cold };
        let names = self.0.store.manifest().models.iter().filter(|m| m.role == crate::weights::Role::Transcriber);
        names.map(|m| ModelStatus { name: m.name.clone(), state: state(&m.name), pinned: false }).collect()
    }

    /// The pipeline around a transcriber, which is loaded when it is not in memory; two callers load it once. With a
    /// `hub_token` a hub repository is fetched with it, for this call alone.
    ///
    /// # Errors
    /// [`Error::Request`] for a model that is not known or not allowed, [`Error::Weights`] when it cannot be had,
    /// [`Error::Cancelled`].
    pub fn pipeline(&self, model: &str, _hub_token: Option<&str>, watch: &Watch) -> Result<Arc<Pipeline>> {
        let mut pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(model) {
            return Ok(pipeline.clone());
        }
        let started = Instant::now();
        let models = Models::load(&self.0.store, model, true, &self.0.compute, watch)?;
        let pipeline = Arc::new(Pipeline::new(models, started.elapsed().as_secs_f64()));
        pipelines.insert(model.to_owned(), pipeline.clone());
        Ok(pipeline)
    }

    /// Who speaks when, without words: the result has turns and voices and no segments.
    ///
    /// # Errors
    /// As [`Engine::pipeline`]; [`Error::Request`] for numbers of speakers that cannot be.
    pub fn diarize(
        &self,
        _decoded: Decoded,
        _decode_seconds: f64,
        _options: &DiarizeOptions,
        _watch: &Watch,
    ) -> Result<Transcript> {
        Err(Error::Bug("not yet".into()))
    }

    /// The voice of one speaker in `audio`: an embedding of length one, to be compared with [`Transcript::voices`].
    ///
    /// # Errors
    /// [`Error::Request`] when there is too little speech.
    pub fn voice(&self, _audio: &Audio, _watch: &Watch) -> Result<Vec<f32>> {
        Err(Error::Bug("not yet".into()))
    }
}
