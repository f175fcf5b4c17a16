//! The figures of evaluation against pyannote.metrics, MeetEval and DiarizationLM on generated recordings.

use std::fs;

use libtest_mimic::Trial;
use palabra::{
    evaluation::{
        SpeakerTurn, Statement,
        turns::{self, Scoring},
        words,
    },
    span::Span,
};
use serde::Deserialize;

use crate::support;

/// Seconds by which times and shares may differ: sums of numbers of seconds are taken in another order.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    turns: Vec<TurnCase>,
    words: Vec<WordCase>,
}

#[derive(Deserialize)]
struct TurnCase {
    seconds: f64,
    reference: Vec<(f64, f64, String)>,
    hypothesis: Vec<(f64, f64, String)>,
    speakers: (usize, usize),
    scores: Vec<Score>,
}

#[derive(Deserialize)]
struct Score {
    collar: f64,
    skip_overlap: bool,
    error_rate: f64,
    total: f64,
    missed: f64,
    false_alarm: f64,
    confusion: f64,
    jaccard_error_rate: f64,
}

#[derive(Deserialize)]
struct WordCase {
    reference: Vec<(String, String)>,
    hypothesis: Vec<(String, String)>,
    words: usize,
    errors: usize,
    heard: usize,
    misattributed: usize,
}

pub fn trials() -> Vec<Trial> {
    vec![
        support::trial("evaluation_turns", &Ok(()), |()| same_turns()),
        support::trial("evaluation_words", &Ok(()), |()| same_words()),
    ]
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(support::golden("evaluation.json")).unwrap()).unwrap()
}

fn speaker_turns(turns: &[(f64, f64, String)]) -> Vec<SpeakerTurn> {
    let turn = |(start, end, speaker): &(f64, f64, String)| SpeakerTurn {
        span: Span::new(*start, *end),
        speaker: speaker.clone(),
    };
    turns.iter().map(turn).collect()
}

fn same_turns() {
    let cases = golden().turns;
    assert!(cases.len() >= 60);
    let mut largest = 0.0_f64;
    for (index, case) in cases.iter().enumerate() {
        let (reference, hypothesis) = (speaker_turns(&case.reference), speaker_turns(&case.hypothesis));
        let count = |turns: &[SpeakerTurn]| turns::speakers(turns, case.seconds);
        assert_eq!((count(&reference), count(&hypothesis)), case.speakers, "case {index}");
        for score in &case.scores {
            let scoring = Scoring { collar: score.collar, skip_overlap: score.skip_overlap };
            let ours = turns::score(&reference, &hypothesis, case.seconds, &scoring);
            let values = [
                ("error rate", ours.error_rate(), score.error_rate),
                ("total", ours.total, score.total),
                ("missed", ours.missed, score.missed),
                ("false alarm", ours.false_alarm, score.false_alarm),
                ("confusion", ours.confusion, score.confusion),
                ("Jaccard error rate", ours.jaccard_error_rate(), score.jaccard_error_rate),
            ];
            for (name, ours, theirs) in values {
                let difference = (ours - theirs).abs();
                assert!(difference <= TOLERANCE, "case {index}, {scoring:?}: {name} is {ours}, not {theirs}");
                largest = largest.max(difference);
            }
        }
    }
    println!("{} recordings of turns: max abs {largest:.1e}", cases.len());
}

fn statements(list: &[(String, String)]) -> Vec<Statement> {
    let statement = |(index, (speaker, text)): (usize, &(String, String))| Statement {
        span: Span::new(index as f64, index as f64 + 1.0),
        speaker: speaker.clone(),
        text: text.clone(),
    };
    list.iter().enumerate().map(statement).collect()
}

fn same_words() {
    let cases = golden().words;
    assert!(cases.len() >= 50);
    for (index, case) in cases.iter().enumerate() {
        let ours = words::score(&statements(&case.reference), &statements(&case.hypothesis));
        assert_eq!(
            (ours.words, ours.concatenated, ours.heard, ours.misattributed),
            (case.words, case.errors, case.heard, case.misattributed),
            "case {index}"
        );
    }
    println!("{} recordings of words: all counts equal", cases.len());
}
