//! What the command line prints: one line per segment.

use super::{clock, one_line};
use crate::transcript::{Segment, Transcript};

/// The whole transcript, one line per segment.
pub fn render(transcript: &Transcript) -> String {
    transcript.segments.iter().map(|segment| line(transcript, segment) + "\n").collect()
}

/// One segment of `transcript` as `[00:00:01.230 -> 00:00:04.560] SPEAKER_00: text`, without a line break. Control characters, which could
/// steer a terminal, are left out.
pub fn line(transcript: &Transcript, segment: &Segment) -> String {
    let times = format!("[{} -> {}]", clock(segment.span.start, '.'), clock(segment.span.end, '.'));
    let speaker = segment.speaker.map(|speaker| format!("{}: ", transcript.label(speaker))).unwrap_or_default();
    let text: String = one_line(&segment.text).chars().filter(|c| !c.is_control()).collect();
    format!("{times} {speaker}{text}")
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};

    #[test]
    fn times_speaker_and_text_on_one_line() {
        let expected = "[00:00:00.500 -> 00:00:01.400] SPEAKER_00: Hello there.\n\
            [00:00:02.000 -> 00:00:03.750] SPEAKER_01: Hi, R&D <team>!\n\
            [00:00:04.000 -> 00:00:04.500] SPEAKER_00: Good.\n";
        assert_eq!(render(&conversation()), expected);
        let mut named = conversation();
        named.names = vec![Some("Ann".into())];
        assert_eq!(render(&named), expected.replace("SPEAKER_00", "Ann"));
        assert_eq!(line(&named, &plain("a\u{1b}[2J\nb", 0.0, 1.0)), "[00:00:00.000 -> 00:00:01.000] a[2J b");
    }
}
