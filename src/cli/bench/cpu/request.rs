//! One request from the file to words with times and speakers, stage after stage on the thread that calls.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use palabra::{
    Error, Result,
    audio::{
        Audio, Chunk,
        decode::{Limits, decode_file},
    },
    device::Compute,
    engine,
    language::Language,
    models::{segmentation::Segmenter, silero::Silero, speaker::SpeakerEmbedder},
    ops::profile::{self, Stage as Timed},
    progress::{StageName, Watch},
    stages::{
        batch::ChunkKey,
        chunk::{self, ChunkOptions},
        diarize::{DiarizeOptions, Plan},
        ears,
        embed::{self, FeatureExtractor, Window, embed},
        language::{Distribution, LanguageChoice},
        script::Script,
        segment::{STEP, segment},
        stage::{Key, Stage},
        transcribe::{TranscribeOptions, Transcriber},
        utter,
        vad::{self, VadOptions},
        write::{Job, Outcome, Tongue, Work, Writer, Written},
    },
    weights::Store,
};

/// Chunks by which the language of a recording is judged.
const CHUNKS_FOR_LANGUAGE: usize = 4;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The recording.
    pub file: PathBuf,
    /// What is spoken in it; `None` detects it.
    pub language: Option<Language>,
    /// Chunks that are written side by side.
    pub batch_size: usize,
    /// The transcriber's name or folder.
    pub model: String,
    /// Whether speakers are told apart.
    pub speakers: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Told {
    /// Length of the recording.
    pub seconds: f64,
    /// Chunks that Whisper was given.
    pub chunks: usize,
    /// Tokens of the texts.
    pub tokens: usize,
    /// Chunks that were decoded again.
    pub fallbacks: usize,
    /// Speakers that were told apart.
    pub speakers: usize,
}

/// All networks.
pub struct Networks {
    transcriber: Arc<Transcriber>,
    /// Languages whose words an aligner head times; those of others are timed by cross-attention.
    aligned: Arc<[Language]>,
    voice: Silero,
    speakers: Option<Speakers>,
}

struct Speakers {
    segmenter: Segmenter,
    embedder: SpeakerEmbedder,
    extractor: FeatureExtractor,
    compute: Compute,
}

impl Networks {
    /// Loads what is wanted, fetched where it is not there.
    ///
    /// # Errors
    /// [`Error::Weights`] for a model that cannot be had or read; [`Error::Cancelled`].
    pub fn load(store: &Store, compute: &Compute, wanted: &Wanted, watch: &Watch) -> Result<Self> {
        let folder = store.resolve_transcriber(&wanted.model, watch)?;
        let name = store.manifest().find(&wanted.model).map_or(wanted.model.as_str(), |known| known.name.as_str());
        let heads = engine::aligner_heads(compute)?.into_iter().map(Arc::new);
        let heads: Vec<_> = heads.filter(|head| head.config.encoder == name).collect();
        let transcriber = Arc::new(engine::transcriber(&folder, compute)?.with_heads(heads));
        let aligned = Language::all().filter(|&language| ears::head(transcriber.heads(), language).is_some()).collect();
        let speakers = wanted.speakers.then(|| Speakers::load(store, watch)).transpose()?;
        Ok(Self { aligned, transcriber, voice: engine::voice(&store.fetch("silero-vad", watch)?)?, speakers })
    }

    /// Does everything once.
    ///
    /// # Errors
    /// A recording that cannot be read, options that the checkpoint cannot serve, [`Error::Cancelled`], or a tensor operation
    /// that failed.
    pub fn transcribe(&self, wanted: &Wanted, watch: &Watch) -> Result<Told> {
        let decoded = {
            let _stage = profile::stage(Timed::Decode);
            decode_file(&wanted.file, &Limits::default(), watch)?
        };
        let audio = decoded.audio;
        let speech = vad::detect(&self.voice, &audio, &VadOptions::default(), watch)?;
        let chunks = {
            let _stage = profile::stage(Timed::VoiceDetection);
            chunk::chunks(&audio, &speech, &ChunkOptions::default())?
        };
        if chunks.is_empty() {
            return Err(Error::Request("nobody speaks in this recording; name one with speech".into()));
        }
        let mut told = self.write(&chunks, wanted, watch)?;
        if let Some(speakers) = &self.speakers {
            told.speakers = speakers.tell_apart(&audio, watch)?;
        }
        Ok(Told { seconds: audio.duration(), chunks: chunks.len(), ..told })
    }

    fn write(&self, chunks: &[Chunk], wanted: &Wanted, watch: &Watch) -> Result<Told> {
        let _stage = profile::stage(Timed::Writing);
        let fixed = match wanted.language {
            Some(language) => LanguageChoice::Fixed(language),
            None => LanguageChoice::Detect,
        };
        let options = TranscribeOptions { language: fixed, batch_size: wanted.batch_size, ..Default::default() };
        let script = Script::new(&self.transcriber, &options)?;
        let writer = Writer::new(self.transcriber.clone(), wanted.batch_size, false);
        let mut desk = Desk { writer, script, chunks, aligned: self.aligned.clone(), watch };
        let language = match wanted.language {
            Some(language) => language,
            None if !self.transcriber.tokenizer().is_multilingual() => Language::ENGLISH,
            None => desk.language()?,
        };
        let mut told = Told::default();
        let mut done = 0.0;
        let total: f64 = chunks.iter().map(|chunk| chunk.audio.duration()).sum();
        let work = chunks.iter().map(|_| Work::Write(Tongue::Known(language))).collect();
        desk.work(work, &mut |chunk, outcome| {
            let Outcome::Written(written) = outcome else { return Err(mismatch()) };
            told.fallbacks += written.fallbacks;
            told.tokens += self.time_words(written, &chunks[chunk]);
            done += chunks[chunk].audio.duration();
            watch.step(StageName::Transcribe, done, total)
        })?;
        Ok(told)
    }

    /// Gives words their times, where they have none yet; the tokens of the text come back.
    fn time_words(&self, mut written: Written, chunk: &Chunk) -> usize {
        let emissions = written.emissions.take().filter(|_| written.untimed);
        for utterance in &mut written.utterances {
            let head = ears::head(self.transcriber.heads(), utterance.language);
            if let (Some(emissions), Some(head)) = (&emissions, head) {
                utter::set_times(utterance, emissions, &ears::hearing(head, false), chunk);
            }
        }
        written.utterances.iter().map(|utterance| utterance.tokens.len()).sum()
    }
}

/// A transcriber at work on one recording, fed as the engine feeds it.
struct Desk<'a> {
    writer: Writer,
    script: Arc<Script>,
    chunks: &'a [Chunk],
    aligned: Arc<[Language]>,
    watch: &'a Watch<'a>,
}

impl Desk<'_> {
    /// Does as much as there is work with the first chunks, one piece each; `take` hears what comes of each chunk.
    fn work(&mut self, work: Vec<Work>, take: &mut dyn FnMut(usize, Outcome) -> Result<()>) -> Result<()> {
        let job = |(index, work): (usize, Work)| {
            let (script, aligned) = (self.script.clone(), self.aligned.clone());
            let job = Job { key: ChunkKey::new(0, index), chunk: self.chunks[index].clone(), script, aligned, work };
            (index as Key, Arc::new(job))
        };
        let mut waiting: VecDeque<(Key, Arc<Job>)> = work.into_iter().enumerate().map(job).collect();
        let mut inside = 0;
        while inside > 0 || !waiting.is_empty() {
            self.watch.check()?;
            let room = self.writer.places().saturating_sub(inside).min(self.writer.intake()).min(waiting.len());
            if room > 0 {
                self.writer.admit(waiting.drain(..room).collect())?;
                inside += room;
            }
            for (key, outcome) in self.writer.step()? {
                inside -= 1;
                take(key as usize, outcome?)?;
            }
        }
        Ok(())
    }

    /// The likeliest language of the first chunks together.
    fn language(&mut self) -> Result<Language> {
        let count = self.chunks.len().min(CHUNKS_FOR_LANGUAGE);
        let (chunks, mut heard) = (self.chunks, Vec::with_capacity(count));
        self.work((0..count).map(|_| Work::Detect).collect(), &mut |chunk, outcome| {
            let Outcome::Detected(distribution) = outcome else { return Err(mismatch()) };
            heard.push((distribution, chunks[chunk].audio.duration()));
            Ok(())
        })?;
        Ok(Distribution::mean(&heard).ranked().first().map_or(Language::ENGLISH, |(language, _)| *language))
    }
}

fn mismatch() -> Error {
    Error::Bug("a job came back as another".into())
}

impl Speakers {
    fn load(store: &Store, watch: &Watch) -> Result<Self> {
        let compute = Compute::cpu();
        let embedder = engine::embedder(&store.fetch("campplus", watch)?, &compute)?;
        Ok(Self {
            segmenter: engine::segmenter(&store.fetch("segmentation-3.0", watch)?, &compute)?,
            extractor: FeatureExtractor::new(embedder.features(), &compute.device),
            embedder,
            compute,
        })
    }

    /// The number of speakers.
    fn tell_apart(&self, audio: &Audio, watch: &Watch) -> Result<usize> {
        let device = &self.compute.device;
        let segmentation = {
            let _stage = profile::stage(Timed::Segmentation);
            segment(&self.segmenter, device, audio, STEP, watch)?
        };
        let plan = {
            let _stage = profile::stage(Timed::Clustering);
            let embedder = (self.embedder.architecture(), &self.extractor);
            Plan::new(audio, segmentation, &DiarizeOptions::default(), embedder)?
        };
        let indexes: Vec<usize> = (0..plan.windows()).collect();
        let mut embeddings = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(embed::batch(device)) {
            watch.check()?;
            let windows = indexes.iter().map(|&index| plan.features(index, audio, &self.extractor));
            let windows: Vec<Window> = windows.collect::<Result<_>>()?;
            let made = embed(&self.embedder, device, &windows.iter().collect::<Vec<_>>())?;
            embeddings.extend(made.into_iter().map(|made| made.into_iter().flatten().next()));
        }
        Ok(plan.conclude(embeddings)?.voices.len())
    }
}
