//! Plain text: one segment per line, `[SPEAKER_00]: ` before it where the speaker is known.

use super::one_line;
use crate::transcript::Transcript;

pub(super) fn render(transcript: &Transcript) -> String {
    let mut output = String::new();
    for segment in &transcript.segments {
        if let Some(speaker) = segment.speaker {
            output.push_str(&format!("[{}]: ", transcript.label(speaker)));
        }
        output.push_str(&one_line(&segment.text));
        output.push('\n');
    }
    output
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn speakers_stand_before_their_text() {
        let expected = "[SPEAKER_00]: Hello there.\n[SPEAKER_01]: Hi, R&D <team>!\n[SPEAKER_00]: Good.\n";
        assert_eq!(render(&conversation()), expected);
        let mut named = conversation();
        named.names = vec![None, Some("Ann".into())];
        assert_eq!(render(&named), expected.replace("SPEAKER_01", "Ann"));
        assert_eq!(render(&transcript(vec![plain("One\n two.", 0.0, 1.0)])), "One two.\n");
        assert_eq!(render(&transcript(vec![])), "");
    }
}
