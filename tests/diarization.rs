//! Who speaks when, with real weights, in recordings that are odd and for wishes that are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{f32::consts::TAU, path::PathBuf, thread};

use libtest_mimic::Arguments;
use palabra::{
    audio::{Audio, decode::Decoded},
    engine::{Engine, EngineOptions},
    progress::Watch,
    span::{SAMPLE_RATE, Span},
    stages::diarize::DiarizeOptions,
    transcript::Transcript,
};

#[derive(Clone)]
struct Need {
    engine: Engine,
    sample: PathBuf,
}

fn main() {
    let arguments = Arguments::from_args();
    let need = support::weights("campplus").and_then(|_| {
        support::weights("segmentation-3.0")?;
        Ok(Need {
            engine: support::engine(EngineOptions::default()),
            sample: support::weights("sample")?.join("sample.wav"),
        })
    });
    let trial = |name: &'static str, test: fn(Need)| support::trial(name, &need, test);
    let trials = vec![
        trial("overlapping_turns_and_one_voice_each", two_speakers),
        trial("any_number_of_speakers_can_be_wanted", wanted_numbers),
        trial("more_speakers_than_there_is_speech_for_are_a_warning", too_many),
        trial("one_voice_is_one_speaker_however_short", one_voice),
        trial("silence_noise_and_music_have_defined_turns", no_speech),
        trial("requests_side_by_side_get_what_they_get_alone", side_by_side),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

impl Need {
    fn part(&self, start: f64, end: f64) -> Vec<f32> {
        support::decoded(&self.sample).audio.slice(Span::new(start, end)).samples().to_vec()
    }

    fn diarize(&self, samples: Vec<f32>, options: DiarizeOptions) -> Transcript {
        let decoded = Decoded { audio: Audio::new(samples), ..support::decoded(&self.sample) };
        let transcript = self.engine.diarize(decoded, 0.0, &options, &Watch::silent()).unwrap();
        for turn in &transcript.turns {
            assert!(usize::from(turn.speaker.0) < transcript.voices.len(), "a turn of nobody: {turn:?}");
            assert!(0.0 <= turn.span.start && turn.span.start < turn.span.end, "{turn:?}");
            assert!(turn.span.end <= transcript.duration && (0.0..=1.0).contains(&turn.confidence), "{turn:?}");
        }
        assert!(transcript.turns.is_sorted_by(|a, b| a.span.start <= b.span.start));
        transcript
    }
}

fn exactly(count: usize) -> DiarizeOptions {
    DiarizeOptions { num_speakers: Some(count), ..DiarizeOptions::default() }
}

fn two_speakers(need: Need) {
    let found = need.diarize(need.part(0.0, 30.0), DiarizeOptions::default());
    assert_eq!((found.voices.len(), found.warnings.len()), (2, 0));
    let both = found.turns.windows(2).filter(|pair| pair[0].span.overlap(&pair[1].span) > 0.2).count();
    assert!(both > 0, "two speak at once at 10.6 s: {:?}", found.turns);
}

fn wanted_numbers(need: Need) {
    for wanted in [1, 3, 6] {
        assert_eq!(need.diarize(need.part(6.0, 30.0), exactly(wanted)).voices.len(), wanted);
    }
    let one_speaker = need.part(21.8, 27.5);
    assert_eq!(need.diarize(one_speaker.clone(), DiarizeOptions::default()).voices.len(), 1);
    let three = DiarizeOptions { min_speakers: Some(3), ..DiarizeOptions::default() };
    let found = need.diarize(one_speaker, three);
    assert_eq!((found.voices.len(), found.warnings.len()), (3, 0));
}

fn too_many(need: Need) {
    let found = need.diarize(need.part(22.0, 24.0), exactly(9));
    assert!((1..9).contains(&found.voices.len()), "{}", found.voices.len());
    assert!(
        found.warnings.iter().any(|warning| warning.starts_with("9 speakers were asked for")),
        "{:?}",
        found.warnings
    );
}

fn one_voice(need: Need) {
    for (start, end) in [(22.0, 23.0), (22.0, 22.4), (22.0, 27.5)] {
        let found = need.diarize(need.part(start, end), DiarizeOptions::default());
        assert_eq!(found.voices.len(), 1, "{start} to {end} s");
        assert!(!found.turns.is_empty());
    }
    // Nothing tells voices apart in so little, and nothing breaks.
    for length in [0, 1, 400, 1600] {
        need.diarize(need.part(22.0, 23.0)[..length].to_vec(), exactly(2));
    }
}

fn no_speech(need: Need) {
    let silence = need.diarize(vec![0.0; 12 * SAMPLE_RATE], exactly(2));
    assert!(silence.turns.is_empty() && silence.voices.is_empty());
    let mut state = 1u32;
    let noise = (0..12 * SAMPLE_RATE).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0 - 0.5
    });
    need.diarize(noise.collect(), DiarizeOptions::default());
    let chord = |index: usize| {
        let time = index as f32 / SAMPLE_RATE as f32;
        let root = [220.0, 261.6, 329.6][(time / 0.5) as usize % 3];
        [1.0, 1.25, 1.5].iter().map(|ratio| 0.1 * (TAU * root * ratio * time).sin()).sum::<f32>()
    };
    need.diarize((0..12 * SAMPLE_RATE).map(chord).collect(), DiarizeOptions::default());
}

fn side_by_side(need: Need) {
    let parts: Vec<Vec<f32>> =
        [(0.0, 30.0), (6.0, 13.0), (14.0, 28.0)].map(|(start, end)| need.part(start, end)).to_vec();
    let alone: Vec<Transcript> =
        parts.iter().map(|part| need.diarize(part.clone(), DiarizeOptions::default())).collect();
    let together: Vec<Transcript> = thread::scope(|scope| {
        let need = &need;
        let start = |part: Vec<f32>| scope.spawn(move || need.diarize(part, DiarizeOptions::default()));
        let running: Vec<_> = parts.into_iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone.turns, together.turns);
        assert_eq!(alone.voices, together.voices);
    }
}
