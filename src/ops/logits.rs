//! What decoding asks of a row of logits.

use super::{
    simd::{Lanes, Task, dispatch},
    tiled::{maximum, powers},
};

/// `ln(sum(exp(logits)))`; minus infinity when there is nothing to sum. Logits of minus infinity (suppressed) add nothing.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    dispatch(LogSumExp(logits))
}

/// The index of the largest logit, the first of equals; 0 when all are minus infinity or NaN, or there is none.
pub fn argmax(logits: &[f32]) -> usize {
    let largest = dispatch(Maximum(logits));
    logits.iter().position(|&logit| logit == largest).unwrap_or(0)
}

/// The indexes of the `count` largest logits, the largest first and of equals the first one first; fewer where the others are
/// minus infinity.
pub fn largest(logits: &[f32], count: usize) -> Vec<usize> {
    dispatch(Largest { logits, count })
}

struct Maximum<'a>(&'a [f32]);

impl Task for Maximum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> f32 {
        maximum(simd, self.0)
    }
}

struct LogSumExp<'a>(&'a [f32]);

impl Task for LogSumExp<'_> {
    type Output = f32;

    /// Chunk by chunk, since the powers are made in place.
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> f32 {
        let largest = maximum(simd, self.0);
        if largest == f32::NEG_INFINITY {
            return largest;
        }
        let to_binary = simd.splat_f32s(std::f32::consts::LOG2_E);
        let mut sum = 0.0;
        let mut chunk = [0.0; 256];
        for logits in self.0.chunks(chunk.len()) {
            let chunk = &mut chunk[..logits.len()];
            chunk.copy_from_slice(logits);
            for value in chunk.iter_mut() {
                *value -= largest;
            }
            let (vectors, rest) = S::as_mut_simd_f32s(chunk);
            for vector in vectors {
                *vector = simd.mul_f32s(*vector, to_binary);
            }
            for value in rest {
                *value *= std::f32::consts::LOG2_E;
            }
            sum += powers(simd, chunk, 0.0);
        }
        largest + sum.ln()
    }
}

/// Logits that are passed over together where none of them is large enough.
const BLOCK: usize = 128;

struct Largest<'a> {
    logits: &'a [f32],
    count: usize,
}

impl Task for Largest<'_> {
    type Output = Vec<usize>;

    /// The best so far are kept in order. Of a vocabulary nearly every block holds nothing better: one maximum tells.
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> Vec<usize> {
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(self.count + 1);
        let mut bound = f32::NEG_INFINITY;
        for (block, logits) in self.logits.chunks(BLOCK).enumerate() {
            if self.count == 0 || maximum(simd, logits) <= bound {
                continue;
            }
            for (place, &logit) in logits.iter().enumerate() {
                if logit > bound {
                    let at = best.partition_point(|(other, _)| *other >= logit);
                    best.insert(at, (logit, block * BLOCK + place));
                    best.truncate(self.count);
                    bound = best.get(self.count - 1).map_or(f32::NEG_INFINITY, |(last, _)| *last);
                }
            }
        }
        best.into_iter().map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::random;

    #[test]
    fn log_sum_exp_follows_the_definition_in_f64() -> candle_core::Result<()> {
        for length in [1, 5, 16, 257, 51_865] {
            let mut logits = (random(length)? * 10.0)?.to_vec1::<f32>()?;
            logits.iter_mut().step_by(3).skip(1).for_each(|logit| *logit = f32::NEG_INFINITY);
            let expected = logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
            let error = (f64::from(log_sum_exp(&logits)) - expected).abs();
            println!("log_sum_exp {length}: error {error:.1e}");
            assert!(error < 1e-5, "{length}: {error:.1e}");
        }
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 20]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[1000.0]), 1000.0);
        Ok(())
    }

    #[test]
    fn argmax_takes_the_first_of_equals() {
        let mut logits = vec![-1.0; 100];
        logits[37] = 2.0;
        logits[81] = 2.0;
        assert_eq!(argmax(&logits), 37);
        logits[99] = 3.0;
        assert_eq!(argmax(&logits), 99);
        assert_eq!(argmax(&[]), 0);
        assert_eq!(argmax(&[f32::NEG_INFINITY; 20]), 0);
        assert_eq!(argmax(&[f32::NEG_INFINITY, -5.0]), 1);
    }

    /// The definition of [`largest`].
    fn sorted(logits: &[f32], count: usize) -> Vec<usize> {
        let mut indexes: Vec<usize> = (0..logits.len()).filter(|&index| logits[index] > f32::NEG_INFINITY).collect();
        // Zero equals minus zero.
        indexes.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap());
        indexes.truncate(count);
        indexes
    }

    #[test]
    fn the_largest_are_the_first_of_the_sorted() -> candle_core::Result<()> {
        for length in [0, 1, 5, 127, 128, 129, 1000, 51_865] {
            for count in [0, 1, 2, 6, 17, 200] {
                let mut logits = (random(length)? * 10.0)?.to_vec1::<f32>()?;
                logits.iter_mut().step_by(3).skip(1).for_each(|logit| *logit = f32::NEG_INFINITY);
                assert_eq!(largest(&logits, count), sorted(&logits, count), "{count} of {length}");
                // Many equals: the first ones count.
                logits.iter_mut().for_each(|logit| *logit = logit.round());
                assert_eq!(largest(&logits, count), sorted(&logits, count), "{count} of {length} with equals");
            }
        }
        Ok(())
    }
}
