//! From a decoded text to utterances: cut at the times that the model wrote, or with a time for every word.

use super::row::Decoding;
use crate::{
    audio::Chunk,
    error::Result,
    language::Language,
    models::whisper::{Tokenizer, tokenizer::TIMESTAMP_STEP},
    span::Span,
    transcript::{Token, Utterance, Word},
};

/// The utterance of a text whose `words` have times.
pub(super) fn timed(decoding: &Decoding, language: Language, chunk: &Chunk, words: Vec<Word>) -> Utterance {
    let span = extent(&words).unwrap_or_else(|| speech(chunk));
    utterance(decoding, language, span, decoding.text.clone(), decoding.written(), words)
}

/// The utterances of a text with the times that the model wrote; a text without times spans the chunk's speech.
pub(super) fn pieces(
    tokenizer: &Tokenizer,
    decoding: &Decoding,
    language: Language,
    chunk: &Chunk,
) -> Result<Vec<Utterance>> {
    let pieces = timed_pieces(tokenizer, decoding, chunk)?;
    Ok(pieces
        .into_iter()
        .map(|(span, text, tokens)| utterance(decoding, language, span, text, tokens, Vec::new()))
        .collect())
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
