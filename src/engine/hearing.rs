//! What is heard besides words: where there is speech, who speaks, how a voice sounds. All transcribers share it.

use std::{path::PathBuf, sync::Arc};

use super::{
    batcher::Batcher,
    health::Health,
    incoming::Incoming,
    load,
    metrics::Metrics,
    service::{EngineOptions, Keep},
    shelf::Shelf,
};
use crate::{
    audio::Audio,
    device::Devices,
    error::{Error, Result},
    models::{silero::Silero, speaker::Architecture},
    progress::{StageName, Watch},
    stages::{
        chunk::{self, ChunkOptions},
        diarize::{Diarization, DiarizeOptions, Plan},
        embed::{self, Embedder, FeatureExtractor},
        find::ChunkFinder,
        identify::Voice,
        segment::{self, SegmentPlan, SegmentStage, Segmentation},
        vad::{self, Detection, VadOptions, VoiceDetector},
    },
    weights::Store,
};

/// Voice detection runs on its request's own thread, since its recurrence has nothing to share between recordings; speaker
/// embeddings of all requests share batches. Every device has its own copy of these networks: they are small, and on one
/// device alone they would keep it from transcribing while the others wait for what they hear.
pub(super) struct Hearing {
    store: Store,
    devices: Devices,
    metrics: Metrics,
    health: Health,
    /// The name or folder of the speaker embedder.
    speaker_model: String,
    voice: Shelf<Silero>,
    segmenter: Shelf<Batcher<SegmentStage>>,
    speakers: Shelf<Speakers>,
}

struct Speakers {
    batcher: Batcher<Embedder>,
    architecture: Architecture,
    extractor: FeatureExtractor,
    /// Windows that are at work together.
    batch: usize,
}

/// What tells voices apart where nothing else is named.
const SPEAKER_MODEL: &str = "campplus";
/// Batches of windows of one request that are at work or wait at a time: what a long recording would hold otherwise is large.
const BATCHES_AHEAD: usize = 2;
/// Stretches of windows of one request that are at work at a time.
const STRETCHES_AT_WORK: usize = 64;
/// The part of the work of diarization that is done when the recording is segmented.
const SEGMENTED: f64 = 0.4;
/// Less speech than this, in seconds, does not tell how a voice sounds.
const LEAST_SPEECH: f64 = 0.5;

impl Hearing {
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
            speaker_model: options.speaker_model.clone().unwrap_or_else(|| SPEAKER_MODEL.into()),
            voice: Shelf::default(),
            segmenter: Shelf::default(),
            speakers: Shelf::default(),
        }
    }

    /// The voice detector.
    pub(super) fn voice(&self, watch: &Watch) -> Result<Arc<Silero>> {
        let fetch = || Ok((self.store.fetch("silero-vad", watch)?, 0));
        self.voice.get("silero-vad", &everything(), watch, fetch, |folder| load::voice(&folder))
    }

    fn speakers(&self, watch: &Watch) -> Result<Arc<Speakers>> {
        let fetch = || Ok((self.store.resolve_speaker_embedder(&self.speaker_model, watch)?, 0));
        let load = |folder: PathBuf| {
            let networks = load::on_each(&self.devices, |compute| load::embedder(&folder, compute))?;
            let (compute, network) = networks.first().ok_or_else(|| Error::Bug("there is no device".into()))?;
            let extractor = FeatureExtractor::new(network.features(), &compute.device);
            let architecture = network.architecture();
            let batch = embed::batch(&compute.device);
            let stages = networks.into_iter().map(|(compute, network)| {
                let stage = Embedder::new(network, compute.device.clone());
                (compute, stage)
            });
            let batcher = Batcher::start(stages, &self.metrics, &self.health)?;
            Ok(Speakers { batcher, architecture, extractor, batch })
        };
        self.health.note(self.speakers.get(&self.speaker_model, &everything(), watch, fetch, load))
    }

    /// Brings the segmentation network and the speaker embedder into memory.
    pub(super) fn warm_speakers(&self, watch: &Watch) -> Result<()> {
        self.segmenter(watch)?;
        self.speakers(watch).map(|_| ())
    }

    /// Where there is speech.
    pub(super) fn detect(&self, audio: &Audio, options: &VadOptions, watch: &Watch) -> Result<Detection> {
        self.hear(audio, options, watch).map(|(detection, _)| detection)
    }

    /// The chunks of a recording, to be found as they are wanted; and what the segmentation network has heard, where it was
    /// asked, so that telling speakers apart need not ask it again.
    pub(super) fn chunks(
        &self,
        audio: &Audio,
        speech: &VadOptions,
        chunks: &ChunkOptions,
        watch: &Watch,
    ) -> Result<(Incoming, Option<Segmentation>)> {
        match speech.detector {
            VoiceDetector::Silero => {
                let finder = ChunkFinder::new(self.voice(watch)?, speech, chunks)?;
                Ok((Incoming::found_by(finder, audio.clone()), None))
            }
            VoiceDetector::Pyannote => {
                let (detection, segmentation) = self.hear(audio, speech, watch)?;
                Ok((Incoming::complete(chunk::chunks(audio, &detection, chunks)?), segmentation))
            }
        }
    }

    /// Where there is speech; and what the segmentation network has heard, where it was asked, so that telling speakers
    /// apart need not ask it again.
    fn hear(&self, audio: &Audio, options: &VadOptions, watch: &Watch) -> Result<(Detection, Option<Segmentation>)> {
        options.validate()?;
        match options.detector {
            VoiceDetector::Silero => Ok((vad::detect(self.voice(watch)?.as_ref(), audio, options, watch)?, None)),
            VoiceDetector::Pyannote => {
                let segmentation = self.segment(audio, StageName::Vad, watch)?;
                Ok((vad::detect_in(&segmentation, options)?, Some(segmentation)))
            }
        }
    }

    /// Who speaks when; `heard` is what the segmentation network has heard, where it was asked before.
    pub(super) fn diarize(
        &self,
        audio: &Audio,
        heard: Option<Segmentation>,
        options: &DiarizeOptions,
        watch: &Watch,
    ) -> Result<Diarization> {
        options.bounds()?;
        let segmentation = heard.map_or_else(|| self.segment(audio, StageName::Diarize, watch), Ok)?;
        let speakers = self.speakers(watch)?;
        let plan = Plan::new(audio, segmentation, options, (speakers.architecture, &speakers.extractor))?;
        plan.conclude(speakers.embed(&plan, audio, watch)?)
    }

    /// The voice of the speaker in `audio`, of whoever speaks most where there are several: the mean of its windows.
    pub(super) fn voice_of(&self, audio: &Audio, watch: &Watch) -> Result<Voice> {
        let segmentation = self.segment(audio, StageName::Diarize, watch)?;
        let speakers = self.speakers(watch)?;
        let plan =
            Plan::new(audio, segmentation, &DiarizeOptions::default(), (speakers.architecture, &speakers.extractor))?;
        let heard = plan.speech_seconds();
        if heard < LEAST_SPEECH {
            return Err(Error::Request(format!(
                "only {heard:.1} s of speech were found, too little to know a voice by; send 2 to 10 s of one speaker"
            )));
        }
        let mut spoken = plan.conclude(speakers.embed(&plan, audio, watch)?)?;
        let mut heard = vec![0.0; spoken.voices.len()];
        spoken.exclusive.iter().for_each(|turn| heard[usize::from(turn.speaker.0)] += turn.span.duration());
        let most = (0..heard.len()).max_by(|&a, &b| heard[a].total_cmp(&heard[b])).ok_or_else(|| {
            Error::Request("the recording is too short to know a voice by; send 2 to 10 s of one speaker".into())
        })?;
        Ok(Voice { alone: heard.len() == 1, embedding: spoken.voices.swap_remove(most) })
    }

    fn segmenter(&self, watch: &Watch) -> Result<Arc<Batcher<SegmentStage>>> {
        let fetch = || Ok((self.store.fetch("segmentation-3.0", watch)?, 0));
        let load = |folder: PathBuf| {
            let stages = load::on_each(&self.devices, |compute| {
                let network = load::segmenter(&folder, compute)?;
                Ok(SegmentStage::new(network, &compute.device))
            });
            Batcher::start(stages?, &self.metrics, &self.health)
        };
        self.health.note(self.segmenter.get("segmentation-3.0", &everything(), watch, fetch, load))
    }

    /// Who is active when, in windows of ten seconds; it is all of voice detection and a part of diarization.
    fn segment(&self, audio: &Audio, stage: StageName, watch: &Watch) -> Result<Segmentation> {
        let plan = SegmentPlan::new(audio, segment::STEP)?;
        let batcher = self.segmenter(watch)?;
        let mut session = batcher.session(STRETCHES_AT_WORK);
        (0..plan.stretches()).for_each(|index| session.submit(index, plan.stretch(index)));
        let mut heard = vec![None; plan.stretches()];
        let part = if stage == StageName::Vad { 1.0 } else { SEGMENTED };
        for done in 0..plan.stretches() {
            watch.step(stage, part * plan.start(done), audio.duration())?;
            let (index, stretch) = session.next(watch)?;
            heard[index] = Some(stretch);
        }
        watch.step(stage, part * audio.duration(), audio.duration())?;
        Ok(plan.conclude(heard.into_iter().flatten().collect()))
    }
}

impl Speakers {
    /// An embedding of each window of `plan`.
    fn embed(&self, plan: &Plan, audio: &Audio, watch: &Watch) -> Result<Vec<Option<Vec<f32>>>> {
        let mut session = self.batcher.session(self.batch);
        let mut embeddings = vec![None; plan.windows()];
        let mut submitted = 0;
        for done in 0..plan.windows() {
            while submitted < plan.windows().min(done + BATCHES_AHEAD * self.batch) {
                session.submit(submitted, plan.features(submitted, audio, &self.extractor)?);
                submitted += 1;
            }
            let (index, made) = session.next(watch)?;
            embeddings[index] = made.into_iter().flatten().next();
            if done % self.batch == 0 {
                let reached = SEGMENTED * audio.duration() + (1.0 - SEGMENTED) * plan.start(done);
                watch.step(StageName::Diarize, reached, audio.duration())?;
            }
        }
        watch.step(StageName::Diarize, audio.duration(), audio.duration())?;
        Ok(embeddings)
    }
}

/// These models are small and stay.
fn everything() -> Keep {
    Keep { models: None, ..Keep::default() }
}
