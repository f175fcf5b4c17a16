//! Word times for a text that somebody else has written: the whole of a recording, or pieces with their times.
//!
//! Where there is an aligner, it places all of a text at once ([`super::forced`]). Cross-attention reads no more than a chunk
//! at a time, so a text for a long recording must first be shared out among its chunks: the recording is transcribed, and
//! the given words go where the words that they match were heard (a diff of the two texts); then each share is timed.

use std::{ops::Range, sync::Arc};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{
    aligners::Timing,
    batcher::Batcher,
    forced::{self, Passage},
    incoming::Incoming,
    metrics::Metrics,
    recording::Recording,
};
use crate::{
    audio::{Audio, Chunk},
    error::{Error, Result},
    language::Language,
    progress::Watch,
    span::Span,
    stages::{
        chunk::LONGEST,
        language::LanguageChoice,
        row::compression_ratio,
        script::Script,
        transcribe::{TranscribeOptions, Transcriber},
        write::Writer,
    },
    transcript::{Segment, Source, SpeakerChanges, Token, Transcript, Utterance, Word},
};

/// A text whose words want times.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenText {
    /// What is said in the whole recording.
    Whole(String),
    /// What is said when, in order of time; each at most 30 s long where there is no aligner for the language.
    Pieces(Vec<(Span, String)>),
}

/// Heard around a piece, in seconds, since its borders may clip a sound.
const MARGIN: f64 = 0.2;
/// Tokens that the decoder has positions for besides those of a text.
const RESERVED: usize = 8;

/// What timing a given text needs.
pub(super) struct Aligner<'a> {
    pub(super) transcriber: &'a Transcriber,
    pub(super) writer: &'a Batcher<Writer>,
    pub(super) metrics: &'a Metrics,
    pub(super) script: Arc<Script>,
    /// How words in a language get their times.
    pub(super) plan: &'a dyn Fn(Language) -> Result<Timing>,
    pub(super) watch: &'a Watch<'a>,
}

impl Aligner<'_> {
    /// The words of `text` with their times; language and segments are set, duration and timings are not.
    pub(super) fn align(&self, audio: &Audio, chunks: &[Chunk], text: &GivenText) -> Result<Transcript> {
        match text {
            GivenText::Whole(text) => self.whole(chunks, text),
            GivenText::Pieces(pieces) => self.pieces(audio, chunks, pieces),
        }
    }

    fn recording<'b>(&'b self, chunks: &'b [Chunk], script: Arc<Script>) -> Recording<'b> {
        Recording::new(self.transcriber, self.writer, script, Incoming::complete(chunks.to_vec()), self.watch)
    }

    fn whole(&self, chunks: &[Chunk], text: &str) -> Result<Transcript> {
        if text.trim().is_empty() {
            return Err(Error::Request("the text is empty; send what is said in the recording".into()));
        }
        if chunks.is_empty() {
            return Err(Error::Request("no speech was found in the recording to time the text by".into()));
        }
        let (_, language, probability) = self.recording(chunks, self.script.clone()).language()?;
        let units = units(text, language);
        let timing = (self.plan)(language)?;
        if timing.hearing(language).is_some() {
            let passage = Passage { words: untimed(&units, language), stretches: chunks.to_vec() };
            let mut warnings = Vec::new();
            let placed = forced::place(vec![passage], &timing, language, &mut warnings, self.watch)?;
            let words = || placed.iter().flatten().flat_map(|utterance| &utterance.words);
            let sayable = text.chars().any(char::is_alphanumeric);
            if sayable && words().all(|word| word.source == Source::Interpolated) {
                let Span { start, end } = chunks[0].span().union(&chunks[chunks.len() - 1].span());
                return Err(too_much(start, end));
            }
            let mut transcript =
                Transcript::assemble(placed.into_iter().flatten().collect(), &[], SpeakerChanges::default());
            (transcript.language, transcript.language_probability) = (language, probability);
            transcript.warnings = warnings;
            return Ok(transcript);
        }
        let shares = if chunks.len() == 1 {
            std::iter::once(0..units.len()).collect()
        } else {
            self.share_out(chunks, language, &units)?
        };
        let (used, shares): (Vec<Chunk>, Vec<Range<usize>>) =
            chunks.iter().cloned().zip(shares).filter(|(_, share)| !share.is_empty()).unzip();
        let texts: Vec<String> = shares.iter().map(|share| joined(&units[share.clone()], language)).collect();
        let placed = self.place(&used, language, &texts)?;
        let utterances = placed
            .into_iter()
            .zip(&texts)
            .zip(&used)
            .map(|((words, text), chunk)| utterance(words, text, language, chunk));
        let mut transcript = Transcript::assemble(utterances.collect(), &[], SpeakerChanges::default());
        (transcript.language, transcript.language_probability) = (language, probability);
        transcript.warnings.extend(timing.warning);
        Ok(transcript)
    }

    fn pieces(&self, audio: &Audio, chunks: &[Chunk], pieces: &[(Span, String)]) -> Result<Transcript> {
        let around = pieces.iter().enumerate().map(|(index, (span, _))| around(audio, index, span));
        let around = around.collect::<Result<Vec<Span>>>()?;
        let stretches: Vec<Vec<Chunk>> =
            around.into_iter().map(|around| forced::stretches(audio, chunks, around)).collect();
        let (_, language, probability) = self.recording(&stretches.concat(), self.script.clone()).language()?;
        let timing = (self.plan)(language)?;
        let mut transcript = Transcript::assemble(Vec::new(), &[], SpeakerChanges::default());
        let utterances = if timing.hearing(language).is_some() {
            let passages = pieces
                .iter()
                .zip(stretches)
                .map(|((_, text), stretches)| Passage { words: untimed(&units(text, language), language), stretches });
            let warnings = &mut transcript.warnings;
            forced::place(passages.collect(), &timing, language, warnings, self.watch)?
        } else {
            transcript.warnings.extend(timing.warning);
            self.attend(stretches, language, pieces)?
        };
        for (utterances, (span, text)) in utterances.into_iter().zip(pieces) {
            let text = joined(&units(text, language), language);
            transcript.segments.push(segment(utterances, text, *span, language));
        }
        (transcript.language, transcript.language_probability) = (language, probability);
        Ok(transcript)
    }

    /// The utterance of every piece by cross-attention.
    fn attend(
        &self,
        stretches: Vec<Vec<Chunk>>,
        language: Language,
        pieces: &[(Span, String)],
    ) -> Result<Vec<Vec<Utterance>>> {
        if let Some((index, (span, _))) = pieces.iter().enumerate().find(|(_, (span, _))| span.duration() > LONGEST) {
            return Err(Error::Request(format!(
                "segment {index} is {:.1} s long, and there is no aligner for {}; cut it into parts of at most {LONGEST} s",
                span.duration(),
                language.name()
            )));
        }
        // None is longer than 30 s, so each is one stretch.
        let chunks = stretches.concat();
        let texts: Vec<String> = pieces.iter().map(|(_, text)| joined(&units(text, language), language)).collect();
        let placed = self.place(&chunks, language, &texts)?;
        let utterances = placed.into_iter().zip(&texts).zip(&chunks);
        Ok(utterances.map(|((words, text), chunk)| vec![utterance(words, text, language, chunk)]).collect())
    }

    /// Which of the given units are said in which chunk.
    fn share_out(&self, chunks: &[Chunk], language: Language, units: &[String]) -> Result<Vec<Range<usize>>> {
        let options = TranscribeOptions { language: LanguageChoice::Fixed(language), ..self.script.options.clone() };
        let script =
            Script::new(self.transcriber, &TranscribeOptions { word_times: true, timestamps: false, ..options })?;
        let mut heard: Vec<(String, usize)> = Vec::new();
        let mut told = 0;
        self.recording(chunks, script).write(self.metrics, |_| Ok(Timing::default()), &mut |utterances| {
            let said = utterances.iter().flat_map(|utterance| self::units(&utterance.text, language));
            heard.extend(said.map(|unit| (plain(&unit), told)));
            told += 1;
            Ok(())
        })?;
        let given: Vec<String> = units.iter().map(|unit| plain(unit)).collect();
        Ok(share_out(&heard, &given, chunks.len()))
    }

    /// The words of `texts`, one for each chunk, with times.
    fn place(&self, chunks: &[Chunk], language: Language, texts: &[String]) -> Result<Vec<Vec<Word>>> {
        let limit = self.transcriber.config().max_target_positions.saturating_sub(RESERVED);
        let mut tokens = Vec::with_capacity(texts.len());
        for (text, chunk) in texts.iter().zip(chunks) {
            let spaced = if language.writes_spaces() { format!(" {text}") } else { text.clone() };
            let own = if text.is_empty() { Vec::new() } else { self.transcriber.tokenizer().encode(&spaced)? };
            if own.len() > limit {
                let Span { start, end } = chunk.span();
                return Err(too_much(start, end));
            }
            tokens.push(own);
        }
        let placed = self.recording(chunks, self.script.clone()).place(language, tokens)?;
        Ok(placed.into_iter().zip(texts).map(|(words, text)| as_given(words, text, language)).collect())
    }
}

fn too_much(start: f64, end: f64) -> Error {
    Error::Request(format!(
        "more text was given for {start:.1}-{end:.1} s than can be said there; check that the text belongs to the recording"
    ))
}

/// What is listened to for a piece.
fn around(audio: &Audio, index: usize, span: &Span) -> Result<Span> {
    let whole = Span::new(0.0, audio.duration());
    if span.overlap(&whole) <= 0.0 {
        return Err(Error::Request(format!(
            "segment {index} lies at {:.1}-{:.1} s, outside of the recording of {:.1} s",
            span.start, span.end, whole.end
        )));
    }
    let margin = MARGIN.min((LONGEST - span.duration()).max(0.0) / 2.0);
    Ok(Span::new(span.start - margin, span.end + margin).clamp(&whole))
}

/// The segment of a piece.
fn segment(utterances: Vec<Utterance>, text: String, span: Span, language: Language) -> Segment {
    let count = utterances.len().max(1) as f32;
    let avg_logprob = utterances.iter().map(|utterance| utterance.avg_logprob).sum::<f32>() / count;
    let words: Vec<Word> = utterances.into_iter().flat_map(|utterance| utterance.words).collect();
    Segment {
        span,
        compression_ratio: compression_ratio(&text),
        tokens: words.iter().flat_map(|word| word.tokens.iter().copied()).collect(),
        text,
        words,
        speaker: None,
        language,
        avg_logprob,
        no_speech_prob: 0.0,
        temperature: 0.0,
    }
}

/// Words that want times.
fn untimed(units: &[String], language: Language) -> Vec<Word> {
    let spaced = language.writes_spaces();
    units.iter().map(|unit| Word { text: unit.clone(), spaced, ..Word::default() }).collect()
}

/// What a text is made of: words, or characters where the language writes no spaces.
fn units(text: &str, language: Language) -> Vec<String> {
    if language.writes_spaces() {
        text.split_whitespace().map(str::to_owned).collect()
    } else {
        text.chars().filter(|character| !character.is_whitespace()).map(String::from).collect()
    }
}

fn joined(units: &[String], language: Language) -> String {
    units.join(if language.writes_spaces() { " " } else { "" })
}

/// A unit as it is compared: letters and digits in lower case.
fn plain(unit: &str) -> String {
    unit.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// For each chunk the given units that are said in it, when `heard` units were heard, each in its chunk: what is the same
/// goes where it was heard, what differs goes along with its neighbours.
fn share_out(heard: &[(String, usize)], given: &[String], chunks: usize) -> Vec<Range<usize>> {
    let words: Vec<&String> = heard.iter().map(|(word, _)| word).collect();
    let given: Vec<&String> = given.iter().collect();
    let chunk_at = |place: usize| heard.get(place).or(heard.last()).map_or(0, |(_, chunk)| *chunk);
    let mut ends = vec![0; chunks];
    for op in capture_diff_slices(Algorithm::Myers, &words, &given) {
        let (old, new) = match op {
            DiffOp::Equal { old_index, new_index, len } => (old_index..old_index + len, new_index..new_index + len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                (old_index..old_index + old_len, new_index..new_index + new_len)
            }
            DiffOp::Insert { old_index, new_index, new_len } => (old_index..old_index, new_index..new_index + new_len),
            DiffOp::Delete { .. } => continue,
        };
        for (offset, place) in new.clone().enumerate() {
            let chunk = chunk_at(old.start + offset * old.len() / new.len().max(1));
            ends[chunk] = ends[chunk].max(place + 1);
        }
    }
    let mut start = 0;
    let ranges = ends.into_iter().map(|end| {
        let range = start..end.max(start);
        start = range.end;
        range
    });
    ranges.collect()
}

/// Puts what the tokenizer has cut (at hyphens, between digits) together again: one word for each word of `text`.
fn as_given(placed: Vec<Word>, text: &str, language: Language) -> Vec<Word> {
    if !language.writes_spaces() {
        return placed;
    }
    let mut words: Vec<Word> = Vec::new();
    let mut placed = placed.into_iter().peekable();
    // Letters of the text, and of the placed words, up to here.
    let (mut wanted, mut taken) = (0, 0);
    for unit in text.split_whitespace() {
        wanted += unit.chars().count();
        let mut parts = Vec::new();
        while let Some(part) = placed.next_if(|_| taken < wanted) {
            taken += part.text.chars().filter(|character| !character.is_whitespace()).count();
            parts.push(part);
        }
        let count = parts.len().max(1) as f32;
        words.push(Word {
            text: unit.to_owned(),
            spaced: true,
            span: parts.iter().filter_map(|part| part.span).reduce(|all, span| all.union(&span)),
            score: parts.iter().map(|part| part.score).sum::<f32>() / count,
            source: Source::Attention,
            tokens: parts.into_iter().flat_map(|part| part.tokens).collect(),
            ..Word::default()
        });
    }
    words
}

fn utterance(words: Vec<Word>, text: &str, language: Language, chunk: &Chunk) -> Utterance {
    let tokens: Vec<Token> = words.iter().flat_map(|word| word.tokens.iter().copied()).collect();
    let sum: f32 = tokens.iter().map(|token| token.logprob).sum();
    let span = words.iter().filter_map(|word| word.span).reduce(|all, span| all.union(&span));
    Utterance {
        span: span.unwrap_or_else(|| chunk.span()),
        text: text.to_owned(),
        language,
        avg_logprob: sum / tokens.len().max(1) as f32,
        tokens,
        no_speech_prob: 0.0,
        compression_ratio: compression_ratio(text),
        temperature: 0.0,
        words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn given_words_go_where_they_were_heard() {
        let heard: Vec<(String, usize)> = [("a b c d", 0), ("e f g", 1), ("h i", 2)]
            .iter()
            .flat_map(|(t, c)| texts(t).into_iter().map(|w| (w, *c)))
            .collect();
        assert_eq!(share_out(&heard, &texts("a b x d e g h i"), 3), [0..4, 4..6, 6..8]);
        assert_eq!(share_out(&heard, &texts("a b c d h i"), 3), [0..4, 4..4, 4..6]);
        assert_eq!(share_out(&heard, &texts("a b c d e f g h i and more"), 3), [0..4, 4..7, 7..11]);
        assert_eq!(share_out(&[], &texts("a b"), 2), [0..2, 2..2]);
    }

    #[test]
    fn words_come_back_as_they_were_given() {
        let word = |text: &str, start: f64| Word {
            text: text.into(),
            spaced: false,
            span: Some(Span::new(start, start + 0.5)),
            score: 0.5,
            ..Word::default()
        };
        let placed = vec![word("well", 0.0), word("-known,", 0.5), word("he", 1.0), word("paid", 1.5), word("$5", 2.0)];
        let words = as_given(placed, "well-known, he paid $5", Language::ENGLISH);
        let shown: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.span.map(|s| (s.start, s.end)))).collect();
        assert_eq!(
            shown,
            [
                ("well-known,", Some((0.0, 1.0))),
                ("he", Some((1.0, 1.5))),
                ("paid", Some((1.5, 2.0))),
                ("$5", Some((2.0, 2.5)))
            ]
        );
    }

    #[test]
    fn pieces_outside_of_the_recording_are_refused_and_long_ones_are_cut() {
        let audio = Audio::new(vec![0.0; 16_000 * 70]);
        assert!(
            matches!(around(&audio, 3, &Span::new(70.0, 71.0)), Err(Error::Request(text)) if text.contains("segment 3"))
        );
        let span = around(&audio, 0, &Span::new(10.0, 20.0)).unwrap();
        assert!((span.start - 9.8).abs() < 1e-9 && (span.end - 20.2).abs() < 1e-9);
        let speech = [Span::new(0.0, 9.9), Span::new(11.0, 12.0)];
        let chunk = |start: f64, end: f64| {
            let span = Span::new(start, end);
            let speech = speech.iter().filter(|part| part.overlap(&span) > 0.0).copied().collect();
            Chunk { audio: audio.slice(span), offset: start, speech }
        };
        let chunks = [chunk(0.0, 25.0), chunk(30.0, 50.0)];
        let whole = forced::stretches(&audio, &chunks, span);
        assert_eq!((whole.len(), whole[0].speech.len()), (1, 2));
        let spans = |around| forced::stretches(&audio, &chunks, around).iter().map(Chunk::span).collect::<Vec<_>>();
        assert_eq!(spans(Span::new(5.0, 45.0)), [Span::new(5.0, 25.0), Span::new(30.0, 45.0)]);
        assert_eq!(forced::stretches(&audio, &[], Span::new(0.0, 70.0)).len(), 3);
    }
}
