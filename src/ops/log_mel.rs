//! Whisper's log-mel spectrograms on a GPU, of chunks that cross the bus as samples: 1.9 MB for 30 s, once.
//!
//! The definition, and what the CPU runs, is `audio::mel::LogMel`; the kernel is tested against it.

use candle_core::{DType, Device, Result, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{Storage, op::BackpropOp};

/// Samples from one frame to the next.
const HOP: usize = 160;

/// Spectrograms (B, frames, bins) of `chunks`, each of which counts as `frames * 160` samples: silence follows what it lacks, and
/// what lies beyond is left out. `places` (bins, 3) and `weights` are the filters, as `LogMel::filter_table` gives them.
///
/// # Errors
/// On a device without kernels, and when the GPU refuses.
pub fn log_mel(
    chunks: &[&[f32]],
    (places, weights): (Vec<u32>, Vec<f32>),
    frames: usize,
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    let (count, bins) = (chunks.len(), places.len() / 3);
    if count == 0 || frames == 0 || bins == 0 {
        bail!("spectrograms need chunks, frames and filters");
    }
    let (samples, spans) = packed(chunks, frames * HOP);
    let inputs = [
        Tensor::new(samples, device)?,
        Tensor::from_vec(spans, (count, 2), device)?,
        Tensor::from_vec(places, (bins, 3), device)?,
        Tensor::new(weights, device)?,
    ];
    on_gpu(&inputs, (count, frames, bins), dtype)
}

/// The samples of all chunks one after the other, of each at most `most`, and where each begins and how many it has. There is a
/// sample in any case, for there is no empty memory on a GPU.
pub fn packed(chunks: &[&[f32]], most: usize) -> (Vec<f32>, Vec<u32>) {
    let (mut samples, mut spans) = (Vec::new(), Vec::with_capacity(2 * chunks.len()));
    for chunk in chunks {
        let heard = &chunk[..chunk.len().min(most)];
        spans.extend([samples.len() as u32, heard.len() as u32]);
        samples.extend_from_slice(heard);
    }
    if samples.is_empty() {
        samples.push(0.0);
    }
    (samples, spans)
}

#[cfg(feature = "cuda")]
fn on_gpu(inputs: &[Tensor; 4], (chunks, frames, bins): (usize, usize, usize), dtype: DType) -> Result<Tensor> {
    let Device::Cuda(gpu) = inputs[0].device() else { bail!("spectrograms are made by a kernel on GPUs only") };
    let kernel = super::kernels::log_mel::LogMel { chunks, frames, bins, dtype };
    let spectrograms = kernel.run(gpu, inputs.each_ref())?;
    Ok(Tensor::from_storage(Storage::Cuda(spectrograms), (chunks, frames, bins), BackpropOp::none(), false))
}

#[cfg(not(feature = "cuda"))]
fn on_gpu(inputs: &[Tensor; 4], _: (usize, usize, usize), _: DType) -> Result<Tensor> {
    bail!("spectrograms are made by a kernel on GPUs only, not on {:?}", inputs[0].device().location())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lie_one_after_the_other_and_long_ones_end() {
        assert_eq!(packed(&[&[1.0, 2.0, 3.0], &[], &[4.0]], 2), (vec![1.0, 2.0, 4.0], vec![0, 2, 2, 0, 2, 1]));
        assert_eq!(packed(&[&[]], 2), (vec![0.0], vec![0, 0]));
    }

    #[test]
    fn the_cpu_has_a_definition_of_its_own() {
        assert!(log_mel(&[&[0.5]], (vec![0, 1, 0], vec![1.0]), 2, &Device::Cpu, DType::F32).is_err());
    }
}
