//! Where words meet speakers: utterances and turns become segments of one speaker and one sentence.

use crate::{
    language::Language,
    span::Span,
    transcript::{Segment, Speaker, Timings, Transcript, Turn, Utterance, Word},
};

/// A run of words this short inside another speaker's sentence is a slip of the diarization, in words.
const STRAY_WORDS: usize = 1;
/// How far a change of speaker moves to meet the end of a sentence, in words.
const SENTENCE_REACH: usize = 2;
/// A pause this long ends a segment, in seconds.
const LONG_PAUSE: f64 = 2.0;

impl Transcript {
    /// Builds the segments. Every word gets the speaker whose `exclusive` turns (in order; none overlaps another) cover most
    /// of it, else the nearest turn's; a stray word does not tear a sentence, and a change of speaker near the end of a
    /// sentence moves there. Segments end where the sentence or the speaker does. Without turns nobody has a speaker.
    ///
    /// Language, duration, turns, voices, warnings and timings are the caller's to fill in.
    pub fn assemble(utterances: Vec<Utterance>, exclusive: &[Turn]) -> Self {
        let mut segments: Vec<Segment> =
            utterances.into_iter().flat_map(|utterance| Segment::of(utterance, exclusive)).collect();
        segments.sort_by(|a, b| a.span.start.total_cmp(&b.span.start));
        Self {
            language: Language::ENGLISH,
            language_probability: 0.0,
            duration: 0.0,
            segments,
            turns: Vec::new(),
            voices: Vec::new(),
            warnings: Vec::new(),
            timings: Timings::default(),
        }
    }
}

impl Segment {
    /// The segments of one utterance, as [`Transcript::assemble`] makes them: what one utterance holds does not depend on
    /// the others.
    pub fn of(utterance: Utterance, turns: &[Turn]) -> Vec<Self> {
        segments_of(utterance, turns)
    }
}

fn segments_of(mut utterance: Utterance, turns: &[Turn]) -> Vec<Segment> {
    let mut words = std::mem::take(&mut utterance.words);
    if words.is_empty() {
        let speaker = speaker_of(&utterance.span, turns);
        let (text, tokens) = (utterance.text.clone(), utterance.tokens.clone());
        return vec![Segment { tokens, ..segment(&utterance, utterance.span, text, Vec::new(), speaker) }];
    }
    if !turns.is_empty() {
        let mut speakers: Vec<Option<Speaker>> =
            words.iter().map(|word| speaker_of(&word.span.unwrap_or(utterance.span), turns)).collect();
        absorb_strays(&mut speakers, &words);
        move_to_sentence_ends(&mut speakers, &words);
        words.iter_mut().zip(speakers).for_each(|(word, speaker)| word.speaker = speaker);
    }
    let mut segments = Vec::new();
    let mut current: Vec<Word> = Vec::new();
    for word in words {
        if current.last().is_some_and(|last| separates(last, &word)) {
            segments.push(finish(&utterance, std::mem::take(&mut current)));
        }
        current.push(word);
    }
    segments.push(finish(&utterance, current));
    segments
}

/// Who is heard most during `span`; where nobody is, whose turn is nearest.
fn speaker_of(span: &Span, turns: &[Turn]) -> Option<Speaker> {
    let mut heard: Vec<(Speaker, f64)> = Vec::new();
    // Turns are in order, so only a stretch of them can touch the span.
    let from = turns.partition_point(|turn| turn.span.start < span.start - LONGEST_TURN_BACK);
    for turn in turns[from..].iter().take_while(|turn| turn.span.start < span.end) {
        let overlap = turn.span.overlap(span);
        match heard.iter_mut().find(|(speaker, _)| *speaker == turn.speaker) {
            Some((_, seconds)) => *seconds += overlap,
            None => heard.push((turn.speaker, overlap)),
        }
    }
    let most = heard.into_iter().filter(|(_, seconds)| *seconds > 0.0).max_by(|a, b| a.1.total_cmp(&b.1));
    let nearest = || turns.iter().min_by(|a, b| a.span.gap(span).total_cmp(&b.span.gap(span))).map(|turn| turn.speaker);
    most.map(|(speaker, _)| speaker).or_else(nearest)
}

/// No turn that still covers a word began earlier than this before it, in seconds.
const LONGEST_TURN_BACK: f64 = 3600.0;

/// Gives a run of at most [`STRAY_WORDS`] between two runs of one other speaker to that speaker, unless the run is a
/// sentence of its own ("Yes.").
fn absorb_strays(speakers: &mut [Option<Speaker>], words: &[Word]) {
    let mut start = 0;
    while start < speakers.len() {
        let end = (start..speakers.len()).find(|&i| speakers[i] != speakers[start]).unwrap_or(speakers.len());
        let inside = start > 0 && end < speakers.len() && speakers[start - 1] == speakers[end];
        let sentence = start > 0 && ends_sentence(&words[start - 1].text) && ends_sentence(&words[end - 1].text);
        if inside && end - start <= STRAY_WORDS && !sentence {
            let around = speakers[end];
            speakers[start..end].fill(around);
        }
        start = end;
    }
}

/// Moves each change of speaker by up to [`SENTENCE_REACH`] words to the end of a sentence, when it is not at one.
fn move_to_sentence_ends(speakers: &mut [Option<Speaker>], words: &[Word]) {
    for change in 1..speakers.len() {
        let (before, after) = (speakers[change - 1], speakers[change]);
        if before == after || ends_sentence(&words[change - 1].text) {
            continue;
        }
        let run_before = speakers[..change].iter().rev().take_while(|s| **s == before).count();
        let run_after = speakers[change..].iter().take_while(|s| **s == after).count();
        // A sentence end among the last words before the change: what follows it belongs to the next speaker.
        let back = (1..=SENTENCE_REACH.min(run_before.saturating_sub(1)))
            .find(|&n| ends_sentence(&words[change - 1 - n].text));
        // A sentence end among the first words after it: what precedes it belongs to the speaker before.
        let forward =
            (1..=SENTENCE_REACH.min(run_after.saturating_sub(1))).find(|&n| ends_sentence(&words[change + n - 1].text));
        match (back, forward) {
            (Some(back), forward) if forward.is_none_or(|forward| back <= forward) => {
                speakers[change - back..change].fill(after);
            }
            (_, Some(forward)) => speakers[change..change + forward].fill(before),
            _ => {}
        }
    }
}

/// Whether a new segment starts with `next`.
fn separates(last: &Word, next: &Word) -> bool {
    let pause = match (last.span, next.span) {
        (Some(last), Some(next)) => last.gap(&next),
        _ => 0.0,
    };
    let starts_anew = !next.text.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
    last.speaker != next.speaker || pause > LONG_PAUSE || (ends_sentence(&last.text) && starts_anew)
}

/// Abbreviations after which a sentence goes on.
const ABBREVIATIONS: [&str; 14] =
    ["mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "no", "mt", "gen", "col", "capt"];

fn ends_sentence(text: &str) -> bool {
    let bare = text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '」', '』']);
    if !bare.ends_with(['.', '?', '!', '…', '。', '？', '！', '؟', '।']) {
        return false;
    }
    let stem = bare.trim_end_matches('.').trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let initial = bare.ends_with('.') && (stem.chars().count() == 1 && stem != "i" || stem.contains('.'));
    !(initial || bare.ends_with('.') && ABBREVIATIONS.contains(&stem.as_str()))
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
mod tests {
    use super::*;

    /// One word every half second.
    fn utterance(text: &str) -> Utterance {
        let word = |(index, text): (usize, &str)| Word {
            text: text.to_owned(),
            spaced: true,
            span: Some(Span::new(index as f64 * 0.5, index as f64 * 0.5 + 0.4)),
            score: 0.9,
            ..Word::default()
        };
        let words: Vec<Word> = text.split(' ').enumerate().map(word).collect();
        Utterance {
            span: Span::new(0.0, words.len() as f64 * 0.5),
            text: text.to_owned(),
            language: Language::ENGLISH,
            tokens: Vec::new(),
            avg_logprob: -0.2,
            no_speech_prob: 0.0,
            compression_ratio: 1.0,
            temperature: 0.0,
            words,
        }
    }

    fn turn(start: f64, end: f64, speaker: u16) -> Turn {
        Turn { span: Span::new(start, end), speaker: Speaker(speaker), confidence: 1.0 }
    }

    fn lines(text: &str, turns: Vec<Turn>) -> Vec<String> {
        Transcript::assemble(vec![utterance(text)], &turns)
            .segments
            .iter()
            .map(|s| format!("{}: {}", s.speaker.map_or_else(|| "-".into(), |s| s.0.to_string()), s.text))
            .collect()
    }

    #[test]
    fn sentences_are_segments_and_abbreviations_do_not_end_them() {
        let found = lines("Mr. Jones met J. Smith. They spoke. and left", vec![]);
        assert_eq!(found, ["-: Mr. Jones met J. Smith.", "-: They spoke. and left"]);
    }

    #[test]
    fn segments_break_where_the_speaker_changes() {
        let found = lines("how are you? fine thanks and you", vec![turn(0.0, 1.45, 0), turn(1.45, 4.0, 1)]);
        assert_eq!(found, ["0: how are you?", "1: fine thanks and you"]);
    }

    #[test]
    fn a_stray_word_does_not_tear_a_sentence_but_a_short_answer_stands() {
        let turns = vec![turn(0.0, 1.0, 0), turn(1.0, 1.45, 1), turn(1.45, 4.0, 0)];
        assert_eq!(lines("we went to the market early", turns.clone()), ["0: we went to the market early"]);
        assert_eq!(lines("is it? Yes. And then we left", turns), ["0: is it?", "1: Yes.", "0: And then we left"]);
    }

    #[test]
    fn a_change_near_the_end_of_a_sentence_moves_there() {
        let turns = vec![turn(0.0, 1.95, 0), turn(1.95, 5.0, 1)];
        assert_eq!(lines("is that true? Oh yes it is", turns), ["0: is that true?", "1: Oh yes it is"]);
        let turns = vec![turn(0.0, 0.95, 0), turn(0.95, 5.0, 1)];
        assert_eq!(lines("is that true? Oh yes it is", turns), ["0: is that true?", "1: Oh yes it is"]);
    }

    #[test]
    fn every_word_has_a_speaker_even_outside_of_turns() {
        let transcript = Transcript::assemble(vec![utterance("one two three four")], &[turn(10.0, 11.0, 3)]);
        assert!(transcript.segments.iter().all(|s| s.speaker == Some(Speaker(3))));
        assert!(transcript.segments.iter().flat_map(|s| &s.words).all(|w| w.speaker == Some(Speaker(3))));
    }

    #[test]
    fn text_without_words_gets_the_majority_speaker() {
        let plain = Utterance { words: Vec::new(), ..utterance("a b c d") };
        let transcript = Transcript::assemble(vec![plain], &[turn(0.0, 0.5, 0), turn(0.5, 2.0, 1)]);
        assert_eq!(transcript.segments[0].speaker, Some(Speaker(1)));
    }
}
