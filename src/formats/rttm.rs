//! RTTM: one `SPEAKER` line of ten columns per turn. Reference: NIST Rich Transcription 2009 evaluation plan, appendix A.

use super::milliseconds;
use crate::transcript::Transcript;

/// The ninth column is how sure the speaker is, 0 to 1. Columns are parted by white space, so white space in `file_id` and in names becomes `_`. Turns that round to nothing are left out.
pub(super) fn render(transcript: &Transcript, file_id: &str) -> String {
    let file_id = one_column(file_id);
    let file_id = if file_id.is_empty() { "recording" } else { &file_id };
    let mut output = String::new();
    for turn in &transcript.turns {
        let (start, end) = (milliseconds(turn.span.start), milliseconds(turn.span.end));
        if end > start {
            let (start, duration) = (start as f64 / 1000.0, (end - start) as f64 / 1000.0);
            let (speaker, confidence) = (one_column(&transcript.label(turn.speaker)), turn.confidence);
            output.push_str(&format!(
                "SPEAKER {file_id} 1 {start:.3} {duration:.3} <NA> <NA> {speaker} {confidence:.3} <NA>\n"
            ));
        }
    }
    output
}

/// Without white space.
fn one_column(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn one_line_of_ten_columns_per_turn() {
        let expected = "SPEAKER my_call 1 0.500 0.900 <NA> <NA> SPEAKER_00 0.900 <NA>\n\
            SPEAKER my_call 1 2.000 1.750 <NA> <NA> SPEAKER_01 0.900 <NA>\n\
            SPEAKER my_call 1 4.000 0.500 <NA> <NA> SPEAKER_00 0.900 <NA>\n";
        assert_eq!(render(&conversation(), "my call"), expected);
        let mut named = conversation();
        named.names = vec![None, Some("Ann Lee".into())];
        assert!(render(&named, "a").contains(" SPEAKER_00 0.900 ") && render(&named, "a").contains(" Ann_Lee 0.900 "));
        assert!(render(&conversation(), " ").starts_with("SPEAKER recording 1 "));
    }
}
