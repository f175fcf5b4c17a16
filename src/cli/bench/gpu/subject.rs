//! A stage made ready to be checked and timed.

use candle_core::{DType, Tensor};
use palabra::{Result, device::Compute};

use super::input::Input;
use crate::cli::bench::cost::work::Work;

/// What a stage gives. Tensors stay where they are, so that timing copies nothing.
#[derive(Debug)]
pub enum Output {
    /// On the device.
    Tensor(Tensor),
    /// In the processor's memory.
    Numbers(Vec<f32>),
    /// Nothing that can be seen from outside.
    Hidden,
}

impl Output {
    /// As numbers in the processor's memory; `None` where there is nothing to be seen.
    ///
    /// # Errors
    /// When the tensor cannot be copied.
    pub fn numbers(self) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Tensor(tensor) => Ok(Some(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)),
            Self::Numbers(numbers) => Ok(Some(numbers)),
            Self::Hidden => Ok(None),
        }
    }
}

/// What is done before a round, without being timed.
pub type Prepare<'a> = Box<dyn FnMut() -> Result<()> + 'a>;
/// One round.
pub type Run<'a> = Box<dyn FnMut() -> Result<Output> + 'a>;

/// A stage over one batch.
pub struct Subject<'a> {
    /// What a round takes at the least; `None` where that is not modelled.
    pub work: Option<Work>,
    /// Bytes of the numbers that it computes in.
    pub size: usize,
    /// Rounds that the audio of the batch takes.
    pub rounds: f64,
    /// Whether the tokens of a chunk must be right, too, for its time to mean something.
    pub writes: bool,
    /// Before each round.
    pub prepare: Prepare<'a>,
    /// A round.
    pub run: Run<'a>,
}

impl<'a> Subject<'a> {
    /// A stage that takes one round, in f32, with nothing to prepare.
    pub fn new(work: impl Into<Option<Work>>, run: Run<'a>) -> Self {
        let work = work.into();
        Self { work, size: 4, rounds: 1.0, writes: false, prepare: Box::new(|| Ok(())), run }
    }

    /// The same in numbers of `size` bytes.
    #[must_use]
    pub fn in_numbers_of(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// The same as a step of the decoder, of which the audio takes several.
    #[must_use]
    pub fn repeated(self, steps: f64) -> Self {
        Self { rounds: steps, writes: true, ..self }
    }
}

/// Makes a stage of networks ready for a batch of so many chunks of the input.
pub type Build<N> = for<'a> fn(&'a N, &'a Input, usize) -> Result<Subject<'a>>;
/// A stage: what it is called, as in the estimate where that has it, and how it is made ready.
pub type Stage<N> = (&'static str, Build<N>);

/// Numbers between -`scale` and `scale`, the same for every device.
pub fn noise(count: usize, scale: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        scale * (state as f32 / (u32::MAX / 2) as f32 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// `rows` times the same (time, channels) of noise, as (rows, time, channels) in the device's numbers.
pub fn noisy(
    rows: usize,
    (time, channels): (usize, usize),
    scale: f32,
    seed: u32,
    compute: &Compute,
) -> Result<Tensor> {
    let one = Tensor::from_vec(noise(time * channels, scale, seed), (1, time, channels), &compute.device)?;
    Ok(one.to_dtype(compute.dtype)?.repeat((rows, 1, 1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_everywhere_and_fills_its_range() {
        let numbers = noise(10_000, 2.0, 7);
        assert_eq!(numbers, noise(10_000, 2.0, 7));
        assert_ne!(numbers, noise(10_000, 2.0, 8));
        assert!(numbers.iter().all(|number| number.abs() <= 2.0));
        let mean = numbers.iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.05 && numbers.iter().any(|number| *number > 1.9), "{mean}");
        let tensor = noisy(3, (4, 5), 1.0, 1, &Compute::cpu()).unwrap();
        assert_eq!(tensor.dims(), [3, 4, 5]);
    }
}
