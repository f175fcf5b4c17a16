//! The engine of a service: models that come when they are asked for and leave when nobody does.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use candle_core::DType;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    admission::{Admission, Capacity},
    aligners::Aligners,
    health::Health,
    hearing::Hearing,
    int8, load,
    metrics::Metrics,
    pipeline::Pipeline,
    shelf::Shelf,
};
use crate::{
    audio::{Audio, decode::Decoded},
    device::{Compute, Devices},
    error::{Error, Result},
    progress::{StageName, Watch},
    stages::{budget::largest_fitting, diarize::DiarizeOptions, identify::Voice},
    transcript::{SpeakerChanges, Timings, Transcript},
    weights::{Role, Store},
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
    /// Chunks of one request that are written side by side on a device at most.
    pub batch_size: usize,
    /// Chunks of other requests that are written beside them.
    pub spare: usize,
    /// How much may be inside at once.
    pub capacity: Capacity,
    /// How long models stay.
    pub keep: Keep,
    /// Whether any Whisper repository of the hub may be asked for, besides the models that have a name.
    pub repositories: bool,
    /// Whether folders on disk may be asked for.
    pub folders: bool,
    /// The aligner of every recording: a name, a folder, or a repository of the hub. `None`: the best at hand for each
    /// language.
    pub align_model: Option<String>,
    /// Whether aligners may be used whose licence forbids commercial use.
    pub noncommercial_aligners: bool,
    /// What tells voices apart: a name, or a folder. `None`: CAM++.
    pub speaker_model: Option<String>,
    /// What else may be asked for, by exactly these names: repositories and folders that the operator has named.
    pub allowed: Vec<String>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            batch_size: 16,
            spare: 4,
            capacity: Capacity::default(),
            keep: Keep::default(),
            repositories: false,
            folders: false,
            align_model: None,
            noncommercial_aligners: false,
            speaker_model: None,
            allowed: Vec::new(),
        }
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
    devices: Devices,
    options: EngineOptions,
    admission: Arc<Admission>,
    metrics: Metrics,
    health: Health,
    hearing: Arc<Hearing>,
    aligners: Arc<Aligners>,
    pipelines: Shelf<Pipeline>,
    /// Makes what is remembered of a caller's token useless to anybody else.
    salt: [u8; 32],
}

/// A transcriber on disk.
struct Fetched {
    folder: PathBuf,
    /// Holds what was fetched with a caller's own token; it goes when the weights are in memory.
    private: Option<TempDir>,
}

/// How long it may take until models that have left have freed their memory.
const FREED: Duration = Duration::from_secs(5);
/// How often idle models are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Engine {
    /// An engine that has loaded nothing yet. Each of the devices will have a copy of every model, and all work on the
    /// requests together.
    pub fn new(store: Store, devices: impl Into<Devices>, options: EngineOptions) -> Self {
        let (devices, metrics, health) = (devices.into(), Metrics::default(), Health::default());
        let (hearing, aligners) = (
            Hearing::new(store.clone(), devices.clone(), metrics.clone(), health.clone(), &options),
            Aligners::new(store.clone(), devices.clone(), metrics.clone(), health.clone(), &options),
        );
        let inner = Arc::new(Inner {
            admission: Admission::new(options.capacity),
            hearing: Arc::new(hearing),
            aligners: Arc::new(aligners),
            pipelines: Shelf::default(),
            salt: rand::random(),
            store,
            devices,
            options,
            metrics,
            health,
        });
        if inner.options.keep.idle.is_some() {
            sweep(Arc::downgrade(&inner));
        }
        Self(inner)
    }

    /// Where it computes; all devices are of one kind.
    pub fn compute(&self) -> &Compute {
        self.0.devices.first()
    }

    /// All devices on which it computes.
    pub fn devices(&self) -> &Devices {
        &self.0.devices
    }

    /// Whether they still work.
    pub fn health(&self) -> &Health {
        &self.0.health
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

    /// Every transcriber that has a name, and every other one that the operator allows or that is in memory. What callers
    /// fetched with tokens of their own is nobody else's business and is not among them.
    pub fn models(&self) -> Vec<ModelStatus> {
        let (warm, loading) = self.0.pipelines.names();
        let named = self.0.store.manifest().models.iter().filter(|model| model.role == Role::Transcriber);
        let mut names: Vec<String> = named.map(|model| model.name.clone()).collect();
        let others = self.0.options.allowed.iter().map(|name| self.name(name)).chain(warm.iter().cloned());
        for name in others.chain(loading.iter().cloned()).filter(|name| !name.contains(PRIVATE)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let state = |name: &String| match (warm.contains(name), loading.contains(name)) {
            (true, _) => ModelState::Warm,
            (false, true) => ModelState::Loading,
            (false, false) => ModelState::Cold,
        };
        let pinned = |name: &String| self.0.options.keep.pinned.iter().any(|pinned| self.name(pinned) == *name);
        names.into_iter().map(|name| ModelStatus { state: state(&name), pinned: pinned(&name), name }).collect()
    }

    /// The name under which a model is kept: aliases and the repositories of named models become the name.
    pub fn name(&self, model: &str) -> String {
        let manifest = self.0.store.manifest();
        let known = manifest.find(model).or_else(|| manifest.find_repository(model));
        known.map_or_else(|| model.to_owned(), |known| known.name.clone())
    }

    /// The pipeline around a transcriber, which is loaded when it is not in memory; two callers load it once, and others
    /// go on meanwhile. What is fetched with a `hub_token` from a repository that has no name here is kept apart: only
    /// callers with the same token use it, and nothing of it stays on disk.
    ///
    /// # Errors
    /// [`Error::Request`] for a model that is not known or not allowed, [`Error::Weights`] when it cannot be had,
    /// [`Error::OutOfMemory`] when a device has no room for it, [`Error::DeviceLost`], [`Error::Cancelled`],
    /// [`Error::Deadline`].
    pub fn pipeline(&self, model: &str, hub_token: Option<&str>, watch: &Watch) -> Result<Arc<Pipeline>> {
        self.0.health.check()?;
        let name = self.name(model);
        let named = self.0.store.manifest().find(&name).is_some();
        self.check_allowed(&name, named)?;
        let own = !named && !self.0.options.allowed.contains(&name) && !Path::new(&name).exists();
        // What the operator has named comes with the operator's own token: it lands where everybody is served from.
        let hub_token = hub_token.filter(|_| named || own);
        let key = match hub_token.filter(|_| own) {
            Some(token) => format!("{name}{PRIVATE}{}", self.fingerprint(token)),
            None => name.clone(),
        };
        let keep = self.keep();
        let started = Instant::now();
        let fetch = || {
            watch.step(StageName::Load, 0.0, 1.0)?;
            let fetched = self.fetch(&name, hub_token, own, watch);
            if matches!(fetched, Err(Error::Weights(_) | Error::Machine(_) | Error::Request(_))) {
                self.0.metrics.loaded(false, started.elapsed());
            }
            fetched
        };
        let load = |fetched| {
            let loaded = self.load(&name, fetched, started, watch);
            self.0.metrics.loaded(loaded.is_ok(), started.elapsed());
            loaded
        };
        let pipeline = self.0.health.note(self.0.pipelines.get(&key, &keep, watch, fetch, load))?;
        self.0.metrics.warm(self.0.pipelines.names().0.len());
        Ok(pipeline)
    }

    /// Brings what tells speakers apart into memory.
    ///
    /// # Errors
    /// As [`Engine::pipeline`].
    pub fn warm_speakers(&self, watch: &Watch) -> Result<()> {
        self.0.hearing.warm_speakers(watch)
    }

    /// Who speaks when, without words: the result has turns and voices and no segments.
    ///
    /// # Errors
    /// As [`Engine::pipeline`]; [`Error::Request`] for numbers of speakers that cannot be.
    pub fn diarize(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &DiarizeOptions,
        watch: &Watch,
    ) -> Result<Transcript> {
        self.0.health.check()?;
        let started = Instant::now();
        let found = self.0.hearing.diarize(&decoded.audio, None, options, watch)?;
        let mut transcript = Transcript::assemble(Vec::new(), &[], SpeakerChanges::default());
        transcript.turns = found.turns;
        transcript.voices = found.voices;
        transcript.duration = decoded.audio.duration();
        transcript.warnings = decoded.warnings;
        transcript.warnings.extend(found.warnings);
        let diarize = started.elapsed().as_secs_f64();
        let total = decode_seconds + diarize;
        transcript.timings = Timings(vec![("decode", decode_seconds), ("diarize", diarize), ("total", total)]);
        Ok(transcript)
    }

    /// The voice of the speaker in `audio`, to be compared with [`Transcript::voices`].
    ///
    /// # Errors
    /// [`Error::Request`] when there is too little speech; otherwise as [`Engine::pipeline`].
    pub fn voice(&self, audio: &Audio, watch: &Watch) -> Result<Voice> {
        self.0.health.check()?;
        self.0.hearing.voice_of(audio, watch)
    }

    fn check_allowed(&self, name: &str, named: bool) -> Result<()> {
        let options = &self.0.options;
        if named || options.allowed.iter().any(|allowed| self.name(allowed) == name) {
            return Ok(());
        }
        let folder = !Store::is_repository(name) || Path::new(name).exists();
        if if folder { options.folders } else { options.repositories } {
            return Ok(());
        }
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(80).collect();
        let remedy = if folder { "" } else { ", or ask the operator to allow repositories of the hub" };
        Err(Error::Request(format!(
            "the model `{shown}` is not known here; use tiny, base, small, medium, large-v3 or another one of the list of models{remedy}"
        )))
    }

    /// The folder of a transcriber, and the bytes of its weights.
    fn fetch(&self, name: &str, hub_token: Option<&str>, own: bool, watch: &Watch) -> Result<(Fetched, u64)> {
        let private = hub_token.filter(|_| own).map(|_| private_folder()).transpose()?;
        let store = match (hub_token, &private) {
            (Some(token), Some(private)) => self.0.store.private(private.path(), token.to_owned())?,
            (Some(token), None) => self.0.store.with_hub_token(token.to_owned()),
            (None, _) => self.0.store.clone(),
        };
        let folder = store.resolve_transcriber(name, watch)?;
        let bytes = std::fs::metadata(folder.join("model.safetensors")).map_or(0, |metadata| metadata.len());
        Ok((Fetched { folder, private }, bytes))
    }

    fn load(&self, name: &str, fetched: Fetched, started: Instant, watch: &Watch) -> Result<Pipeline> {
        let loaded = load::on_each(&self.0.devices, |compute| {
            self.make_room(&fetched.folder, compute, watch)?;
            // Weights that came with a caller's token leave nothing in the cache of all.
            let transcriber = match &fetched.private {
                Some(_) => load::transcriber(&fetched.folder, compute),
                None => int8::transcriber(&self.0.store, &fetched.folder, compute),
            }?;
            Ok(transcriber.with_heads(self.0.aligners.heads(name, compute)?))
        })?;
        watch.step(StageName::Load, 1.0, 1.0)?;
        let options = &self.0.options;
        let seconds = started.elapsed().as_secs_f64();
        let places = (options.batch_size, options.spare);
        let ears = (self.0.hearing.clone(), self.0.aligners.clone());
        let pipeline = Pipeline::start(loaded, ears, (&self.0.metrics, &self.0.health), places, seconds)?;
        // What a caller fetched with a token of his own is not told to whoever reads the log.
        tracing::info!(model = if fetched.private.is_some() { "(private)" } else { name }, seconds, "model loaded");
        Ok(pipeline)
    }

    /// Makes sure that a transcriber fits into what a device has free: where it does not, transcribers that nobody uses
    /// leave.
    fn make_room(&self, folder: &Path, compute: &Compute, watch: &Watch) -> Result<()> {
        let need = load::need(folder, compute)?.least();
        let fits = || compute.memory().is_none_or(|memory| need <= memory.free);
        if !fits() && self.0.pipelines.dismiss_idle(&self.keep()) {
            // Threads free what they owned when they end.
            let until = Instant::now() + FREED;
            while !fits() && Instant::now() < until {
                watch.check()?;
                std::thread::sleep(FREED / 100);
                compute.give_back();
            }
        }
        match compute.memory() {
            Some(memory) if need > memory.free => Err(too_large(need, memory.free, compute)),
            _ => Ok(()),
        }
    }

    fn keep(&self) -> Keep {
        self.0.keep()
    }

    /// What tells tokens apart without keeping them.
    fn fingerprint(&self, token: &str) -> String {
        let digest = Sha256::new().chain_update(self.0.salt).chain_update(token).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Says what a transcriber needs, what there is, and which one would do.
fn too_large(need: u64, free: u64, compute: &Compute) -> Error {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let other = match largest_fitting(free, compute.dtype, true) {
        Some(name) => format!("{name} fits"),
        None => "no known model fits: end what else uses the device, or use --device cpu".into(),
    };
    let halved = match compute.dtype {
        DType::F32 => "; --compute-type float16 needs half",
        _ => "",
    };
    Error::OutOfMemory(format!(
        "the model needs {:.1} GB of memory on {}, where {:.1} GB are free; {other}{halved}",
        gigabytes(need),
        compute.name(),
        gigabytes(free)
    ))
}

fn private_folder() -> Result<TempDir> {
    tempfile::tempdir().map_err(|reason| Error::Machine(format!("no temporary folder can be made ({reason})")))
}

/// Stands between a model's name and the fingerprint of a token; no name holds it.
const PRIVATE: &str = "\u{0}";

impl Inner {
    /// How long models stay, with names as they are kept.
    fn keep(&self) -> Keep {
        let manifest = self.store.manifest();
        let name = |model: &String| manifest.find(model).map_or_else(|| model.clone(), |known| known.name.clone());
        Keep { pinned: self.options.keep.pinned.iter().map(name).collect(), ..self.options.keep.clone() }
    }
}

/// Lets idle models go from time to time, as long as the engine lives.
fn sweep(engine: Weak<Inner>) {
    let started = std::thread::Builder::new().name("idle models".into()).spawn(move || {
        loop {
            std::thread::sleep(SWEEP);
            let Some(engine) = engine.upgrade() else { return };
            engine.pipelines.sweep(&engine.keep());
            engine.metrics.warm(engine.pipelines.names().0.len());
        }
    });
    if let Err(reason) = started {
        tracing::warn!(%reason, "idle models will not be unloaded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_numbers_and_another_one() {
        let compute = Compute { dtype: DType::F16, ..Compute::cpu() };
        let told = too_large(4_500_000_000, 4_000_000_000, &compute).to_string();
        assert_eq!(told, "the model needs 4.5 GB of memory on cpu, where 4.0 GB are free; large-v3-turbo fits");
        let none = too_large(4_500_000_000, 100_000_000, &Compute::cpu()).to_string();
        assert!(none.contains("no known model fits") && none.ends_with("--compute-type float16 needs half"), "{none}");
    }
}
