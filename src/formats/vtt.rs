//! WebVTT subtitles with voice tags. Reference: W3C WebVTT, cue text.

use super::{clock, cue};
use crate::transcript::Transcript;

pub(super) fn render(transcript: &Transcript) -> String {
    let mut output = String::from("WEBVTT\n\n");
    // The name in a voice tag is not shown, so it takes no room.
    for cue in cue::cues(transcript, |_| 0) {
        let (start, end) = (clock(cue.span.start, '.'), clock(cue.span.end, '.'));
        let voice =
            cue.speaker.map(|speaker| format!("<v {}>", escape(&transcript.label(speaker)))).unwrap_or_default();
        output.push_str(&format!("{start} --> {end}\n{voice}{}\n\n", escape(&cue.lines.join("\n"))));
    }
    output
}

/// Replaces the three characters that have a meaning in cue text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn voices_are_tagged_and_text_is_escaped() {
        let expected = "WEBVTT\n\n\
            00:00:00.500 --> 00:00:01.400\n<v SPEAKER_00>Hello there.\n\n\
            00:00:02.000 --> 00:00:03.750\n<v SPEAKER_01>Hi, R&amp;D &lt;team&gt;!\n\n\
            00:00:04.000 --> 00:00:04.700\n<v SPEAKER_00>Good.\n\n";
        assert_eq!(render(&conversation()), expected);
        let mut named = conversation();
        named.names = vec![Some("R&D <1>".into())];
        assert!(render(&named).contains("<v R&amp;D &lt;1&gt;>Hello") && render(&named).contains("<v SPEAKER_01>"));
        assert_eq!(escape("a --> b"), "a --&gt; b");
        assert_eq!(render(&transcript(vec![])), "WEBVTT\n\n");
    }
}
