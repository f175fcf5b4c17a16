//! Word times from cross-attention: dynamic time warping over the heads that follow time (openai/whisper, `timing.py`).

use super::{order, written::Written};
use crate::{
    audio::Chunk,
    models::whisper::POSITIONS_PER_SECOND,
    span::Span,
    transcript::{Source, Word},
};

/// Width of the median filter over time, in positions.
const MEDIAN_WIDTH: usize = 7;
/// How far a word may reach past the detected speech that it lies in, in seconds.
const SPEECH_MARGIN: f64 = 0.1;
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

/// Gives the words of one chunk their times. `attention` has a row for each of the `prompt` tokens before the text, the
/// text tokens and the end.
pub fn place(attention: &Attention, prompt: usize, written: Vec<Written>, chunk: &Chunk) -> Vec<Word> {
    // The row of a token says where the token after it is heard, so the text starts one row before its own.
    let starts = onsets(attention, prompt - 1, attention.tokens - 1);
    let time = |token: usize| {
        let position = starts.get(token).or(starts.last()).copied().unwrap_or(0);
        position as f64 / POSITIONS_PER_SECOND
    };
    let timed = written.into_iter().map(|Written { word, tokens }| {
        let span = Span::new(time(tokens.start), time(tokens.end)).shift(chunk.offset);
        Word { span: Some(span), source: Source::Attention, ..word }
    });
    let mut words: Vec<Word> = timed.collect();
    settle(&mut words, chunk);
    words
}

/// Keeps words out of silence, in order, and longer than nothing.
fn settle(words: &mut [Word], chunk: &Chunk) {
    let bounds = chunk.span();
    for word in words.iter_mut() {
        let Some(span) = word.span.map(|span| span.clamp(&bounds)) else { continue };
        let speech = chunk.speech.iter().max_by(|a, b| a.overlap(&span).total_cmp(&b.overlap(&span)));
        word.span = Some(match speech.filter(|speech| speech.overlap(&span) > 0.0) {
            Some(speech) => span.clamp(&Span::new(speech.start - SPEECH_MARGIN, speech.end + SPEECH_MARGIN)),
            None => span,
        });
    }
    order::straighten(words, &bounds);
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
    fn words_get_the_time_of_their_tokens() {
        let word = |text: &str| Word { text: text.into(), spaced: true, ..Word::default() };
        // Three prompt tokens, five of text, the end.
        let written = vec![Written { word: word("Well,"), tokens: 0..1 }, Written { word: word("go."), tokens: 3..4 }];
        let words = place(&diagonal(9), 3, written, &chunk(2.0, &[]));
        let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
        assert_eq!(spans.len(), 2);
        assert!(spans[0].start >= 10.0 && spans[0].end <= spans[1].start);
    }

    #[test]
    fn words_stay_in_order_inside_the_chunk_and_near_speech() {
        let word = |start, end| Word { span: Some(Span { start, end }), ..Word::default() };
        let mut words = vec![word(10.0, 14.0), word(14.0, 14.0), word(15.0, 15.0), word(15.0, 15.0)];
        settle(&mut words, &chunk(5.0, &[(10.2, 11.0), (13.9, 15.0)]));
        let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
        assert!(spans[0].start >= 10.1 - 1e-9 && spans[0].end <= 11.1 + 1e-9);
        assert!(spans.iter().all(|span| span.duration() >= order::SHORTEST_WORD - 1e-9 && span.end <= 15.0));
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-9));
    }
}
