//! Reads RTTM: who speaks when, a `SPEAKER` line of ten columns per turn. Reference: NIST Rich Transcription 2009
//! evaluation plan, appendix A.

use std::collections::BTreeSet;

use super::SpeakerTurn;
use crate::{
    error::{Error, Result},
    span::Span,
};

/// A turn, and the recording that it lies in.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The recording, as the file names it.
    pub recording: String,
    /// The turn.
    pub turn: SpeakerTurn,
}

/// What lines of RTTM begin with besides `SPEAKER`; they say nothing of who speaks when.
const OTHER_TYPES: [&str; 13] = [
    "SEGMENT",
    "NOSCORE",
    "NO_RT_METADATA",
    "LEXEME",
    "NON-LEX",
    "NON-SPEECH",
    "FILLER",
    "EDIT",
    "SU",
    "IP",
    "CB",
    "A/P",
    "SPKR-INFO",
];

/// The turns of a file. Blank lines, comments (`;` or `#`) and lines of other types are passed over, and the columns after
/// the speaker may be missing.
///
/// # Errors
/// [`Error::Request`] naming the line: no line of RTTM, too few columns, a start or a length that is no time.
pub fn read(text: &str) -> Result<Vec<Entry>> {
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let read = |(index, line): (usize, &str)| {
        entry(line).map_err(|reason| Error::Request(format!("line {} {reason}", index + 1))).transpose()
    };
    lines.filter_map(read).collect()
}

/// The turns of the recording `name`: all that the file holds, or where it holds several recordings, those of this one.
///
/// # Errors
/// As [`read`]; [`Error::Request`] when none of several recordings has this name.
pub fn turns_of(name: &str, text: &str) -> Result<Vec<SpeakerTurn>> {
    let entries = read(text)?;
    let recordings: BTreeSet<String> = entries.iter().map(|entry| entry.recording.clone()).collect();
    if recordings.len() > 1 && !recordings.contains(name) {
        let some: Vec<&str> = recordings.iter().take(3).map(String::as_str).collect();
        return Err(Error::Request(format!(
            "it holds turns of {} recordings ({} ...) and none of them is called {name}",
            recordings.len(),
            some.join(", ")
        )));
    }
    let wanted = |entry: &Entry| recordings.len() == 1 || entry.recording == name;
    Ok(entries.into_iter().filter(wanted).map(|entry| entry.turn).collect())
}

/// The turn of a line; `None` where the line has none. The error continues "line 7 ...".
fn entry(line: &str) -> std::result::Result<Option<Entry>, String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let Some(&kind) = columns.first() else { return Ok(None) };
    if kind.starts_with([';', '#']) || OTHER_TYPES.contains(&kind) {
        return Ok(None);
    }
    if kind != "SPEAKER" {
        let shown: String = kind.chars().take(20).collect();
        return Err(format!("is no line of RTTM: it begins with `{shown}` and not with SPEAKER"));
    }
    let &[_, recording, _, start, length, _, _, speaker, ..] = columns.as_slice() else {
        let what = "type, file, channel, start, length, <NA>, <NA>, speaker";
        return Err(format!("has {} columns; a SPEAKER line has at least 8: {what}", columns.len()));
    };
    let seconds = |what: &str, text: &str| {
        let number: Option<f64> = text.parse().ok();
        let usable = number.filter(|number| number.is_finite() && *number >= 0.0);
        usable.ok_or_else(|| format!("has the {what} `{text}`, which is no number of seconds from 0 up"))
    };
    let (start, length) = (seconds("start", start)?, seconds("length", length)?);
    let turn = SpeakerTurn { span: Span::new(start, start + length), speaker: speaker.to_owned() };
    Ok(Some(Entry { recording: recording.to_owned(), turn }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(start: f64, end: f64, speaker: &str) -> SpeakerTurn {
        SpeakerTurn { span: Span::new(start, end), speaker: speaker.into() }
    }

    #[test]
    fn turns_are_read_and_everything_else_is_passed_over() {
        let text = "\u{feff};; made by hand\r\n\r\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown anna <NA> <NA>\r\n\
                    SPEAKER talk 1 0.50 1.25 <NA> <NA> anna <NA> <NA>\r\n\
                    # shorter lines occur\nSPEAKER\ttalk 1 2 0 <NA> <NA> b\n";
        assert_eq!(turns_of("other", text).unwrap(), [turn(0.5, 1.75, "anna"), turn(2.0, 2.0, "b")]);
        assert_eq!(turns_of("talk", "").unwrap(), []);
    }

    #[test]
    fn of_several_recordings_the_named_one_is_taken() {
        let text = "SPEAKER a 1 0 1 <NA> <NA> x <NA> <NA>\nSPEAKER b 1 5 1 <NA> <NA> y <NA> <NA>\n";
        assert_eq!(turns_of("b", text).unwrap(), [turn(5.0, 6.0, "y")]);
        let refused = turns_of("c", text).unwrap_err().to_string();
        assert_eq!(refused, "it holds turns of 2 recordings (a, b ...) and none of them is called c");
    }

    #[test]
    fn what_is_no_line_of_rttm_is_named() {
        let refused = |line: &str| read(&format!("\n{line}\n")).unwrap_err().to_string();
        assert_eq!(
            refused("{\"turns\": []}"),
            "line 2 is no line of RTTM: it begins with `{\"turns\":` and not with SPEAKER"
        );
        assert!(refused("SPEAKER talk 1 0.5 1.2 anna").starts_with("line 2 has 6 columns"));
        for start in ["x", "-1", "nan", "inf"] {
            let line = format!("SPEAKER talk 1 {start} 1.2 <NA> <NA> anna");
            assert!(refused(&line).starts_with(&format!("line 2 has the start `{start}`")), "{line}");
        }
        assert!(refused("SPEAKER talk 1 0 -2 <NA> <NA> anna").starts_with("line 2 has the length `-2`"));
    }
}
