//! From a decoded text to utterances: cut at the times that the model wrote, or with a time for every word.

use super::{
    align::{self, Emissions, Hearing},
    order,
    row::{Decoding, LEAST_SEGMENT, compression_ratio},
};
use crate::{
    audio::Chunk,
    error::Result,
    language::Language,
    models::whisper::{Tokenizer, tokenizer::TIMESTAMP_STEP},
    ops::profile,
    span::Span,
    transcript::{Token, Utterance, Word},
};

/// The utterance of a text whose `words` have times.
pub(super) fn timed(decoding: &Decoding, language: Language, chunk: &Chunk, words: Vec<Word>) -> Utterance {
    let span = extent(&words).unwrap_or_else(|| speech(chunk));
    utterance(decoding, language, span, decoding.text.clone(), decoding.written(), words)
}

/// The utterances of a text with the times that the model wrote; a text without times spans the chunk's speech. Where the text
/// was `cut_off`, what is left of the chunk comes beside them.
pub(super) fn pieces(
    tokenizer: &Tokenizer,
    decoding: &Decoding,
    language: Language,
    chunk: &Chunk,
    cut_off: bool,
) -> Result<(Vec<Utterance>, Option<Chunk>)> {
    let mut tokens = decoding.written();
    let rest = if cut_off { unread(&mut tokens, tokenizer.first_timestamp(), chunk) } else { None };
    let pieces = timed_pieces(tokenizer, tokens, chunk)?;
    let utterances = pieces
        .into_iter()
        .map(|(span, text, tokens)| utterance(decoding, language, span, text, tokens, Vec::new()))
        .collect();
    Ok((utterances, rest))
}

/// A text that was cut off is worth another reading of the rest where it has got this far, in seconds.
const LEAST_READ: f64 = 1.0;

/// Takes the last segment, which was cut off, from a text after others; what is left of the chunk from where it begins
/// (openai/whisper, `transcribe.py`).
fn unread(tokens: &mut Vec<Token>, first_timestamp: u32, chunk: &Chunk) -> Option<Chunk> {
    let is_time = |token: &Token| token.id >= first_timestamp;
    let opening = tokens.windows(2).rposition(|pair| pair.iter().all(is_time))? + 1;
    let read = seconds(tokens[opening].id, first_timestamp);
    let rest = chunk.after(chunk.offset + read);
    let worth_it = read >= LEAST_READ && rest.time_before_last(LEAST_SEGMENT).is_some();
    worth_it.then(|| {
        tokens.truncate(opening + 1);
        rest
    })
}

/// What a time stands for, in seconds from the start of the chunk.
fn seconds(time: u32, first_timestamp: u32) -> f64 {
    f64::from(time - first_timestamp) * TIMESTAMP_STEP
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

/// Gives the words of an utterance the times at which an aligner heard them in its chunk. What comes back are warnings:
/// where the text is not what is heard, and where something is said that no word stands for.
pub fn set_times(utterance: &mut Utterance, emissions: &Emissions, hearing: &Hearing, chunk: &Chunk) -> Vec<String> {
    let _stage = profile::stage(profile::Stage::Alignment);
    align::align(&mut utterance.words, emissions, hearing, utterance.language);
    move_to_file(&mut utterance.words, 0.0, chunk);
    utterance.span = extent(&utterance.words).unwrap_or_else(|| speech(chunk));
    doubts(&utterance.words, hearing, chunk)
}

/// The utterance of words that an aligner has placed in a chunk, and warnings as those of [`set_times`]. The words' times
/// count from `origin` seconds before the chunk's start.
pub fn placed(
    mut words: Vec<Word>,
    hearing: &Hearing,
    language: Language,
    origin: f64,
    chunk: &Chunk,
) -> (Utterance, Vec<String>) {
    move_to_file(&mut words, origin, chunk);
    let warnings = doubts(&words, hearing, chunk);
    let text = words
        .iter()
        .enumerate()
        .fold(String::new(), |text, (place, word)| text + if place > 0 && word.spaced { " " } else { "" } + &word.text);
    let sum: f32 = words.iter().map(|word| word.score.max(LEAST_PROBABILITY).ln()).sum();
    let utterance = Utterance {
        span: extent(&words).unwrap_or_else(|| speech(chunk)),
        language,
        tokens: Vec::new(),
        avg_logprob: sum / words.len().max(1) as f32,
        no_speech_prob: 0.0,
        compression_ratio: compression_ratio(&text),
        temperature: 0.0,
        text,
        words,
    };
    (utterance, warnings)
}

/// A score of zero counts as this, since it has no logarithm.
const LEAST_PROBABILITY: f32 = 1e-6;

fn move_to_file(words: &mut [Word], origin: f64, chunk: &Chunk) {
    let bounds = chunk.span();
    let moved = |span: Span| span.shift(bounds.start - origin).clamp(&bounds);
    for word in words.iter_mut() {
        word.span = word.span.map(moved);
        word.characters.iter_mut().for_each(|character| character.span = character.span.map(moved));
    }
    // The last frame may reach past the end of the chunk.
    order::straighten(words, &bounds);
}

/// Where the text is not what is heard, and where something is said that no word stands for.
fn doubts(words: &[Word], hearing: &Hearing, chunk: &Chunk) -> Vec<String> {
    let Some(Span { start, end }) = extent(words) else { return Vec::new() };
    let mut warnings = Vec::new();
    match align::mean_score(words) {
        Some(score) if score >= hearing.least_score => {}
        Some(score) => warnings.push(format!(
            "{start:.2}-{end:.2} s: the text does not match what is heard (score {score:.2}); its word times are not reliable"
        )),
        None => warnings.push(format!("{start:.2}-{end:.2} s: the text could not be aligned; its word times are guesses")),
    }
    for span in unspoken_for(words, chunk) {
        warnings.push(format!("{:.2}-{:.2} s: something is said here that the text may lack", span.start, span.end));
    }
    warnings
}

/// Spreads the words of an utterance over its chunk's speech.
pub fn guess_times(utterance: &mut Utterance, chunk: &Chunk) {
    let span = speech(chunk);
    utterance.words.iter_mut().for_each(|word| word.span = None);
    order::fill(&mut utterance.words, &span);
    utterance.span = span;
}

/// Detected speech longer than this, in seconds, does not lie between the words of a complete text.
const LONGEST_UNSPOKEN_FOR: f64 = 2.0;

/// Where there is speech for long and no word.
fn unspoken_for(words: &[Word], chunk: &Chunk) -> Vec<Span> {
    let mut gaps = Vec::new();
    let spans = || words.iter().filter_map(|word| word.span);
    for speech in &chunk.speech {
        let mut from = speech.start;
        for span in spans().filter(|span| span.overlap(speech) > 0.0) {
            gaps.push(Span::new(from, span.start));
            from = from.max(span.end);
        }
        gaps.push(Span::new(from, speech.end));
    }
    gaps.retain(|gap| gap.duration() > LONGEST_UNSPOKEN_FOR);
    gaps
}

/// A word longer than this, in seconds, covers speech that the text has left out.
const LONGEST_WORD: f64 = 1.5;

/// Where words last longer than anyone says them; neighbours are one stretch.
pub(super) fn stretched(words: &[Word]) -> Vec<Span> {
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
fn timed_pieces(tokenizer: &Tokenizer, tokens: Vec<Token>, chunk: &Chunk) -> Result<Vec<(Span, String, Vec<Token>)>> {
    let first = tokenizer.first_timestamp();
    let seconds = |token: u32| chunk.offset + seconds(token, first);
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
    for token in tokens {
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
    use crate::{audio::Audio, span::SAMPLE_RATE};

    #[test]
    fn what_a_text_had_no_room_for_is_read_again() {
        let chunk = Chunk {
            audio: Audio::new(vec![0.0; 20 * SAMPLE_RATE]),
            offset: 40.0,
            speech: vec![Span::new(41.0, 48.0), Span::new(50.0, 59.0)],
        };
        let rest = |ids: &[u32]| {
            let mut tokens = ids.iter().map(|&id| Token { id, logprob: 0.0 }).collect();
            let rest = unread(&mut tokens, 1000, &chunk);
            rest.map(|rest| (rest.span(), tokens.iter().map(|token| token.id).collect::<Vec<_>>()))
        };
        let whole = [1000, 1, 2, 1100, 1110, 3, 1450, 1500, 4, 5];
        assert_eq!(rest(&whole), Some((Span::new(50.0, 60.0), whole[..8].to_vec())));
        assert_eq!(rest(&[1000, 1, 2, 3]), None, "there is nothing to go back to");
        assert_eq!(rest(&[1000, 1, 1040, 1040, 2, 3]), None, "it would be read for ever");
        assert_eq!(rest(&[1000, 1, 1940, 1940, 2, 3]), None, "too little is left");
    }

    #[test]
    fn words_that_cover_skipped_speech_are_one_stretch() {
        let word = |start, end| Word {
            text: "x".into(),
            spaced: true,
            span: Some(Span::new(start, end)),
            score: 1.0,
            ..Word::default()
        };
        let words = [word(0.0, 0.4), word(0.4, 2.6), word(2.6, 4.4), word(4.4, 4.8), word(6.0, 8.0)];
        assert_eq!(stretched(&words), [Span::new(0.4, 4.4), Span::new(6.0, 8.0)]);
        assert_eq!(stretched(&words[..1]), []);
    }
}
