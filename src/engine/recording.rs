//! One recording through the transcriber's batcher: its language first, then all chunks at once, answered in any order and
//! told in order of time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    aligners::Timing,
    batcher::{Batcher, Session},
    incoming::Incoming,
    metrics::Metrics,
    timekeeper::Timekeeper,
};
use crate::{
    audio::Chunk,
    error::{Error, Result},
    language::Language,
    progress::{StageName, Watch},
    stages::{
        batch::ChunkKey,
        language::{Distribution, LanguageChoice},
        script::Script,
        transcribe::Transcriber,
        write::{Job, Outcome, Tongue, Work, Writer, Written},
    },
    transcript::{Utterance, Word},
};

/// Chunks by which the language of a recording is judged.
const CHUNKS_FOR_LANGUAGE: usize = 4;

/// What the transcriber gave for one recording, besides the utterances.
#[derive(Debug, Clone)]
pub(super) struct Transcription {
    /// The language of the recording.
    pub(super) language: Language,
    /// Its probability; 1 when it was given.
    pub(super) probability: f32,
    /// What was dropped or is uncertain, in order of time.
    pub(super) warnings: Vec<String>,
    /// Whether no speech was found.
    pub(super) silent: bool,
    /// Time that this thread has spent on finding speech.
    pub(super) searched: Duration,
    /// Time spent on word times.
    pub(super) align_time: Duration,
    /// How long the first job waited for its turn.
    pub(super) waited: Duration,
}

/// A recording on its way.
pub(super) struct Recording<'a> {
    transcriber: &'a Transcriber,
    script: Arc<Script>,
    incoming: Incoming,
    session: Session<Writer>,
    /// Languages whose words get their times from an aligner.
    aligned: Arc<[Language]>,
    watch: &'a Watch<'a>,
}

impl<'a> Recording<'a> {
    pub(super) fn new(
        transcriber: &'a Transcriber,
        writer: &Batcher<Writer>,
        script: Arc<Script>,
        incoming: Incoming,
        watch: &'a Watch<'a>,
    ) -> Self {
        let session = writer.session(script.options.batch_size);
        Self { transcriber, script, incoming, session, aligned: Arc::default(), watch }
    }

    fn submit(&self, tag: usize, chunk: usize, work: Work) {
        self.submit_part(tag, (chunk, 0), self.incoming.chunks()[chunk].clone(), work);
    }

    /// As [`Recording::submit`], of what is left of a chunk after some `readings`.
    fn submit_part(&self, tag: usize, (chunk, readings): (usize, usize), part: Chunk, work: Work) {
        let key = ChunkKey { request: self.session.request(), chunk, readings };
        let job = Job { key, chunk: part, script: self.script.clone(), aligned: self.aligned.clone(), work };
        self.session.submit(tag, job);
    }

    /// The next outcome of a job; `None` where there is none yet, but maybe another chunk.
    fn poll(&mut self) -> Result<Option<(usize, Outcome)>> {
        let wait = self.incoming.is_complete();
        let Some((tag, outcome)) = self.session.poll(wait, self.watch)? else {
            self.incoming.advance(self.watch)?;
            return Ok(None);
        };
        Ok(Some((tag, outcome?)))
    }

    /// The outcomes of `count` jobs, by tag.
    fn gather<T>(&mut self, count: usize, take: impl Fn(Outcome) -> Option<T>) -> Result<BTreeMap<usize, T>> {
        let mut gathered = BTreeMap::new();
        while gathered.len() < count {
            if let Some((tag, outcome)) = self.poll()? {
                gathered.insert(tag, take(outcome).ok_or_else(mismatch)?);
            }
        }
        Ok(gathered)
    }

    /// How likely each language is, judged by the first chunks; nothing where there are none.
    pub(super) fn languages(&mut self) -> Result<Option<Distribution>> {
        let mut count = 0;
        while count < CHUNKS_FOR_LANGUAGE && self.incoming.wait_for(count + 1, self.watch)?.len() > count {
            self.submit(count, count, Work::Detect);
            count += 1;
        }
        let heard = self.gather(count, |outcome| match outcome {
            Outcome::Detected(heard) => Some(heard),
            _ => None,
        })?;
        let chunks = self.incoming.chunks();
        let weighed: Vec<_> = heard.into_values().zip(chunks).map(|(d, chunk)| (d, chunk.audio.duration())).collect();
        Ok((count > 0).then(|| Distribution::mean(&weighed)))
    }

    /// The language of the recording: its distribution where it was detected, the language, its probability.
    pub(super) fn language(&mut self) -> Result<(Option<Distribution>, Language, f32)> {
        if !self.transcriber.tokenizer().is_multilingual() {
            return Ok((None, Language::ENGLISH, 1.0));
        }
        if let LanguageChoice::Fixed(language) = self.script.options.language {
            return Ok((None, language, 1.0));
        }
        let Some(recording) = self.languages()? else { return Ok((None, Language::ENGLISH, 0.0)) };
        let language = self.try_candidates(&recording)?;
        let probability = recording.of(language);
        Ok((Some(recording), language, probability))
    }

    /// Where the detection is unsure, writes one chunk in each candidate language and keeps the language under which
    /// audio and text together are likeliest: a wrong language gives improbable text.
    fn try_candidates(&mut self, recording: &Distribution) -> Result<Language> {
        let candidates = recording.candidates();
        let Some(&(first, _)) = candidates.first() else { return Ok(Language::ENGLISH) };
        if candidates.len() == 1 {
            return Ok(first);
        }
        let chunks = self.incoming.chunks();
        let length = |chunk: &usize| chunks[*chunk].audio.duration();
        let judged = chunks.len().min(CHUNKS_FOR_LANGUAGE);
        let longest = (0..judged).max_by(|a, b| length(a).total_cmp(&length(b))).unwrap_or(0);
        for (tag, &(language, _)) in candidates.iter().enumerate() {
            self.submit(tag, longest, Work::Attempt(language));
        }
        let attempts = self.gather(candidates.len(), |outcome| match outcome {
            Outcome::Attempted(decoding) => Some(decoding),
            _ => None,
        })?;
        let mut best = (f32::NEG_INFINITY, first);
        for (decoding, (language, probability)) in attempts.into_values().zip(candidates) {
            let mut score = probability.max(1e-6).ln() + decoding.sum_logprob();
            if decoding.repeats(&self.script.options.gates) || decoding.text.is_empty() {
                score -= 100.0;
            }
            tracing::debug!(language = language.code(), probability, score, "tried a language");
            if score > best.0 {
                best = (score, language);
            }
        }
        Ok(best.1)
    }

    /// Writes every chunk; `listener` hears the utterances of each as soon as those before it are known. Once the language
    /// is known, `plan` says how words get their times.
    pub(super) fn write(
        mut self,
        metrics: &Metrics,
        plan: impl FnOnce(Language) -> Result<Timing>,
        listener: &mut dyn FnMut(Vec<Utterance>) -> Result<()>,
    ) -> Result<Transcription> {
        let (recording, language, probability) = self.language()?;
        let timing = plan(language)?;
        self.aligned = timing.languages();
        let tongues = Tongues { recording: recording.map(Arc::new), language, choice: self.script.options.language };
        let mut timekeeper = Timekeeper::new(&timing);
        let mut order = Order::default();
        let mut begun: BTreeMap<usize, Begun> = BTreeMap::new();
        let (mut submitted, mut ended, mut done) = (0, 0, 0.0);
        loop {
            while submitted < self.incoming.chunks().len() {
                self.submit(submitted, submitted, Work::Write(tongues.next()));
                submitted += 1;
            }
            if self.incoming.is_complete() {
                // Before that nobody knows how much there is to do.
                let total = self.incoming.chunks().iter().map(|chunk| chunk.audio.duration()).sum();
                self.watch.step(StageName::Transcribe, done, total)?;
                if ended == submitted {
                    break;
                }
            }
            let Some((chunk, outcome)) = self.poll()? else { continue };
            let Outcome::Written(written) = outcome else { return Err(mismatch()) };
            metrics.fell_back(written.fallbacks);
            let so_far = begun.remove(&chunk).unwrap_or_default();
            let mut written = so_far.written.followed_by(written);
            if let Some((rest, language)) = written.rest.take().zip(written.language()) {
                let readings = so_far.readings + 1;
                self.submit_part(chunk, (chunk, readings), rest, Work::Write(Tongue::Known(language)));
                begun.insert(chunk, Begun { written, readings });
                continue;
            }
            ended += 1;
            let heard = self.incoming.chunks()[chunk].clone();
            done += heard.audio.duration();
            timekeeper.take(chunk, heard, written);
            for (chunk, written) in timekeeper.ready(false, self.watch)? {
                order.add(chunk, written, listener)?;
            }
        }
        for (chunk, written) in timekeeper.ready(true, self.watch)? {
            order.add(chunk, written, listener)?;
        }
        order.warnings.extend(timing.warning.clone());
        Ok(Transcription {
            language,
            probability,
            warnings: order.warnings,
            silent: submitted == 0,
            searched: self.incoming.searched(),
            align_time: order.align_time,
            waited: self.session.waited(),
        })
    }

    /// Times the words of `texts`, one for each chunk, given as tokens.
    pub(super) fn place(mut self, language: Language, texts: Vec<Vec<u32>>) -> Result<Vec<Vec<Word>>> {
        let count = texts.len();
        for (chunk, text) in texts.into_iter().enumerate() {
            self.submit(chunk, chunk, Work::Place(language, text));
        }
        let placed = self.gather(count, |outcome| match outcome {
            Outcome::Placed(words) => Some(words),
            _ => None,
        })?;
        Ok(placed.into_values().collect())
    }
}

fn mismatch() -> Error {
    Error::Bug("a job came back as another".into())
}

/// The languages that chunks are written in.
struct Tongues {
    /// What the recording sounds like, where that was asked.
    recording: Option<Arc<Distribution>>,
    /// The language of the recording.
    language: Language,
    choice: LanguageChoice,
}

impl Tongues {
    fn next(&self) -> Tongue {
        match (self.choice, &self.recording) {
            (LanguageChoice::PerChunk, Some(recording)) => Tongue::Own(recording.clone(), self.language),
            _ => Tongue::Known(self.language),
        }
    }
}

/// A chunk of which some has been written, and the rest is being read.
#[derive(Default)]
struct Begun {
    written: Written,
    readings: usize,
}

/// Puts chunks that finish in any order back in order.
#[derive(Default)]
struct Order {
    early: BTreeMap<usize, Written>,
    next: usize,
    warnings: Vec<String>,
    align_time: Duration,
}

impl Order {
    fn add(
        &mut self,
        chunk: usize,
        written: Written,
        listener: &mut dyn FnMut(Vec<Utterance>) -> Result<()>,
    ) -> Result<()> {
        self.early.insert(chunk, written);
        while let Some(written) = self.early.remove(&self.next) {
            self.next += 1;
            self.warnings.extend(written.warnings);
            self.align_time += written.align_time;
            listener(written.utterances)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_finish_early_wait_for_those_before_them() {
        let mut order = Order::default();
        let mut told = 0;
        for (chunk, expected) in [(2, 0), (0, 1), (1, 3), (3, 4)] {
            let written = Written { warnings: vec![format!("{chunk}")], ..Written::default() };
            order
                .add(chunk, written, &mut |_| {
                    told += 1;
                    Ok(())
                })
                .unwrap();
            assert_eq!(told, expected, "after chunk {chunk}");
        }
        assert_eq!(order.warnings, ["0", "1", "2", "3"]);
    }
}
