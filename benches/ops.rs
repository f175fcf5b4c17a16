//! Times Palabra's operations against the same made of Candle's own, at the shapes of Whisper base.
//!
//! `RAYON_NUM_THREADS=2 cargo bench --bench ops [-- WORD ...]` runs all, or those whose name holds one of the words (the
//! variable is for Candle, which counts physical cores otherwise). Both sides run in turn, round after round; the least time of
//! each is printed, since other work on the machine only ever adds.

use std::{hint::black_box, sync::Mutex, time::Instant};

use candle_core::{D, DType, Device, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use candle_transformers::models::whisper::{Config, model::Whisper as CandleWhisper};
use palabra::{
    models::whisper::{KvCache, Whisper},
    ops::{self, Conv1dGelu, Linear, Precision, Slot, Slots, instructions::has_bfloat16_unit},
};
use rayon::ThreadPoolBuilder;

type Run<'a> = Box<dyn Fn() -> Result<Tensor> + Sync + Send + 'a>;

/// One operation: its work in multiplications-and-additions times two, ours, and Candle's.
struct Case<'a> {
    operations: f64,
    ours: Run<'a>,
    candle: Run<'a>,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    println!(
        "{:34} {:>7} {:>10} {:>9} {:>10} {:>9} {:>6}",
        "", "threads", "ours ms", "GFLOP/s", "candle ms", "GFLOP/s", "ratio"
    );
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    for (name, build) in builders().into_iter().filter(|(name, _)| chosen(name)) {
        let case = build()?;
        for threads in [1, 2] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(candle_core::Error::wrap)?;
            let (ours, candle) = pool.install(|| measure(&case))?;
            println!(
                "{:34} {threads:>7} {:>10.3} {:>9.1} {:>10.3} {:>9.1} {:>6.2}",
                name,
                ours * 1e3,
                case.operations / ours / 1e9,
                candle * 1e3,
                case.operations / candle / 1e9,
                candle / ours
            );
        }
    }
    Ok(())
}

/// The least seconds of both sides.
fn measure(case: &Case<'_>) -> Result<(f64, f64)> {
    let (mut ours, mut candle) = (f64::INFINITY, f64::INFINITY);
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || (start.elapsed().as_secs_f64() < 1.5 && rounds < 200) {
        ours = ours.min(seconds(&case.ours)?);
        candle = candle.min(seconds(&case.candle)?);
        rounds += 1;
    }
    Ok((ours, candle))
}

fn seconds(run: &Run) -> Result<f64> {
    let start = Instant::now();
    black_box(run()?);
    Ok(start.elapsed().as_secs_f64())
}

fn random(shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Tensor::randn(0f32, 0.5, shape, &Device::Cpu)
}

type Build = Box<dyn Fn() -> Result<Case<'static>>>;

/// Names and makers of the cases, since all of them at once would fill the memory.
fn builders() -> Vec<(String, Build)> {
    let mut builders: Vec<(String, Build)> = vec![("encoder of base".into(), Box::new(encoder_case))];
    let mut add = |name: String, build: Build| builders.push((name, build));
    for rows in [1, 16] {
        for dtype in [DType::F32, DType::F16] {
            add(format!("decoder of base, {rows} rows {dtype:?}"), Box::new(move || decoder_case(rows, dtype)));
        }
    }
    add("gelu 1500x2048 (elements)".into(), Box::new(gelu_case));
    for (rows, inputs, outputs) in [
        (1500, 512, 512),
        (1500, 512, 2048),
        (1500, 2048, 512),
        (16, 512, 512),
        (16, 512, 2048),
        (16, 512, 51865),
        (1, 512, 512),
        (1, 512, 51865),
    ] {
        let shape = format!("linear {rows}x{inputs}x{outputs}");
        for (half, dtype) in [(false, "f32"), (true, "f16")] {
            let build = move || linear_case(rows, inputs, outputs, half, Precision::Float32);
            add(format!("{shape} {dtype}"), Box::new(build));
        }
        for (precision, name) in narrow_precisions() {
            let build = move || linear_case(rows, inputs, outputs, false, precision);
            add(format!("{shape} {name}"), Box::new(build));
        }
    }
    add("layer_norm 1500x512 (elements)".into(), Box::new(layer_norm_case));
    for heads in [1, 8] {
        for (precision, name) in [(Precision::Float32, "f32")].into_iter().chain(narrow_precisions()) {
            let build = move || attention_case(heads, precision);
            add(format!("attention 1500x1500, {heads}x64 {name}"), Box::new(build));
        }
    }
    for (channels, stride) in [(80, 1), (512, 2)] {
        add(
            format!("convolution 3000x{channels} / {stride}"),
            Box::new(move || convolution_case(channels, 3000, stride)),
        );
    }
    for (rows, length) in [(1, 224), (16, 224), (1, 1500), (16, 1500)] {
        for dtype in [DType::F32, DType::F16] {
            let name = format!("attention_cached {rows} x {length} {dtype:?}");
            add(name, Box::new(move || cached_case(rows, length, dtype)));
        }
    }
    builders
}

fn gelu_case<'a>() -> Result<Case<'a>> {
    let x = random((1500, 2048))?;
    let y = x.clone();
    Ok(Case {
        operations: 1500.0 * 2048.0,
        ours: Box::new(move || ops::gelu(&x)),
        candle: Box::new(move || y.gelu_erf()),
    })
}

/// What the processor has below f32; int8 leaves attention to bfloat16.
fn narrow_precisions() -> Vec<(Precision, &'static str)> {
    let bfloat16 = has_bfloat16_unit().then_some((Precision::BFloat16, "bf16"));
    [(Precision::Int8, "int8")].into_iter().chain(bfloat16).collect()
}

fn linear_case<'a>(rows: usize, inputs: usize, outputs: usize, half: bool, precision: Precision) -> Result<Case<'a>> {
    let mut weight = random((outputs, inputs))?;
    if half {
        weight = weight.to_dtype(DType::F16)?.to_dtype(DType::F32)?;
    }
    let bias = random(outputs)?;
    let layer = Linear::with_precision(weight.clone(), Some(bias.clone()), precision)?;
    let x = random((rows, inputs))?;
    let y = x.clone();
    Ok(Case {
        operations: 2.0 * (rows * inputs * outputs) as f64,
        ours: Box::new(move || layer.forward(&x)),
        candle: Box::new(move || y.matmul(&weight.t()?)?.broadcast_add(&bias)),
    })
}

fn layer_norm_case<'a>() -> Result<Case<'a>> {
    let (weight, bias, x) = (random(512)?, random(512)?, random((1500, 512))?);
    let layer = ops::LayerNorm::new(weight.clone(), bias.clone(), 1e-5)?;
    let y = x.clone();
    Ok(Case {
        operations: 1500.0 * 512.0,
        ours: Box::new(move || layer.forward(&x)),
        candle: Box::new(move || candle_nn::ops::layer_norm(&y, &weight, &bias, 1e-5)),
    })
}

fn attention_case<'a>(heads: usize, precision: Precision) -> Result<Case<'a>> {
    let shape = (1, 1500, heads * 64);
    let (q, k, v) = (random(shape)?, random(shape)?, random(shape)?);
    let [a, b, c] = [&q, &k, &v].map(Clone::clone);
    Ok(Case {
        operations: 4.0 * (1500 * 1500 * heads * 64) as f64,
        ours: Box::new(move || ops::attention(&q, &k, &v, heads, precision)),
        candle: Box::new(move || {
            let [q, k, v] = [&a, &b, &c].map(|x| x.reshape((1, (), heads, 64))?.transpose(1, 2)?.contiguous());
            let scores = (q? * 0.125)?.matmul(&k?.t()?)?;
            candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v?)?.transpose(1, 2)?.contiguous()
        }),
    })
}

fn convolution_case<'a>(channels: usize, time: usize, stride: usize) -> Result<Case<'a>> {
    let (x, weight, bias) = (random((1, time, channels))?, random((512, channels, 3))?, random(512)?);
    let [a, b, c] = [&x, &weight, &bias].map(Clone::clone);
    let layer = Conv1dGelu::new(&weight, &bias, stride, Precision::Float32)?;
    Ok(Case {
        operations: 2.0 * (time / stride * channels * 3 * 512) as f64,
        ours: Box::new(move || layer.forward(&x)),
        candle: Box::new(move || {
            let y = a.transpose(1, 2)?.contiguous()?.conv1d(&b, 1, stride, 1, 1)?;
            y.broadcast_add(&c.reshape((1, (), 1))?)?.gelu_erf()
        }),
    })
}

fn base() -> Config {
    Config {
        num_mel_bins: 80,
        max_source_positions: 1500,
        d_model: 512,
        encoder_attention_heads: 8,
        encoder_layers: 6,
        vocab_size: 51865,
        max_target_positions: 448,
        decoder_attention_heads: 8,
        decoder_layers: 6,
        suppress_tokens: Vec::new(),
    }
}

/// Random weights of any name and shape; f16 numbers, as published weights are.
struct RandomWeights;

impl SimpleBackend for RandomWeights {
    fn get(&self, shape: Shape, _: &str, _: Init, _: DType, _: &Device) -> Result<Tensor> {
        Tensor::randn(0f32, 0.03, shape, &Device::Cpu)?.to_dtype(DType::F16)?.to_dtype(DType::F32)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn random_weights<'a>() -> VarBuilder<'a> {
    VarBuilder::from_backend(Box::new(RandomWeights), DType::F32, Device::Cpu)
}

/// The whole encoder on 30 s of audio.
fn encoder_case<'a>() -> Result<Case<'a>> {
    let ours = Whisper::load(&random_weights(), &base(), Precision::Float32)?;
    let candle = Mutex::new(CandleWhisper::load(&random_weights(), base())?);
    let mel = random((1, 3000, 80))?;
    let turned = mel.transpose(1, 2)?.contiguous()?;
    Ok(Case {
        operations: 87.4e9,
        ours: Box::new(move || ours.encoder.forward(&mel)),
        candle: Box::new(move || locked(&candle).encoder.forward(&turned, true)),
    })
}

/// One token for each of `rows` texts, the 100th here, the first for Candle, whose decoder keeps no keys of earlier tokens.
fn decoder_case<'a>(rows: usize, dtype: DType) -> Result<Case<'a>> {
    let ours = Whisper::load(&random_weights(), &base(), Precision::Float32)?;
    let slots: Vec<usize> = (0..rows).collect();
    let mut cache = KvCache::new(&base(), rows, dtype, &Device::Cpu, Precision::Float32)?;
    let features = random((rows, 1500, 512))?;
    ours.decoder.listen(&features, &slots, &mut cache)?;
    ours.decoder.forward(&vec![1; 99 * rows], &slots, &mut cache)?;
    let cache = Mutex::new(cache);
    let mut candle = CandleWhisper::load(&random_weights(), base())?;
    let token = Tensor::ones((rows, 1), DType::U32, &Device::Cpu)?;
    candle.decoder.forward(&token, &features, true)?;
    let candle = Mutex::new(candle);
    Ok(Case {
        operations: rows as f64 * 2.0 * (48.6e6 + 9.2e6),
        ours: Box::new(move || {
            let cache = &mut *locked(&cache);
            if cache.length(0) > 120 {
                slots.iter().for_each(|&slot| cache.rewind(slot));
                ours.decoder.forward(&vec![1; 99 * rows], &slots, cache)?;
            }
            ours.decoder.logits(&ours.decoder.forward(&vec![1; rows], &slots, cache)?.squeeze(1)?)
        }),
        candle: Box::new(move || {
            let model = &mut *locked(&candle);
            let states = model.decoder.forward(&token, &features, false)?;
            model.decoder.final_linear(&states)
        }),
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn cached_case<'a>(rows: usize, length: usize, dtype: DType) -> Result<Case<'a>> {
    let q = random((rows, 1, 512))?;
    let [k, v] = [random((rows, length, 512))?, random((rows, length, 512))?];
    let heads = |x: &Tensor| x.reshape((rows, (), 8, 64))?.transpose(1, 2)?.contiguous();
    // Candle's side gets keys and values that are already split into heads.
    let (a, b, c) = (heads(&q)?, heads(&k)?, heads(&v)?);
    let (k, v) = (k.to_dtype(dtype)?, v.to_dtype(dtype)?);
    let slots = Slots::new((0..rows).map(|index| Slot { index, length }).collect(), &Device::Cpu)?;
    Ok(Case {
        operations: 4.0 * (rows * length * 512) as f64,
        ours: Box::new(move || ops::attention_cached(&q, &k, &v, &slots, 8, false)),
        candle: Box::new(move || {
            let scores = (&a * 0.125)?.matmul(&b.transpose(D::Minus1, D::Minus2)?)?;
            candle_nn::ops::softmax_last_dim(&scores)?.matmul(&c)
        }),
    })
}
