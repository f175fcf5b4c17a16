//! Times of words in order: every word has one, none overlap, none is shorter than can be.

use crate::{span::Span, transcript::Word};

/// The shortest word, in seconds.
pub const SHORTEST_WORD: f64 = 0.02;
/// The longest word among those that only lie between their neighbours, in seconds.
const LONGEST_GUESS: f64 = 0.3;

/// Gives words without a span one between their neighbours, and puts all in order within `bounds`.
pub(super) fn fill(words: &mut [Word], bounds: &Span) {
    let all_missing = words.iter().all(|word| word.span.is_none());
    let longest = if all_missing { f64::INFINITY } else { LONGEST_GUESS };
    let mut index = 0;
    while index < words.len() {
        let run = words[index..].iter().take_while(|word| word.span.is_none()).count();
        if run > 0 {
            let left = index.checked_sub(1).and_then(|last| words[last].span).map_or(bounds.start, |span| span.end);
            let right = words.get(index + run).and_then(|next| next.span).map_or(bounds.end, |span| span.start);
            let each = ((right - left) / run as f64).clamp(0.0, longest);
            for (place, word) in words[index..index + run].iter_mut().enumerate() {
                word.span = Some(Span::new(left + place as f64 * each, left + (place + 1) as f64 * each));
            }
        }
        index += run.max(1);
    }
    part(words);
    straighten(words, bounds);
}

/// Where two words overlap, both end in the middle of it.
fn part(words: &mut [Word]) {
    for place in 1..words.len() {
        let (Some(last), Some(next)) = (words[place - 1].span, words[place].span) else { continue };
        if last.end > next.start {
            let middle = ((last.end + next.start) / 2.0).clamp(last.start, next.end.max(last.start));
            words[place - 1].span = Some(Span::new(last.start, middle));
            words[place].span = Some(Span::new(middle, next.end));
        }
    }
}

/// Moves words so that each lies inside `bounds`, behind the one before, and lasts for a moment.
pub(super) fn straighten(words: &mut [Word], bounds: &Span) {
    let shortest = SHORTEST_WORD.min(bounds.duration() / words.len().max(1) as f64);
    let mut earliest = bounds.start;
    for word in words.iter_mut() {
        let Some(span) = word.span else { continue };
        let span = span.clamp(bounds);
        let start = span.start.max(earliest);
        let span = Span::new(start, span.end.max(start + shortest));
        earliest = span.end;
        word.span = Some(span);
    }
    // What was pushed past the end moves back, last word first.
    let mut latest = bounds.end;
    for word in words.iter_mut().rev() {
        let Some(span) = word.span else { continue };
        let end = span.end.min(latest);
        let start = span.start.min(end - shortest);
        latest = start;
        word.span = Some(Span { start, end });
    }
}
