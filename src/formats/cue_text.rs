//! The pieces of text that a subtitle never breaks inside, each with its time.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::one_line;
use crate::{
    span::Span,
    transcript::{Segment, Speaker, Word},
};

/// A word, or in scripts without spaces a character or so, with its punctuation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether a space stands before it on a line.
    pub(super) spaced: bool,
    pub(super) span: Span,
    pub(super) speaker: Option<Speaker>,
}

impl Piece {
    /// Columns on the screen; a wide character takes two.
    pub(super) fn width(&self) -> usize {
        self.text.width()
    }

    /// Whether a sentence ends with it.
    pub(super) fn ends_sentence(&self) -> bool {
        self.ends_with(&['.', '!', '?', '…', '。', '！', '？', '؟', '۔', '।'])
    }

    /// Whether a clause, not a sentence, ends with it.
    pub(super) fn ends_clause(&self) -> bool {
        self.ends_with(&[',', ';', ':', '–', '—', '、', '，', '；', '：', '،'])
    }

    fn ends_with(&self, marks: &[char]) -> bool {
        let closing = ['"', '\'', '”', '’', '»', ')', ']', '」', '』', '）'];
        self.text.trim_end_matches(closing).ends_with(marks)
    }
}

/// A piece that may still lack its time.
struct Draft {
    text: String,
    spaced: bool,
    span: Option<Span>,
    speaker: Option<Speaker>,
}

/// The pieces of `segment`, none wider than `limit`: its words, or its text cut up where it has none. What has no time of
/// its own shares the time between its neighbours by width.
pub(super) fn pieces(segment: &Segment, limit: usize) -> Vec<Piece> {
    let drafts = if segment.words.is_empty() { from_text(segment) } else { from_words(segment) };
    let mut pieces = Vec::with_capacity(drafts.len());
    for piece in placed(drafts, segment.span) {
        if piece.width() <= limit {
            pieces.push(piece);
        } else {
            pieces.extend(narrowed(piece, limit));
        }
    }
    pieces
}

fn from_words(segment: &Segment) -> Vec<Draft> {
    let draft = |word: &Word| Draft {
        text: one_line(&word.text),
        spaced: word.spaced,
        span: word.span,
        speaker: word.speaker.or(segment.speaker),
    };
    segment.words.iter().map(draft).filter(|draft| !draft.text.is_empty()).collect()
}

fn from_text(segment: &Segment) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for chunk in segment.text.split_whitespace() {
        let parts = if segment.language.writes_spaces() { vec![chunk.to_string()] } else { unspaced(chunk) };
        for (index, text) in parts.into_iter().enumerate() {
            drafts.push(Draft { text, spaced: index == 0, span: None, speaker: segment.speaker });
        }
    }
    drafts
}

/// Cuts text of a script without spaces where Unicode sees words; punctuation stays with the word before it, an opening
/// bracket with the word after it.
fn unspaced(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut opening = String::new();
    for part in text.split_word_bounds() {
        if part.ends_with(['「', '『', '（', '《', '〈', '【', '“', '‘', '(', '[']) {
            opening.push_str(part);
        } else if let Some(last) = parts.last_mut()
            && opening.is_empty()
            && !part.contains(char::is_alphanumeric)
        {
            last.push_str(part);
        } else {
            parts.push(std::mem::take(&mut opening) + part);
        }
    }
    if !opening.is_empty() {
        parts.push(opening);
    }
    parts
}

/// Gives a time to every draft that has none.
fn placed(drafts: Vec<Draft>, bounds: Span) -> Vec<Piece> {
    let mut spans: Vec<Option<Span>> = drafts.iter().map(|draft| draft.span).collect();
    let mut at = 0;
    while at < spans.len() {
        let unplaced = spans[at..].iter().take_while(|span| span.is_none()).count();
        let before = at.checked_sub(1).and_then(|index| spans[index]).map_or(bounds.start, |span| span.end);
        let after = spans.get(at + unplaced).copied().flatten().map_or(bounds.end, |span| span.start);
        let widths: Vec<usize> = drafts[at..at + unplaced].iter().map(|draft| draft.text.width()).collect();
        for (slot, span) in spans[at..].iter_mut().zip(shared(Span::new(before, after), &widths)) {
            *slot = Some(span);
        }
        at += unplaced + 1;
    }
    let piece = |(draft, span): (Draft, Option<Span>)| {
        Some(Piece { text: draft.text, spaced: draft.spaced, span: span?, speaker: draft.speaker })
    };
    drafts.into_iter().zip(spans).filter_map(piece).collect()
}

/// Cuts a piece that is wider than a line.
fn narrowed(piece: Piece, limit: usize) -> Vec<Piece> {
    let mut texts = vec![String::new()];
    for grapheme in piece.text.graphemes(true) {
        match texts.last_mut() {
            Some(text) if text.width() + grapheme.width() <= limit => text.push_str(grapheme),
            _ => texts.push(grapheme.to_string()),
        }
    }
    let widths: Vec<usize> = texts.iter().map(|text| text.width()).collect();
    let parts = texts.into_iter().zip(shared(piece.span, &widths)).enumerate();
    parts.map(|(index, (text, span))| Piece { text, spaced: index == 0 && piece.spaced, span, ..piece }).collect()
}

/// Cuts `span` into parts in proportion to `widths`.
fn shared(span: Span, widths: &[usize]) -> Vec<Span> {
    let total = widths.iter().map(|&width| width.max(1)).sum::<usize>().max(1) as f64;
    let mut before = 0;
    let part = |&width: &usize| {
        let start = span.start + span.duration() * before as f64 / total;
        before += width.max(1);
        Span::new(start, span.start + span.duration() * before as f64 / total)
    };
    widths.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    fn texts(segment: &Segment, limit: usize) -> Vec<String> {
        pieces(segment, limit).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn words_without_a_time_share_what_lies_between() {
        let mut unplaced =
            segment(vec![word("a", 0.0, 1.0), word("bbb", 0.0, 0.0), word("c", 0.0, 0.0), word("d", 3.0, 4.0)], None);
        unplaced.words[1].span = None;
        unplaced.words[2].span = None;
        let spans: Vec<Span> = pieces(&unplaced, 42).iter().map(|piece| piece.span).collect();
        assert_eq!(spans[1..3], [Span::new(1.0, 2.5), Span::new(2.5, 3.0)]);
    }

    #[test]
    fn text_without_words_is_spread_by_length() {
        let spans: Vec<Span> = pieces(&plain("one three", 2.0, 4.0), 42).iter().map(|piece| piece.span).collect();
        assert_eq!(spans, [Span::new(2.0, 2.75), Span::new(2.75, 4.0)]);
        assert_eq!(pieces(&plain(" ", 0.0, 1.0), 42), []);
    }

    #[test]
    fn scripts_without_spaces_keep_their_punctuation_together() {
        let mut japanese = plain("これは、「猫」です。", 0.0, 2.0);
        japanese.language = "ja".parse().unwrap_or(japanese.language);
        let texts = texts(&japanese, 42);
        assert_eq!(texts.concat(), "これは、「猫」です。");
        assert!(texts.contains(&"「猫」".to_string()), "{texts:?}");
        assert!(texts.contains(&"は、".to_string()), "{texts:?}");
    }

    #[test]
    fn what_is_wider_than_a_line_is_cut() {
        assert_eq!(texts(&plain("abcdefghij k", 0.0, 1.0), 4), ["abcd", "efgh", "ij", "k"]);
        assert_eq!(texts(&plain("猫猫猫", 0.0, 1.0), 5), ["猫猫", "猫"]);
    }
}
