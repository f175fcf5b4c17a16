//! Word times by CTC forced alignment: the characters of a known text are put where a network hears them.
//!
//! The first pass is the exact Viterbi path through the standard CTC topology, with the label between words as a token of
//! its own (Kürzinger et al. 2020, "CTC-Segmentation"; torchaudio's forced alignment). An emission trained with CTC is
//! sure of the order of things but gives a character one frame somewhere inside its sound. Where the network has a second
//! output that labels every frame, a second pass puts each word's edges there: silence between words is optional, and a
//! word stays near where the first pass has found it.
//!
//! A word ends where its last character ends, not where the next word begins.

use std::ops::Range;

use super::{
    order,
    sounds::{self, Line},
};
use crate::{
    language::Language,
    models::labels::Labels,
    ops::ctc::{Chain, Emission, State, best_path},
    span::Span,
    spoken::spoken,
    transcript::{Source, Word},
};

/// Frames of every aligner in a second.
pub const FRAMES_PER_SECOND: f64 = 50.0;
/// How long a character lasts at most, on average, and a word beyond that, in frames. Nobody speaks slower: where a word
/// seems to, a part of it was found in what somebody else says.
const LONGEST_CHARACTER: usize = 8;
const LONGEST_REST: usize = 25;
/// Log-probabilities are no lower than this: a label that the network rules out costs much, but no path is impossible.
const FLOOR: f32 = -50.0;

/// What a network heard in a stretch of audio, ready to place any text in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Emissions {
    /// Log-probabilities of the labels, and two more columns: any character at all, and silence (blank or border).
    ctc: Emission,
    /// The same of the output that labels every frame.
    frame: Option<Emission>,
}

impl Emissions {
    /// Takes frames x labels log-probabilities, row after row.
    pub fn new(ctc: &[f32], frame: Option<&[f32]>, labels: &Labels) -> Self {
        Self { ctc: widened(ctc, labels), frame: frame.map(|frame| widened(frame, labels)) }
    }

    /// How many frames there are, at [`FRAMES_PER_SECOND`].
    pub fn frames(&self) -> usize {
        self.ctc.frames()
    }

    /// Puts what was heard next behind this.
    pub fn append(&mut self, next: &Emissions) {
        self.ctc.values.extend_from_slice(&next.ctc.values);
        match (&mut self.frame, &next.frame) {
            (Some(own), Some(next)) => own.values.extend_from_slice(&next.values),
            _ => self.frame = None,
        }
    }
}

fn widened(values: &[f32], labels: &Labels) -> Emission {
    let columns = labels.count() + 2;
    let mut wide = Vec::with_capacity(values.len() / labels.count().max(1) * columns);
    let silent = |label: usize| label == labels.blank() as usize || Some(label as u32) == labels.delimiter();
    for row in values.chunks_exact(labels.count().max(1)) {
        let (mut loudest, mut silence) = (FLOOR, 0.0);
        for (label, value) in row.iter().enumerate() {
            let value = value.max(FLOOR);
            wide.push(value);
            if silent(label) {
                silence += value.exp();
            } else {
                loudest = loudest.max(value);
            }
        }
        wide.extend([loudest, silence.ln()]);
    }
    Emission { values: wide, columns }
}

/// What is known of the network that heard.
#[derive(Debug, Clone, Copy)]
pub struct Hearing<'a> {
    /// What its outputs stand for.
    pub labels: &'a Labels,
    /// Seconds to be added to the start and to the end of every word.
    pub offsets: (f64, f64),
    /// How far the second pass may move the start of a word to the left, and its end to the right, in seconds.
    pub reach: (f64, f64),
    /// Below this mean score of its words a text is not what is heard.
    pub least_score: f32,
    /// Whether characters are wanted, too.
    pub characters: bool,
}

impl Hearing<'_> {
    /// The column for any character.
    pub(super) fn any(&self) -> u32 {
        self.labels.count() as u32
    }

    /// The column for blank or border.
    fn silence(&self) -> u32 {
        self.labels.count() as u32 + 1
    }
}

/// The frames in which each sound of a line was found.
type Places = Vec<Option<Range<usize>>>;

/// Gives `words` their spans (seconds from the first frame), scores, sources and characters. Every word gets a span; where
/// the text has more characters than there are frames, all are interpolated.
pub fn align(words: &mut [Word], emissions: &Emissions, hearing: &Hearing, language: Language) {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let forms = spoken(&texts, language);
    let line = Line::new(words, &forms, hearing, language);
    for word in words.iter_mut() {
        (word.span, word.source, word.score) = (None, Source::Interpolated, 0.0);
        word.characters.clear();
    }
    if let Some(mut places) = first_pass(&line, &emissions.ctc, hearing) {
        let scores = scores(&line, &places, &emissions.ctc);
        drop_strays(&line, &mut places, &scores);
        let finer = emissions.frame.as_ref().and_then(|frame| second_pass(&line, &places, frame, hearing));
        let all = finer.unwrap_or_else(|| places.iter().map(|place| place.as_ref().map(seconds)).collect());
        for ((word, form), range) in words.iter_mut().zip(&forms).zip(&line.words) {
            let spans = all[range.clone()].to_vec();
            let Some(span) = spans.iter().flatten().copied().reduce(|all, span| all.union(&span)) else { continue };
            let sounds = &line.sounds[range.clone()];
            let heard: Vec<f32> = (range.clone())
                .filter(|&sound| places[sound].is_some() && line.sounds[sound].character.is_some())
                .map(|sound| scores[sound])
                .collect();
            let known = sounds.iter().any(|sound| sound.character.is_some() && sound.column != hearing.any());
            word.span = Some(Span::new(span.start + hearing.offsets.0, span.end + hearing.offsets.1));
            word.source = if known { Source::Aligned } else { Source::Wildcard };
            word.score = heard.iter().sum::<f32>() / heard.len().max(1) as f32;
            if hearing.characters {
                word.characters = sounds::characters(word, form, sounds, &spans, &scores[range.clone()]);
            }
        }
    }
    order::fill(words, &Span::new(0.0, emissions.frames() as f64 / FRAMES_PER_SECOND));
}

/// How well a text matches what is heard: the mean score of its words, from 0 to 1; `None` where none could be placed.
pub fn mean_score(words: &[Word]) -> Option<f32> {
    let placed: Vec<f32> =
        words.iter().filter(|word| word.source != Source::Interpolated).map(|word| word.score).collect();
    (!placed.is_empty()).then(|| placed.iter().sum::<f32>() / placed.len() as f32)
}

fn seconds(frames: &Range<usize>) -> Span {
    Span::new(frames.start as f64 / FRAMES_PER_SECOND, frames.end as f64 / FRAMES_PER_SECOND)
}

/// The frames of every token on a path.
fn token_frames(path: &[State], tokens: usize) -> Vec<Range<usize>> {
    let mut frames = vec![0..0; tokens];
    for (frame, state) in path.iter().enumerate() {
        if let State::Token(token) = *state {
            let own = &mut frames[token];
            *own = if own.start == own.end { frame..frame + 1 } else { own.start..frame + 1 };
        }
    }
    frames
}

/// The standard CTC topology: blanks between all sounds, borders are sounds.
fn first_pass(line: &Line, emission: &Emission, hearing: &Hearing) -> Option<Places> {
    let tokens: Vec<u32> = line.sounds.iter().map(|sound| sound.column).collect();
    if tokens.is_empty() {
        return None;
    }
    let different = |place: usize| place == 0 || tokens[place] != tokens[place - 1] || tokens[place] == hearing.any();
    let skips = (0..tokens.len()).map(different).collect();
    let chain = Chain { gaps: vec![hearing.labels.blank(); tokens.len() + 1], skips, tokens };
    let path = best_path(emission, &chain, None)?;
    Some(token_frames(&path, line.sounds.len()).into_iter().map(Some).collect())
}

/// The mean probability of each sound in the frames in which it was found.
fn scores(line: &Line, places: &Places, emission: &Emission) -> Vec<f32> {
    let score = |column: u32, frames: &Range<usize>| {
        let sum: f32 = frames.clone().map(|frame| emission.row(frame)[column as usize].exp()).sum();
        sum / frames.len().max(1) as f32
    };
    let sounds = line.sounds.iter().zip(places);
    sounds.map(|(sound, place)| place.as_ref().map_or(0.0, |frames| score(sound.column, frames))).collect()
}

/// Gives up the parts of words that were found too far from the rest, where the score of the rest is higher.
fn drop_strays(line: &Line, places: &mut Places, scores: &[f32]) {
    for word in &line.words {
        loop {
            let found: Vec<usize> = word.clone().filter(|&sound| places[sound].is_some()).collect();
            let start = |sound: usize| places[sound].as_ref().map_or(0, |frames| frames.start);
            let (Some(&first), Some(&last)) = (found.first(), found.last()) else { break };
            if start(last) - start(first) <= found.len() * LONGEST_CHARACTER + LONGEST_REST {
                break;
            }
            let widest = (1..found.len()).max_by_key(|&place| start(found[place]) - start(found[place - 1]));
            let (left, right) = found.split_at(widest.unwrap_or(1));
            let sum = |sounds: &[usize]| sounds.iter().map(|&sound| scores[sound]).sum::<f32>();
            let stray = if sum(left) < sum(right) { left } else { right };
            stray.iter().for_each(|&sound| places[sound] = None);
        }
    }
}

/// Labelled frames: silence is optional between words, and each word stays near where it was found.
fn second_pass(line: &Line, places: &Places, emission: &Emission, hearing: &Hearing) -> Option<Vec<Option<Span>>> {
    let mut chain = Chain { gaps: Vec::new(), tokens: Vec::new(), skips: Vec::new() };
    let (mut windows, mut members) = (Vec::new(), Vec::new());
    let frames = |seconds: f64| (seconds * FRAMES_PER_SECOND).round() as usize;
    let (before, after) = (frames(hearing.reach.0), frames(hearing.reach.1));
    for word in &line.words {
        let found = || word.clone().filter_map(|sound| places[sound].as_ref());
        let (Some(first), Some(last)) = (found().next(), found().next_back()) else { continue };
        let window = first.start.saturating_sub(before)..(last.end + after).min(emission.frames());
        let mut silent = true;
        for sound in word.clone() {
            if line.sounds[sound].character.is_none() {
                silent = true;
            } else if places[sound].is_some() {
                let column = line.sounds[sound].column;
                chain.skips.push(chain.tokens.last() != Some(&column) || column == hearing.any());
                chain.gaps.push(if silent { hearing.silence() } else { hearing.labels.blank() });
                chain.tokens.push(column);
                windows.push(window.clone());
                members.push(sound);
                silent = false;
            }
        }
    }
    chain.gaps.push(hearing.silence());
    let path = best_path(emission, &chain, Some(&windows))?;
    let mut finer = vec![None; places.len()];
    for (sound, frames) in members.into_iter().zip(token_frames(&path, chain.tokens.len())) {
        let border = |frame| border(frame, &path, &chain, emission);
        finer[sound] = Some(Span::new(border(frames.start), border(frames.end)));
    }
    Some(finer)
}

/// Where between the middles of two frames one state gives way to the next, in seconds: where both are as likely, if the
/// odds of the two change evenly.
fn border(frame: usize, path: &[State], chain: &Chain, emission: &Emission) -> f64 {
    let column = |frame: usize| match path[frame] {
        State::Gap(place) => chain.gaps[place] as usize,
        State::Token(place) => chain.tokens[place] as usize,
    };
    if frame == 0 || frame == path.len() {
        return frame as f64 / FRAMES_PER_SECOND;
    }
    let (old, new) = (column(frame - 1), column(frame));
    let odds = |frame: usize| f64::from(emission.row(frame)[new] - emission.row(frame)[old]);
    let (before, after) = (odds(frame - 1), odds(frame));
    let share = if before < 0.0 && after > 0.0 { before / (before - after) } else { 0.5 };
    (frame as f64 - 0.5 + share) / FRAMES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTERS: &str = "_|abcdefghijklmnopqrstuvwxyz'";

    fn labels(delimiter: bool) -> Labels {
        let characters = LETTERS.chars().enumerate().map(|(label, letter)| (letter, label as u32));
        Labels::new(characters, 0, delimiter.then_some(1), LETTERS.len())
    }

    /// Log-probabilities of frames of which each hears one label with certainty.
    fn frames(heard: &str) -> Vec<f32> {
        let row = |label: char| LETTERS.chars().map(move |other| if other == label { -0.05f32 } else { -8.0 });
        heard.chars().flat_map(row).collect()
    }

    fn hearing(labels: &Labels) -> Hearing<'_> {
        Hearing { labels, offsets: (0.0, 0.0), reach: (0.06, 0.1), least_score: 0.4, characters: true }
    }

    fn aligned(text: &str, ctc: &str, frame: Option<&str>, language: &str) -> Vec<Word> {
        let labels = labels(!ctc.contains('*'));
        let ctc = ctc.replace('*', "_");
        let frame = frame.map(frames);
        let emissions = Emissions::new(&frames(&ctc), frame.as_deref(), &labels);
        let word = |text: &str| Word { text: text.into(), spaced: true, ..Word::default() };
        let mut words: Vec<Word> = text.split(' ').map(word).collect();
        align(&mut words, &emissions, &hearing(&labels), language.parse().unwrap());
        words
    }

    fn in_frames(words: &[Word]) -> Vec<(usize, usize)> {
        let frame = |seconds: f64| (seconds * FRAMES_PER_SECOND).round() as usize;
        words.iter().filter_map(|word| word.span).map(|span| (frame(span.start), frame(span.end))).collect()
    }

    #[test]
    fn a_word_ends_where_its_last_character_ends() {
        let words = aligned("Ab, cc!", "__a_b_________|c_c__", None, "en");
        assert_eq!(in_frames(&words), [(2, 5), (15, 18)]);
        assert!(words.iter().all(|word| word.source == Source::Aligned && word.score > 0.9));
        let times: Vec<_> = words[0].characters.iter().map(|c| (c.text, c.span.map(|span| span.start))).collect();
        assert_eq!(times, [('A', Some(0.04)), ('b', Some(0.08)), (',', None)]);
    }

    #[test]
    fn the_second_pass_moves_edges_within_its_reach() {
        let (ctc, frame) = ("____a_b______c_d____", "|||aaabbb|||cccddd||");
        assert_eq!(in_frames(&aligned("ab cd", ctc, Some(frame), "en")), [(3, 9), (12, 18)]);
        // What lies out of reach is somebody else's.
        let far = "aaaaaaaaabbb||cd||||";
        assert_eq!(in_frames(&aligned("ab cd", ctc, Some(far), "en"))[0].0, 1);
    }

    #[test]
    fn characters_without_a_label_are_heard_as_anything() {
        let words = aligned("ab 77 cd", "_a_b_|_x_y_|c_d_", None, "cy");
        assert_eq!(
            words.iter().map(|word| word.source).collect::<Vec<_>>(),
            [Source::Aligned, Source::Wildcard, Source::Aligned]
        );
        let spans = in_frames(&words);
        assert!(spans[1].0 >= 6 && spans[1].1 <= 11, "{spans:?}");
    }

    #[test]
    fn another_script_is_heard_in_latin_letters() {
        let words = aligned("ab да", "_a_b_|_d_a_", None, "ru");
        assert_eq!(in_frames(&words), [(1, 4), (7, 10)]);
        assert!(words.iter().all(|word| word.source == Source::Aligned && word.characters.len() == 2));
    }

    #[test]
    fn what_is_not_said_lies_between_its_neighbours() {
        let words = aligned("ab — cd", "_a_b__|__c_d_", None, "en");
        assert_eq!(words[1].source, Source::Interpolated);
        let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
        assert!(spans[0].end <= spans[1].start && spans[1].start < spans[1].end && spans[1].end <= spans[2].start);
        assert!(mean_score(&words).is_some_and(|score| score > 0.9));
        let symbols = aligned("— …", "_a_b__", None, "en");
        assert_eq!((symbols.len(), in_frames(&symbols).len(), mean_score(&symbols)), (2, 2, None));
    }

    #[test]
    fn a_text_with_more_characters_than_frames_is_spread_over_them() {
        for (text, heard) in [("abcdefgh", "ab"), ("a bc", "a"), ("aaa", "a_a_")] {
            let words = aligned(text, heard, Some(heard), "en");
            assert_eq!(mean_score(&words), None, "{text}");
            let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
            assert_eq!(spans.len(), words.len());
            assert!(spans.iter().all(|span| span.start < span.end && span.end <= heard.len() as f64 / 50.0 + 1e-9));
        }
    }

    #[test]
    fn a_vocabulary_without_a_border_is_aligned_without_one() {
        assert_eq!(in_frames(&aligned("ab cd", "_a_b*c_d_", None, "en")), [(1, 4), (5, 8)]);
    }

    #[test]
    fn a_word_is_not_stretched_over_what_it_does_not_say() {
        let heard = format!("_a_b_c{}d__", "_x_y_z".repeat(20));
        let words = aligned("abcd", &heard, None, "en");
        assert_eq!(in_frames(&words), [(1, 6)]);
    }

    #[test]
    fn joined_emissions_are_one() {
        let labels = labels(true);
        let mut first = Emissions::new(&frames("_a_b_"), None, &labels);
        first.append(&Emissions::new(&frames("|cd_"), None, &labels));
        assert_eq!(first, Emissions::new(&frames("_a_b_|cd_"), None, &labels));
    }

    #[test]
    fn numbers_that_are_no_numbers_do_no_harm() {
        let labels = labels(true);
        let broken = vec![f32::NAN; LETTERS.len() * 20];
        let emissions = Emissions::new(&broken, Some(&broken), &labels);
        let mut words = vec![Word { text: "ab".into(), spaced: true, ..Word::default() }];
        align(&mut words, &emissions, &hearing(&labels), Language::ENGLISH);
        assert!(words[0].span.is_some_and(|span| span.start < span.end && span.end <= 0.4));
    }
}
