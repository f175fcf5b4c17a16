//! What is heard besides words: where there is speech, who speaks, how a voice sounds. All transcribers share it.

use std::{path::PathBuf, sync::Arc};

use super::{batcher::Batcher, load, metrics::Metrics, service::Keep, shelf::Shelf};
use crate::{
    audio::{Audio, fbank::Fbank},
    device::Compute,
    error::{Error, Result},
    models::silero::Silero,
    progress::{StageName, Watch},
    span::Span,
    stages::{
        diarize::{self, Diarization, DiarizeOptions, Plan},
        embed::{BATCH, Embedder, Window},
        identify::Voice,
        vad::{self, Detection, VadOptions},
    },
    weights::Store,
};

/// Voice detection runs on its request's own thread, since its recurrence has nothing to share between recordings; speaker
/// embeddings of all requests share batches.
pub(super) struct Hearing {
    store: Store,
    compute: Compute,
    metrics: Metrics,
    voice: Shelf<Silero>,
    speakers: Shelf<Speakers>,
}

struct Speakers {
    batcher: Batcher<Embedder>,
    bins: usize,
}

/// Windows of one request that are at work or wait at a time: what a long recording would hold otherwise is large.
const WINDOWS_AHEAD: usize = 2 * BATCH;
/// Less speech than this, in seconds, does not tell how a voice sounds.
const LEAST_SPEECH: f64 = 0.5;

impl Hearing {
    pub(super) fn new(store: Store, compute: Compute, metrics: Metrics) -> Self {
        Self { store, compute, metrics, voice: Shelf::default(), speakers: Shelf::default() }
    }

    /// The voice detector.
    pub(super) fn voice(&self, watch: &Watch) -> Result<Arc<Silero>> {
        let fetch = || Ok((self.store.fetch("silero-vad", watch)?, 0));
        self.voice.get("silero-vad", &everything(), watch, fetch, |folder| load::voice(&folder))
    }

    fn speakers(&self, watch: &Watch) -> Result<Arc<Speakers>> {
        let fetch = || Ok((self.store.fetch("campplus", watch)?, 0));
        let load = |folder: PathBuf| {
            let network = load::embedder(&folder, &self.compute)?;
            let bins = network.config().features;
            let stage = Embedder::new(network, self.compute.device.clone());
            Ok(Speakers { batcher: Batcher::start(stage, &self.metrics)?, bins })
        };
        self.speakers.get("campplus", &everything(), watch, fetch, load)
    }

    /// Brings the speaker embedder into memory.
    pub(super) fn warm_speakers(&self, watch: &Watch) -> Result<()> {
        self.speakers(watch).map(|_| ())
    }

    /// Where there is speech.
    pub(super) fn detect(&self, audio: &Audio, options: &VadOptions, watch: &Watch) -> Result<Detection> {
        vad::detect(self.voice(watch)?.as_ref(), audio, options, watch)
    }

    /// Who speaks when, given the probabilities of voice detection.
    pub(super) fn diarize(
        &self,
        audio: &Audio,
        probabilities: &[f32],
        options: &DiarizeOptions,
        watch: &Watch,
    ) -> Result<Diarization> {
        let speech = vad::speech_spans(probabilities, audio.samples().len(), &diarize::speech_options());
        let plan = Plan::new(audio, &speech, options)?;
        let speakers = self.speakers(watch)?;
        let fbank = Fbank::new(speakers.bins);
        let window = |index: usize| plan.features(index, audio, &fbank);
        let told = |index: usize| watch.step(StageName::Diarize, plan.start(index), audio.duration());
        let embeddings = speakers.embed(plan.windows(), window, told, watch)?;
        watch.step(StageName::Diarize, audio.duration(), audio.duration())?;
        plan.conclude(embeddings)
    }

    /// The voice of the speaker in `audio`, of whoever speaks most where there are several: the mean of its windows.
    pub(super) fn voice_of(&self, audio: &Audio, watch: &Watch) -> Result<Voice> {
        let detection = self.detect(audio, &VadOptions::default(), watch)?;
        let speech = vad::speech_spans(&detection.probabilities, audio.samples().len(), &diarize::speech_options());
        let heard: f64 = speech.iter().map(Span::duration).sum();
        if heard < LEAST_SPEECH {
            return Err(Error::Request(format!(
                "only {heard:.1} s of speech were found, too little to know a voice by; send 2 to 10 s of one speaker"
            )));
        }
        let mut spoken = self.diarize(audio, &detection.probabilities, &DiarizeOptions::default(), watch)?;
        let mut heard = vec![0.0; spoken.voices.len()];
        spoken.exclusive.iter().for_each(|turn| heard[usize::from(turn.speaker.0)] += turn.span.duration());
        let most = (0..heard.len()).max_by(|&a, &b| heard[a].total_cmp(&heard[b])).ok_or_else(|| {
            Error::Request("the recording is too short to know a voice by; send 2 to 10 s of one speaker".into())
        })?;
        Ok(Voice { alone: heard.len() == 1, embedding: spoken.voices.swap_remove(most) })
    }
}

impl Speakers {
    /// An embedding of each of `count` windows.
    fn embed(
        &self,
        count: usize,
        window: impl Fn(usize) -> Result<Window>,
        told: impl Fn(usize) -> Result<()>,
        watch: &Watch,
    ) -> Result<Vec<Vec<f32>>> {
        let mut session = self.batcher.session(BATCH);
        let mut embeddings = vec![Vec::new(); count];
        let mut submitted = 0;
        for done in 0..count {
            while submitted < count.min(done + WINDOWS_AHEAD) {
                session.submit(submitted, window(submitted)?);
                submitted += 1;
            }
            let (index, embedding) = session.next(watch)?;
            embeddings[index] = embedding;
            if done % BATCH == 0 {
                told(done)?;
            }
        }
        Ok(embeddings)
    }
}

/// These models are small and stay.
fn everything() -> Keep {
    Keep { models: None, ..Keep::default() }
}
