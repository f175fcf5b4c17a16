//! From segments to subtitle cues: at most two lines of 42 columns, at most 7 s, one speaker, broken where a reader would
//! breathe.

use crate::{
    formats::cue_text::{Piece, pieces},
    span::Span,
    transcript::{Speaker, Transcript},
};

/// Columns on a line.
const LINE_WIDTH: usize = 42;
/// The longest cue in seconds, unless a single piece lasts longer.
const LONGEST: f64 = 7.0;
/// A cue stays at least this long on the screen where the next one leaves room, in seconds.
const SHORTEST: f64 = 0.7;
/// A silence that always starts a new cue, in seconds.
const LONG_PAUSE: f64 = 1.0;

/// One subtitle.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cue {
    pub(super) span: Span,
    /// One or two lines of text, without the label.
    pub(super) lines: Vec<String>,
    pub(super) speaker: Option<Speaker>,
}

/// The cues of `transcript` in order. `label_width` says how many columns of the first line the speaker's label takes.
pub(super) fn cues(transcript: &Transcript, label_width: impl Fn(Speaker) -> usize) -> Vec<Cue> {
    let mut cues = Vec::new();
    for segment in &transcript.segments {
        let widest =
            segment.words.iter().filter_map(|word| word.speaker).chain(segment.speaker).map(&label_width).max();
        let pieces = pieces(segment, LINE_WIDTH - widest.unwrap_or(0).min(LINE_WIDTH / 2));
        for run in pieces.chunk_by(|a, b| a.speaker == b.speaker && a.span.gap(&b.span) <= LONG_PAUSE) {
            let label = run[0].speaker.map_or(0, &label_width);
            let mut rest = run;
            while !rest.is_empty() {
                let count = break_after(rest, label);
                let (pieces, later) = rest.split_at(count);
                let span = pieces.iter().skip(1).fold(pieces[0].span, |all, piece| all.union(&piece.span));
                cues.push(Cue { span, lines: layout(pieces, label).unwrap_or_default(), speaker: pieces[0].speaker });
                rest = later;
            }
        }
    }
    // Speakers who each have a channel may speak at once.
    cues.sort_by(|a, b| a.span.start.total_cmp(&b.span.start));
    settle(&mut cues, transcript.duration);
    cues
}

/// How many of `pieces` the next cue takes, at least one.
fn break_after(pieces: &[Piece], label: usize) -> usize {
    let fits = |count: &usize| {
        let taken = &pieces[..*count];
        taken[count - 1].span.end - taken[0].span.start <= LONGEST && layout(taken, label).is_some()
    };
    let most = (2..=pieces.len()).take_while(fits).last().unwrap_or(1);
    if most == pieces.len() {
        return most;
    }
    let full = width(&pieces[..most]) as f64;
    let merit = |count: usize| {
        let (last, next) = (&pieces[count - 1], &pieces[count]);
        let punctuation = if last.ends_sentence() {
            0.7
        } else if last.ends_clause() {
            0.35
        } else {
            0.0
        };
        let pause = next.span.gap(&last.span).min(0.5);
        let fill = width(&pieces[..count]) as f64 / full;
        // A good place to break counts in full once the cue is half full; the last word of a sentence alone reads badly.
        let orphan = if count + 1 == pieces.len() || next.ends_sentence() { 0.4 } else { 0.0 };
        fill + (punctuation + pause) * (2.0 * fill).min(1.0) - orphan
    };
    (1..=most).max_by(|&a, &b| merit(a).total_cmp(&merit(b))).unwrap_or(most)
}

/// One line where the text fits, else the two lines of most even length, rather broken after punctuation; `None` where two
/// lines are not enough.
fn layout(pieces: &[Piece], label: usize) -> Option<Vec<String>> {
    let first_width = LINE_WIDTH - label.min(LINE_WIDTH / 2);
    if width(pieces) <= first_width {
        return Some(vec![join(pieces)]);
    }
    let fits = |&at: &usize| width(&pieces[..at]) <= first_width && width(&pieces[at..]) <= LINE_WIDTH;
    let cost = |&at: &usize| {
        let uneven = (width(&pieces[..at]) + label).abs_diff(width(&pieces[at..]));
        let last = &pieces[at - 1];
        if last.ends_sentence() || last.ends_clause() { uneven } else { uneven + 12 }
    };
    let at = (1..pieces.len()).filter(fits).min_by_key(cost)?;
    Some(vec![join(&pieces[..at]), join(&pieces[at..])])
}

/// Columns of the pieces on one line.
fn width(pieces: &[Piece]) -> usize {
    let spaces = pieces.iter().skip(1).filter(|piece| piece.spaced).count();
    pieces.iter().map(Piece::width).sum::<usize>() + spaces
}

fn join(pieces: &[Piece]) -> String {
    let mut line = String::new();
    for piece in pieces {
        if piece.spaced && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&piece.text);
    }
    line
}

/// Ends cues before the speaker's next one begins, lets short ones stay where there is room, and leaves none without
/// length. Players show cues of two speakers one above the other.
fn settle(cues: &mut [Cue], duration: f64) {
    for index in 0..cues.len() {
        let Span { start, end } = cues[index].span;
        let room = cues.get(index + 1).map_or(duration.max(end), |next| next.span.start);
        let at_once = cues.get(index + 1).is_some_and(|next| next.speaker != cues[index].speaker);
        let end = if end > room && room > start && !at_once { room } else { end.max((start + SHORTEST).min(room)) };
        cues[index].span.end = end.max(start + 0.001);
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::{super::samples::*, *};

    fn shown(transcript: &Transcript) -> Vec<(f64, f64, String)> {
        let cues = cues(transcript, |_| 14);
        cues.iter().map(|cue| (cue.span.start, cue.span.end, cue.lines.join("|"))).collect()
    }

    /// `text` as words of 0.3 s, one after the other.
    fn spoken(text: &str, speaker: Option<u16>) -> Transcript {
        let words = text.split(' ').enumerate().map(|(index, text)| {
            let start = index as f64 * 0.3;
            word(text, start, start + 0.3)
        });
        transcript(vec![segment(words.collect(), speaker)])
    }

    #[test]
    fn long_text_breaks_after_a_sentence_and_lines_after_a_comma() {
        let text = "When we came back to the house, nobody was there any more. \
            So we sat down on the steps and waited for the others to arrive.";
        let lines: Vec<String> = shown(&spoken(text, None)).into_iter().map(|cue| cue.2).collect();
        assert_eq!(
            lines,
            [
                "When we came back to the house,|nobody was there any more.",
                "So we sat down on the steps and|waited for the others to arrive.",
            ]
        );
    }

    #[test]
    fn a_label_takes_room_on_the_first_line_only() {
        let text = "When we came back to the house, nobody was there any more.";
        let lines: Vec<String> = shown(&spoken(text, Some(3))).into_iter().map(|cue| cue.2).collect();
        assert_eq!(lines, ["When we came back to|the house, nobody was there any more."]);
    }

    #[test]
    fn a_pause_and_a_change_of_speaker_start_a_new_cue() {
        let mut two = segment(vec![word("Yes.", 0.0, 1.0), word("No.", 1.0, 2.0), word("Why?", 3.5, 4.5)], Some(0));
        two.words[1].speaker = Some(Speaker(1));
        two.words[2].speaker = Some(Speaker(1));
        let cues = shown(&transcript(vec![two]));
        assert_eq!(cues, [(0.0, 1.0, "Yes.".into()), (1.0, 2.0, "No.".into()), (3.5, 4.5, "Why?".into())]);
    }

    #[test]
    fn slow_speech_makes_several_short_cues() {
        let words = (0..6).map(|index| word("slowly", index as f64 * 2.0, index as f64 * 2.0 + 1.8)).collect();
        let cues = shown(&transcript(vec![segment(words, None)]));
        assert_eq!(cues.len(), 2);
        assert!(cues.iter().all(|(start, end, _)| end - start <= LONGEST));
    }

    #[test]
    fn short_cues_stay_where_there_is_room_and_overlaps_end() {
        let cues = shown(&transcript(vec![plain("a", 0.0, 0.1), plain("b", 0.5, 3.0), plain("c", 2.0, 2.0)]));
        assert_eq!(cues, [(0.0, 0.5, "a".into()), (0.5, 2.0, "b".into()), (2.0, 2.7, "c".into())]);
    }

    #[test]
    fn cues_of_two_who_speak_at_once_are_in_order_and_whole() {
        let first = segment(vec![word("One.", 0.0, 2.0), word("Two.", 4.0, 6.0)], Some(0));
        let second = segment(vec![word("Three.", 1.0, 3.0)], Some(1));
        let cues = shown(&transcript(vec![first, second]));
        assert_eq!(cues, [(0.0, 2.0, "One.".into()), (1.0, 3.0, "Three.".into()), (4.0, 6.0, "Two.".into())]);
    }

    #[test]
    fn wide_characters_count_twice() {
        let mut chinese = plain(&"我们今天去公园散步，".repeat(12), 0.0, 20.0);
        chinese.language = "zh".parse().unwrap_or(chinese.language);
        let cues = shown(&transcript(vec![chinese]));
        assert!(cues.len() > 2);
        assert_eq!(
            cues.iter().map(|cue| cue.2.replace('|', "")).collect::<String>(),
            "我们今天去公园散步，".repeat(12)
        );
        assert!(cues.iter().flat_map(|cue| cue.2.split('|')).all(|line| line.width() <= LINE_WIDTH));
    }

    #[test]
    fn whatever_the_text_no_line_is_too_long_and_nothing_is_lost() {
        use rand::{Rng, SeedableRng};
        let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(3);
        for round in 0..300 {
            let mut at = 0.0;
            let words = (0..random.gen_range(1..120)).map(|_| {
                let longest = if random.gen_bool(0.02) { 90 } else { 12 };
                let mut text = "x".repeat(random.gen_range(1..longest));
                text.push_str(["", "", "", ",", ".", "?"][random.gen_range(0..6)]);
                let start = at + random.gen_range(0.0..0.4);
                at = start + random.gen_range(0.05..0.9);
                word(&text, start, at)
            });
            let segment = segment(words.collect(), (round % 2 == 0).then_some(1));
            let text: String = segment.text.replace(' ', "");
            let mut whole = transcript(vec![segment]);
            whole.duration = at;
            let cues = cues(&whole, |_| 14);
            let shown: String = cues.iter().flat_map(|cue| &cue.lines).flat_map(|line| line.split(' ')).collect();
            assert_eq!(shown, text);
            for cue in &cues {
                let label = if cue.speaker.is_some() { 14 } else { 0 };
                assert!(matches!(cue.lines.len(), 1 | 2));
                assert!(
                    cue.lines[0].width() + label <= LINE_WIDTH
                        && cue.lines.iter().all(|line| line.width() <= LINE_WIDTH)
                );
                assert!(cue.span.start < cue.span.end && cue.span.duration() <= LONGEST);
            }
            assert!(cues.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
        }
    }
}
