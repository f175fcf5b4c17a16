//! Where words meet speakers: utterances and turns become segments of one speaker and one sentence.
//!
//! What always holds, in every mode: no word is lost or moved; with turns every word and every segment has a speaker, and
//! a segment's speaker is that of each of its words.

mod attribution;
mod sentence;

use attribution::Attribution;
use sentence::ends_sentence;

use crate::{
    language::Language,
    span::Span,
    transcript::{Segment, Speaker, SpeakerChanges, Timings, Transcript, Turn, Utterance, Word},
};

/// A pause this long ends a segment, in seconds.
const LONG_PAUSE: f64 = 2.0;

impl Transcript {
    /// Builds the segments. Words get their speakers from the `exclusive` turns (in order; none overlaps another) as
    /// `changes` says. Segments end where the sentence or the speaker does. Without turns nobody has a speaker.
    ///
    /// Language, duration, turns, voices, names, warnings and timings are the caller's to fill in.
    pub fn assemble(utterances: Vec<Utterance>, exclusive: &[Turn], changes: SpeakerChanges) -> Self {
        let segments = |utterance| Segment::of(utterance, exclusive, changes);
        let mut segments: Vec<Segment> = utterances.into_iter().flat_map(segments).collect();
        segments.sort_by(|a, b| a.span.start.total_cmp(&b.span.start));
        Self {
            language: Language::ENGLISH,
            language_probability: 0.0,
            duration: 0.0,
            segments,
            turns: Vec::new(),
            voices: Vec::new(),
            names: Vec::new(),
            warnings: Vec::new(),
            timings: Timings::default(),
        }
    }
}

impl Segment {
    /// The segments of one utterance, as [`Transcript::assemble`] makes them: what one utterance holds does not depend on
    /// the others.
    pub fn of(mut utterance: Utterance, exclusive: &[Turn], changes: SpeakerChanges) -> Vec<Self> {
        let mut words = std::mem::take(&mut utterance.words);
        let attribution = Attribution::new(exclusive);
        if words.is_empty() {
            let speaker = attribution.speaker_of(&utterance.span);
            let (text, tokens) = (utterance.text.clone(), utterance.tokens.clone());
            return vec![Segment { tokens, ..segment(&utterance, utterance.span, text, Vec::new(), speaker) }];
        }
        let speakers = attribution.speakers(&words, &utterance.span, changes);
        words.iter_mut().zip(speakers).for_each(|(word, speaker)| word.speaker = speaker);
        let mut segments = Vec::new();
        let mut current: Vec<Word> = Vec::new();
        for word in words {
            if current.last().is_some_and(|last| last.speaker != word.speaker || separates(last, &word)) {
                segments.push(finish(&utterance, std::mem::take(&mut current)));
            }
            current.push(word);
        }
        segments.push(finish(&utterance, current));
        segments
    }
}

/// Whether a new segment starts with `next`, whoever says it.
fn separates(last: &Word, next: &Word) -> bool {
    let starts_anew = !next.text.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
    pause(last, next) > LONG_PAUSE || (ends_sentence(&last.text) && starts_anew)
}

/// Seconds between two words; none where one of them has no time.
fn pause(last: &Word, next: &Word) -> f64 {
    match (last.span, next.span) {
        (Some(last), Some(next)) => last.gap(&next),
        _ => 0.0,
    }
}

fn finish(utterance: &Utterance, words: Vec<Word>) -> Segment {
    let span = words.iter().filter_map(|word| word.span).reduce(|all, span| all.union(&span)).unwrap_or(utterance.span);
    let mut text = String::new();
    for word in &words {
        if word.spaced && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word.text);
    }
    let speaker = words.first().and_then(|word| word.speaker);
    segment(utterance, span, text, words, speaker)
}

fn segment(utterance: &Utterance, span: Span, text: String, words: Vec<Word>, speaker: Option<Speaker>) -> Segment {
    Segment {
        span,
        text,
        tokens: words.iter().flat_map(|word| &word.tokens).copied().collect(),
        words,
        speaker,
        language: utterance.language,
        avg_logprob: utterance.avg_logprob,
        no_speech_prob: utterance.no_speech_prob,
        compression_ratio: utterance.compression_ratio,
        temperature: utterance.temperature,
    }
}

#[cfg(test)]
mod tests;
