//! Speakers of several recordings: whoever sounds like somebody of an earlier one keeps that label.

use super::identify::{identify, of_length_one};
use crate::transcript::{Speaker, Transcript};

/// Everybody who was heard so far without a name of their own.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    speakers: Vec<Heard>,
    /// The number of the next new speaker, unless the recording has given a higher one.
    next: u16,
}

/// A speaker of earlier recordings.
#[derive(Debug, Clone)]
struct Heard {
    label: Speaker,
    /// The sum of the embeddings, each as often as it was heard in seconds.
    voice: Vec<f32>,
}

impl Roster {
    /// Labels the speakers of a `transcript` who have no name: by the number of the speaker of earlier ones whom they sound
    /// like, or by a new number. The labels of the first recording are what they would be alone.
    pub fn meet(&mut self, transcript: &mut Transcript) {
        transcript.names.resize(transcript.voices.len().max(transcript.names.len()), None);
        let unnamed: Vec<usize> =
            (0..transcript.voices.len()).filter(|&number| transcript.names[number].is_none()).collect();
        let voices: Vec<Vec<f32>> = unnamed.iter().map(|&number| transcript.voices[number].clone()).collect();
        let earlier: Vec<Vec<f32>> = self.speakers.iter().map(|heard| of_length_one(&heard.voice)).collect();
        let found = identify(&voices, &earlier);
        for ((number, voice), known) in unnamed.into_iter().zip(voices).zip(found) {
            let own = Speaker(u16::try_from(number).unwrap_or(u16::MAX));
            let turns = transcript.turns.iter().filter(|turn| turn.speaker == own);
            let seconds: f64 = turns.map(|turn| turn.span.duration()).sum();
            let known = known.unwrap_or_else(|| self.add(own, voice.len()));
            let heard = &mut self.speakers[known];
            heard.voice.iter_mut().zip(&voice).for_each(|(sum, value)| *sum += value * seconds.max(0.1) as f32);
            transcript.names[number] = Some(heard.label.to_string());
        }
    }

    /// The place of a new speaker.
    fn add(&mut self, own: Speaker, size: usize) -> usize {
        let label = Speaker(self.next.max(own.0));
        self.next = label.0.saturating_add(1);
        self.speakers.push(Heard { label, voice: vec![0.0; size] });
        self.speakers.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        span::Span,
        transcript::{SpeakerChanges, Turn},
    };

    /// A transcript whose speakers sound as vectors at these degrees in a plane.
    fn transcript(degrees: &[f32]) -> Transcript {
        let mut transcript = Transcript::assemble(Vec::new(), &[], SpeakerChanges::default());
        transcript.voices = degrees.iter().map(|at| vec![at.to_radians().cos(), at.to_radians().sin()]).collect();
        let turn = |number| Turn { span: Span::new(0.0, 2.0), speaker: Speaker(number), confidence: 1.0 };
        transcript.turns = (0..degrees.len() as u16).map(turn).collect();
        transcript
    }

    fn labels(transcript: &Transcript) -> Vec<String> {
        (0..transcript.voices.len() as u16).map(|number| transcript.label(Speaker(number))).collect()
    }

    #[test]
    fn who_was_heard_before_keeps_the_label_and_others_get_new_ones() {
        let mut roster = Roster::default();
        let mut labelled = |mut transcript: Transcript| {
            roster.meet(&mut transcript);
            labels(&transcript)
        };
        assert_eq!(labelled(transcript(&[0.0, 90.0])), ["SPEAKER_00", "SPEAKER_01"]);
        assert_eq!(labelled(transcript(&[180.0, 100.0])), ["SPEAKER_02", "SPEAKER_01"]);
        assert_eq!(labelled(transcript(&[])), [""; 0]);
        assert_eq!(labelled(transcript(&[-80.0, 5.0, 175.0])), ["SPEAKER_03", "SPEAKER_00", "SPEAKER_02"]);
    }

    #[test]
    fn names_stay_and_the_first_recording_is_labelled_as_if_alone() {
        let mut roster = Roster::default();
        let mut named = transcript(&[0.0, 90.0]);
        named.names = vec![Some("Ann".into()), None];
        roster.meet(&mut named);
        assert_eq!(labels(&named), ["Ann", "SPEAKER_01"]);
        let mut later = transcript(&[180.0, 90.0]);
        roster.meet(&mut later);
        assert_eq!(labels(&later), ["SPEAKER_02", "SPEAKER_01"]);
    }

    #[test]
    fn two_speakers_of_one_recording_are_never_one_and_broken_voices_are_new() {
        let mut roster = Roster::default();
        roster.meet(&mut transcript(&[0.0]));
        let mut alike = transcript(&[4.0, 2.0]);
        alike.voices.push(vec![f32::NAN, 0.0]);
        roster.meet(&mut alike);
        assert_eq!(labels(&alike), ["SPEAKER_01", "SPEAKER_00", "SPEAKER_02"]);
        let mut again = transcript(&[1.0]);
        roster.meet(&mut again);
        assert_eq!(labels(&again), ["SPEAKER_00"]);
    }
}
