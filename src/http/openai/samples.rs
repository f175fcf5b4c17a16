//! A transcript that the tests of the bodies share.

use crate::{
    language::Language,
    span::Span,
    transcript::{Segment, Speaker, Timings, Transcript, Word},
};

/// Two speakers, three segments.
pub fn conversation() -> Transcript {
    Transcript {
        language: Language::ENGLISH,
        language_probability: 0.98,
        duration: 10.0,
        segments: vec![
            segment(&[("Hello", 0.5, 0.9), ("there.", 1.0, 1.4)], 0),
            segment(&[("Hi,", 2.0, 2.3), ("team!", 2.4, 3.75)], 1),
            segment(&[("Good.", 4.0, 4.5)], 0),
        ],
        turns: Vec::new(),
        voices: Vec::new(),
        names: Vec::new(),
        warnings: Vec::new(),
        timings: Timings::default(),
    }
}

fn segment(said: &[(&str, f64, f64)], speaker: u16) -> Segment {
    let speaker = Some(Speaker(speaker));
    let word = |&(text, start, end): &(&str, f64, f64)| Word {
        text: text.into(),
        spaced: true,
        span: Some(Span::new(start, end)),
        score: 0.9,
        speaker,
        ..Word::default()
    };
    let texts: Vec<&str> = said.iter().map(|(text, ..)| *text).collect();
    Segment {
        span: Span::new(said.first().map_or(0.0, |first| first.1), said.last().map_or(0.0, |last| last.2)),
        text: texts.join(" "),
        words: said.iter().map(word).collect(),
        tokens: Vec::new(),
        speaker,
        language: Language::ENGLISH,
        avg_logprob: -0.25,
        no_speech_prob: 0.01,
        compression_ratio: 1.5,
        temperature: 0.0,
    }
}
