//! What gives words their times: which aligner serves a language, where it comes from, and what to do where there is none.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::{
    batcher::Batcher,
    health::Health,
    load,
    metrics::Metrics,
    pipeline::Align,
    service::{EngineOptions, Keep},
    shelf::Shelf,
};
use crate::{
    device::{Compute, Devices},
    error::{Error, Result},
    language::Language,
    models::{
        aligner::{Aligner, LEAST_SCORE},
        labels::Labels,
    },
    progress::Watch,
    stages::{
        align::Hearing,
        ears::{self, Ears, Network},
    },
    weights::Store,
};

/// The transcriber whose encoder the heads were trained on.
const ENCODER: &str = "whisper-base";
/// Aligner networks in memory at most.
const MOST_NETWORKS: usize = 2;
/// An aligner that could not be had is not tried again for so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// All aligners; every transcriber shares them.
pub(super) struct Aligners {
    store: Store,
    devices: Devices,
    metrics: Metrics,
    health: Health,
    /// The one that is named for every recording.
    named: Option<String>,
    noncommercial: bool,
    /// On the processor, where what they are for is looked up.
    heads: OnceLock<Vec<Arc<Aligner>>>,
    ears: Shelf<Ear>,
    networks: Shelf<Ear>,
    /// Networks that could not be had, since when, and why.
    missing: Mutex<HashMap<String, (Instant, String)>>,
}

/// A network that listens, and its thread.
pub(super) struct Ear {
    pub(super) batcher: Batcher<Ears>,
    /// What its outputs stand for, where it is no encoder for heads.
    labels: Option<Labels>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) align: Align,
    /// The language of the recording.
    pub(super) language: Language,
    /// The heads that listen along with the transcriber.
    pub(super) along: &'a [Arc<Aligner>],
    /// Whether the text is a translation, which nobody has spoken.
    pub(super) translated: bool,
    /// Whether characters want times, too.
    pub(super) characters: bool,
}

/// How the words of one recording get their times. The default is by the transcriber's cross-attention.
#[derive(Default)]
pub(super) struct Timing {
    heads: Vec<Arc<Aligner>>,
    /// What listens for the heads, where the transcriber does not.
    ear: Option<Arc<Ear>>,
    /// What listens in place of the heads: to one language, or to all.
    network: Option<(Option<Language>, Arc<Ear>)>,
    characters: bool,
    /// Why cross-attention has to serve.
    pub(super) warning: Option<String>,
}

impl Timing {
    /// The languages whose words are timed by an aligner.
    pub(super) fn languages(&self) -> Arc<[Language]> {
        Language::all().filter(|&language| self.hearing(language).is_some()).collect()
    }

    /// What is known of the aligner for `language`.
    pub(super) fn hearing(&self, language: Language) -> Option<Hearing<'_>> {
        if let Some(labels) = self.network(language).and_then(|ear| ear.labels.as_ref()) {
            let characters = self.characters;
            let (offsets, reach) = ((0.0, 0.0), (0.0, 0.0));
            return Some(Hearing { labels, offsets, reach, least_score: LEAST_SCORE, characters });
        }
        ears::head(&self.heads, language).map(|head| ears::hearing(head, self.characters))
    }

    /// What listens to chunks in `language`.
    pub(super) fn ear(&self, language: Language) -> Option<&Arc<Ear>> {
        self.network(language).or(self.ear.as_ref())
    }

    /// Whether what the transcriber's heads have heard in `language` is of use.
    pub(super) fn hears_along(&self, language: Language) -> bool {
        self.network(language).is_none()
    }

    fn network(&self, language: Language) -> Option<&Arc<Ear>> {
        let (only, ear) = self.network.as_ref()?;
        only.is_none_or(|only| only == language).then_some(ear)
    }
}

impl Aligners {
    pub(super) fn new(
        store: Store,
        devices: Devices,
        metrics: Metrics,
        health: Health,
        options: &EngineOptions,
    ) -> Self {
        Self {
            store,
            devices,
            metrics,
            health,
            named: options.align_model.clone(),
            noncommercial: options.noncommercial_aligners,
            heads: OnceLock::new(),
            ears: Shelf::default(),
            networks: Shelf::default(),
            missing: Mutex::default(),
        }
    }

    /// The heads for the encoder of `transcriber`, which works on `compute`; none for most.
    ///
    /// # Errors
    /// [`Error::Bug`] when a head does not fit; when the device fails.
    pub(super) fn heads(&self, transcriber: &str, compute: &Compute) -> Result<Vec<Arc<Aligner>>> {
        let fit = |head: &Arc<Aligner>| head.config.encoder == transcriber;
        if !compute.device.is_cpu() {
            // Small enough that each encoder has its own, on its own stream.
            return Ok(load::aligner_heads(compute)?.into_iter().map(Arc::new).filter(fit).collect());
        }
        if self.heads.get().is_none() {
            let loaded = load::aligner_heads(compute)?;
            // Whoever was faster has loaded the same.
            let _ = self.heads.set(loaded.into_iter().map(Arc::new).collect());
        }
        let all = self.heads.get().map(Vec::as_slice).unwrap_or_default();
        Ok(all.iter().filter(|head| fit(head)).cloned().collect())
    }

    /// How a recording's words get their times.
    ///
    /// # Errors
    /// Where an aligner must be and cannot; [`Error::Cancelled`], [`Error::Deadline`].
    pub(super) fn plan(&self, wish: &Wish, watch: &Watch) -> Result<Timing> {
        match wish.align {
            Align::Off | Align::Dtw => return Ok(Timing::default()),
            Align::Auto if wish.translated => return Ok(Timing::default()),
            Align::Ctc if wish.translated => {
                return Err(Error::Request(
                    "nobody has spoken the words of a translation, so they cannot be aligned; use --align dtw or off"
                        .into(),
                ));
            }
            Align::Auto | Align::Ctc => {}
        }
        match self.find(wish, watch) {
            Ok(timing) => Ok(timing),
            Err(error @ (Error::Cancelled | Error::Deadline(_) | Error::DeviceLost(_))) => Err(error),
            Err(error) if wish.align == Align::Ctc || self.named.is_some() => Err(error),
            Err(error) => {
                let warning = format!("word times come from cross-attention, which is less exact: {error}");
                Ok(Timing { warning: Some(warning), ..Timing::default() })
            }
        }
    }

    /// The aligner that is named for all, else a head, else the manifest's for the language.
    fn find(&self, wish: &Wish, watch: &Watch) -> Result<Timing> {
        let timing = Timing { characters: wish.characters, ..Timing::default() };
        if let Some(name) = &self.named {
            return Ok(Timing { network: Some((None, self.network(name, watch)?)), ..timing });
        }
        let heads = self.heads(ENCODER, &Compute::cpu())?;
        if ears::head(&heads, wish.language).is_some() {
            let ear = if wish.along.is_empty() { Some(self.encoder(watch)?) } else { None };
            return Ok(Timing { heads, ear, ..timing });
        }
        let name = self.name_for(wish.language)?;
        let network = self.patiently(&name, || self.network(&name, watch))?;
        Ok(Timing { network: Some((Some(wish.language), network)), ..timing })
    }

    /// The manifest's aligner for a language, else the one that hears every language in Latin letters.
    fn name_for(&self, language: Language) -> Result<String> {
        let every_language = || self.store.manifest().romanised_aligner();
        match self.store.aligner(language.code()).or_else(every_language) {
            Some(model) if !model.non_commercial || self.noncommercial => Ok(model.name.clone()),
            Some(_) => Err(Error::Request(format!(
                "the licence of the aligner for {} forbids commercial use; allow that with --noncommercial-aligners, or name another one with --align-model",
                language.name()
            ))),
            None => {
                Err(Error::Request(format!("there is no aligner for {}; name one with --align-model", language.name())))
            }
        }
    }

    fn network(&self, name: &str, watch: &Watch) -> Result<Arc<Ear>> {
        let keep = Keep { models: Some(MOST_NETWORKS), ..Keep::default() };
        let fetch = || Ok((self.store.resolve_aligner(name, watch)?, 0));
        let load = |folder: PathBuf| {
            let mut known = None;
            let mut stages = Vec::new();
            for (compute, (network, labels)) in
                load::on_each(&self.devices, |compute| load::wav2vec2(&folder, compute))?
            {
                known.get_or_insert_with(|| labels.clone());
                let stage = Ears::new(Network::Ctc { network: Box::new(network), labels }, compute.clone());
                stages.push((compute, stage));
            }
            Ok(Ear { batcher: Batcher::start(stages, &self.metrics, &self.health)?, labels: known })
        };
        self.health.note(self.networks.get(name, &keep, watch, fetch, load))
    }

    /// The encoder that the heads listen to, for transcribers that have another one.
    fn encoder(&self, watch: &Watch) -> Result<Arc<Ear>> {
        let fetch = || Ok((self.store.fetch(ENCODER, watch)?, 0));
        let keep = Keep { models: None, ..Keep::default() };
        let load = |folder: PathBuf| {
            let stages = load::on_each(&self.devices, |compute| {
                let (encoder, mel) = load::encoder(&folder, compute)?;
                let heads = self.heads(ENCODER, compute)?;
                Ok(Ears::new(Network::Heads { encoder, mel, heads }, compute.clone()))
            });
            Ok(Ear { batcher: Batcher::start(stages?, &self.metrics, &self.health)?, labels: None })
        };
        self.health.note(self.ears.get(ENCODER, &keep, watch, fetch, load))
    }

    /// Does not try again at once what has just failed: each try may wait for a network that is not there.
    fn patiently<T>(&self, name: &str, attempt: impl FnOnce() -> Result<T>) -> Result<T> {
        let missing = || self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, reason)) = missing().get(name).filter(|(since, _)| since.elapsed() < PATIENCE) {
            tracing::debug!(name, ago = since.elapsed().as_secs(), "not tried again");
            return Err(Error::Weights(reason.clone()));
        }
        let outcome = attempt();
        match &outcome {
            Ok(_) => missing().remove(name),
            // These say nothing of the aligner.
            Err(Error::Cancelled | Error::Deadline(_) | Error::OutOfMemory(_) | Error::DeviceLost(_)) => None,
            Err(reason) => missing().insert(name.to_owned(), (Instant::now(), reason.to_string())),
        };
        outcome
    }
}
