//! The next token of every text: what decoding may write next (openai/whisper's logit filters, `decoding.py`), the choice among
//! it, and how likely that was.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::kernels;
use super::{
    kernels::choose_token::{CHOICE_WORDS, CHOSEN_NUMBERS},
    logits::{argmax, log_sum_exp},
    profile::{self, Class, Stage, Work},
};

/// Tokens that may not be written, always or at times. Made once for a checkpoint.
#[derive(Debug, Clone)]
pub struct Masks {
    lists: [Vec<u32>; 3],
    /// (vocabulary): the masks that each token belongs to.
    bits: Tensor,
}

/// The mask of tokens that are never written.
pub const NEVER: u32 = 1;
/// The mask of tokens that no text begins with.
pub const NEVER_FIRST: u32 = 2;
/// The mask of tokens that no text with times holds.
pub const NEVER_WITH_TIMES: u32 = 4;

impl Masks {
    /// The lists of tokens of [`NEVER`], [`NEVER_FIRST`] and [`NEVER_WITH_TIMES`], on a device. Tokens beyond the vocabulary are
    /// left out.
    ///
    /// # Errors
    /// When the device refuses the table.
    pub fn new(mut lists: [Vec<u32>; 3], vocabulary: usize, device: &Device) -> Result<Self> {
        let mut bits = vec![0u8; vocabulary];
        for (place, list) in lists.iter_mut().enumerate() {
            list.retain(|&token| (token as usize) < vocabulary);
            list.iter().for_each(|&token| bits[token as usize] |= 1 << place);
        }
        Ok(Self { lists, bits: Tensor::from_vec(bits, vocabulary, device)? })
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.bits.elem_count()
    }

    fn forbid(&self, masks: u32, logits: &mut [f32]) {
        let lists = self.lists.iter().enumerate().filter(|(place, _)| masks & (1 << place) != 0);
        lists.flat_map(|(_, list)| list).for_each(|&token| logits[token as usize] = f32::NEG_INFINITY);
    }
}

/// What one text may be continued with, and how the choice is made. Tokens from `first_time` on are times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The masks that apply: [`NEVER`] and the like.
    pub masks: u32,
    /// The first token of the text part that is allowed; the part ends before `first_time`.
    pub text_from: u32,
    /// The first token that is a time; the size of the vocabulary where times are not written.
    pub first_time: u32,
    /// The times that are allowed are those from here,
    pub time_from: u32,
    /// and before this. Where they together are likelier than the likeliest text, no text is allowed.
    pub time_to: u32,
    /// 0 takes the likeliest token; above, tokens are drawn by `softmax(logits / temperature)`.
    pub temperature: f32,
    /// Which one is drawn: a number in 0..1, the place in the sum of the weights.
    pub uniform: f64,
    /// A token whose probability among all is wanted, too.
    pub watched: Option<u32>,
}

impl Choice {
    /// Anything at all of a vocabulary, the likeliest first.
    pub fn free(vocabulary: usize) -> Self {
        let end = vocabulary as u32;
        Self {
            masks: 0,
            text_from: 0,
            first_time: end,
            time_from: end,
            time_to: end,
            temperature: 0.0,
            uniform: 0.0,
            watched: None,
        }
    }

    /// Sets the logits of what is not allowed to minus infinity.
    pub fn forbid(&self, masks: &Masks, logits: &mut [f32]) {
        let vocabulary = logits.len();
        let place = |token: u32| (token as usize).min(vocabulary);
        masks.forbid(self.masks, logits);
        let (text, times) = logits.split_at_mut(place(self.first_time));
        let text_from = place(self.text_from).min(text.len());
        text[..text_from].fill(f32::NEG_INFINITY);
        let inside = |token: u32| place(token).saturating_sub(text.len());
        let (from, to) = (inside(self.time_from), inside(self.time_to));
        times[..from].fill(f32::NEG_INFINITY);
        times[to.max(from)..].fill(f32::NEG_INFINITY);
        let likeliest_text = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if log_sum_exp(times) > likeliest_text {
            text.fill(f32::NEG_INFINITY);
        }
    }

    /// The definition: the choice among `logits` (vocabulary).
    pub fn choose(&self, masks: &Masks, logits: &[f32]) -> Chosen {
        let watched = self.watched.map(|token| logits[token as usize] - log_sum_exp(logits));
        let mut allowed = logits.to_vec();
        self.forbid(masks, &mut allowed);
        let token = if self.temperature > 0.0 { self.draw(&allowed) } else { argmax(&allowed) };
        Chosen { token: token as u32, logprob: allowed[token] - log_sum_exp(&allowed), watched: watched.unwrap_or(0.0) }
    }

    fn draw(&self, logits: &[f32]) -> usize {
        let highest = logits[argmax(logits)];
        let weight = |logit: f32| f64::from((logit - highest) / self.temperature).exp();
        let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
        let mut left = self.uniform * total;
        for (token, &logit) in logits.iter().enumerate() {
            left -= weight(logit);
            if left <= 0.0 && logit.is_finite() {
                return token;
            }
        }
        argmax(logits)
    }

    /// As the kernel reads it.
    pub fn words(&self) -> [u32; CHOICE_WORDS] {
        let [temperature, uniform] = [self.temperature, self.uniform as f32].map(f32::to_bits);
        let watched = self.watched.unwrap_or(0);
        [self.masks, self.text_from, self.first_time, self.time_from, self.time_to, watched, temperature, uniform]
    }
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The token.
    pub token: u32,
    /// Its log-probability among what is allowed.
    pub logprob: f32,
    /// The log-probability of the watched token among all; 0 where none is watched.
    pub watched: f32,
}

impl Chosen {
    fn from_numbers(&[token, logprob, watched]: &[f32; CHOSEN_NUMBERS]) -> Self {
        Self { token: token as u32, logprob, watched }
    }

    /// As the kernel writes it; f32 holds every token below 2^24.
    pub fn numbers(self) -> [f32; CHOSEN_NUMBERS] {
        [self.token as f32, self.logprob, self.watched]
    }
}

/// Chooses for every row of logits (N, vocabulary); of a GPU's logits only the choices cross the bus.
///
/// # Errors
/// When the shapes do not fit, or a watched token lies outside of the vocabulary.
pub fn choose_tokens(logits: &Tensor, masks: &Masks, choices: &[Choice]) -> Result<Vec<Chosen>> {
    let words: Vec<u32> = choices.iter().flat_map(|choice| choice.words()).collect();
    let words = Tensor::from_vec(words, (choices.len(), CHOICE_WORDS), logits.device())?;
    chosen_tokens(&choose_on_device(logits, masks, choices, &words)?)
}

/// The same where the choices' `words` (N, 8) are on the device already, and the chosen (N, 3) stay there.
///
/// # Errors
/// As [`choose_tokens`].
pub fn choose_on_device(logits: &Tensor, masks: &Masks, choices: &[Choice], words: &Tensor) -> Result<Tensor> {
    let (rows, vocabulary) = logits.dims2()?;
    if rows != choices.len() || words.dims() != [rows, CHOICE_WORDS] || masks.bits.dims() != [vocabulary] {
        bail!("logits {:?}, {} choices and masks {:?} do not fit", logits.dims(), choices.len(), masks.bits.dims());
    }
    if choices.iter().any(|choice| choice.watched.is_some_and(|token| token as usize >= vocabulary)) {
        bail!("a token that is watched lies outside of a vocabulary of {vocabulary}");
    }
    let _stage = profile::stage(Stage::Choice);
    let _timed = profile::span(Class::Choice, || Work::pass(0, logits.elem_count() * logits.dtype().size_in_bytes()));
    logits.contiguous()?.apply_op3_no_bwd(&masks.bits, words, &ChooseToken { masks, choices })
}

/// What [`choose_on_device`] has chosen.
///
/// # Errors
/// When the device fails.
pub fn chosen_tokens(chosen: &Tensor) -> Result<Vec<Chosen>> {
    let chosen = chosen.flatten_all()?.to_vec1::<f32>()?;
    Ok(chosen.as_chunks().0.iter().map(Chosen::from_numbers).collect())
}

struct ChooseToken<'a> {
    masks: &'a Masks,
    choices: &'a [Choice],
}

impl CustomOp3 for ChooseToken<'_> {
    fn name(&self) -> &'static str {
        "choose token"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, vocabulary) = layout.shape().dims2()?;
        let logits = super::slice::<f32>(logits, layout)?;
        let chosen = self.choices.par_iter().zip(logits.par_chunks_exact(vocabulary.max(1)));
        let chosen: Vec<Chosen> = chosen.map(|(choice, logits)| choice.choose(self.masks, logits)).collect();
        let numbers = chosen.into_iter().flat_map(Chosen::numbers).collect();
        Ok((CpuStorage::F32(numbers), (rows, CHOSEN_NUMBERS).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        logits: &CudaStorage,
        layout: &Layout,
        masks: &CudaStorage,
        masks_layout: &Layout,
        choices: &CudaStorage,
        choices_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (rows, vocabulary) = layout.shape().dims2()?;
        let dtype = candle_core::backend::BackendStorage::dtype(logits);
        let kernel = kernels::choose_token::ChooseToken { rows, vocabulary, dtype };
        let chosen = kernel.run([(logits, layout), (masks, masks_layout), (choices, choices_layout)])?;
        Ok((chosen, (rows, CHOSEN_NUMBERS).into()))
    }
}

/// Logits in a type that [`choose_tokens`] reads: as they are on a GPU, f32 elsewhere.
///
/// # Errors
/// When Candle cannot convert them.
pub fn readable_logits(logits: Tensor) -> Result<Tensor> {
    if logits.device().is_cuda() { Ok(logits) } else { logits.to_dtype(DType::F32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::random;

    #[test]
    fn a_draw_follows_the_weights() -> Result<()> {
        let masks = Masks::new([vec![2], vec![], vec![]], 4, &Device::Cpu)?;
        let drawn = |uniform: f64| {
            let choice = Choice { masks: NEVER, temperature: 1.0, uniform, ..Choice::free(4) };
            choice.choose(&masks, &[0.0, 1.0, 9.0, 2.0]).token
        };
        // exp: 1, e, forbidden, e^2; 11.1 in all.
        assert_eq!([0.0, 0.08, 0.1, 0.33, 0.34, 0.999].map(drawn), [0, 0, 1, 1, 3, 3]);
        Ok(())
    }

    #[test]
    fn every_row_has_its_own_rules() -> Result<()> {
        let masks = Masks::new([vec![1], vec![0], vec![2]], 6, &Device::Cpu)?;
        let logits = Tensor::new(&[[5f32, 9.0, 4.0, 1.0, 0.0, 0.5], [5.0, 9.0, 4.0, 1.0, 7.0, 8.0]], &Device::Cpu)?;
        let free = Choice { watched: Some(1), ..Choice::free(6) };
        let ruled = Choice { masks: NEVER | NEVER_FIRST, first_time: 4, time_from: 4, time_to: 5, ..Choice::free(6) };
        let chosen = choose_tokens(&logits, &masks, &[free, ruled])?;
        assert_eq!((chosen[0].token, chosen[1].token), (1, 4));
        assert!((chosen[0].logprob - chosen[0].watched).abs() < 1e-6);
        assert!(chosen[1].logprob.abs() < 1e-6, "one time is all that is left: {}", chosen[1].logprob);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let masks = Masks::new([vec![], vec![], vec![]], 8, &Device::Cpu)?;
        let free = Choice::free(8);
        assert!(choose_tokens(&random((2, 8))?, &masks, &[free]).is_err());
        assert!(choose_tokens(&random((1, 9))?, &masks, &[free]).is_err());
        assert!(choose_tokens(&random((1, 8))?, &masks, &[Choice { watched: Some(8), ..free }]).is_err());
        Ok(())
    }
}
