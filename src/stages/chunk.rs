//! From stretches of speech to chunks that Whisper can read: neighbours are merged as long as they fit, and a stretch that
//! is too long is cut where speech is least likely.

use std::ops::Range;

use crate::{
    audio::{Audio, Chunk},
    error::{Error, Result},
    models::silero::WINDOW,
    span::{Span, samples_of},
    stages::vad::Detection,
};

/// The longest chunk that Whisper reads, in seconds.
pub const LONGEST: f64 = 30.0;

/// How speech becomes chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkOptions {
    /// The longest chunk in seconds, 1 to 30, padding included.
    pub chunk_size: f64,
    /// Kept before and after the speech of a chunk, in seconds, so that no first or last sound is clipped; less where a
    /// neighbour or the end of the recording is near.
    pub padding: f64,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { chunk_size: LONGEST, padding: 0.4 }
    }
}

impl ChunkOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option.
    pub fn validate(&self) -> Result<()> {
        if !(self.chunk_size >= 1.0 && self.chunk_size <= LONGEST) {
            return Err(Error::Request(format!(
                "--chunk-size must lie between 1 and {LONGEST} seconds, not be {}",
                self.chunk_size
            )));
        }
        if !(self.padding >= 0.0 && self.padding <= self.chunk_size / 4.0) {
            return Err(Error::Request(format!(
                "the padding of a chunk must lie between 0 and a quarter of --chunk-size, not be {} seconds",
                self.padding
            )));
        }
        Ok(())
    }
}

/// Cuts `audio` into chunks that hold all speech of `detection`: in order, disjoint, none longer than asked.
///
/// # Errors
/// [`Error::Request`] for options that cannot be.
pub fn chunks(audio: &Audio, detection: &Detection, options: &ChunkOptions) -> Result<Vec<Chunk>> {
    let mut chunker = Chunker::new(options)?;
    let total = audio.samples().len();
    let mut layouts = Vec::new();
    for span in &detection.spans {
        let Range { start, end } = span.samples();
        chunker.push(start..end.min(total), &detection.probabilities, &mut layouts);
    }
    layouts.extend(chunker.finish(total));
    Ok(layouts.iter().map(|layout| layout.of(audio)).collect())
}

/// Where a chunk lies, in samples of its recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// All of it, padding included.
    pub extent: Range<usize>,
    /// The speech in it.
    pub speech: Vec<Range<usize>>,
}

impl Layout {
    /// The chunk itself.
    pub fn of(&self, audio: &Audio) -> Chunk {
        let span = Span::from_samples(self.extent.clone());
        let speech = self.speech.iter().cloned().map(Span::from_samples).collect();
        Chunk { audio: audio.slice(span), offset: span.start, speech }
    }
}

/// Lays out chunks while speech is still being found: a chunk is known once the next one begins.
#[derive(Debug, Clone)]
pub struct Chunker {
    padding: usize,
    /// Samples of a chunk without its paddings, which find room in every one.
    longest: usize,
    /// Where the speech of the chunk before ends.
    before: Option<usize>,
    /// The speech of the chunk that is growing: neighbours, merged greedily as WhisperX does.
    group: Vec<Range<usize>>,
}

impl Chunker {
    /// No speech has been found yet.
    ///
    /// # Errors
    /// [`Error::Request`] for options that cannot be.
    pub fn new(options: &ChunkOptions) -> Result<Self> {
        options.validate()?;
        let padding = samples_of(options.padding);
        let longest = samples_of(options.chunk_size) - 2 * padding;
        Ok(Self { padding, longest, before: None, group: Vec::new() })
    }

    /// Takes the next stretch of speech, and tells the chunks that are `known` by it. A stretch that is too long for one chunk
    /// is cut in the middle of the least likely window in the second half of what still fits; `probabilities` are those of
    /// all windows up to its end at least.
    pub fn push(&mut self, speech: Range<usize>, probabilities: &[f32], known: &mut Vec<Layout>) {
        let Range { mut start, end } = speech;
        while end.saturating_sub(start) > self.longest {
            let cut = least_likely(probabilities, start + self.longest / 2..start + self.longest);
            known.extend(self.add(start..cut));
            start = cut;
        }
        if start < end {
            known.extend(self.add(start..end));
        }
    }

    /// Adds a piece that fits a chunk to the growing one; where that would be too long, it begins the next.
    fn add(&mut self, piece: Range<usize>) -> Option<Layout> {
        let begun = extent(&self.group).start;
        if self.group.is_empty() || piece.end - begun <= self.longest {
            self.group.push(piece);
            return None;
        }
        let next = piece.start;
        let group = std::mem::replace(&mut self.group, vec![piece]);
        Some(self.lay_out(group, |end| (next - end) / 2))
    }

    /// The last chunk of a recording of `total` samples.
    pub fn finish(mut self, total: usize) -> Option<Layout> {
        let group = std::mem::take(&mut self.group);
        (!group.is_empty()).then(|| self.lay_out(group, |end| total - end))
    }

    /// Pads a group: by half of the gap to a neighbour at most.
    fn lay_out(&mut self, speech: Vec<Range<usize>>, room_after: impl Fn(usize) -> usize) -> Layout {
        let Range { start, end } = extent(&speech);
        let room_before = self.before.map_or(start, |before| (start - before) / 2);
        self.before = Some(end);
        Layout { extent: start - self.padding.min(room_before)..end + self.padding.min(room_after(end)), speech }
    }
}

/// The middle of the window with the lowest probability among those whose middle lies in `range`; the last of equals, so
/// that steady speech gives long pieces. The end of `range` where there is no window.
fn least_likely(probabilities: &[f32], range: Range<usize>) -> usize {
    let middle = |window: usize| window * WINDOW + WINDOW / 2;
    let first = (range.start.saturating_sub(WINDOW / 2)).div_ceil(WINDOW);
    let lowest = (first..probabilities.len())
        .take_while(|&window| middle(window) <= range.end)
        .reduce(|best, window| if probabilities[window] <= probabilities[best] { window } else { best });
    lowest.map_or(range.end, middle)
}

/// From the start of the first piece to the end of the last.
fn extent(group: &[Range<usize>]) -> Range<usize> {
    match group {
        [first, .., last] => first.start..last.end,
        [only] => only.clone(),
        [] => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::span::{SAMPLE_RATE, seconds_of};

    fn recording(seconds: f64) -> Audio {
        Audio::new(vec![0.0; samples_of(seconds)])
    }

    fn detection(spans: &[(f64, f64)], probabilities: Vec<f32>) -> Detection {
        Detection { spans: spans.iter().map(|&(start, end)| Span::new(start, end)).collect(), probabilities }
    }

    fn offsets(chunks: &[Chunk]) -> Vec<(f64, f64)> {
        chunks.iter().map(|chunk| (chunk.span().start, chunk.span().end)).collect()
    }

    #[test]
    fn neighbours_merge_while_they_fit() -> Result<()> {
        let heard = detection(&[(1.0, 10.0), (12.0, 20.0), (25.0, 40.0), (41.0, 45.0)], vec![]);
        let options = ChunkOptions { padding: 0.0, ..ChunkOptions::default() };
        let chunks = chunks(&recording(60.0), &heard, &options)?;
        assert_eq!(offsets(&chunks), [(1.0, 20.0), (25.0, 45.0)]);
        assert_eq!(chunks[1].speech, [Span::new(25.0, 40.0), Span::new(41.0, 45.0)]);
        Ok(())
    }

    #[test]
    fn padding_takes_half_of_a_narrow_gap_and_stops_at_the_ends() -> Result<()> {
        let heard = detection(&[(0.05, 20.0), (20.1, 45.0), (50.0, 60.0)], vec![]);
        let options = ChunkOptions { chunk_size: 26.0, padding: 0.2 };
        let chunks = chunks(&recording(60.0), &heard, &options)?;
        assert_eq!(offsets(&chunks), [(0.0, 20.05), (20.05, 45.2), (49.8, 60.0)]);
        Ok(())
    }

    #[test]
    fn long_speech_is_cut_at_the_least_likely_window_of_the_second_half() -> Result<()> {
        let mut probabilities = vec![0.9f32; samples_of(40.0).div_ceil(WINDOW)];
        probabilities[100] = 0.36; // 3.2 s: deeper, but in the first half
        probabilities[700] = 0.5; // 22.4 s
        let options = ChunkOptions { padding: 0.0, ..ChunkOptions::default() };
        let chunks = chunks(&recording(40.0), &detection(&[(0.0, 40.0)], probabilities), &options)?;
        let cut = seconds_of(700 * WINDOW + WINDOW / 2);
        assert_eq!(offsets(&chunks), [(0.0, cut), (cut, 40.0)]);
        Ok(())
    }

    #[test]
    fn no_speech_no_chunks() -> Result<()> {
        assert!(chunks(&recording(5.0), &detection(&[], vec![0.0; 157]), &ChunkOptions::default())?.is_empty());
        assert!(chunks(&recording(0.0), &detection(&[], vec![]), &ChunkOptions::default())?.is_empty());
        Ok(())
    }

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        for chunk_size in [0.0, 0.5, 31.0, f64::NAN] {
            let result = ChunkOptions { chunk_size, padding: 0.0 }.validate();
            assert!(result.is_err_and(|error| error.to_string().contains("--chunk-size")));
        }
        assert!(ChunkOptions { padding: f64::NAN, ..ChunkOptions::default() }.validate().is_err());
    }

    #[test]
    fn chunks_cover_all_speech_in_order_and_stay_short() -> Result<()> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        for _ in 0..500 {
            let total: usize = random.gen_range(0..200 * SAMPLE_RATE);
            let (mut spans, mut at) = (Vec::new(), random.gen_range(0..SAMPLE_RATE));
            while at < total {
                let longest = if random.gen_bool(0.2) { 80 } else { 5 };
                let end = (at + random.gen_range(1..longest * SAMPLE_RATE)).min(total);
                spans.push(Span::from_samples(at..end));
                at = end + random.gen_range(0..4 * SAMPLE_RATE);
            }
            let probabilities = (0..total.div_ceil(WINDOW)).map(|_| random.r#gen()).collect();
            let heard = Detection { spans, probabilities };
            let chunk_size = random.gen_range(1.0..=30.0);
            let options = ChunkOptions { chunk_size, padding: random.gen_range(0.0..=chunk_size / 4.0) };
            check(&chunks(&Audio::new(vec![0.0; total]), &heard, &options)?, &heard, chunk_size, total);
        }
        Ok(())
    }

    fn check(chunks: &[Chunk], heard: &Detection, chunk_size: f64, total: usize) {
        let extents: Vec<Range<usize>> = chunks.iter().map(|chunk| chunk.span().samples()).collect();
        for (chunk, extent) in chunks.iter().zip(&extents) {
            assert!(extent.len() <= samples_of(chunk_size) && extent.end <= total);
            assert_eq!(chunk.audio.samples().len(), extent.len());
            assert!(chunk.speech.iter().all(|span| {
                let speech = span.samples();
                extent.start <= speech.start && speech.end <= extent.end
            }));
        }
        assert!(extents.windows(2).all(|pair| pair[0].end <= pair[1].start));
        let pieces: Vec<Range<usize>> = chunks.iter().flat_map(|chunk| &chunk.speech).map(Span::samples).collect();
        // Pieces of one stretch follow each other without a gap, so together they are the stretch.
        let mut pieces = pieces.into_iter();
        for span in &heard.spans {
            let Range { mut start, end } = span.samples();
            while start < end {
                let piece = pieces.next().unwrap_or(0..0);
                assert_eq!(piece.start, start);
                start = piece.end;
            }
            assert_eq!(start, end);
        }
        assert_eq!(pieces.next(), None);
    }
}
