//! The operations on a GPU against the same on the CPU, where there is a GPU.

use candle_core::{DType, Device, Tensor};
use libtest_mimic::Trial;
use palabra::{
    audio::{fbank::FRAME_LENGTH, mel::LogMel},
    models::speaker::Features,
    ops::{
        best_paths::{Search, best_paths},
        weighted_statistics,
    },
    stages::{
        embed::{FeatureExtractor, features},
        spectrogram::spectrograms,
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    ctc_viterbi::problem,
    sound::{noise, sound},
    subject::{Size, numbers},
    support::{compare, trial},
};

/// The trials.
pub fn trials() -> Vec<Trial> {
    let gpu = Device::new_cuda(0)
        .map_err(|reason| format!("needs a GPU: {}", reason.to_string().lines().next().unwrap_or_default()));
    vec![
        trial("spectrograms_on_a_gpu", &gpu, |gpu| spectrograms_agree(&gpu)),
        trial("filterbanks_on_a_gpu", &gpu, |gpu| filterbanks_agree(&gpu)),
        trial("statistics_on_a_gpu", &gpu, |gpu| statistics_agree(&gpu)),
        trial("best_paths_on_a_gpu", &gpu, |gpu| paths_agree(&gpu)),
    ]
}

fn spectrograms_agree(gpu: &Device) {
    let mut random = StdRng::seed_from_u64(1);
    for bins in [80, 128] {
        let mel = LogMel::new(bins);
        let sounds: Vec<Vec<f32>> = [480_000, 1, 0, 123_457].map(|length| sound(&mut random, length)).into();
        let chunks: Vec<&[f32]> = sounds.iter().map(Vec::as_slice).collect();
        let expected = spectrograms(&mel, &chunks, &Device::Cpu, DType::F32).unwrap();
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F16, 1e-2), (DType::BF16, 5e-2)] {
            let ours = spectrograms(&mel, &chunks, gpu, dtype).unwrap();
            compare(&format!("{bins} bins, {dtype:?}"), &ours, &expected, tolerance);
        }
    }
}

fn filterbanks_agree(gpu: &Device) {
    let mut random = StdRng::seed_from_u64(2);
    for kind in [Features::KaldiPovey { bins: 80 }, Features::KaldiHamming { bins: 80 }] {
        let (there, here) = (FeatureExtractor::new(kind, gpu), FeatureExtractor::new(kind, &Device::Cpu));
        for length in [FRAME_LENGTH, 24_000, 16_123] {
            let sounds: Vec<Vec<f32>> = (0..3).map(|_| noise(&mut random, length)).collect();
            let made = |extractor: &FeatureExtractor, device| {
                let windows: Vec<_> = sounds.iter().map(|sound| extractor.whole_window(sound).unwrap()).collect();
                features(&windows.iter().collect::<Vec<_>>(), 80, device).unwrap()
            };
            compare(&format!("{kind:?}, {length}"), &made(&there, gpu), &made(&here, &Device::Cpu), 2e-3);
        }
    }
}

fn statistics_agree(gpu: &Device) {
    let mut random = StdRng::seed_from_u64(3);
    for (batch, time, channels, speakers) in [(1, 1, 1, 1), (2, 150, 512, 3), (3, 31, 33, 2)] {
        let x =
            Tensor::from_vec(numbers(&mut random, batch * time * channels, DType::F32), (batch, time, channels), gpu);
        let weights: Vec<f32> = (0..batch * speakers * time).map(|_| random.gen_range(0.0..1.0)).collect();
        let (x, weights) = (x.unwrap(), Tensor::from_vec(weights, (batch, speakers, time), gpu).unwrap());
        // Read backwards through its axes, too: the operation takes tensors of any stride.
        let turned = x.transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
        let there = |tensor: &Tensor| tensor.to_device(&Device::Cpu).unwrap();
        let expected = weighted_statistics(&there(&x), &there(&weights), 0.1).unwrap();
        for x in [&x, &turned] {
            let ours = weighted_statistics(x, &weights, 0.1).unwrap();
            compare(&format!("{batch} {time} {channels} {speakers}"), &ours, &expected, 1e-4);
        }
    }
}

fn paths_agree(gpu: &Device) {
    let mut random = StdRng::seed_from_u64(4);
    let problems: Vec<_> = (0..40).map(|_| problem(&mut random, Size::Ordinary)).collect();
    let searches: Vec<Search> = problems
        .iter()
        .map(|(emission, chain, windows)| Search { emission, chain, windows: windows.as_deref() })
        .collect();
    assert_eq!(best_paths(&searches, gpu).unwrap(), best_paths(&searches, &Device::Cpu).unwrap());
}
