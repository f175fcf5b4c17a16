//! What users and other programs read: a transcript as text, subtitles, a table, JSON or RTTM.

pub mod console;
mod cue;
mod cue_text;
mod json;
mod rttm;
mod srt;
mod text;
mod tsv;
mod vtt;
mod write;

use std::{fmt, str::FromStr};

pub use json::{Document, render_with_voices};
pub use write::write_atomic;

use crate::{
    error::{Error, Result},
    transcript::Transcript,
};

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Plain text, one segment per line.
    Txt,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles with voice tags.
    Vtt,
    /// A table of start, end (milliseconds) and text.
    Tsv,
    /// Everything, in WhisperX's schema and beyond.
    Json,
    /// Who speaks when, in the format of the NIST evaluations.
    Rttm,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [Self::Txt, Self::Srt, Self::Vtt, Self::Tsv, Self::Json, Self::Rttm];

    /// The file extension, which is also the name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Rttm => "rttm",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.extension() == lower).ok_or_else(|| {
            Error::Request(format!("unknown format '{text}': use {}", Self::ALL.map(Self::extension).join(", ")))
        })
    }
}

/// The transcript in `format`. `file_id` names the recording where the format has a place for it (RTTM).
pub fn render(format: Format, transcript: &Transcript, file_id: &str) -> String {
    match format {
        Format::Txt => text::render(transcript),
        Format::Srt => srt::render(transcript),
        Format::Vtt => vtt::render(transcript),
        Format::Tsv => tsv::render(transcript),
        Format::Json => json::render(transcript),
        Format::Rttm => rttm::render(transcript, file_id),
    }
}

/// A time as `00:00:01<separator>230`, hours always shown.
fn clock(seconds: f64, separator: char) -> String {
    let milliseconds = milliseconds(seconds);
    let (whole, fraction) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}{separator}{fraction:03}", whole / 3600, whole / 60 % 60, whole % 60)
}

/// The nearest millisecond; times before the start are the start.
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round().max(0.0) as u64
}

/// Text on one line: every run of white space becomes one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_a_wrong_one_lists_the_right_ones() {
        for format in Format::ALL {
            assert_eq!(format.to_string().to_uppercase().parse::<Format>().ok(), Some(format));
        }
        let message = "docx".parse::<Format>().map_err(|error| error.to_string());
        assert_eq!(message, Err("unknown format 'docx': use txt, srt, vtt, tsv, json, rttm".into()));
    }

    #[test]
    fn clocks_round_to_milliseconds_and_carry() {
        assert_eq!(clock(0.0, ','), "00:00:00,000");
        assert_eq!(clock(59.9996, '.'), "00:01:00.000");
        assert_eq!(clock(3725.0424, '.'), "01:02:05.042");
        assert_eq!(clock(360_000.5, '.'), "100:00:00.500");
        assert_eq!(clock(-0.2, '.'), "00:00:00.000");
    }
}

/// Transcripts that the tests of the formats share.
#[cfg(test)]
mod samples {
    use crate::{
        language::Language,
        span::Span,
        transcript::{Segment, Source, Speaker, Timings, Transcript, Turn, Word},
    };

    /// A word of `text` from `start` to `end`.
    pub fn word(text: &str, start: f64, end: f64) -> Word {
        Word {
            text: text.into(),
            spaced: true,
            span: Some(Span::new(start, end)),
            score: 0.9,
            source: Source::Aligned,
            ..Word::default()
        }
    }

    /// A segment with these words, said by `speaker`.
    pub fn segment(words: Vec<Word>, speaker: Option<u16>) -> Segment {
        let speaker = speaker.map(Speaker);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let text = texts.join(" ");
        let spans: Vec<Span> = words.iter().filter_map(|word| word.span).collect();
        let span = spans.iter().copied().reduce(|all, span| all.union(&span)).unwrap_or(Span::new(0.0, 1.0));
        let words = words.into_iter().map(|word| Word { speaker, ..word }).collect();
        Segment { words, speaker, ..plain(&text, span.start, span.end) }
    }

    /// A segment without words.
    pub fn plain(text: &str, start: f64, end: f64) -> Segment {
        Segment {
            span: Span::new(start, end),
            text: text.into(),
            words: Vec::new(),
            tokens: Vec::new(),
            speaker: None,
            language: Language::ENGLISH,
            avg_logprob: -0.25,
            no_speech_prob: 0.01,
            compression_ratio: 1.5,
            temperature: 0.0,
        }
    }

    /// A transcript of these segments; the turns are the segments that have a speaker.
    pub fn transcript(segments: Vec<Segment>) -> Transcript {
        let turn = |segment: &Segment| Some(Turn { span: segment.span, speaker: segment.speaker?, confidence: 0.9 });
        Transcript {
            language: Language::ENGLISH,
            language_probability: 0.98,
            duration: 10.0,
            turns: segments.iter().filter_map(turn).collect(),
            segments,
            voices: Vec::new(),
            names: Vec::new(),
            warnings: Vec::new(),
            timings: Timings::default(),
        }
    }

    /// Two speakers, three segments.
    pub fn conversation() -> Transcript {
        transcript(vec![
            segment(vec![word("Hello", 0.5, 0.9), word("there.", 1.0, 1.4)], Some(0)),
            segment(vec![word("Hi,", 2.0, 2.3), word("R&D", 2.4, 2.9), word("<team>!", 3.0, 3.75)], Some(1)),
            segment(vec![word("Good.", 4.0, 4.5)], Some(0)),
        ])
    }
}
