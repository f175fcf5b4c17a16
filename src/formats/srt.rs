//! SubRip subtitles: numbered cues, times with a comma, `[SPEAKER_00]: ` before the text.

use super::{clock, cue};
use crate::transcript::{Speaker, Transcript};

pub(super) fn render(transcript: &Transcript) -> String {
    let mut output = String::new();
    for (index, cue) in cue::cues(transcript, |speaker| label(speaker).len()).iter().enumerate() {
        let (start, end) = (clock(cue.span.start, ','), clock(cue.span.end, ','));
        let speaker = cue.speaker.map(label).unwrap_or_default();
        output.push_str(&format!("{}\n{start} --> {end}\n{speaker}{}\n\n", index + 1, cue.lines.join("\n")));
    }
    output
}

fn label(speaker: Speaker) -> String {
    format!("[{speaker}]: ")
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
        assert_eq!(render(&transcript(vec![])), "");
    }
}
