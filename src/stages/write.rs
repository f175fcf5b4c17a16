//! The transcriber as a stage: chunks of many requests listen and write side by side in one batch.
//!
//! A finished row is judged at once: it is kept, dropped as silence, or decoded again alone at the next temperature while
//! the others go on. Its words get their times before it leaves, since the cross-attention keys are still there.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    align::Emissions,
    batch::{Batch, ChunkKey},
    beam::LARGEST_BEAM,
    language::Distribution,
    row::{Decoding, Row, Seat, Verdict, best_of},
    script::Script,
    stage::{Key, Stage},
    transcribe::Transcriber,
    utter, written,
};
use crate::{
    audio::Chunk,
    error::{Error, Result},
    language::Language,
    transcript::{Utterance, Word},
};

/// What is to be done with one chunk.
#[derive(Debug)]
pub struct Job {
    /// Which chunk; a chunk that comes again soon is not encoded again.
    pub key: ChunkKey,
    /// What is heard.
    pub chunk: Chunk,
    /// What its request asks for.
    pub script: Arc<Script>,
    /// Languages whose words get their times from an aligner, later; those of all others get them here.
    pub aligned: Arc<[Language]>,
    /// What to do.
    pub work: Work,
}

impl Job {
    /// Slots for texts that it needs.
    fn texts(&self) -> usize {
        if matches!(self.work, Work::Write(_)) { self.script.texts() } else { 1 }
    }
}

/// The kinds of work.
#[derive(Debug)]
pub enum Work {
    /// Tell the language.
    Detect,
    /// Write the text greedily in this language, whatever comes.
    Attempt(Language),
    /// Write the text, judge it, time its words.
    Write(Tongue),
    /// Time the words of this text, given as tokens.
    Place(Language, Vec<u32>),
}

/// The language to write in.
#[derive(Debug)]
pub enum Tongue {
    /// This one.
    Known(Language),
    /// The chunk's own, weighed with what the whole recording sounds like; the language where that says nothing.
    Own(Arc<Distribution>, Language),
}

/// What comes of the kinds of work, in the same order.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Work::Detect`].
    Detected(Distribution),
    /// Of [`Work::Attempt`].
    Attempted(Decoding),
    /// Of [`Work::Write`].
    Written(Written),
    /// Of [`Work::Place`].
    Placed(Vec<Word>),
}

/// The text of one chunk.
#[derive(Debug, Default)]
pub struct Written {
    /// In order of time; none where nothing was said.
    pub utterances: Vec<Utterance>,
    /// What was dropped or is uncertain.
    pub warnings: Vec<String>,
    /// What of the chunk is still to be read, since there was no room for more text.
    pub rest: Option<Chunk>,
    /// Decodings beyond the first.
    pub fallbacks: usize,
    /// Whether the words still want their times.
    pub untimed: bool,
    /// What an aligner head heard in the chunk, where the words want times and there is a head for them.
    pub emissions: Option<Emissions>,
    /// Time spent on word times.
    pub align_time: Duration,
}

/// A row and the job it is for.
struct Active {
    key: Key,
    job: Arc<Job>,
    row: Row,
}

/// The stage.
pub struct Writer {
    transcriber: Arc<Transcriber>,
    places: usize,
    /// Texts that a place has on average at most; those of one beam are always tried.
    texts_each: f64,
    intake: usize,
    /// Jobs that came in while there was no room for the texts of their beams.
    waiting: VecDeque<(Key, Arc<Job>)>,
    /// Made when the first job comes, gone when there is nothing to do.
    batch: Option<Batch>,
    active: Vec<Active>,
    finished: Vec<(Key, Result<Outcome>)>,
}

/// Slots that a new batch has on a CPU; more come as they are needed. On a GPU, which shares its memory with nobody, all are
/// there from the start and stay where they are.
const FIRST_SLOTS: usize = 4;
/// Jobs of a request without company that are taken in at a time on a CPU.
const INTAKE_ALONE_ON_CPU: usize = 2;
/// Jobs that are taken in at a time on a GPU, where a full batch costs little more than a single row.
const INTAKE_ON_GPU: usize = 16;

impl Writer {
    /// A stage of at most `places` rows around a checkpoint, fewer where the device has no memory for so many. Where requests are `shared`, chunks on a CPU are encoded one
    /// by one: whoever comes meanwhile waits for the one at work.
    pub fn new(transcriber: Arc<Transcriber>, places: usize, shared: bool) -> Self {
        let intake = match (transcriber.compute().device.is_cpu(), shared) {
            (true, true) => 1,
            (true, false) => INTAKE_ALONE_ON_CPU,
            (false, _) => INTAKE_ON_GPU,
        };
        let compute = transcriber.compute();
        let fitting = compute.memory().map_or(places, |memory| transcriber.need().slots(memory.free, places)).max(1);
        if fitting < places {
            tracing::warn!(
                device = compute.name(),
                places = fitting,
                "the device has memory for {fitting} chunks side by side, not {places}; --batch-size asks for fewer"
            );
        }
        let texts =
            compute.memory().map_or(fitting * LARGEST_BEAM, |memory| transcriber.need().texts(memory.free, fitting));
        Self {
            transcriber,
            places: fitting,
            texts_each: texts as f64 / fitting as f64,
            intake,
            waiting: VecDeque::new(),
            batch: None,
            active: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Texts that may be followed side by side.
    fn most_texts(&self) -> usize {
        ((self.places as f64 * self.texts_each) as usize).max(LARGEST_BEAM)
    }

    fn texts_at_work(&self) -> usize {
        self.active.iter().map(|active| active.row.seat.texts.len()).sum()
    }

    /// The jobs of those waiting, in their order, whose texts there is room for.
    fn fitting(&mut self) -> Vec<(Key, Arc<Job>)> {
        let wanted = self.waiting.iter().map(|(_, job)| job.texts());
        let count = fitting(wanted, self.most_texts().saturating_sub(self.texts_at_work()));
        self.waiting.drain(..count).collect()
    }

    /// Finds slots for jobs and their texts, makes room for them, and encodes what they hear.
    fn seat(&mut self, jobs: &[(Key, Arc<Job>)]) -> Result<Vec<Seat>> {
        let needed = match self.transcriber.compute().device.is_cpu() {
            true => (self.active.len() + jobs.len()).next_power_of_two().min(self.places),
            false => self.places,
        };
        let texts = self.texts_at_work() + jobs.iter().map(|(_, job)| job.texts()).sum::<usize>();
        let most = self.most_texts().max(texts);
        let batch = match &mut self.batch {
            Some(batch) => batch,
            none => none.insert(Batch::new(self.transcriber.clone(), needed.max(FIRST_SLOTS.min(self.places)))?),
        };
        batch.grow(needed)?;
        if texts > batch.texts() {
            batch.grow_texts(texts.next_power_of_two().min(most))?;
        }
        let seats = || self.active.iter().map(|active| &active.row.seat);
        let mut free: Vec<usize> = (0..batch.slots()).filter(|&slot| seats().all(|seat| seat.slot != slot)).collect();
        let mut texts = (0..batch.texts()).filter(|text| seats().all(|seat| !seat.texts.contains(text)));
        let mut places = Vec::with_capacity(jobs.len());
        let mut found = Vec::with_capacity(jobs.len());
        for (_, job) in jobs {
            let slot = batch.choose_slot(&mut free, job.key);
            let slot = slot.ok_or_else(|| Error::Bug("more jobs came than there are places".into()))?;
            places.push((slot, job.key, &job.chunk));
            found.push(Seat { slot, texts: texts.by_ref().take(job.texts()).collect() });
        }
        batch.listen(&places)?;
        Ok(found)
    }

    fn batch(&mut self) -> Result<&mut Batch> {
        self.batch.as_mut().ok_or_else(|| Error::Bug("a batch was used before it was there".into()))
    }

    /// Lets jobs listen and begin.
    fn enter(&mut self, jobs: Vec<(Key, Arc<Job>)>) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let seats = self.seat(&jobs)?;
        let heard = self.detect(&jobs, &seats)?;
        let mut rows = Vec::new();
        for (((key, job), seat), heard) in jobs.into_iter().zip(seats).zip(heard) {
            let row = |language| Row::new(job.chunk.clone(), job.script.clone(), job.key.chunk, seat, language);
            match (&job.work, heard) {
                (Work::Detect, Some(heard)) => self.finished.push((key, Ok(Outcome::Detected(heard)))),
                (Work::Detect, None) => return Err(Error::Bug("no language was detected".into())),
                (Work::Place(language, text), _) => {
                    let words = self.batch()?.place(&row(*language), text)?;
                    self.finished.push((key, Ok(Outcome::Placed(words))));
                }
                (Work::Attempt(language), _) => {
                    rows.push(Active { row: row(*language).greedy(), key, job });
                }
                (Work::Write(Tongue::Known(language)), _) => rows.push(Active { row: row(*language), key, job }),
                (Work::Write(Tongue::Own(recording, fallback)), heard) => {
                    let own = heard.and_then(|heard| heard.likeliest_within(recording)).unwrap_or(*fallback);
                    rows.push(Active { row: row(own), key, job });
                }
            }
        }
        self.begin(rows)
    }

    /// The languages of the chunks whose work depends on it, by the job's index.
    fn detect(&mut self, jobs: &[(Key, Arc<Job>)], seats: &[Seat]) -> Result<Vec<Option<Distribution>>> {
        let asks = |job: &Job| matches!(job.work, Work::Detect | Work::Write(Tongue::Own(..)));
        let asking: Vec<usize> = (0..jobs.len()).filter(|&index| asks(&jobs[index].1)).collect();
        let places: Vec<&Seat> = asking.iter().map(|&index| &seats[index]).collect();
        let heard = self.batch()?.languages(&places)?;
        let mut all = vec![None; jobs.len()];
        asking.into_iter().zip(heard).for_each(|(index, own)| all[index] = Some(own));
        Ok(all)
    }

    /// Lets rows write their first token.
    fn begin(&mut self, mut rows: Vec<Active>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let flags = self.batch()?.begin(&mut rows.iter_mut().map(|active| &mut active.row).collect::<Vec<_>>())?;
        self.part(rows, &flags)
    }

    /// Keeps the rows that go on, and concludes the others.
    fn part(&mut self, rows: Vec<Active>, finished: &[bool]) -> Result<()> {
        let mut again = Vec::new();
        for (active, &over) in rows.into_iter().zip(finished) {
            if !over {
                self.active.push(active);
                continue;
            }
            let key = active.key;
            match self.conclude(active) {
                Ok(Conclusion::Done(outcome)) => self.finished.push((key, Ok(outcome))),
                Ok(Conclusion::Again(active)) => again.push(*active),
                // The device or the network failed, not this row.
                Err(error @ (Error::Tensor(_) | Error::OutOfMemory(_) | Error::DeviceLost(_))) => return Err(error),
                Err(error) => self.finished.push((key, Err(error))),
            }
        }
        self.begin(again)
    }

    fn conclude(&mut self, mut active: Active) -> Result<Conclusion> {
        let decoding = active.row.decoding(self.transcriber.tokenizer())?;
        if let Work::Attempt(_) = active.job.work {
            return Ok(Conclusion::Done(Outcome::Attempted(decoding)));
        }
        let options = &active.job.script.options;
        let mut written = Written { fallbacks: active.row.failed.len(), ..Written::default() };
        let next = options.temperatures.get(active.row.failed.len() + 1).copied();
        let decoding = match (decoding.verdict(&options.gates), next) {
            (Verdict::Retry, Some(temperature)) => {
                tracing::debug!(temperature, avg_logprob = decoding.avg_logprob, "decoding a chunk again");
                active.row.restart(decoding, temperature);
                return Ok(Conclusion::Again(Box::new(active)));
            }
            (Verdict::Retry, None) => {
                let mut attempts = std::mem::take(&mut active.row.failed);
                attempts.push(decoding);
                let best = best_of(attempts, &options.gates);
                let mut best = best.ok_or_else(|| Error::Bug("a row finished without an attempt".into()))?;
                best.unroll(self.transcriber.tokenizer())?;
                written.warn(&active, "the text is uncertain: no attempt passed the quality thresholds");
                best
            }
            (Verdict::Silence, _) => {
                let probability = decoding.no_speech_prob;
                written.warn(&active, &format!("dropped as silence (no-speech probability {probability:.2})"));
                return Ok(Conclusion::Done(Outcome::Written(written)));
            }
            (Verdict::Accept, _) => decoding,
        };
        if decoding.text.is_empty() {
            written.warn(&active, "speech was detected but no text was recognised");
        } else {
            self.keep(&active, &decoding, &mut written)?;
        }
        Ok(Conclusion::Done(Outcome::Written(written)))
    }

    fn keep(&mut self, active: &Active, decoding: &Decoding, written: &mut Written) -> Result<()> {
        let (row, chunk) = (&active.row, &active.job.chunk);
        if !active.job.script.options.word_times {
            let cut_off = decoding.tokens.len() >= active.job.script.limit;
            let tokenizer = self.transcriber.tokenizer();
            (written.utterances, written.rest) = utter::pieces(tokenizer, decoding, row.language, chunk, cut_off)?;
            return Ok(());
        }
        let started = Instant::now();
        written.untimed = active.job.aligned.contains(&row.language);
        let words = if written.untimed {
            let batch = self.batch()?;
            written.emissions = batch.emissions(row)?;
            batch.words(row, decoding)?.into_iter().map(|written| written.word).collect()
        } else {
            self.batch()?.align(row, decoding)?
        };
        written.align_time = started.elapsed();
        for span in utter::stretched(&words) {
            let what = "words stretch over this time; something said here may be missing";
            written.warnings.push(format!("{:.2}-{:.2} s: {what}", span.start, span.end));
        }
        let words = written::by_spaces(words, row.language);
        written.utterances = vec![utter::timed(decoding, row.language, chunk, words)];
        Ok(())
    }
}

/// How many jobs, the first ones, find room for the texts that they want.
fn fitting(wanted: impl Iterator<Item = usize>, room: usize) -> usize {
    let used = wanted.scan(0, |used, texts| {
        *used += texts;
        Some(*used)
    });
    used.take_while(|&used| used <= room).count()
}

enum Conclusion {
    Done(Outcome),
    Again(Box<Active>),
}

impl Written {
    /// The text of a chunk together with that of its rest.
    pub fn followed_by(mut self, rest: Written) -> Written {
        self.utterances.extend(rest.utterances);
        self.warnings.extend(rest.warnings);
        let (fallbacks, align_time) = (self.fallbacks + rest.fallbacks, self.align_time + rest.align_time);
        Written { utterances: self.utterances, warnings: self.warnings, fallbacks, align_time, ..rest }
    }

    /// The language that it is in; none where nothing was written.
    pub fn language(&self) -> Option<Language> {
        self.utterances.first().map(|utterance| utterance.language)
    }

    fn warn(&mut self, active: &Active, what: &str) {
        let span = active.job.chunk.span();
        self.warnings.push(format!("{:.2}-{:.2} s: {what}", span.start, span.end));
    }
}

impl Stage for Writer {
    type Job = Job;
    type Output = Outcome;
    const NAME: &'static str = "transcriber";

    fn places(&self) -> usize {
        self.places
    }

    fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    fn intake(&self) -> usize {
        self.intake
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Job>)>) -> Result<()> {
        self.waiting.extend(jobs);
        let jobs = self.fitting();
        self.enter(jobs)
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<Outcome>)>> {
        let jobs = self.fitting();
        self.enter(jobs)?;
        if !self.active.is_empty() && self.finished.is_empty() {
            let mut rows = std::mem::take(&mut self.active);
            let flags = self.batch()?.step(&mut rows.iter_mut().map(|active| &mut active.row).collect::<Vec<_>>())?;
            self.part(rows, &flags)?;
        }
        Ok(std::mem::take(&mut self.finished))
    }

    fn dismiss(&mut self, key: Key) {
        self.waiting.retain(|(waiting, _)| *waiting != key);
        self.active.retain(|active| active.key != key);
        self.finished.retain(|(finished, _)| *finished != key);
    }

    fn clear(&mut self) {
        self.batch = None;
        self.waiting.clear();
        self.active.clear();
        self.finished.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_go_in_by_their_turn_where_their_texts_fit() {
        let count = |wanted: &[usize], room| fitting(wanted.iter().copied(), room);
        assert_eq!(count(&[5, 5, 1], 16), 3);
        assert_eq!(count(&[5, 5, 1], 9), 1, "the small one does not overtake");
        assert_eq!((count(&[16], 16), count(&[16], 15), count(&[], 0)), (1, 0, 0));
    }
}
