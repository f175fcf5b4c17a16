//! Recordings that give each speaker a channel: which channels are copies of one another, and where a channel only picks
//! up what another one holds.
//!
//! A voice that leaks into another speaker's channel (a headset's cable, a microphone near by) is fainter there than in
//! its own. A moment is a leak where another channel is louder by [`LOUDER`] and the channel itself is fainter by
//! [`FAINTER`] than when it holds the loudest voice: a speaker who is merely quieter than the other one is no leak, and
//! both keep their words when they speak at once.

use crate::{
    audio::Audio,
    span::{SAMPLE_RATE, Span, seconds_of},
};

/// Samples of a moment: 20 ms.
const MOMENT: usize = SAMPLE_RATE / 50;
/// Moments over which levels are averaged to either side: a tenth of a second in all.
const AROUND: usize = 2;
/// Moments this much below the loudest of the recording are no voice, in dB.
const FLOOR: f32 = 45.0;
/// Another channel must be this much louder, in dB.
const LOUDER: f32 = 10.0;
/// The channel must be this much below its own voice, in dB.
const FAINTER: f32 = 8.0;
/// A channel that leads for less than this has no voice of its own, in moments: half a second.
const FEWEST_OWN: usize = 25;
/// A leak is muted for so many moments before and after, since voices begin and end below the floor.
const MARGIN: usize = 3;
/// Channels with a correlation above this are copies; copies that were compressed apart stay above 0.9999.
const COPY: f64 = 0.999;

/// For each channel the earlier one whose copy it is. Inverted and fainter copies are copies too; silence is nobody's.
pub fn copies(channels: &[Audio]) -> Vec<Option<usize>> {
    let energy = |audio: &Audio| product(audio, audio);
    let energies: Vec<f64> = channels.iter().map(energy).collect();
    let mut found: Vec<Option<usize>> = Vec::with_capacity(channels.len());
    for (index, channel) in channels.iter().enumerate() {
        let same = |earlier: &usize| {
            let norm = (energies[*earlier] * energies[index]).sqrt();
            found[*earlier].is_none() && norm > 0.0 && product(&channels[*earlier], channel).abs() > COPY * norm
        };
        let copied = (0..index).find(same);
        found.push(copied);
    }
    found
}

fn product(a: &Audio, b: &Audio) -> f64 {
    a.samples().iter().zip(b.samples()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Where each channel holds what leaked from another one: in order and disjoint.
pub fn leaks(channels: &[Audio]) -> Vec<Vec<Span>> {
    let levels: Vec<Vec<f32>> = channels.iter().map(levels).collect();
    let loudest = levels.iter().flatten().copied().fold(f32::MIN, f32::max);
    let moments = levels.iter().map(Vec::len).min().unwrap_or(0);
    let others = |channel: usize, moment: usize| {
        let others = levels.iter().enumerate().filter(|(other, _)| *other != channel);
        others.map(|(_, levels)| levels[moment]).fold(f32::MIN, f32::max)
    };
    let of_channel = |channel: usize| {
        let voiced = |moment: &usize| levels[channel][*moment] > loudest - FLOOR;
        let mut own: Vec<f32> = (0..moments)
            .filter(|moment| voiced(moment) && levels[channel][*moment] > others(channel, *moment))
            .map(|moment| levels[channel][moment])
            .collect();
        let own = if own.len() < FEWEST_OWN { f32::MAX } else { middle(&mut own) };
        let leaked = |moment: &usize| {
            let level = levels[channel][*moment];
            others(channel, *moment) > level + LOUDER && level < own - FAINTER
        };
        joined((0..moments).filter(|moment| voiced(moment) && leaked(moment)), moments)
    };
    (0..channels.len()).map(of_channel).collect()
}

/// The same audio with silence in `spans`.
pub fn muted(audio: &Audio, spans: &[Span]) -> Audio {
    let mut samples = audio.samples().to_vec();
    for span in spans {
        let end = span.samples().end.min(samples.len());
        samples[span.samples().start.min(end)..end].fill(0.0);
    }
    Audio::new(samples)
}

/// The level of each moment in dB, averaged with its neighbours.
fn levels(audio: &Audio) -> Vec<f32> {
    let energy = |moment: &[f32]| moment.iter().map(|sample| sample * sample).sum::<f32>() / moment.len() as f32;
    let energies: Vec<f32> = audio.samples().chunks(MOMENT).map(energy).collect();
    let smooth = |moment: usize| {
        let around = &energies[moment.saturating_sub(AROUND)..(moment + AROUND + 1).min(energies.len())];
        10.0 * (around.iter().sum::<f32>() / around.len() as f32).max(1e-12).log10()
    };
    (0..energies.len()).map(smooth).collect()
}

fn middle(levels: &mut [f32]) -> f32 {
    let half = levels.len() / 2;
    *levels.select_nth_unstable_by(half, f32::total_cmp).1
}

/// Moments with their margins as spans.
fn joined(leaked: impl Iterator<Item = usize>, moments: usize) -> Vec<Span> {
    let seconds = |moment: usize| seconds_of(moment * MOMENT);
    let mut spans: Vec<Span> = Vec::new();
    for moment in leaked {
        let span = Span::new(seconds(moment.saturating_sub(MARGIN)), seconds((moment + MARGIN + 1).min(moments)));
        match spans.last_mut() {
            Some(last) if last.end >= span.start => last.end = span.end,
            _ => spans.push(span),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone that is there between `start` and `end` of ten seconds.
    fn tone(hertz: f64, volume: f32, start: f64, end: f64) -> Vec<f32> {
        let at = |index: usize| {
            let time = seconds_of(index);
            let inside = (start..end).contains(&time);
            if inside { (time * hertz * std::f64::consts::TAU).sin() as f32 * volume } else { 0.0 }
        };
        (0..10 * SAMPLE_RATE).map(at).collect()
    }

    fn sum(parts: &[Vec<f32>]) -> Audio {
        Audio::new((0..parts[0].len()).map(|index| parts.iter().map(|part| part[index]).sum()).collect())
    }

    #[test]
    fn copies_are_found_whatever_their_volume_and_sign() {
        let voice = tone(200.0, 0.4, 0.0, 9.0);
        let other = Audio::new(tone(330.0, 0.4, 0.0, 9.0));
        let copy = |gain: f32| Audio::new(voice.iter().map(|sample| sample * gain).collect());
        let silence = Audio::new(vec![0.0; voice.len()]);
        let channels = [copy(1.0), other, copy(-1.0), copy(0.1), silence.clone(), silence];
        assert_eq!(copies(&channels), [None, None, Some(0), Some(0), None, None]);
        assert_eq!(copies(&[]), []);
    }

    #[test]
    fn what_leaks_is_found_and_voices_at_once_are_kept() {
        let (first, second) = (tone(200.0, 0.4, 0.0, 6.0), tone(330.0, 0.2, 5.0, 10.0));
        let faint = |voice: &[f32]| voice.iter().map(|sample| sample * 0.05).collect::<Vec<_>>();
        let channels = [sum(&[first.clone(), faint(&second)]), sum(&[second, faint(&first)])];
        let [in_first, in_second] = leaks(&channels).try_into().unwrap();
        let near = |spans: &[Span], start: f64, end: f64| {
            assert_eq!(spans.len(), 1, "{spans:?}");
            assert!((spans[0].start - start).abs() < 0.2 && (spans[0].end - end).abs() < 0.2, "{spans:?}");
        };
        near(&in_first, 6.0, 10.0);
        near(&in_second, 0.0, 5.0);
        let quiet = muted(&channels[0], &in_first);
        assert!(quiet.samples()[7 * SAMPLE_RATE..].iter().all(|sample| *sample == 0.0));
        assert_eq!(quiet.samples()[..5 * SAMPLE_RATE], channels[0].samples()[..5 * SAMPLE_RATE]);
    }

    #[test]
    fn a_channel_without_a_voice_of_its_own_holds_leaks_alone() {
        let voice = tone(200.0, 0.4, 1.0, 9.0);
        let leak = Audio::new(voice.iter().map(|sample| sample * 0.1).collect());
        let [in_voice, in_leak] = leaks(&[Audio::new(voice), leak]).try_into().unwrap();
        assert_eq!(in_voice, []);
        assert!(in_leak.len() == 1 && in_leak[0].duration() > 7.9, "{in_leak:?}");
    }

    #[test]
    fn a_quieter_speaker_is_no_leak() {
        let channels = [Audio::new(tone(200.0, 0.8, 0.0, 10.0)), Audio::new(tone(330.0, 0.2, 0.0, 10.0))];
        // Twelve decibels fainter throughout, and never the louder one: there is no telling.
        assert_eq!(leaks(&channels)[0], []);
        let channels = [Audio::new(tone(200.0, 0.8, 0.0, 6.0)), Audio::new(tone(330.0, 0.2, 3.0, 10.0))];
        assert_eq!(leaks(&channels), [vec![], vec![]], "it is as loud as when it speaks alone");
        assert_eq!(leaks(&[Audio::new(vec![])]), [vec![]]);
        assert!(leaks(&[]).is_empty());
    }
}
