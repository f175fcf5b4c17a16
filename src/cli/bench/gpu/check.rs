//! Whether a device computes the same as the CPU in f32: no time of a wrong result is worth anything.

use std::sync::Arc;

use candle_core::DType;
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
    whisper::mel,
    writing::{Writing, row},
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
        DType::F16 => 3e-2,
        DType::BF16 => 2e-1,
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

/// Lets the device write the text of a chunk as it does in a batch, and the CPU read it. Each of its tokens must be the one
/// that the CPU would have chosen there, or nearly as good: the difference is how much worse the CPU finds the worst of them,
/// in logits.
///
/// # Errors
/// When a tensor operation fails.
pub fn tokens(ours: &Arc<Transcriber>, reference: &Transcriber, input: &Input) -> Result<Check> {
    let mut writing = Writing::new(ours, input, 1)?;
    writing.begin()?;
    for _ in 1..TOKENS {
        if !writing.step()? {
            break;
        }
    }
    let difference = worst(writing.text(), reference, input)?;
    Ok(Check { what: "tokens of a chunk".into(), difference, tolerance: logit_tolerance(ours.compute().dtype) })
}

/// How much worse than its own choice the reference finds the worst token of a text, in logits.
fn worst(text: Vec<u32>, reference: &Transcriber, input: &Input) -> Result<f64> {
    let compute = reference.compute();
    let mut cache = KvCache::new(reference.config(), 1, compute.dtype, &compute.device, compute.precision)?;
    let features = reference.whisper().encode(&mel(reference, input, 1)?)?;
    let decoder = &reference.whisper().decoder;
    decoder.listen(&features, &[0], &mut cache)?;
    let (script, mut written) = (row(reference, input, 0)?.script, Vec::new());
    let mut next = reference.tokenizer().start_sequence(Language::ENGLISH, Task::Transcribe, false);
    let mut worst = 0f64;
    for token in text {
        let states = decoder.forward(&next, &[0], &mut cache)?; // (1, T, d_model)
        let last = states.narrow(1, next.len() - 1, 1)?.squeeze(1)?.contiguous()?;
        let mut logits: Vec<f32> = decoder.logits(&last)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        script.choice(&written, 0).forbid(reference.masks(), &mut logits);
        // A token that is none, or that may not stand there, is as wrong as can be.
        let found = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        worst = worst.max(f64::from(logits[argmax(&logits)] - found));
        written.push(token);
        next = vec![token];
    }
    Ok(worst)
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
