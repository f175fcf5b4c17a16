//! `kernels/log_mel.cu` against `LogMel`.

use candle_core::DType;
use palabra::{
    audio::mel::{CHUNK_FRAMES, LogMel},
    ops::{kernels::log_mel::LogMel as Kernel, log_mel::packed},
};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    sound::sound,
    subject::{Size, Subject, any_float},
};

/// The kernel.
pub const SUBJECT: Subject = Subject { race_cases: 4, ..Subject::new("log_mel", case) };

/// Samples from one frame to the next.
const HOP: usize = 160;

fn case(random: &mut StdRng, size: Size) -> Case {
    // A chunk of 30 s now and then; mirrored ends need three frames at least.
    let whole = size == Size::Ordinary && random.gen_ratio(1, 100);
    let frames = match size {
        _ if whole => CHUNK_FRAMES,
        Size::Ordinary => random.gen_range(3..=20),
        Size::Small => random.gen_range(3..=5),
    };
    let bins = *[80, 128, 80, 128, 1, 37].get(random.gen_range(0..6)).unwrap();
    let chunks = if whole || size == Size::Small { 1 } else { random.gen_range(1..=3) };
    let kernel = Kernel { chunks, frames, bins, dtype: any_float(random) };
    let sounds: Vec<Vec<f32>> = (0..chunks)
        .map(|_| {
            let most = frames * HOP;
            let length = match random.gen_range(0..4) {
                0 => most,
                1 => most + random.gen_range(1..300),
                _ => random.gen_range(0..most),
            };
            sound(random, length)
        })
        .collect();
    let mel = LogMel::new(bins);
    let expected: Vec<f32> = sounds.iter().flat_map(|samples| mel.compute_frames(samples, frames)).collect();
    let (samples, spans) = packed(&sounds.iter().map(Vec::as_slice).collect::<Vec<_>>(), frames * HOP);
    let (places, weights) = mel.filter_table();

    let mut case = Case::new(format!("{kernel:?}, {:?} samples", sounds.iter().map(Vec::len).collect::<Vec<_>>()));
    let inputs = [case.buffer(&samples), case.buffer(&spans), case.buffer(&places), case.buffer(&weights)];
    let energies = case.empty(expected.len(), DType::F32);
    let maxima = case.buffer(&vec![0u32; chunks]);
    let out = if kernel.dtype == DType::F32 { energies } else { case.empty(expected.len(), kernel.dtype) };
    let [samples, spans, places, weights] = inputs;
    let launches = kernel.launches([samples, spans, places, weights, energies, maxima, out]).unwrap();
    launches.into_iter().for_each(|launch| case.launch(launch));
    case.expect(out, kernel.dtype, &expected);
    case
}
