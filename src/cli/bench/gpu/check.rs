//! Whether a device computes the same as the CPU in f32: no time of a wrong result is worth anything.

use candle_core::{DType, Tensor};
use palabra::{
    Result,
    language::Language,
    models::whisper::{KvCache, tokenizer::Task},
    ops::logits::argmax,
    stages::transcribe::Transcriber,
};

use super::{
    input::Input,
    subject::Output,
    whisper::{choose, mel},
};

/// A comparison with the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// How far it is off.
    pub difference: f64,
    /// How far it may be.
    pub tolerance: f64,
}

impl Check {
    /// Compares what a stage gives on both: the length of the difference over that of the CPU's result. `None` where there
    /// is nothing to be seen.
    ///
    /// # Errors
    /// When a result cannot be copied.
    pub fn of(what: &str, ours: Output, reference: Output, dtype: DType) -> Result<Option<Self>> {
        let (Some(ours), Some(reference)) = (ours.numbers()?, reference.numbers()?) else { return Ok(None) };
        let difference = relative(&ours, &reference);
        Ok(Some(Self { what: what.to_owned(), difference, tolerance: relative_tolerance(dtype) }))
    }

    /// Whether the device is right.
    pub fn passed(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// The length of the difference over that of the reference; infinite where they cannot be compared.
fn relative(ours: &[f32], reference: &[f32]) -> f64 {
    if ours.len() != reference.len() || ours.iter().any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let square = |value: f64| value * value;
    let difference: f64 = ours.iter().zip(reference).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let length: f64 = reference.iter().map(|value| square(f64::from(*value))).sum();
    if difference == 0.0 { 0.0 } else { (difference / length).sqrt() }
}

/// What rounding makes of a whole encoder: some hundred sums in a row.
fn relative_tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-2,
        DType::BF16 => 1e-1,
        _ => 1e-3,
    }
}

/// And of logits, which reach 30 and more.
fn logit_tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 0.25,
        DType::BF16 => 1.0,
        _ => 0.02,
    }
}

/// Tokens that are compared at most.
const TOKENS: usize = 48;

/// Writes the text of a chunk greedily on the CPU and feeds it to the device. Where the device would have chosen another
/// token, that one must have been nearly as good: the difference is how much worse the CPU finds it, in logits.
///
/// # Errors
/// When a tensor operation fails.
pub fn tokens(ours: &Transcriber, reference: &Transcriber, input: &Input) -> Result<Check> {
    let mut writers = [Writer::new(ours, input)?, Writer::new(reference, input)?];
    let tokenizer = reference.tokenizer();
    let mut next = tokenizer.start_sequence(Language::ENGLISH, Task::Transcribe, false);
    let mut worst = 0f64;
    for _ in 0..TOKENS {
        let [ours, reference] = &mut writers;
        let (chosen, seen) = (ours.choose(&next)?, reference.logits(&next)?);
        let best = argmax(&seen);
        // A device that gives no numbers, or a token that is none, is as wrong as can be.
        let worse = seen.get(chosen as usize).map_or(f64::INFINITY, |logit| f64::from(seen[best] - logit));
        worst = worst.max(worse);
        if best as u32 == tokenizer.end() {
            break;
        }
        next = vec![best as u32];
    }
    Ok(Check { what: "tokens of a chunk".into(), difference: worst, tolerance: logit_tolerance(ours.compute().dtype) })
}

/// A transcriber that hears one chunk.
struct Writer<'a> {
    transcriber: &'a Transcriber,
    cache: KvCache,
}

impl<'a> Writer<'a> {
    fn new(transcriber: &'a Transcriber, input: &Input) -> Result<Self> {
        let compute = transcriber.compute();
        let mut cache = KvCache::new(transcriber.config(), 1, compute.dtype, &compute.device)?;
        let features = transcriber.whisper().encode(&mel(transcriber, input, 1)?)?;
        transcriber.whisper().decoder.listen(&features, &[0], &mut cache)?;
        Ok(Self { transcriber, cache })
    }

    /// The logits behind the last of `tokens`, (1, vocabulary), where they are made.
    fn forward(&mut self, tokens: &[u32]) -> Result<Tensor> {
        let decoder = &self.transcriber.whisper().decoder;
        let states = decoder.forward(tokens, &[0], &mut self.cache)?; // (1, T, d_model)
        Ok(decoder.logits(&states.narrow(1, tokens.len() - 1, 1)?.squeeze(1)?.contiguous()?)?)
    }

    /// The same as numbers.
    fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        Ok(self.forward(tokens)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    /// The token that the device chooses behind the last of `tokens`; none that exists where there is none.
    fn choose(&mut self, tokens: &[u32]) -> Result<u32> {
        let logits = self.forward(tokens)?;
        Ok(choose(self.transcriber, &logits)?.first().copied().unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: Vec<f32>, reference: Vec<f32>) -> Check {
        Check::of("x", Output::Numbers(ours), Output::Numbers(reference), DType::F32).unwrap().unwrap()
    }

    #[test]
    fn results_that_differ_fail() {
        assert!(check(vec![1.0, 2.0], vec![1.0, 2.0]).passed());
        assert!(check(vec![1.0, 2.0005], vec![1.0, 2.0]).passed());
        let wrong = check(vec![1.0, 2.5], vec![1.0, 2.0]);
        assert!(!wrong.passed() && (wrong.difference - 0.5 / 5f64.sqrt()).abs() < 1e-6, "{wrong:?}");
        for ours in [vec![1.0], vec![1.0, f32::NAN], vec![f32::INFINITY, 2.0]] {
            assert!(!check(ours, vec![1.0, 2.0]).passed());
        }
        assert!(check(vec![0.0], vec![0.0]).passed() && !check(vec![1.0], vec![0.0]).passed());
        assert_eq!(Check::of("x", Output::Hidden, Output::Hidden, DType::F32).unwrap(), None);
    }
}
