//! What decoding asks of a row of logits.

/// `ln(sum(exp(logits)))`; minus infinity when there is nothing to sum.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return largest;
    }
    largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln()
}

/// The index of the largest logit, the first of equals; 0 when all are minus infinity or NaN, or there is none.
pub fn argmax(logits: &[f32]) -> usize {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0)
}
