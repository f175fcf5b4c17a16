//! Word times for a given text by forced alignment: all of it at once, however long the recording is.

use super::{aligners::Timing, batcher::Session};
use crate::{
    audio::{Audio, Chunk},
    error::{Error, Result},
    language::Language,
    progress::{StageName, Watch},
    span::Span,
    stages::{
        align::{self, Emissions, FRAMES_PER_SECOND, Hearing},
        chunk::LONGEST,
        ears::{Ears, Listen},
        utter,
    },
    transcript::{Utterance, Word},
};

/// Stretches of one request that are listened to at a time.
const AHEAD: usize = 16;

/// A text and the stretches of audio, in order, in which it is said.
pub(super) struct Passage {
    /// Without times.
    pub(super) words: Vec<Word>,
    /// Each at most 30 s long.
    pub(super) stretches: Vec<Chunk>,
}

/// Places the words of every passage in its stretches: the utterances of each, one for every stretch that has words.
/// Warnings are added to `warnings`.
///
/// # Errors
/// [`Error::Cancelled`], [`Error::Deadline`], or a failed tensor operation.
pub(super) fn place(
    passages: Vec<Passage>,
    timing: &Timing,
    language: Language,
    warnings: &mut Vec<String>,
    watch: &Watch,
) -> Result<Vec<Vec<Utterance>>> {
    let (Some(ear), Some(hearing)) = (timing.ear(language), timing.hearing(language)) else {
        return Err(Error::Bug("a text was to be aligned by no aligner".into()));
    };
    let mut listener = Listener::new(ear.batcher.session(AHEAD), language, &passages, watch);
    let mut placed = Vec::with_capacity(passages.len());
    for Passage { mut words, stretches } in passages {
        let (mut heard, mut starts) = (None::<Emissions>, Vec::with_capacity(stretches.len()));
        for _ in &stretches {
            let next = listener.next()?;
            starts.push(heard.as_ref().map_or(0, Emissions::frames));
            match &mut heard {
                Some(heard) => heard.append(&next),
                none => *none = Some(next),
            }
        }
        let Some(heard) = heard.filter(|_| !words.is_empty()) else {
            placed.push(Vec::new());
            continue;
        };
        align::align(&mut words, &heard, &hearing, language);
        placed.push(utterances(words, &stretches, &starts, (language, &hearing), warnings));
    }
    Ok(placed)
}

/// Cuts words whose times count the frames of all stretches, one behind the other, into one utterance per stretch, with
/// times of the file.
fn utterances(
    words: Vec<Word>,
    stretches: &[Chunk],
    starts: &[usize],
    (language, hearing): (Language, &Hearing),
    warnings: &mut Vec<String>,
) -> Vec<Utterance> {
    let seconds = |stretch: usize| starts[stretch] as f64 / FRAMES_PER_SECOND;
    let mut shares: Vec<Vec<Word>> = vec![Vec::new(); stretches.len()];
    let mut stretch = 0;
    for word in words {
        let middle = word.span.map_or(0.0, |span| span.midpoint());
        while stretch + 1 < stretches.len() && seconds(stretch + 1) <= middle {
            stretch += 1;
        }
        shares[stretch].push(word);
    }
    let said = shares.into_iter().zip(stretches).enumerate().filter(|(_, (words, _))| !words.is_empty());
    let utterances = said.map(|(index, (words, chunk))| {
        let (utterance, new) = utter::placed(words, hearing, language, seconds(index), chunk);
        warnings.extend(new);
        utterance
    });
    utterances.collect()
}

/// Listens to the stretches of all passages in their order, a few ahead of the one that is wanted next.
struct Listener<'a> {
    session: Session<Ears>,
    audios: Vec<Audio>,
    submitted: usize,
    language: Language,
    /// What was heard before its turn.
    early: std::collections::BTreeMap<usize, Emissions>,
    next: usize,
    watch: &'a Watch<'a>,
}

impl<'a> Listener<'a> {
    fn new(session: Session<Ears>, language: Language, passages: &[Passage], watch: &'a Watch<'a>) -> Self {
        let stretches = passages.iter().flat_map(|passage| &passage.stretches);
        let audios = stretches.map(|stretch| stretch.audio.clone()).collect();
        Self { session, audios, submitted: 0, language, early: Default::default(), next: 0, watch }
    }

    fn next(&mut self) -> Result<Emissions> {
        self.watch.step(StageName::Align, self.next as f64, self.audios.len() as f64)?;
        while self.submitted < self.audios.len().min(self.next + AHEAD) {
            let audio = self.audios[self.submitted].clone();
            self.session.submit(self.submitted, Listen { audio, language: self.language });
            self.submitted += 1;
        }
        while !self.early.contains_key(&self.next) {
            let (index, emissions) = self.session.next(self.watch)?;
            self.early.insert(index, emissions);
        }
        let heard = self.early.remove(&self.next);
        self.next += 1;
        heard.ok_or_else(|| Error::Bug("what was heard got lost".into()))
    }
}

/// The parts of a piece of a recording that can be listened to: the piece itself, or, where it is longer than 30 s, the
/// chunks of speech in it.
pub(super) fn stretches(audio: &Audio, chunks: &[Chunk], around: Span) -> Vec<Chunk> {
    let speech = |span: &Span| -> Vec<Span> {
        let all = chunks.iter().flat_map(|chunk| &chunk.speech);
        all.filter(|part| part.overlap(span) > 0.0).map(|part| part.clamp(span)).collect()
    };
    let chunk = |span: Span| Chunk { audio: audio.slice(span), offset: span.start, speech: speech(&span) };
    if around.duration() <= LONGEST {
        return vec![chunk(around)];
    }
    let inside: Vec<Chunk> =
        chunks.iter().map(|part| part.span().clamp(&around)).filter(|span| span.duration() > 0.0).map(chunk).collect();
    if !inside.is_empty() {
        return inside;
    }
    let parts = (around.duration() / LONGEST).ceil();
    let edge = |part: f64| around.start + around.duration() * part / parts;
    (0..parts as usize).map(|part| chunk(Span::new(edge(part as f64), edge(part as f64 + 1.0)))).collect()
}
