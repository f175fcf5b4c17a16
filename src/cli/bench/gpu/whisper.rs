//! The stages of a Whisper checkpoint: one function each, in the order in which a chunk goes through them. The whole encoder
//! and the whole step of the decoder stand beside their parts; parts are run on weights and activations of noise.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use candle_core::{DType, Tensor};
use palabra::{
    Result,
    audio::Audio,
    device::Compute,
    models::whisper::KvCache,
    ops::{self, Choice, Conv1dGelu, LayerNorm, Linear, Slot, Slots},
    stages::{spectrogram::spectrograms, transcribe::Transcriber},
};

use super::{
    input::Input,
    subject::{Output, Stage, Subject, noise, noisy},
    writing::Writing,
};
use crate::cli::bench::cost::{listeners, whisper::Batch, work::Design};

/// All stages.
pub const STAGES: [Stage<Arc<Transcriber>>; 12] = [
    ("log-mel", log_mel),
    ("encoder", encoder),
    ("encoder convolutions", encoder_convolutions),
    ("encoder linear", encoder_linear),
    ("encoder attention", encoder_attention),
    ("cross keys and values", cross_keys),
    ("decoder step", decoder_step),
    ("decoder linear", decoder_linear),
    ("decoder self-attention", self_attention),
    ("decoder cross-attention", cross_attention),
    ("logits and choice", logits),
    ("step and choice in a batch", batch_step),
];

/// Tokens in the text of a chunk, and half of them: what a step looks back at.
const TOKENS: usize = 100;
const LENGTH: usize = TOKENS / 2;
/// Steps that are timed together, and those that a batch takes before.
const STEPS: usize = 8;
const UNRECORDED: usize = 4;
/// Sets of weights that a part takes in turn, so that they do not stay in a cache.
const SETS: usize = 4;
/// A layer norm's epsilon.
const EPSILON: f64 = 1e-5;

/// What a batch takes.
fn batch(transcriber: &Transcriber, rows: usize) -> Batch<'_> {
    Batch { config: transcriber.config(), rows, size: size(transcriber), design: Design::Fused }
}

fn size(transcriber: &Transcriber) -> usize {
    transcriber.compute().dtype.size_in_bytes()
}

/// Log-mel of the first `rows` chunks, (rows, 3000, bins), where and in what the transcriber computes.
///
/// # Errors
/// When the device has no room.
pub fn mel(transcriber: &Transcriber, input: &Input, rows: usize) -> Result<Tensor> {
    spectrograms_of(transcriber, &(0..rows).map(|row| input.chunk(row).audio).collect::<Vec<_>>())
}

fn spectrograms_of(transcriber: &Transcriber, chunks: &[Audio]) -> Result<Tensor> {
    let samples: Vec<&[f32]> = chunks.iter().map(Audio::samples).collect();
    let compute = transcriber.compute();
    spectrograms(transcriber.mel(), &samples, &compute.device, compute.dtype)
}

fn log_mel<'a>(transcriber: &'a Arc<Transcriber>, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let chunks: Vec<Audio> = (0..rows).map(|row| input.chunk(row).audio).collect();
    let work = listeners::log_mel(rows, transcriber.mel().n_mels(), Design::Fused);
    Ok(Subject::new(work, Box::new(move || Ok(Output::Tensor(spectrograms_of(transcriber, &chunks)?)))))
}

fn encoder<'a>(transcriber: &'a Arc<Transcriber>, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let mel = mel(transcriber, input, rows)?;
    let run = move || Ok(Output::Tensor(transcriber.whisper().encode(&mel)?));
    let subject = Subject::new(batch(transcriber, rows).encoder(), Box::new(run));
    Ok(subject.in_numbers_of(size(transcriber)))
}

fn encoder_convolutions<'a>(transcriber: &'a Arc<Transcriber>, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let (d, bins, mel) = (config.d_model, config.num_mel_bins, mel(transcriber, input, rows)?);
    let precision = compute.precision;
    let first = Conv1dGelu::new(&tensor((d, bins, 3), bins, 1, compute)?, &tensor(d, d, 2, compute)?, 1, precision)?;
    let second = Conv1dGelu::new(&tensor((d, d, 3), d, 3, compute)?, &tensor(d, d, 4, compute)?, 2, precision)?;
    let run = move || Ok(Output::Tensor(second.forward(&first.forward(&mel)?)?));
    let work = batch(transcriber, rows).encoder_convolutions();
    Ok(Subject::new(work, Box::new(run)).in_numbers_of(size(transcriber)))
}

fn encoder_linear<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let x = noisy(rows, (config.max_source_positions, config.d_model), 1.0, 1, compute)?;
    let layers = layers(config.encoder_layers, config.d_model, compute)?;
    let run = move || {
        let mut x = x.clone();
        for layer in layers.iter().cycle().take(config.encoder_layers) {
            x = layer.own(&x, None)?;
            x = layer.feed_forward(&x)?;
        }
        Ok(Output::Tensor(x))
    };
    let work = batch(transcriber, rows).encoder_linear();
    Ok(Subject::new(work, Box::new(run)).in_numbers_of(size(transcriber)))
}

fn encoder_attention<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let shape = (config.max_source_positions, config.d_model);
    let [q, k, v] = [1, 2, 3].map(|seed| noisy(rows, shape, 1.0, seed, compute));
    let (q, k, v, precision) = (q?, k?, v?, compute.precision);
    let run = move || {
        let mut attended = q.clone();
        for _ in 0..config.encoder_layers {
            attended = ops::attention(&q, &k, &v, config.encoder_attention_heads, precision)?;
        }
        Ok(Output::Tensor(attended))
    };
    let work = batch(transcriber, rows).encoder_attention();
    Ok(Subject::new(work, Box::new(run)).in_numbers_of(size(transcriber)))
}

/// Caches whose slots hear the chunks.
fn listening(transcriber: &Transcriber, rows: usize) -> Result<KvCache> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let features = noisy(rows, (config.max_source_positions, config.d_model), 1.0, 5, compute)?;
    let mut cache = KvCache::new(config, rows, compute.dtype, &compute.device, compute.precision)?;
    transcriber.whisper().decoder.listen(&features, &(0..rows).collect::<Vec<_>>(), &mut cache)?;
    Ok(cache)
}

fn cross_keys<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let features = noisy(rows, (config.max_source_positions, config.d_model), 1.0, 5, compute)?;
    let mut cache = KvCache::new(config, rows, compute.dtype, &compute.device, compute.precision)?;
    let slots: Vec<usize> = (0..rows).collect();
    let run = move || {
        transcriber.whisper().decoder.listen(&features, &slots, &mut cache)?;
        Ok(Output::Hidden)
    };
    let subject = Subject::new(batch(transcriber, rows).cross_keys(), Box::new(run));
    Ok(Subject { writes: true, ..subject }.in_numbers_of(size(transcriber)))
}

/// Steps of all rows, each with half of its text before it. Rows have texts of different lengths, as they have in a batch
/// whose rows come and go.
fn decoder_step<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let decoder = &transcriber.whisper().decoder;
    let cache = Rc::new(RefCell::new(listening(transcriber, rows)?));
    let slots: Vec<usize> = (0..rows).collect();
    let (prepared, all) = (cache.clone(), slots.clone());
    let prepare = move || {
        let mut cache = prepared.borrow_mut();
        for &slot in &all {
            cache.rewind(slot);
            let length = LENGTH - STEPS / 2 + slot % STEPS;
            decoder.forward(&text(length, slot), &[slot], &mut cache)?;
        }
        Ok(())
    };
    let run = move || {
        let mut states = None;
        for step in 0..STEPS {
            states = Some(decoder.forward(&text(slots.len(), step), &slots, &mut cache.borrow_mut())?);
        }
        Ok(states.map_or(Output::Hidden, Output::Tensor))
    };
    let work = batch(transcriber, rows).step(LENGTH) * STEPS;
    let subject = Subject { prepare: Box::new(prepare), ..Subject::new(work, Box::new(run)) };
    Ok(subject.in_numbers_of(size(transcriber)).repeated(steps() / STEPS as f64))
}

fn decoder_linear<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let (compute, config) = (transcriber.compute(), transcriber.config());
    let x = noisy(rows, (1, config.d_model), 1.0, 1, compute)?;
    let layers = layers(config.decoder_layers, config.d_model, compute)?;
    let run = move || {
        let mut x = x.clone();
        for layer in layers.iter().cycle().take(config.decoder_layers) {
            x = layer.own(&x, Some(&layer.cross))?;
            x = layer.feed_forward(&x)?;
        }
        Ok(Output::Tensor(x))
    };
    let work = batch(transcriber, rows).step_linear();
    Ok(Subject::new(work, Box::new(run)).in_numbers_of(size(transcriber)).repeated(steps()))
}

fn self_attention<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let config = transcriber.config();
    let cached = Cached::new(transcriber, rows, config.max_target_positions, LENGTH)?;
    let run = move || cached.attend(config.decoder_layers, true);
    let work = batch(transcriber, rows).step_self_attention(LENGTH);
    let subject = Subject::new(work, Box::new(run));
    Ok(subject.in_numbers_of(size(transcriber)).repeated(steps()))
}

fn cross_attention<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let config = transcriber.config();
    let positions = config.max_source_positions;
    let cached = Cached::new(transcriber, rows, positions, positions)?;
    let run = move || cached.attend(config.decoder_layers, false);
    let work = batch(transcriber, rows).step_cross_attention();
    let subject = Subject::new(work, Box::new(run));
    Ok(subject.in_numbers_of(size(transcriber)).repeated(steps()))
}

/// Logits of all rows, and the likeliest token of each.
fn logits<'a>(transcriber: &'a Arc<Transcriber>, _: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let config = transcriber.config();
    let states = noisy(rows, (1, config.d_model), 1.0, 9, transcriber.compute())?.squeeze(1)?;
    let choices = vec![Choice::free(config.vocab_size); rows];
    let run = move || {
        let logits = transcriber.whisper().decoder.logits(&states)?;
        ops::choose_tokens(&logits, transcriber.masks(), &choices)?;
        // Of noise several tokens may be nearly as likely; whether the choice is right, real text tells.
        Ok(Output::Hidden)
    };
    let work = batch(transcriber, rows).step_logits();
    Ok(Subject::new(work, Box::new(run)).in_numbers_of(size(transcriber)).repeated(steps()))
}

/// Steps with their choices as a batch takes them, recorded and replayed where the device can. The texts are shorter than
/// those of `decoder step`.
fn batch_step<'a>(transcriber: &'a Arc<Transcriber>, input: &'a Input, rows: usize) -> Result<Subject<'a>> {
    let writing = Rc::new(RefCell::new(Writing::new(transcriber, input, rows)?));
    let prepared = writing.clone();
    let prepare = move || {
        let mut writing = prepared.borrow_mut();
        writing.begin()?;
        // Some steps are launched before one is recorded.
        (0..UNRECORDED).try_for_each(|_| writing.step().map(drop))
    };
    let run = move || {
        (0..STEPS).try_for_each(|_| writing.borrow_mut().step().map(drop))?;
        Ok(Output::Hidden)
    };
    let batch = batch(transcriber, rows);
    let work = (batch.step(UNRECORDED + STEPS) + batch.step_logits()) * STEPS;
    let subject = Subject { prepare: Box::new(prepare), ..Subject::new(work, Box::new(run)) };
    Ok(subject.in_numbers_of(size(transcriber)).repeated(steps() / STEPS as f64))
}

/// Steps of a chunk: its tokens and its end.
fn steps() -> f64 {
    (TOKENS + 1) as f64
}

/// Some tokens of text.
fn text(length: usize, seed: usize) -> Vec<u32> {
    (0..length).map(|place| ((place * 7919 + seed * 104_729) % 50_000) as u32).collect()
}

/// A tensor of noise that is as large as weights behind `inputs` inputs are, of numbers that f16 has.
fn tensor(
    shape: impl Into<candle_core::Shape>,
    inputs: usize,
    seed: u32,
    compute: &Compute,
) -> candle_core::Result<Tensor> {
    let shape = shape.into();
    let values = noise(shape.elem_count(), 1.0 / (inputs as f32).sqrt(), seed);
    let halves = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?.to_dtype(DType::F16)?;
    halves.to_dtype(compute.dtype)?.to_device(&compute.device)
}

/// The products and norms of a block.
struct Layer {
    norms: [LayerNorm; 3],
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    cross: (Linear, Linear),
    expand: Linear,
    contract: Linear,
}

/// As many as there are, but no more than [`SETS`].
fn layers(count: usize, d: usize, compute: &Compute) -> candle_core::Result<Vec<Layer>> {
    (0..count.min(SETS)).map(|index| Layer::new(d, 100 * index as u32 + 10, compute)).collect()
}

impl Layer {
    fn new(d: usize, seed: u32, compute: &Compute) -> candle_core::Result<Self> {
        let linear = |inputs: usize, outputs: usize, bias: bool, place: u32| {
            let weight = tensor((outputs, inputs), inputs, seed + place, compute)?;
            let bias = if bias { Some(tensor(outputs, inputs, seed + place + 50, compute)?) } else { None };
            Linear::new(weight, bias)
        };
        let norm = || {
            let vector = |value: f64| Tensor::full(value as f32, d, &compute.device)?.to_dtype(compute.dtype);
            LayerNorm::new(vector(1.0)?, vector(0.0)?, EPSILON)
        };
        Ok(Self {
            norms: [norm()?, norm()?, norm()?],
            query: linear(d, d, true, 0)?,
            key: linear(d, d, false, 1)?,
            value: linear(d, d, true, 2)?,
            out: linear(d, d, true, 3)?,
            cross: (linear(d, d, true, 4)?, linear(d, d, true, 5)?),
            expand: linear(d, 4 * d, true, 6)?,
            contract: linear(4 * d, d, true, 7)?,
        })
    }

    /// Everything around attention, which is left out: the values stand for what it would make of them.
    fn own(&self, x: &Tensor, cross: Option<&(Linear, Linear)>) -> candle_core::Result<Tensor> {
        let normed = self.norms[0].forward(x)?;
        let (query, key) = (self.query.forward(&normed)?, self.key.forward(&normed)?);
        let value = self.value.forward(&normed)?;
        let mut x = self.out.forward_add(&value, x)?;
        drop((query, key));
        if let Some((query, out)) = cross {
            let query = query.forward(&self.norms[1].forward(&x)?)?;
            x = out.forward_add(&query, &x)?;
        }
        Ok(x)
    }

    fn feed_forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let hidden = self.expand.forward_gelu(&self.norms[2].forward(x)?)?;
        self.contract.forward_add(&hidden, x)
    }
}

/// Caches of keys and values, and one query for each row.
struct Cached {
    query: Tensor,
    new: Tensor,
    caches: Vec<(Tensor, Tensor)>,
    slots: Slots,
    heads: usize,
}

impl Cached {
    fn new(transcriber: &Transcriber, rows: usize, limit: usize, length: usize) -> Result<Self> {
        let (compute, config) = (transcriber.compute(), transcriber.config());
        let one = |seed: u32| noisy(rows, (limit, config.d_model), 1.0, seed, compute);
        let caches = (0..config.decoder_layers.min(2) as u32).map(|set| Ok((one(20 + set)?, one(30 + set)?)));
        let row = |seed: u32| noisy(rows, (1, config.d_model), 1.0, seed, compute);
        // Nearly of one length, as in a batch of texts; the audio of all is equally long.
        let spread = |index: usize| if length < limit { index % STEPS } else { 0 };
        Ok(Self {
            query: row(40)?,
            new: row(41)?,
            caches: caches.collect::<Result<_>>()?,
            slots: Slots::new(
                (0..rows).map(|index| Slot { index, length: length + spread(index) }).collect(),
                &compute.device,
            )?,
            heads: config.decoder_attention_heads,
        })
    }

    /// One step through all layers; with `own`, the row's new keys and values go into the caches first.
    fn attend(&self, layers: usize, own: bool) -> Result<Output> {
        let mut attended = self.query.clone();
        for (keys, values) in self.caches.iter().cycle().take(layers) {
            if own {
                ops::append(keys, &self.new, &self.slots)?;
                ops::append(values, &self.new, &self.slots)?;
            }
            attended = ops::attention_cached(&self.query, keys, values, &self.slots, self.heads, own)?;
        }
        Ok(Output::Tensor(attended))
    }
}
