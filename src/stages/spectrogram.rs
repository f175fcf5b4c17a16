//! Log-mel spectrograms of chunks, where the network runs that reads them.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::{
    audio::mel::{CHUNK_FRAMES, LogMel},
    error::Result,
    ops::{
        self,
        profile::{self, Class, Stage, Work},
    },
};

/// The spectrograms of chunks: (B, 3000, bins). A GPU makes them from the samples, the CPU on all of its processors.
///
/// # Errors
/// When a tensor operation fails.
pub fn spectrograms(mel: &LogMel, chunks: &[&[f32]], device: &Device, dtype: DType) -> Result<Tensor> {
    let _stage = profile::stage(Stage::Spectrogram);
    let _timed = profile::span(Class::Spectrum, || work(chunks.len(), mel.n_mels()));
    if !device.is_cpu() {
        return Ok(ops::log_mel(chunks, mel.filter_table(), CHUNK_FRAMES, device, dtype)?);
    }
    let values: Vec<f32> = chunks.par_iter().flat_map_iter(|samples| mel.compute(samples)).collect();
    Ok(Tensor::from_vec(values, (chunks.len(), CHUNK_FRAMES, mel.n_mels()), device)?.to_dtype(dtype)?)
}

/// Of each frame the Fourier transform of 400 real samples, `2.5 N log2 N` operations, and the squares of 201 bins; samples are
/// read and spectrograms written once.
fn work(chunks: usize, bins: usize) -> Work {
    const TRANSFORM: usize = 8644 + 3 * 201;
    let frames = chunks * CHUNK_FRAMES;
    Work::pass(frames * TRANSFORM, frames * (160 + bins) * size_of::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_has_its_spectrogram() {
        let mel = LogMel::new(80);
        let (loud, quiet) = (vec![0.5; 800], vec![0.0; 10]);
        let both = spectrograms(&mel, &[&loud, &quiet], &Device::Cpu, DType::F32).unwrap();
        let rows = both.to_vec3::<f32>().unwrap();
        for (rows, samples) in rows.iter().zip([&loud, &quiet]) {
            assert_eq!(rows.concat(), mel.compute(samples));
        }
    }
}
