//! Many channels to one.

use symphonia::core::audio::{Channels, GenericAudioBufferRef, Position};

/// Samples beyond this are no sound but damage; they are muted like NaN and infinities.
const ABSURD: f32 = 1e6;

/// When the mean of all channels keeps less than this part of their mean energy, they cancel each other. Unrelated
/// channels keep 1/n, so that even eight of them stay well above it.
const CANCELLED: f64 = 0.02;

/// How channels become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// The mean of all channels but the subwoofer's.
    Mean,
    /// One channel alone, by its index, since the channels cancel each other.
    Only(usize),
    /// One channel for itself, by its index, since each of them is wanted.
    Apart(usize),
}

/// Mixes blocks and keeps account of what went through.
pub(super) struct Downmix {
    mix: Mix,
    planes: Vec<Vec<f32>>,
    mono: Vec<f32>,
    energy: Vec<f64>,
    mean_energy: f64,
    muted: u64,
    peak: f32,
}

impl Downmix {
    pub(super) fn new(mix: Mix) -> Self {
        Self { mix, planes: Vec::new(), mono: Vec::new(), energy: Vec::new(), mean_energy: 0.0, muted: 0, peak: 0.0 }
    }

    /// The mono signal of one decoded block, at its own rate.
    pub(super) fn mono(&mut self, block: &GenericAudioBufferRef<'_>) -> &[f32] {
        block.copy_to_vecs_planar(&mut self.planes);
        for plane in &mut self.planes {
            self.muted += mute_damage(plane);
        }
        self.energy.resize(self.energy.len().max(self.planes.len()), 0.0);
        for (energy, plane) in self.energy.iter_mut().zip(&self.planes) {
            *energy += plane.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum::<f64>();
        }
        let used = used_planes(self.mix, block.spec().channels(), self.planes.len());
        self.mono.clear();
        self.mono.resize(block.frames(), 0.0);
        for &index in &used {
            for (sum, sample) in self.mono.iter_mut().zip(&self.planes[index]) {
                *sum += sample;
            }
        }
        let scale = 1.0 / used.len().max(1) as f32;
        for sample in &mut self.mono {
            *sample *= scale;
            self.mean_energy += f64::from(*sample) * f64::from(*sample);
            self.peak = self.peak.max(sample.abs());
        }
        &self.mono
    }

    /// The loudest channel, where the mean of the channels has lost nearly everything that they hold.
    pub(super) fn cancelled(&self) -> Option<usize> {
        let loudest = (0..self.energy.len()).rev().max_by(|&a, &b| self.energy[a].total_cmp(&self.energy[b]))?;
        let held = self.energy.iter().sum::<f64>() / self.energy.len() as f64;
        (self.mix == Mix::Mean && held > 0.0 && self.mean_energy < CANCELLED * held).then_some(loudest)
    }

    /// How the channels are mixed.
    pub(super) fn mix(&self) -> Mix {
        self.mix
    }

    /// How many samples were not numbers and have been muted.
    pub(super) fn muted(&self) -> u64 {
        self.muted
    }

    /// The largest magnitude of the mono signal.
    pub(super) fn peak(&self) -> f32 {
        self.peak
    }
}

fn mute_damage(plane: &mut [f32]) -> u64 {
    let mut muted = 0;
    for sample in plane {
        if !sample.is_finite() || sample.abs() > ABSURD {
            *sample = 0.0;
            muted += 1;
        }
    }
    muted
}

fn used_planes(mix: Mix, channels: &Channels, count: usize) -> Vec<usize> {
    match mix {
        Mix::Only(index) | Mix::Apart(index) => (0..count).filter(|&plane| plane == index.min(count - 1)).collect(),
        Mix::Mean => {
            let subwoofer = match channels {
                Channels::Positioned(positions) if positions.contains(Position::LFE1) && count > 1 => {
                    channels.get_canonical_index_for_positioned_channel(Position::LFE1)
                }
                _ => None,
            };
            (0..count).filter(|&index| Some(index) != subwoofer).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symphonia::core::audio::{AsGenericAudioBufferRef as _, AudioBuffer, AudioMut as _, AudioSpec, layouts};

    fn mixed(mix: Mix, channels: Channels, frame: &[f32]) -> (f32, Downmix) {
        let mut buffer = AudioBuffer::<f32>::new(AudioSpec::new(16_000, channels), 4);
        buffer.render_uninit(Some(4));
        buffer.copy_from_slice_interleaved(&frame.repeat(4));
        let mut downmix = Downmix::new(mix);
        let mono = downmix.mono(&buffer.as_generic_audio_buffer_ref())[0];
        (mono, downmix)
    }

    #[test]
    fn stereo_is_averaged() {
        let (mono, downmix) = mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[0.5, 0.25]);
        assert_eq!(mono, 0.375);
        assert_eq!(downmix.cancelled(), None);
    }

    #[test]
    fn one_live_channel_is_enough() {
        let (mono, downmix) = mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[0.5, 0.0]);
        assert_eq!((mono, downmix.cancelled()), (0.25, None));
    }

    #[test]
    fn opposite_channels_are_noticed() {
        let (_, downmix) = mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[0.4, -0.5]);
        assert_eq!(downmix.cancelled(), Some(1));
        assert_eq!(mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[0.5, -0.5]).1.cancelled(), Some(0));
        let (mono, downmix) = mixed(Mix::Only(1), layouts::CHANNEL_LAYOUT_STEREO, &[0.4, -0.5]);
        assert_eq!((mono, downmix.cancelled()), (-0.5, None));
    }

    #[test]
    fn the_subwoofer_is_left_out() {
        let (mono, downmix) = mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_5P1, &[0.0, 0.0, 0.5, 0.9, 0.0, 0.0]);
        assert!((mono - 0.1).abs() < 1e-6);
        assert_eq!(downmix.cancelled(), None);
    }

    #[test]
    fn damage_is_muted_and_counted() {
        let (mono, downmix) = mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[f32::NAN, 0.5]);
        assert_eq!((mono, downmix.muted()), (0.25, 4));
        assert_eq!(mixed(Mix::Mean, layouts::CHANNEL_LAYOUT_STEREO, &[1e30, f32::INFINITY]).1.muted(), 8);
    }
}
