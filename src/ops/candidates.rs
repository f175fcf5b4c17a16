//! The likeliest next tokens of every text, for a search that follows several: the rules and log-probabilities are those of
//! [`choose_token`](super::choose_token).
//!
//! A row of a vocabulary is read three times on the CPU (rules, log-sum-exp, the largest), rows side by side. From a GPU the
//! logits are read back.

use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{
    choose_token::{Choice, Chosen, Masks},
    logits::{largest, log_sum_exp},
    profile::{self, Class, Stage, Work},
};

/// For every row of logits (N, vocabulary) the `counts` likeliest tokens of all that its choice allows, the likeliest first and of
/// equals the lowest; fewer where no more are allowed. One token is chosen as [`choose_tokens`](super::choose_tokens)
/// does, by its temperature; several are wanted without one.
///
/// # Errors
/// When the shapes do not fit, or several tokens are to be drawn by a temperature.
pub fn candidates(logits: &Tensor, masks: &Masks, choices: &[Choice], counts: &[usize]) -> Result<Vec<Vec<Chosen>>> {
    let (rows, vocabulary) = logits.dims2()?;
    if rows != choices.len() || rows != counts.len() || masks.vocabulary() != vocabulary {
        bail!("logits {:?}, {} choices and {} counts do not fit", logits.dims(), choices.len(), counts.len());
    }
    let watched_outside = |choice: &Choice| choice.watched.is_some_and(|token| token as usize >= vocabulary);
    if choices.iter().any(watched_outside) {
        bail!("a token that is watched lies outside of a vocabulary of {vocabulary}");
    }
    let drawn = |(choice, &count): (&Choice, &usize)| choice.temperature > 0.0 && count > 1;
    if choices.iter().zip(counts).any(drawn) {
        bail!("several candidates cannot be drawn by a temperature");
    }
    let _stage = profile::stage(Stage::Choice);
    let _timed = profile::span(Class::Choice, || Work::pass(0, logits.elem_count() * logits.dtype().size_in_bytes()));
    let logits = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = logits.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("logits could not be read back") };
    let rows = super::slice::<f32>(storage, layout)?.par_chunks_exact(vocabulary.max(1));
    let asked = choices.par_iter().zip(counts);
    Ok(rows.zip(asked).map(|(logits, (choice, &count))| likeliest(choice, masks, logits, count)).collect())
}

fn likeliest(choice: &Choice, masks: &Masks, logits: &[f32], count: usize) -> Vec<Chosen> {
    if count == 1 {
        return vec![choice.choose(masks, logits)];
    }
    let watched = choice.watched.map_or(0.0, |token| logits[token as usize] - log_sum_exp(logits));
    let mut allowed = logits.to_vec();
    choice.forbid(masks, &mut allowed);
    let sum = log_sum_exp(&allowed);
    let chosen = |token: usize| Chosen { token: token as u32, logprob: allowed[token] - sum, watched };
    largest(&allowed, count).into_iter().map(chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        choose_token::{NEVER, NEVER_FIRST},
        choose_tokens,
        tests::random,
    };

    /// The definition: all that is allowed, sorted.
    fn definition(choice: &Choice, masks: &Masks, logits: &[f32], count: usize) -> Vec<(u32, f64)> {
        let mut allowed = logits.to_vec();
        choice.forbid(masks, &mut allowed);
        let sum = allowed.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
        let mut all: Vec<(u32, f64)> = (0u32..).zip(allowed).map(|(token, logit)| (token, f64::from(logit))).collect();
        all.retain(|(_, logit)| logit.is_finite());
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.into_iter().take(count).map(|(token, logit)| (token, logit - sum)).collect()
    }

    #[test]
    fn follow_the_definition() -> Result<()> {
        for vocabulary in [9, 100, 517, 4001] {
            let masks = Masks::new([vec![3, 5], vec![0, 7], vec![2]], vocabulary, &Device::Cpu)?;
            let end = vocabulary as u32;
            let free = Choice::free(vocabulary);
            let rules = [
                free,
                Choice { masks: NEVER | NEVER_FIRST, watched: Some(3), ..free },
                Choice { masks: NEVER, text_from: 4, first_time: end - 4, time_from: end - 2, time_to: end, ..free },
                Choice { first_time: 1, time_from: 1, time_to: 4, ..free },
            ];
            let counts = [6, 2, 1, 17];
            let logits = (random((rules.len(), vocabulary))? * 4.0)?;
            let ours = candidates(&logits, &masks, &rules, &counts)?;
            for (row, logits) in logits.to_vec2::<f32>()?.iter().enumerate() {
                let expected = definition(&rules[row], &masks, logits, counts[row]);
                let tokens: Vec<u32> = ours[row].iter().map(|chosen| chosen.token).collect();
                assert_eq!(tokens, expected.iter().map(|(token, _)| *token).collect::<Vec<_>>(), "row {row}");
                let error =
                    |(chosen, (_, logprob)): (&Chosen, &(u32, f64))| (f64::from(chosen.logprob) - logprob).abs();
                let worst = ours[row].iter().zip(&expected).map(error).fold(0.0, f64::max);
                assert!(worst < 1e-5, "{vocabulary}, row {row}: {worst:.1e}");
            }
            assert!(!ours[3].is_empty() && (ours[3].len() <= 3 || vocabulary > 4), "times alone, or text alone");
            assert_eq!(ours[1][0].watched, candidates(&logits, &masks, &rules, &[6, 1, 1, 2])?[1][0].watched);
        }
        Ok(())
    }

    #[test]
    fn a_single_candidate_is_the_choice() -> Result<()> {
        let masks = Masks::new([vec![1], vec![], vec![]], 700, &Device::Cpu)?;
        let logits = random((3, 700))?;
        let free = Choice { masks: NEVER, watched: Some(4), ..Choice::free(700) };
        let choices = [free, Choice { temperature: 0.8, uniform: 0.37, ..free }, free];
        let one = candidates(&logits, &masks, &choices, &[1; 3])?;
        assert_eq!(one.concat(), choose_tokens(&logits, &masks, &choices)?);
        let several = candidates(&logits, &masks, &[free; 3], &[5; 3])?;
        let firsts: Vec<(u32, f32)> = several.iter().map(|row| (row[0].token, row[0].logprob)).collect();
        let greedy = choose_tokens(&logits, &masks, &[free; 3])?;
        assert_eq!(firsts, greedy.iter().map(|chosen| (chosen.token, chosen.logprob)).collect::<Vec<_>>());
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let masks = Masks::new([vec![], vec![], vec![]], 8, &Device::Cpu)?;
        let free = Choice::free(8);
        let refused = |choices: &[Choice], counts: &[usize], width: usize| {
            candidates(&random((1, width)).unwrap(), &masks, choices, counts).is_err()
        };
        assert!(refused(&[free, free], &[2, 2], 8) && refused(&[free], &[2, 2], 8) && refused(&[free], &[2], 9));
        assert!(refused(&[Choice { watched: Some(8), ..free }], &[2], 8));
        assert!(refused(&[Choice { temperature: 0.5, ..free }], &[2], 8));
        assert!(!refused(&[free], &[2], 8));
        Ok(())
    }
}
