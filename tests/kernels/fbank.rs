//! `kernels/fbank.cu` against Kaldi's definition spelled out in f64, and that against `Fbank`, which computes in f32 and so
//! loses what is 60 dB below the loudest part of a frame.

use candle_core::DType;
use libtest_mimic::Trial;
use palabra::{
    audio::fbank::{FRAME_LENGTH, FRAME_SHIFT, Fbank, FbankOptions, FrameWindow},
    ops::kernels::fbank::Fbank as Kernel,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use realfft::RealFftPlanner;

use crate::{
    case::Case,
    sound::{noise, sound},
    subject::{Size, Subject},
};

/// The kernel.
pub const SUBJECT: Subject = Subject { race_cases: 4, ..Subject::new("fbank", case) };

fn options(random: &mut StdRng) -> FbankOptions {
    let bins = [80, 80, 40, 23, 1][random.gen_range(0..5)];
    if random.gen_bool(0.5) {
        FbankOptions { bins, ..FbankOptions::default() }
    } else {
        FbankOptions { bins, window: FrameWindow::Hamming, scale: 32_768.0 }
    }
}

/// The features of a window in f64: frames, each `bins` values.
fn definition(fbank: &Fbank, samples: &[f32]) -> Vec<Vec<f64>> {
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(512);
    let (places, weights) = fbank.filter_table();
    let frame = |frame: usize| {
        let own: Vec<f64> =
            samples[frame * FRAME_SHIFT..][..FRAME_LENGTH].iter().map(|&value| f64::from(value)).collect();
        let mean = own.iter().sum::<f64>() / FRAME_LENGTH as f64;
        let mut padded = vec![0.0; 512];
        for (n, value) in padded.iter_mut().take(FRAME_LENGTH).enumerate() {
            let (centred, previous) = (own[n] - mean, own[n.saturating_sub(1)] - mean);
            *value = (centred - f64::from(0.97f32) * previous) * f64::from(fbank.window()[n]);
        }
        let mut spectrum = transform.make_output_vec();
        transform.process(&mut padded, &mut spectrum).unwrap();
        let energy = |place: &[u32]| {
            let covered = &spectrum[place[0] as usize..][..place[1] as usize];
            let sum = covered.iter().zip(&weights[place[2] as usize..]);
            let sum: f64 = sum.map(|(value, &weight)| value.norm_sqr() * f64::from(weight)).sum();
            sum.max(f64::from(f32::EPSILON)).ln()
        };
        places.chunks_exact(3).map(energy).collect()
    };
    (0..Fbank::frames(samples.len())).map(frame).collect()
}

fn subtract_mean(features: &mut [Vec<f64>]) {
    let count = features.len() as f64;
    for bin in 0..features.first().map_or(0, Vec::len) {
        let mean = features.iter().map(|frame| frame[bin]).sum::<f64>() / count;
        features.iter_mut().for_each(|frame| frame[bin] -= mean);
    }
}

fn case(random: &mut StdRng, size: Size) -> Case {
    let options = options(random);
    let fbank = Fbank::new(&options);
    let (windows, most) = if size == Size::Small { (1, 3) } else { (random.gen_range(1..=3), 20) };
    let kernel = Kernel { windows, frames: random.gen_range(1..=most), bins: options.bins };
    let rest = random.gen_range(0..FRAME_SHIFT);
    let length = FRAME_LENGTH + (kernel.frames - 1) * FRAME_SHIFT + rest;
    let finite = |sound: Vec<f32>| -> Vec<f32> {
        sound.into_iter().map(|value| if value.abs() <= 1.0 { value } else { 0.0 }).collect()
    };
    let sounds: Vec<Vec<f32>> = (0..windows).map(|_| finite(sound(random, length))).collect();
    let means = random.gen_bool(0.5);
    let expected = sounds.iter().flat_map(|samples| {
        let mut features = definition(&fbank, samples);
        if means {
            subtract_mean(&mut features);
        }
        features.concat()
    });
    let expected: Vec<f64> = expected.collect();
    let starts: Vec<u32> = (0..windows).map(|window| (window * length) as u32).collect();
    let (places, weights) = fbank.filter_table();

    let mut case = Case::new(format!("{kernel:?}, {options:?}, means {means}"));
    let inputs = [case.buffer(&sounds.concat()), case.buffer(&starts), case.buffer(fbank.window())];
    let [samples, starts, window] = inputs;
    let (places, weights) = (case.buffer(&places), case.buffer(&weights));
    let features = case.empty(expected.len(), DType::F32);
    case.launch(kernel.launch([samples, starts, window, places, weights, features]).unwrap());
    if means {
        case.launch(kernel.subtract_mean(features).unwrap());
    }
    case.expect(features, DType::F32, &expected);
    case
}

/// The definition of these tests is the library's.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("fbank_definitions_agree_on_noise", || {
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let fbank = Fbank::new(&options(&mut random));
            let samples = noise(&mut random, 4000);
            let (ours, theirs) = (definition(&fbank, &samples).concat(), fbank.compute(&samples).unwrap());
            for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert!((ours - f64::from(*theirs)).abs() < 1e-3, "seed {seed}, {index}: {ours} {theirs}");
            }
        }
        Ok(())
    })]
}
