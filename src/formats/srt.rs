//! SubRip subtitles: numbered cues, times with a comma, `[SPEAKER_00]: ` before the text.

use unicode_width::UnicodeWidthStr;

use super::{clock, cue};
use crate::transcript::Transcript;

pub(super) fn render(transcript: &Transcript) -> String {
    let mut output = String::new();
    let label = |speaker| format!("[{}]: ", transcript.label(speaker));
    for (index, cue) in cue::cues(transcript, |speaker| label(speaker).width()).iter().enumerate() {
        let (start, end) = (clock(cue.span.start, ','), clock(cue.span.end, ','));
        let speaker = cue.speaker.map(label).unwrap_or_default();
        output.push_str(&format!("{}\n{start} --> {end}\n{speaker}{}\n\n", index + 1, cue.lines.join("\n")));
    }
    output
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn cues_are_numbered_and_labelled() {
        let expected = "1\n00:00:00,500 --> 00:00:01,400\n[SPEAKER_00]: Hello there.\n\n\
            2\n00:00:02,000 --> 00:00:03,750\n[SPEAKER_01]: Hi, R&D <team>!\n\n\
            3\n00:00:04,000 --> 00:00:04,700\n[SPEAKER_00]: Good.\n\n";
        assert_eq!(render(&conversation()), expected);
        let mut named = conversation();
        named.names = vec![Some("猫".into())];
        assert!(render(&named).contains("[猫]: Hello there.") && render(&named).contains("[SPEAKER_01]: Hi"));
        assert_eq!(render(&transcript(vec![])), "");
    }
}
