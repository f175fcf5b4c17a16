//! What gives words their times: which aligner serves a language, where it comes from, and what to do where there is none.

use std::sync::{Arc, OnceLock};

use super::{batcher::Batcher, load, metrics::Metrics, pipeline::Align, service::Keep, shelf::Shelf};
use crate::{
    device::Compute,
    error::{Error, Result},
    language::Language,
    models::aligner::Aligner,
    progress::Watch,
    stages::{
        align::Hearing,
        ears::{self, Ears, Network},
    },
    weights::Store,
};

/// All aligners; every transcriber shares them.
pub(super) struct Aligners {
    store: Store,
    compute: Compute,
    metrics: Metrics,
    heads: OnceLock<Vec<Arc<Aligner>>>,
    ears: Shelf<Ear>,
}

/// A network that listens, and its thread.
pub(super) struct Ear {
    pub(super) batcher: Batcher<Ears>,
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
    characters: bool,
    /// Why cross-attention has to serve.
    pub(super) warning: Option<String>,
}

impl Timing {
    /// The languages whose words are timed by an aligner.
    pub(super) fn languages(&self) -> Arc<[Language]> {
        Language::all().filter(|&language| ears::head(&self.heads, language).is_some()).collect()
    }

    /// What is known of the aligner for `language`.
    pub(super) fn hearing(&self, language: Language) -> Option<Hearing<'_>> {
        ears::head(&self.heads, language).map(|head| ears::hearing(head, self.characters))
    }

    /// What listens to chunks in `language` that nobody has listened to.
    pub(super) fn ear(&self, _language: Language) -> Option<&Arc<Ear>> {
        self.ear.as_ref()
    }
}

impl Aligners {
    pub(super) fn new(store: Store, compute: Compute, metrics: Metrics) -> Self {
        Self { store, compute, metrics, heads: OnceLock::new(), ears: Shelf::default() }
    }

    /// The heads for the encoder of `transcriber`; none for most.
    pub(super) fn heads(&self, transcriber: &str) -> Result<Vec<Arc<Aligner>>> {
        if self.heads.get().is_none() {
            let loaded = load::aligner_heads(&self.compute)?;
            let _ = self.heads.set(loaded.into_iter().map(Arc::new).collect());
        }
        let all = self.heads.get().map(Vec::as_slice).unwrap_or_default();
        Ok(all.iter().filter(|head| head.config.encoder == transcriber).cloned().collect())
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
            Err(error @ (Error::Cancelled | Error::Deadline(_))) => Err(error),
            Err(error) if wish.align == Align::Ctc => Err(error),
            Err(error) => {
                let warning = format!("word times are those of cross-attention, which are less exact: {error}");
                Ok(Timing { warning: Some(warning), ..Timing::default() })
            }
        }
    }

    fn find(&self, wish: &Wish, watch: &Watch) -> Result<Timing> {
        let heads = self.heads(ENCODER)?;
        if ears::head(&heads, wish.language).is_none() {
            return Err(Error::Request(format!(
                "there is no aligner for {}; name one with --align-model",
                wish.language.name()
            )));
        }
        let ear = if wish.along.is_empty() { Some(self.encoder(heads.clone(), watch)?) } else { None };
        Ok(Timing { heads, ear, characters: wish.characters, warning: None })
    }

    /// The encoder that the heads listen to, for transcribers that have another one.
    fn encoder(&self, heads: Vec<Arc<Aligner>>, watch: &Watch) -> Result<Arc<Ear>> {
        let fetch = || Ok((self.store.fetch(ENCODER, watch)?, 0));
        self.ears.get(ENCODER, &everything(), watch, fetch, |folder| {
            let (encoder, mel) = load::encoder(&folder, &self.compute)?;
            let stage = Ears::new(Network::Heads { encoder, mel, heads }, self.compute.clone());
            Ok(Ear { batcher: Batcher::start(stage, &self.metrics)? })
        })
    }
}

/// The transcriber whose encoder the heads were trained on.
const ENCODER: &str = "whisper-base";

fn everything() -> Keep {
    Keep { models: None, ..Keep::default() }
}
