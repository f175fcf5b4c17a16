//! Chunks of speech to text: one encoder call per group of chunks, one decoder batch whose rows come and go.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    batch::Batch,
    language::{Distribution, LanguageChoice},
    row::{Decoding, Gates, Row, Verdict, best_of},
};
use crate::{
    audio::{Chunk, mel::LogMel},
    device::Compute,
    error::{Error, Result},
    language::Language,
    models::whisper::{
        Config, GenerationConfig, Tokenizer, Whisper,
        tokenizer::{TIMESTAMP_STEP, Task},
    },
    progress::{StageName, Watch},
    span::Span,
    transcript::{Token, Utterance, Word},
};

/// How speech is turned into text.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscribeOptions {
    /// The language, or how to find it.
    pub language: LanguageChoice,
    /// Same language or English.
    pub task: Task,
    /// Rows in a decoder batch.
    pub batch_size: usize,
    /// The temperatures that are tried in turn until a text passes the gates.
    pub temperatures: Vec<f32>,
    /// When a text is not believed.
    pub gates: Gates,
    /// Text that is told to the model as if it went before.
    pub initial_prompt: Option<String>,
    /// Words that are likely to occur.
    pub hotwords: Option<String>,
    /// Whether the model writes times of segments.
    pub timestamps: bool,
    /// Whether every word gets its time from cross-attention.
    pub word_times: bool,
}

impl Default for TranscribeOptions {
    fn default() -> Self {
        Self {
            language: LanguageChoice::Detect,
            task: Task::Transcribe,
            batch_size: 16,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            gates: Gates::default(),
            initial_prompt: None,
            hotwords: None,
            timestamps: false,
            word_times: true,
        }
    }
}

impl TranscribeOptions {
    /// Checks everything that can be checked without a checkpoint.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn validate(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::Request("--batch-size must be at least 1".into()));
        }
        if self.temperatures.is_empty() || self.temperatures.iter().any(|t| !(0.0..=2.0).contains(t)) {
            return Err(Error::Request("--temperature takes numbers from 0 to 2, at least one of them".into()));
        }
        self.gates.validate()
    }
}

/// What the transcriber gives for one recording.
#[derive(Debug, Clone)]
pub struct Transcription {
    /// In order of time.
    pub utterances: Vec<Utterance>,
    /// The language of the recording.
    pub language: Language,
    /// Its probability; 1 when it was given.
    pub language_probability: f32,
    /// What was dropped or is uncertain.
    pub warnings: Vec<String>,
    /// Time spent on word times.
    pub align_time: Duration,
}

/// A Whisper checkpoint ready to work.
#[derive(Debug)]
pub struct Transcriber {
    whisper: Whisper,
    tokenizer: Tokenizer,
    generation: GenerationConfig,
    alignment_heads: Vec<(usize, usize)>,
    mel: LogMel,
    compute: Compute,
}

/// Chunks by which the language of a recording is judged.
const CHUNKS_FOR_LANGUAGE: usize = 4;

impl Transcriber {
    /// Puts the parts of a checkpoint together.
    pub fn new(whisper: Whisper, tokenizer: Tokenizer, generation: GenerationConfig, compute: Compute) -> Self {
        let alignment_heads = generation.alignment_heads(&whisper.config);
        let mel = LogMel::new(whisper.config.num_mel_bins);
        Self { whisper, tokenizer, generation, alignment_heads, mel, compute }
    }

    /// The network.
    pub fn whisper(&self) -> &Whisper {
        &self.whisper
    }

    /// The checkpoint's dimensions.
    pub fn config(&self) -> &Config {
        &self.whisper.config
    }

    /// The checkpoint's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The checkpoint's suppress lists.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// (layer, head) pairs that follow time.
    pub fn alignment_heads(&self) -> &[(usize, usize)] {
        &self.alignment_heads
    }

    /// The features the encoder reads.
    pub fn mel(&self) -> &LogMel {
        &self.mel
    }

    /// Where it runs.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Transcribes the chunks of one recording.
    ///
    /// # Errors
    /// [`Error::Request`] for options that this checkpoint cannot serve, [`Error::Cancelled`], or a failed tensor operation.
    pub fn transcribe(&self, chunks: &[Chunk], options: &TranscribeOptions, watch: &Watch) -> Result<Transcription> {
        self.check(options)?;
        Run::new(self, chunks, options)?.run(watch)
    }

    /// Refuses options that this checkpoint cannot serve.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn check(&self, options: &TranscribeOptions) -> Result<()> {
        options.validate()?;
        if !self.tokenizer.is_multilingual() && options.task == Task::Translate {
            return Err(Error::Request(
                "an English-only model cannot translate; choose a multilingual one such as base".into(),
            ));
        }
        match options.language {
            LanguageChoice::Fixed(language) if self.tokenizer.is_multilingual() => {
                self.tokenizer.language(language).map(|_| ()).ok_or_else(|| {
                    Error::Request(format!("this model does not know {}; large-v3 does", language.name()))
                })
            }
            LanguageChoice::Fixed(language) if language != Language::ENGLISH => Err(Error::Request(format!(
                "an English-only model cannot transcribe {}; choose a multilingual one such as base",
                language.name()
            ))),
            _ => Ok(()),
        }
    }
}

/// One recording on its way through the batch.
struct Run<'a> {
    transcriber: &'a Transcriber,
    chunks: &'a [Chunk],
    options: &'a TranscribeOptions,
    batch: Batch<'a>,
    utterances: Vec<Vec<Utterance>>,
    warnings: Vec<(usize, String)>,
    align_time: Duration,
    done: f64,
}

impl<'a> Run<'a> {
    fn new(transcriber: &'a Transcriber, chunks: &'a [Chunk], options: &'a TranscribeOptions) -> Result<Self> {
        let slots = options.batch_size.min(chunks.len()).max(1);
        Ok(Self {
            transcriber,
            chunks,
            options,
            batch: Batch::new(transcriber, chunks, options, slots)?,
            utterances: vec![Vec::new(); chunks.len()],
            warnings: Vec::new(),
            align_time: Duration::ZERO,
            done: 0.0,
        })
    }

    fn run(mut self, watch: &Watch) -> Result<Transcription> {
        let total: f64 = self.chunks.iter().map(|chunk| chunk.audio.duration()).sum();
        watch.step(StageName::Transcribe, 0.0, total)?;
        let (recording, language, probability) = self.recording_language(watch)?;
        let mut waiting: VecDeque<usize> = (0..self.chunks.len()).collect();
        let mut free: Vec<usize> = (0..self.batch.slots()).collect();
        let mut rows: Vec<Row> = Vec::new();
        while !waiting.is_empty() || !rows.is_empty() {
            let enough = free.len() >= self.batch.slots().div_ceil(4) || rows.is_empty();
            let mut finished = Vec::new();
            if !waiting.is_empty() && enough {
                let mut new = self.take(&mut waiting, &mut free, language, recording.as_ref())?;
                let flags = self.batch.begin(&mut new.iter_mut().collect::<Vec<_>>())?;
                part(new, &flags, &mut rows, &mut finished);
            } else {
                let flags = self.batch.step(&mut rows.iter_mut().collect::<Vec<_>>())?;
                part(std::mem::take(&mut rows), &flags, &mut rows, &mut finished);
            }
            while let Some(row) = finished.pop() {
                match self.judge(row)? {
                    Some(mut again) => {
                        let over = self.batch.begin(&mut [&mut again])?[0];
                        if over { &mut finished } else { &mut rows }.push(again);
                    }
                    None => {
                        free = (0..self.batch.slots())
                            .filter(|slot| !rows.iter().chain(&finished).any(|row| row.slot == *slot))
                            .collect();
                        watch.step(StageName::Transcribe, self.done, total)?;
                    }
                }
            }
            watch.check()?;
        }
        self.warnings.sort_by_key(|(chunk, _)| *chunk);
        Ok(Transcription {
            utterances: self.utterances.into_iter().flatten().collect(),
            language,
            language_probability: probability,
            warnings: self.warnings.into_iter().map(|(_, warning)| warning).collect(),
            align_time: self.align_time,
        })
    }

    /// Fills free slots with waiting chunks.
    fn take(
        &mut self,
        waiting: &mut VecDeque<usize>,
        free: &mut Vec<usize>,
        language: Language,
        recording: Option<&Distribution>,
    ) -> Result<Vec<Row>> {
        let mut places = Vec::new();
        while let Some(&chunk) = waiting.front() {
            let Some(slot) = self.batch.choose_slot(free, chunk) else { break };
            places.push((slot, chunk));
            waiting.pop_front();
        }
        self.batch.listen(&places)?;
        let slots: Vec<usize> = places.iter().map(|(slot, _)| *slot).collect();
        let languages = match (self.options.language, recording) {
            (LanguageChoice::PerChunk, Some(recording)) => {
                let own = self.batch.languages(&slots)?;
                own.iter().map(|own| own.likeliest_within(recording).unwrap_or(language)).collect()
            }
            _ => vec![language; slots.len()],
        };
        let temperature = self.options.temperatures[0];
        Ok(places.iter().zip(languages).map(|(&(slot, chunk), own)| Row::new(chunk, slot, own, temperature)).collect())
    }

    /// The language of the recording: its distribution where it was detected, the language, its probability.
    fn recording_language(&mut self, watch: &Watch) -> Result<(Option<Distribution>, Language, f32)> {
        if !self.transcriber.tokenizer.is_multilingual() {
            return Ok((None, Language::ENGLISH, 1.0));
        }
        if let LanguageChoice::Fixed(language) = self.options.language {
            return Ok((None, language, 1.0));
        }
        let count = self.chunks.len().min(CHUNKS_FOR_LANGUAGE).min(self.batch.slots());
        if count == 0 {
            return Ok((None, Language::ENGLISH, 0.0));
        }
        let places: Vec<(usize, usize)> = (0..count).map(|index| (index, index)).collect();
        self.batch.listen(&places)?;
        let slots: Vec<usize> = (0..count).collect();
        let own = self.batch.languages(&slots)?;
        let weighed: Vec<_> = own.into_iter().zip(self.chunks).map(|(d, chunk)| (d, chunk.audio.duration())).collect();
        let recording = Distribution::mean(&weighed);
        let longest = (0..count).max_by(|&a, &b| weighed[a].1.total_cmp(&weighed[b].1)).unwrap_or(0);
        let language = self.try_candidates(&recording, longest, watch)?;
        let probability = recording.of(language);
        Ok((Some(recording), language, probability))
    }

    /// Where the detection is unsure, writes one chunk in each candidate language and keeps the language under which
    /// audio and text together are likeliest: a wrong language gives improbable text.
    fn try_candidates(&mut self, recording: &Distribution, slot: usize, watch: &Watch) -> Result<Language> {
        let candidates = recording.candidates();
        let Some(&(first, _)) = candidates.first() else { return Ok(Language::ENGLISH) };
        if candidates.len() == 1 {
            return Ok(first);
        }
        let mut best = (f32::NEG_INFINITY, first);
        for (language, probability) in candidates {
            watch.check()?;
            let decoding = self.batch.decode_alone(&mut Row::new(slot, slot, language, 0.0))?;
            let mut score = probability.max(1e-6).ln() + decoding.sum_logprob();
            if decoding.repeats(&self.options.gates) || decoding.text.is_empty() {
                score -= 100.0;
            }
            tracing::debug!(language = language.code(), probability, score, "tried a language");
            if score > best.0 {
                best = (score, language);
            }
        }
        Ok(best.1)
    }

    /// Keeps, drops or retries a finished row; a row to retry comes back.
    fn judge(&mut self, mut row: Row) -> Result<Option<Row>> {
        let decoding = row.decoding(&self.transcriber.tokenizer)?;
        let verdict = decoding.verdict(&self.options.gates);
        let next = self.options.temperatures.get(row.failed.len() + 1).copied();
        let decoding = match (verdict, next) {
            (Verdict::Retry, Some(temperature)) => {
                tracing::debug!(chunk = row.chunk, temperature, avg_logprob = decoding.avg_logprob, "decoding again");
                row.restart(decoding, temperature);
                return Ok(Some(row));
            }
            (Verdict::Retry, None) => {
                let mut attempts = std::mem::take(&mut row.failed);
                attempts.push(decoding);
                let Some(mut best) = best_of(attempts, &self.options.gates) else {
                    return Err(Error::Bug("a row finished without an attempt".into()));
                };
                best.unroll(&self.transcriber.tokenizer)?;
                self.warn(&row, "the text is uncertain: no attempt passed the quality thresholds");
                best
            }
            (Verdict::Silence, _) => {
                let reason = format!("dropped as silence (no-speech probability {:.2})", decoding.no_speech_prob);
                self.warn(&row, &reason);
                self.done += self.chunks[row.chunk].audio.duration();
                return Ok(None);
            }
            (Verdict::Accept, _) => decoding,
        };
        if decoding.text.is_empty() {
            self.warn(&row, "speech was detected but no text was recognised");
        } else {
            self.keep(&row, &decoding)?;
        }
        self.done += self.chunks[row.chunk].audio.duration();
        Ok(None)
    }

    fn warn(&mut self, row: &Row, what: &str) {
        let span = self.chunks[row.chunk].span();
        self.warnings.push((row.chunk, format!("{:.2}-{:.2} s: {what}", span.start, span.end)));
    }

    fn keep(&mut self, row: &Row, decoding: &Decoding) -> Result<()> {
        let chunk = &self.chunks[row.chunk];
        self.utterances[row.chunk] = if self.options.word_times {
            let started = Instant::now();
            let words = self.batch.align(row, decoding)?;
            self.align_time += started.elapsed();
            for span in stretched(&words) {
                let what = "words stretch over this time; something said here may be missing";
                self.warnings.push((row.chunk, format!("{:.2}-{:.2} s: {what}", span.start, span.end)));
            }
            let span = extent(&words).unwrap_or_else(|| speech(chunk));
            vec![utterance(decoding, row.language, span, decoding.text.clone(), decoding.written(), words)]
        } else {
            timed_pieces(&self.transcriber.tokenizer, decoding, chunk)?
                .into_iter()
                .map(|(span, text, tokens)| utterance(decoding, row.language, span, text, tokens, Vec::new()))
                .collect()
        };
        Ok(())
    }
}

/// Sorts rows by whether they are finished.
fn part(all: Vec<Row>, flags: &[bool], going: &mut Vec<Row>, finished: &mut Vec<Row>) {
    for (row, &over) in all.into_iter().zip(flags) {
        if over { &mut *finished } else { &mut *going }.push(row);
    }
}

fn utterance(
    decoding: &Decoding,
    language: Language,
    span: Span,
    text: String,
    tokens: Vec<Token>,
    words: Vec<Word>,
) -> Utterance {
    Utterance {
        span,
        text,
        language,
        tokens,
        avg_logprob: decoding.avg_logprob,
        no_speech_prob: decoding.no_speech_prob,
        compression_ratio: decoding.compression_ratio,
        temperature: decoding.temperature,
        words,
    }
}

/// A word longer than this, in seconds, covers speech that the text has left out.
const LONGEST_WORD: f64 = 1.5;

/// Where words last longer than anyone says them; neighbours are one stretch.
fn stretched(words: &[Word]) -> Vec<Span> {
    let mut stretches: Vec<Span> = Vec::new();
    for span in words.iter().filter_map(|word| word.span).filter(|span| span.duration() > LONGEST_WORD) {
        match stretches.last_mut() {
            Some(last) if last.gap(&span) <= 0.0 => *last = last.union(&span),
            _ => stretches.push(span),
        }
    }
    stretches
}

fn extent(words: &[Word]) -> Option<Span> {
    words.iter().filter_map(|word| word.span).reduce(|all, span| all.union(&span))
}

/// From the first detected speech of a chunk to the last.
fn speech(chunk: &Chunk) -> Span {
    chunk.speech.iter().copied().reduce(|all, span| all.union(&span)).unwrap_or_else(|| chunk.span())
}

/// Cuts a text at the times that the model wrote; a text without times spans the chunk's speech.
fn timed_pieces(tokenizer: &Tokenizer, decoding: &Decoding, chunk: &Chunk) -> Result<Vec<(Span, String, Vec<Token>)>> {
    let first = tokenizer.first_timestamp();
    let seconds = |token: u32| chunk.offset + f64::from(token - first) * TIMESTAMP_STEP;
    let whole = speech(chunk);
    let mut pieces = Vec::new();
    let mut start = whole.start;
    let mut text = Vec::new();
    let mut push = |span: Span, tokens: &mut Vec<Token>| -> Result<()> {
        let tokens = std::mem::take(tokens);
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let written = tokenizer.decode(&ids)?.trim().to_owned();
        if !written.is_empty() {
            pieces.push((span.clamp(&chunk.span()), written, tokens));
        }
        Ok(())
    };
    for token in decoding.written() {
        if token.id < first {
            text.push(token);
        } else if text.is_empty() {
            start = seconds(token.id);
        } else {
            push(Span::new(start, seconds(token.id)), &mut text)?;
            start = seconds(token.id);
        }
    }
    push(Span::new(start, whole.end), &mut text)?;
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_cover_skipped_speech_are_one_stretch() {
        let word = |start, end| Word {
            text: "x".into(),
            spaced: true,
            span: Some(Span::new(start, end)),
            score: 1.0,
            speaker: None,
            tokens: Vec::new(),
        };
        let words = [word(0.0, 0.4), word(0.4, 2.6), word(2.6, 4.4), word(4.4, 4.8), word(6.0, 8.0)];
        assert_eq!(stretched(&words), [Span::new(0.4, 4.4), Span::new(6.0, 8.0)]);
        assert_eq!(stretched(&words[..1]), []);
    }
}
