//! Sentences, speakers, and random conversations.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

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
    Transcript::assemble(vec![utterance(text)], &turns, SpeakerChanges::Smoothed)
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
    let transcript =
        Transcript::assemble(vec![utterance("one two three four")], &[turn(10.0, 11.0, 3)], SpeakerChanges::Smoothed);
    assert!(transcript.segments.iter().all(|s| s.speaker == Some(Speaker(3))));
    assert!(transcript.segments.iter().flat_map(|s| &s.words).all(|w| w.speaker == Some(Speaker(3))));
}

#[test]
fn text_without_words_gets_the_majority_speaker() {
    let plain = Utterance { words: Vec::new(), ..utterance("a b c d") };
    let transcript = Transcript::assemble(vec![plain], &[turn(0.0, 0.5, 0), turn(0.5, 2.0, 1)], SpeakerChanges::None);
    assert_eq!(transcript.segments[0].speaker, Some(Speaker(1)));
}

const MODES: [SpeakerChanges; 3] = [SpeakerChanges::None, SpeakerChanges::Smoothed, SpeakerChanges::Word];

/// The speakers of all words.
fn speakers(segments: &[Segment]) -> Vec<u16> {
    segments.iter().flat_map(|s| &s.words).filter_map(|word| word.speaker).map(|speaker| speaker.0).collect()
}

#[test]
fn the_modes_differ_in_what_a_change_does() {
    let found = |text, turns: &[Turn], changes| speakers(&Segment::of(utterance(text), turns, changes));
    let turns = [turn(0.0, 2.0, 0), turn(2.0, 2.45, 1), turn(2.45, 3.95, 0), turn(3.95, 9.0, 1)];
    let text = "we went to the market early and they stayed";
    assert_eq!(found(text, &turns, SpeakerChanges::Word), [0, 0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(found(text, &turns, SpeakerChanges::Smoothed), [0; 9], "slips");
    assert_eq!(found(text, &turns, SpeakerChanges::None), [0; 9]);
    let turns = [turn(0.0, 2.9, 0), turn(2.9, 9.0, 1)];
    let text = "one two three four five six seven eight nine ten";
    assert_eq!(found(text, &turns, SpeakerChanges::Smoothed), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1], "a real change stands");
    assert_eq!(found(text, &turns, SpeakerChanges::None), [0; 10], "who says most of it");
}

#[test]
fn a_change_moves_to_a_comma_and_to_a_pause() {
    let found = |said: Utterance, turns: &[Turn]| speakers(&Segment::of(said, turns, SpeakerChanges::Smoothed));
    let mut said = utterance("so that is what we think, but not all of us");
    let turns = [turn(0.0, 2.65, 0), turn(2.65, 9.0, 1)];
    assert_eq!(found(said.clone(), &turns), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1], "after the comma");
    said.words[5].text = "think".into();
    for word in &mut said.words[4..] {
        word.span = word.span.map(|span| span.shift(0.8));
    }
    let turns = [turn(0.0, 3.25, 0), turn(3.25, 9.0, 1)];
    assert_eq!(found(said, &turns), [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1], "after the pause");
}

#[test]
fn words_without_times_go_with_their_neighbours() {
    let mut said = utterance("one two three. four five six");
    said.words[1].span = None;
    said.words[3].span = None;
    let turns = [turn(0.0, 1.5, 4), turn(1.5, 9.0, 2)];
    assert_eq!(speakers(&Segment::of(said.clone(), &turns, SpeakerChanges::Smoothed)), [4, 4, 4, 2, 2, 2]);
    said.words.iter_mut().for_each(|word| word.span = None);
    for changes in MODES {
        assert_eq!(speakers(&Segment::of(said.clone(), &turns, changes)), [4; 6], "by where the utterance lies");
    }
}

/// Words with and without times, marks and gaps.
fn random_utterance(random: &mut Xoshiro256PlusPlus) -> Utterance {
    let start = random.gen_range(0.0..20.0);
    let mut at: f64 = start;
    let words: Vec<Word> = (0..random.gen_range(0..60))
        .map(|index| {
            at += if random.gen_bool(0.1) { random.gen_range(0.0..4.0) } else { random.gen_range(0.0..0.1) };
            let span = Span::new(at, at + random.gen_range(0.0..0.6));
            at = span.end;
            let mark = ["", "", "", "", ",", ".", "?", "..."][random.gen_range(0..8)];
            let text = format!("{}{index}{mark}", ["a", "B", "猫"][random.gen_range(0..3)]);
            let span = (!random.gen_bool(0.1)).then_some(span);
            Word { text, span, spaced: random.gen_bool(0.9), ..Word::default() }
        })
        .collect();
    Utterance { span: Span::new(start, at), words, ..utterance("x") }
}

/// Turns in order, none over another; some of them touch, some lie far away.
fn random_turns(random: &mut Xoshiro256PlusPlus) -> Vec<Turn> {
    let mut at = random.gen_range(-5.0..5.0);
    let mut turns = Vec::new();
    for _ in 0..random.gen_range(0..40) {
        at += if random.gen_bool(0.5) { 0.0 } else { random.gen_range(0.0..3.0) };
        let end = at + random.gen_range(0.01..4.0);
        turns.push(turn(at, end, random.gen_range(0..5)));
        at = end;
    }
    turns
}

#[test]
fn whatever_is_said_nothing_is_lost_and_everything_has_one_speaker() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
    for round in 0..2000 {
        let (said, turns) = (random_utterance(&mut random), random_turns(&mut random));
        let texts: Vec<&str> = said.words.iter().map(|word| word.text.as_str()).collect();
        for changes in MODES {
            let case = format!("round {round}, {changes:?}");
            let segments = Segment::of(said.clone(), &turns, changes);
            let words = segments.iter().flat_map(|segment| &segment.words);
            assert_eq!(words.map(|word| word.text.as_str()).collect::<Vec<_>>(), texts, "{case}");
            for segment in &segments {
                assert_eq!(segment.speaker.is_some(), !turns.is_empty(), "{case}");
                assert!(segment.words.iter().all(|word| word.speaker == segment.speaker), "{case}");
                let heard = |speaker| turns.iter().any(|turn| turn.speaker == speaker);
                assert!(segment.speaker.is_none_or(heard), "{case}: nobody is made up");
            }
            let shown: String = segments.iter().flat_map(|s| s.text.chars()).filter(|c| !c.is_whitespace()).collect();
            assert!(texts.is_empty() || shown == texts.concat(), "{case}: {shown}");
            if changes == SpeakerChanges::None {
                assert_eq!(segments.len(), Segment::of(said.clone(), &[], changes).len(), "{case}");
            }
        }
    }
}
