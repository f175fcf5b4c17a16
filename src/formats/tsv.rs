//! A table as WhisperX writes it: start and end in milliseconds, then the text with its speaker.

use super::{milliseconds, one_line};
use crate::transcript::Transcript;

pub(super) fn render(transcript: &Transcript) -> String {
    let mut output = String::from("start\tend\ttext\n");
    for segment in &transcript.segments {
        let speaker = segment.speaker.map(|speaker| format!("[{}]: ", transcript.label(speaker))).unwrap_or_default();
        let (start, end) = (milliseconds(segment.span.start), milliseconds(segment.span.end));
        output.push_str(&format!("{start}\t{end}\t{speaker}{}\n", one_line(&segment.text)));
    }
    output
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn tabs_and_line_breaks_cannot_break_the_table() {
        let expected = "start\tend\ttext\n\
            500\t1400\t[SPEAKER_00]: Hello there.\n\
            2000\t3750\t[SPEAKER_01]: Hi, R&D <team>!\n\
            4000\t4500\t[SPEAKER_00]: Good.\n";
        assert_eq!(render(&conversation()), expected);
        let mut named = conversation();
        named.names = vec![None, Some("Ann".into())];
        assert_eq!(render(&named), expected.replace("SPEAKER_01", "Ann"));
        let odd = transcript(vec![plain("One\ttwo\r\nthree", 0.0, 1.0)]);
        assert_eq!(render(&odd), "start\tend\ttext\n0\t1000\tOne two three\n");
    }
}
