//! Word times from cross-attention: dynamic time warping over the heads that follow time (openai/whisper, `timing.py`).

use crate::{
    audio::Chunk,
    language::Language,
    models::whisper::POSITIONS_PER_SECOND,
    span::Span,
    transcript::{Token, Word},
};

/// Width of the median filter over time, in positions.
const MEDIAN_WIDTH: usize = 7;
/// The shortest word, in seconds.
const SHORTEST_WORD: f64 = 0.02;
/// How far a word may reach past the detected speech that it lies in, in seconds.
const SPEECH_MARGIN: f64 = 0.1;
/// Punctuation that belongs to the word after it.
const OPENING: &str = "\"'“¿([{-‘«„";
/// Punctuation that belongs to the word before it.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、…’»;；%";

/// Softmax weights of the chosen heads: `heads` matrices of `tokens` rows and `positions` columns.
#[derive(Debug)]
pub struct Attention {
    /// heads x tokens x positions.
    pub weights: Vec<f32>,
    /// Matrices.
    pub heads: usize,
    /// Rows of each.
    pub tokens: usize,
    /// Columns of each: audio positions of 20 ms.
    pub positions: usize,
}

/// The path of least cost through a `rows` x `columns` matrix from the first cell to the last, in order.
pub fn warp(cost: &[f32], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let width = columns + 1;
    let mut total = vec![f32::INFINITY; (rows + 1) * width];
    let mut step = vec![0u8; (rows + 1) * width];
    total[0] = 0.0;
    for row in 1..=rows {
        for column in 1..=columns {
            let here = row * width + column;
            let (both, down, right) = (total[here - width - 1], total[here - width], total[here - 1]);
            let (before, taken) = if both < down && both < right {
                (both, 0)
            } else if down < both && down < right {
                (down, 1)
            } else {
                (right, 2)
            };
            total[here] = cost[(row - 1) * columns + column - 1] + before;
            step[here] = taken;
        }
    }
    let mut path = Vec::with_capacity(rows + columns);
    let (mut row, mut column) = (rows, columns);
    while row > 0 && column > 0 {
        path.push((row - 1, column - 1));
        match step[row * width + column] {
            0 => (row, column) = (row - 1, column - 1),
            1 => row -= 1,
            _ => column -= 1,
        }
    }
    path.reverse();
    path
}

/// Position at which each of the rows `first..last` begins: normalises every head over its tokens, smooths over time,
/// averages the heads and warps.
fn onsets(attention: &Attention, first: usize, last: usize) -> Vec<usize> {
    let (tokens, positions) = (attention.tokens, attention.positions);
    let mut mean = vec![0f32; tokens * positions];
    let mut smoothed = vec![0f32; positions];
    for head in attention.weights.chunks_exact(tokens * positions) {
        let mut normal = head.to_vec();
        normalise_columns(&mut normal, tokens, positions);
        for (row, sum) in normal.chunks_exact(positions).zip(mean.chunks_exact_mut(positions)) {
            median_filter(row, &mut smoothed);
            sum.iter_mut().zip(&smoothed).for_each(|(sum, value)| *sum += value / attention.heads as f32);
        }
    }
    let cost: Vec<f32> = mean[first * positions..last * positions].iter().map(|value| -value).collect();
    let mut onsets = Vec::with_capacity(last - first);
    for (row, column) in warp(&cost, last - first, positions) {
        if onsets.len() == row {
            onsets.push(column);
        }
    }
    onsets
}

/// Mean 0 and deviation 1 over the tokens of each position.
fn normalise_columns(matrix: &mut [f32], rows: usize, columns: usize) {
    for column in 0..columns {
        let values = || (0..rows).map(|row| row * columns + column);
        let mean = values().map(|i| matrix[i]).sum::<f32>() / rows as f32;
        let variance = values().map(|i| (matrix[i] - mean).powi(2)).sum::<f32>() / rows as f32;
        let deviation = variance.sqrt().max(1e-10);
        for index in values() {
            matrix[index] = (matrix[index] - mean) / deviation;
        }
    }
}

/// Running median of [`MEDIAN_WIDTH`] with reflected edges; rows shorter than that are copied.
fn median_filter(row: &[f32], out: &mut [f32]) {
    let half = MEDIAN_WIDTH / 2;
    if row.len() <= half {
        out.copy_from_slice(row);
        return;
    }
    let last = row.len() as isize - 1;
    for (centre, out) in out.iter_mut().enumerate() {
        let mut window = [0f32; MEDIAN_WIDTH];
        for (offset, value) in window.iter_mut().enumerate() {
            let index = (centre + offset) as isize - half as isize;
            let reflected = if index < 0 {
                -index
            } else if index > last {
                2 * last - index
            } else {
                index
            };
            *value = row[reflected as usize];
        }
        window.sort_unstable_by(f32::total_cmp);
        *out = window[half];
    }
}

/// A written word and the tokens it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// With its leading space.
    pub text: String,
    /// How many of the tokens.
    pub tokens: usize,
}

/// Places the words of one chunk. `attention` has a row for each of the `prompt` tokens before the text, the text tokens
/// and the end; `tokens` are those of the text.
pub fn place(
    attention: &Attention,
    prompt: usize,
    pieces: &[Piece],
    tokens: &[Token],
    language: Language,
    chunk: &Chunk,
) -> Vec<Word> {
    // The row of a token says where the token after it is heard, so the text starts one row before its own.
    let starts = onsets(attention, prompt - 1, attention.tokens - 1);
    let time = |token: usize| {
        let position = starts.get(token).or(starts.last()).copied().unwrap_or(0);
        position as f64 / POSITIONS_PER_SECOND
    };
    let mut words: Vec<Word> = Vec::with_capacity(pieces.len());
    let mut opening = String::new();
    let (mut token, mut first) = (0, 0);
    for piece in pieces {
        let end = token + piece.tokens;
        let text = piece.text.trim();
        let spaced = piece.text.starts_with(' ') || (words.is_empty() && language.writes_spaces());
        if text.is_empty() {
        } else if let Some(word) = words.last_mut().filter(|_| !spaced && text.chars().all(|c| CLOSING.contains(c))) {
            word.text.push_str(text);
        } else if spaced && text.chars().all(|c| OPENING.contains(c)) {
            opening.push_str(text);
        } else {
            let own = tokens.get(token..end).unwrap_or_default();
            let score = own.iter().map(|token| token.logprob.exp()).sum::<f32>() / own.len().max(1) as f32;
            let spaced = spaced || !opening.is_empty();
            let text = std::mem::take(&mut opening) + text;
            let span = Span::new(time(token), time(end)).shift(chunk.offset);
            words.push(Word { text, spaced, span: Some(span), score, speaker: None, tokens: Vec::new() });
        }
        if let Some(word) = words.last_mut().filter(|_| opening.is_empty()) {
            word.tokens.extend_from_slice(tokens.get(first..end).unwrap_or_default());
            first = end;
        }
        token = end;
    }
    if let (Some(word), false) = (words.last_mut(), opening.is_empty()) {
        word.text.push_str(&opening);
        word.tokens.extend_from_slice(tokens.get(first..).unwrap_or_default());
    }
    settle(&mut words, chunk);
    words
}

/// Keeps words out of silence, in order, and longer than nothing.
fn settle(words: &mut [Word], chunk: &Chunk) {
    let bounds = chunk.span();
    let mut earliest = bounds.start;
    for word in words.iter_mut() {
        let Some(span) = word.span else { continue };
        let mut span = span.clamp(&bounds);
        let speech = chunk.speech.iter().max_by(|a, b| a.overlap(&span).total_cmp(&b.overlap(&span)));
        if let Some(speech) = speech.filter(|speech| speech.overlap(&span) > 0.0) {
            span = span.clamp(&Span::new(speech.start - SPEECH_MARGIN, speech.end + SPEECH_MARGIN));
        }
        let start = span.start.max(earliest);
        span = Span::new(start, span.end.max(start + SHORTEST_WORD));
        earliest = span.end;
        word.span = Some(span);
    }
    // What was pushed past the end of the chunk moves back, last word first.
    let mut latest = bounds.end;
    for word in words.iter_mut().rev() {
        let Some(span) = word.span else { continue };
        let end = span.end.min(latest);
        let start = span.start.min(end - SHORTEST_WORD);
        latest = start;
        word.span = Some(Span { start, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Audio;

    #[test]
    fn the_path_follows_the_cheap_cells() {
        #[rustfmt::skip]
        let cost = [
            0.0, 0.0, 9.0, 9.0,
            9.0, 9.0, 0.0, 9.0,
            9.0, 9.0, 9.0, 0.0,
        ];
        assert_eq!(warp(&cost, 3, 4), [(0, 0), (0, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn the_median_ignores_a_spike_and_reflects_edges() {
        let mut row = vec![1.0f32; 20];
        row[5] = 50.0;
        row[0] = 50.0;
        let mut out = vec![0.0; 20];
        median_filter(&row, &mut out);
        assert_eq!(out, vec![1.0; 20]);
    }

    fn chunk(seconds: f64, speech: &[(f64, f64)]) -> Chunk {
        Chunk {
            audio: Audio::new(vec![0.0; (seconds * 16_000.0) as usize]),
            offset: 10.0,
            speech: speech.iter().map(|&(start, end)| Span::new(start, end)).collect(),
        }
    }

    /// One head whose token `t` looks at positions `t * 10..(t + 1) * 10`.
    fn diagonal(tokens: usize) -> Attention {
        let positions = tokens * 10;
        let mut weights = vec![0.001; tokens * positions];
        for token in 0..tokens {
            weights[token * positions + token * 10..][..10].fill(0.1);
        }
        Attention { weights, heads: 1, tokens, positions }
    }

    #[test]
    fn words_get_the_time_of_their_tokens_and_keep_their_punctuation() {
        let piece = |text: &str, tokens| Piece { text: text.into(), tokens };
        let pieces = [piece(" Well", 1), piece(",", 1), piece(" \"", 1), piece("go", 1), piece(".", 1)];
        // Three prompt tokens, five of text, the end.
        let tokens = [1, 2, 3, 4, 5].map(|id| Token { id, logprob: -0.1 });
        let words = place(&diagonal(9), 3, &pieces, &tokens, Language::ENGLISH, &chunk(2.0, &[]));
        let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["Well,", "\"go."]);
        let ids: Vec<Vec<u32>> = words.iter().map(|word| word.tokens.iter().map(|token| token.id).collect()).collect();
        assert_eq!(ids, [vec![1, 2], vec![3, 4, 5]]);
        assert!(words.iter().all(|word| word.spaced && (word.score - 0.905).abs() < 1e-3));
        assert!(
            words[0].span.is_some_and(|span| span.start >= 10.0 && span.end <= words[1].span.map_or(0.0, |s| s.start))
        );
    }

    #[test]
    fn words_stay_in_order_inside_the_chunk_and_near_speech() {
        let word = |start, end| Word {
            text: "x".into(),
            spaced: true,
            span: Some(Span { start, end }),
            score: 1.0,
            speaker: None,
            tokens: Vec::new(),
        };
        let mut words = vec![word(10.0, 14.0), word(14.0, 14.0), word(15.0, 15.0), word(15.0, 15.0)];
        settle(&mut words, &chunk(5.0, &[(10.2, 11.0), (13.9, 15.0)]));
        let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
        assert!(spans[0].start >= 10.1 - 1e-9 && spans[0].end <= 11.1 + 1e-9);
        assert!(spans.iter().all(|span| span.duration() >= SHORTEST_WORD - 1e-9 && span.end <= 15.0));
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-9));
    }
}
