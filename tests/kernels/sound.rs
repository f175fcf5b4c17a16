//! Something to listen to.

use std::f32::consts::TAU;

use rand::{Rng, rngs::StdRng, seq::SliceRandom};

/// Noise, a tone, both, silence, or numbers that no microphone gives.
pub fn sound(random: &mut StdRng, length: usize) -> Vec<f32> {
    let loudness = 10f32.powf(random.gen_range(-4.0..0.0));
    let step = random.gen_range(0.01..0.49) * TAU;
    let kind = random.gen_range(0..6);
    let mut samples: Vec<f32> = (0..length)
        .map(|n| {
            let tone = (step * n as f32).sin() * loudness;
            let noise = random.gen_range(-1.0..1.0) * loudness;
            match kind {
                0 => 0.0,
                1 => tone,
                2 | 3 => noise,
                _ => tone + 0.01 * noise,
            }
        })
        .collect();
    if kind == 5 && random.gen_bool(0.2) {
        let odd = [f32::NAN, f32::MAX, -1e30, 1e-40];
        if let Some(sample) = samples.choose_mut(random) {
            *sample = *odd.choose(random).unwrap_or(&0.0);
        }
    }
    samples
}

/// Noise alone.
pub fn noise(random: &mut StdRng, length: usize) -> Vec<f32> {
    (0..length).map(|_| random.gen_range(-0.5..0.5)).collect()
}
