//! One request from audio to transcript.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::ScopedJoinHandle,
    time::Instant,
};

use super::{
    aligners::{Aligners, Timing, Wish},
    batcher::Batcher,
    channels::Channels,
    given::{self, GivenText},
    health::Health,
    hearing::Hearing,
    metrics::Metrics,
    recording::{Recording, Transcription},
};
use crate::{
    audio::{Audio, Chunk, decode::Decoded},
    device::Compute,
    error::{Error, Result},
    language::Language,
    models::whisper::tokenizer::Task,
    progress::Watch,
    stages::{
        chunk::{self, ChunkOptions},
        diarize::{Diarization, DiarizeOptions},
        identify::KnownVoices,
        script::Script,
        segment::Segmentation,
        transcribe::{TranscribeOptions, Transcriber},
        vad::VadOptions,
        write::Writer,
    },
    transcript::{Segment, SpeakerChanges, Timings, Transcript, Turn, Utterance},
};

/// How words get their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// The best way at hand.
    #[default]
    Auto,
    /// Forced alignment, or an error.
    Ctc,
    /// Cross-attention and dynamic time warping.
    Dtw,
    /// No word times; segments get the times that Whisper writes.
    Off,
}

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How speech is found.
    pub vad: VadOptions,
    /// How it is cut.
    pub chunk: ChunkOptions,
    /// How it is written. `timestamps` and `word_times` follow from `align`.
    pub transcribe: TranscribeOptions,
    /// Word times.
    pub align: Align,
    /// Whether characters get times too, where an aligner hears them.
    pub characters: bool,
    /// Who speaks in a recording of several channels.
    pub channels: Channels,
    /// Speakers, when wanted.
    pub diarize: Option<DiarizeOptions>,
    /// What a change of speaker does to words and segments.
    pub speaker_changes: SpeakerChanges,
    /// Speakers who are to be called by name.
    pub known: KnownVoices,
    /// Whether a text without its speakers is better than none: what keeps speakers from being told apart then is a
    /// warning that begins with [`NO_SPEAKERS`].
    pub text_without_speakers: bool,
}

/// How the warning begins that stands for speakers that could not be told apart.
pub const NO_SPEAKERS: &str = "speakers could not be told apart";

impl Options {
    /// Checks everything that can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn validate(&self) -> Result<()> {
        self.vad.validate()?;
        self.chunk.validate()?;
        self.transcribe.validate()?;
        self.diarize.as_ref().map_or(Ok(()), |wanted| wanted.bounds().map(|_| ()))
    }

    /// What the transcriber is asked for.
    fn wanted(&self) -> TranscribeOptions {
        let word_times = self.align != Align::Off;
        TranscribeOptions { word_times, timestamps: !word_times, ..self.transcribe.clone() }
    }
}

/// A transcriber that is ready, and the stages in order. Requests that use it at the same time share its batches.
pub struct Pipeline {
    transcriber: Arc<Transcriber>,
    writer: Batcher<Writer>,
    pub(super) hearing: Arc<Hearing>,
    aligners: Arc<Aligners>,
    metrics: Metrics,
    health: Health,
    /// What loading took, for the timings of the request that waited for it.
    load_seconds: f64,
    told_load: AtomicBool,
}

impl Pipeline {
    /// Starts the batches of a transcriber that was loaded on one or several devices: on each, at most `batch_size` chunks of
    /// one request are written side by side, and `spare` more of others.
    pub(super) fn start(
        loaded: Vec<(Compute, Transcriber)>,
        (hearing, aligners): (Arc<Hearing>, Arc<Aligners>),
        (metrics, health): (&Metrics, &Health),
        (batch_size, spare): (usize, usize),
        load_seconds: f64,
    ) -> Result<Self> {
        let copies: Vec<(Compute, Arc<Transcriber>)> =
            loaded.into_iter().map(|(compute, transcriber)| (compute, Arc::new(transcriber))).collect();
        let transcriber = copies.first().map(|(_, transcriber)| transcriber.clone());
        let transcriber = transcriber.ok_or_else(|| Error::Bug("a transcriber was loaded on no device".into()))?;
        let stages = copies
            .into_iter()
            .map(|(compute, transcriber)| (compute, Writer::new(transcriber, batch_size + spare, spare > 0)));
        let writer = Batcher::start(stages, metrics, health)?;
        let (metrics, health) = (metrics.clone(), health.clone());
        let told_load = AtomicBool::new(false);
        Ok(Self { transcriber, writer, hearing, aligners, metrics, health, load_seconds, told_load })
    }

    /// The transcriber.
    pub fn transcriber(&self) -> &Transcriber {
        &self.transcriber
    }

    /// Refuses options that cannot be, or that this checkpoint cannot serve.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn check(&self, options: &Options) -> Result<()> {
        options.validate()?;
        self.transcriber.check(&options.transcribe)
    }

    /// Transcribes decoded audio. `decode_seconds` is what decoding took, for the timings.
    ///
    /// # Errors
    /// [`Error::Request`] for options that cannot be, [`Error::Cancelled`], [`Error::Deadline`], or a failed tensor
    /// operation.
    pub fn transcribe(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
    ) -> Result<Transcript> {
        self.transcribe_live(decoded, decode_seconds, options, watch, &mut |_| {})
    }

    /// As [`Pipeline::transcribe`]; `listener` hears the segments, in order of time, as soon as they are known. With
    /// speakers that is when all of the recording has been listened to, while the text is still being written.
    ///
    /// # Errors
    /// As [`Pipeline::transcribe`].
    pub fn transcribe_live(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
        listener: &mut dyn FnMut(Vec<Segment>),
    ) -> Result<Transcript> {
        let outcome = self.run(decoded, decode_seconds, options, watch, listener);
        match &outcome {
            Ok(transcript) => self.metrics.transcribed(transcript),
            Err(Error::Cancelled | Error::Deadline(_)) => self.metrics.cancelled(),
            Err(_) => {}
        }
        outcome
    }

    /// As [`Pipeline::transcribe_live`], uncounted.
    pub(super) fn run(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
        listener: &mut dyn FnMut(Vec<Segment>),
    ) -> Result<Transcript> {
        self.health.check()?;
        options.validate()?;
        if options.channels == Channels::Speakers {
            return self.transcribe_channels(decoded, decode_seconds, options, watch, listener);
        }
        let script = Script::new(&self.transcriber, &options.wanted())?;
        let mut clock = Clock::new(self.load_time(), decode_seconds);
        let audio = decoded.audio;

        let (chunks, heard) = clock.time("vad", || self.hearing.chunks(&audio, &options.vad, &options.chunk, watch))?;
        let stopped = AtomicBool::new(false);
        let (told, spoken) = std::thread::scope(|scope| {
            let listening = options.diarize.as_ref().map(|wanted| {
                let (audio, stopped) = (&audio, &stopped);
                scope.spawn(move || self.listen(audio, heard, wanted, &watch.or_when(stopped)))
            });
            let mut teller =
                Teller { listening, turns: None, waiting: Vec::new(), told: Vec::new(), options, listener };
            let recording = Recording::new(&self.transcriber, &self.writer, script, chunks, watch);
            let said = clock.time("transcribe", || {
                let plan = |language| self.timing(options, language, watch);
                recording.write(&self.metrics, plan, &mut |utterances| teller.hear(utterances))
            });
            // What is still listening would keep this scope open.
            stopped.store(said.is_err(), Ordering::Relaxed);
            Ok::<_, Error>((said?, teller.finish()?))
        })?;
        let Transcription { language, probability, warnings, silent, searched, align_time, waited } = told;
        clock.split("transcribe", "vad", searched.as_secs_f64());
        clock.split("transcribe", "queue", waited.as_secs_f64());
        clock.split("transcribe", "align", align_time.as_secs_f64());
        let (utterances, diarization, without_speakers) = spoken;
        if options.diarize.is_some() {
            clock.timings.push(("diarize", diarization.seconds));
        }

        let mut transcript = Transcript::assemble(utterances, &diarization.found.exclusive, options.speaker_changes);
        transcript.turns = diarization.found.turns;
        transcript.voices = diarization.found.voices;
        let unmet = diarization.found.warnings;
        transcript.names = options.known.names_of(&transcript.voices);
        transcript.language = language;
        transcript.language_probability = probability;
        transcript.duration = audio.duration();
        transcript.warnings = decoded.warnings;
        if silent {
            transcript.warnings.push("no speech was found in the recording".into());
        }
        transcript.warnings.extend(warnings);
        transcript.warnings.extend_from_slice(options.known.warnings());
        transcript.warnings.extend(without_speakers);
        transcript.warnings.extend(unmet);
        transcript.timings = clock.finish();
        Ok(transcript)
    }

    /// How words in `language` get their times.
    fn timing(&self, options: &Options, language: Language, watch: &Watch) -> Result<Timing> {
        let (align, along) = (options.align, self.transcriber.heads());
        let translated = options.transcribe.task == Task::Translate;
        self.aligners.plan(&Wish { align, language, along, translated, characters: options.characters }, watch)
    }

    /// Who speaks when, and how long it took to know.
    fn listen(
        &self,
        audio: &Audio,
        heard: Option<Segmentation>,
        wanted: &DiarizeOptions,
        watch: &Watch,
    ) -> Result<Listened> {
        let started = Instant::now();
        let found = self.hearing.diarize(audio, heard, wanted, watch)?;
        Ok(Listened { found, seconds: started.elapsed().as_secs_f64() })
    }

    /// The language of a recording, likeliest first, with probabilities; empty where nothing is said, as found by `vad`.
    ///
    /// # Errors
    /// [`Error::Request`] for options that cannot be, [`Error::Cancelled`], [`Error::Deadline`], or a failed tensor operation.
    pub fn detect_language(&self, decoded: Decoded, vad: &VadOptions, watch: &Watch) -> Result<Vec<(Language, f32)>> {
        self.health.check()?;
        let (mut chunks, _) = self.hearing.chunks(&decoded.audio, vad, &ChunkOptions::default(), watch)?;
        if !self.transcriber.tokenizer().is_multilingual() {
            let first = chunks.wait_for(1, watch)?;
            return Ok(if first.is_empty() { Vec::new() } else { vec![(Language::ENGLISH, 1.0)] });
        }
        let script = Script::new(&self.transcriber, &TranscribeOptions::default())?;
        let mut recording = Recording::new(&self.transcriber, &self.writer, script, chunks, watch);
        Ok(recording.languages()?.map(|heard| heard.ranked()).unwrap_or_default())
    }

    /// Times the words of a given text. The result has the segments that were given, or sentences; a word that is not
    /// heard anywhere has no time, and a warning says so.
    ///
    /// # Errors
    /// [`Error::Request`] for a text that cannot be placed, [`Error::Cancelled`], [`Error::Deadline`], or a failed tensor
    /// operation.
    pub fn align(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        text: &GivenText,
        options: &Options,
        watch: &Watch,
    ) -> Result<Transcript> {
        self.health.check()?;
        let mut clock = Clock::new(self.load_time(), decode_seconds);
        let chunks = clock.time("vad", || self.chunks(&decoded, options, watch))?;
        let script = Script::new(&self.transcriber, &options.wanted())?;
        let plan = |language| {
            let Options { align, characters, .. } = *options;
            let wish = Wish { align, language, along: &[], translated: false, characters };
            self.aligners.plan(&wish, watch)
        };
        let aligner = given::Aligner {
            transcriber: &self.transcriber,
            writer: &self.writer,
            metrics: &self.metrics,
            script,
            plan: &plan,
            watch,
        };
        let mut transcript = clock.time("align", || aligner.align(&decoded.audio, &chunks, text))?;
        transcript.duration = decoded.audio.duration();
        let own = std::mem::replace(&mut transcript.warnings, decoded.warnings);
        transcript.warnings.extend(own);
        transcript.timings = clock.finish();
        Ok(transcript)
    }

    /// The bytes that a token of the vocabulary writes: UTF-8, of which a token may hold a part of a character.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.transcriber.tokenizer().token_bytes(id)
    }

    fn chunks(&self, decoded: &Decoded, options: &Options, watch: &Watch) -> Result<Vec<Chunk>> {
        let speech = self.hearing.detect(&decoded.audio, &options.vad, watch)?;
        chunk::chunks(&decoded.audio, &speech, &options.chunk)
    }

    /// What loading took, told once.
    fn load_time(&self) -> f64 {
        if self.told_load.swap(true, Ordering::Relaxed) { 0.0 } else { self.load_seconds }
    }
}

/// Who speaks when.
#[derive(Default)]
struct Listened {
    found: Diarization,
    seconds: f64,
}

/// Tells segments as soon as both their text and, where they are wanted, their speakers are known.
struct Teller<'scope, 'a> {
    listening: Option<ScopedJoinHandle<'scope, Result<Listened>>>,
    turns: Option<(Listened, Option<String>)>,
    /// Utterances whose speakers are not known yet.
    waiting: Vec<Utterance>,
    told: Vec<Utterance>,
    options: &'a Options,
    listener: &'a mut dyn FnMut(Vec<Segment>),
}

impl Teller<'_, '_> {
    fn hear(&mut self, utterances: Vec<Utterance>) -> Result<()> {
        self.waiting.extend(utterances);
        if self.listening.as_ref().is_none_or(ScopedJoinHandle::is_finished) {
            self.tell()?;
        }
        Ok(())
    }

    /// Tells what waits; where speakers are still listened to, waits for them.
    fn tell(&mut self) -> Result<()> {
        if let Some(listening) = self.listening.take() {
            let listened =
                listening.join().unwrap_or_else(|_| Err(Error::Bug("telling speakers apart panicked".into())));
            self.turns = Some(match listened {
                Ok(listened) => (listened, None),
                Err(error @ (Error::Cancelled | Error::Deadline(_) | Error::DeviceLost(_))) => return Err(error),
                Err(error) if self.options.text_without_speakers => {
                    (Listened::default(), Some(format!("{NO_SPEAKERS}: {error}")))
                }
                Err(error) => return Err(error),
            });
        }
        let turns: &[Turn] = self.turns.as_ref().map_or(&[], |(listened, _)| &listened.found.exclusive);
        for utterance in std::mem::take(&mut self.waiting) {
            (self.listener)(Segment::of(utterance.clone(), turns, self.options.speaker_changes));
            self.told.push(utterance);
        }
        Ok(())
    }

    /// Everything that was said, who said it, and a warning where that is not known.
    fn finish(mut self) -> Result<(Vec<Utterance>, Listened, Option<String>)> {
        self.tell()?;
        let (listened, warning) = self.turns.unwrap_or_default();
        Ok((self.told, listened, warning))
    }
}

/// Seconds per stage. Stages that run side by side each count in full; the total is what the caller has waited for, with loading
/// and decoding in full where the recording was decoded ahead.
struct Clock {
    timings: Vec<(&'static str, f64)>,
    before: f64,
    started: Instant,
}

impl Clock {
    /// A clock that knows what loading and decoding took.
    fn new(load: f64, decode: f64) -> Self {
        Self { timings: vec![("load", load), ("decode", decode)], before: load + decode, started: Instant::now() }
    }

    fn time<T>(&mut self, stage: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work()?;
        self.timings.push((stage, started.elapsed().as_secs_f64()));
        Ok(result)
    }

    /// Moves `seconds` of the stage `from` to another stage: that of this name, or a new one beside it, in their order.
    fn split(&mut self, from: &str, into: &'static str, seconds: f64) {
        let Some(place) = self.timings.iter().position(|(stage, _)| *stage == from) else { return };
        self.timings[place].1 = (self.timings[place].1 - seconds).max(0.0);
        match self.timings.iter_mut().find(|(stage, _)| *stage == into) {
            Some((_, sum)) => *sum += seconds,
            None => self.timings.insert(place + usize::from(into != "queue"), (into, seconds)),
        }
    }

    fn finish(mut self) -> Timings {
        self.timings.push(("total", self.before + self.started.elapsed().as_secs_f64()));
        Timings(self.timings)
    }
}
