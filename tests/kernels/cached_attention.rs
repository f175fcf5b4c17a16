//! `kernels/cached_attention.cu` against attention as Candle's operations compute it in f64.

use candle_core::{DType, Device, Tensor};
use palabra::ops::{
    self, Slot, Slots,
    kernels::cached_attention::{CachedAttention, MOST_QUERIES, SIZE},
};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("cached_attention", case);

fn case(random: &mut StdRng, size: Size) -> Case {
    let small = size == Size::Small;
    let dtype = any_float(random);
    // Caches of more than twice the shortest split are read by several blocks.
    let limit = if !small && random.gen_bool(0.2) { random.gen_range(512..=900) } else { random.gen_range(1..=80) };
    let causal = random.r#gen();
    let shape = CachedAttention {
        rows: random.gen_range(1..=if small { 2 } else { 3 }),
        time: random.gen_range(1..=if small { 2 } else { MOST_QUERIES }.min(limit)),
        heads: random.gen_range(1..=if small { 1 } else { 3 }),
        limit,
        causal,
        dtype,
    };
    let places = shape.rows + random.gen_range(0..2);
    let mut indices: Vec<usize> = (0..places).collect();
    indices.shuffle(random);
    let least = if causal { shape.time } else { 1 };
    let slots: Vec<Slot> =
        indices[..shape.rows].iter().map(|&index| Slot { index, length: random.gen_range(least..=limit) }).collect();
    let channels = shape.heads * SIZE;
    // From attention to nearly everything to attention to nearly one key.
    let sharpness = 2f32.powi(random.gen_range(0..6));
    let q = numbers(random, shape.rows * shape.time * channels, dtype);
    let q: Vec<f32> = q.into_iter().map(|value| value * sharpness).collect();
    let [keys, values] = [0, 1].map(|_| numbers(random, places * limit * channels, dtype));

    let mut case = Case::new(format!("{shape:?}, {slots:?}"));
    let words: Vec<u32> = slots.iter().flat_map(|slot| [slot.index as u32, slot.length as u32]).collect();
    let buffers = [case.floats(&q, dtype), case.floats(&keys, dtype), case.floats(&values, dtype)];
    let slots_buffer = case.buffer(&words);
    let out = case.empty(q.len(), dtype);
    let workspace = case.empty(shape.workspace(), DType::F32);
    let [q_buffer, keys_buffer, values_buffer] = buffers;
    let launches = shape.launches([q_buffer, keys_buffer, values_buffer, slots_buffer, out, workspace]).unwrap();
    launches.for_each(|launch| case.launch(launch));

    let tensor = |values: &[f32], shape: (usize, usize, usize)| {
        Tensor::from_slice(values, shape, &Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::F64)).unwrap()
    };
    let cache = (places, limit, channels);
    let (q, keys, values) =
        (tensor(&q, (shape.rows, shape.time, channels)), tensor(&keys, cache), tensor(&values, cache));
    let slots = Slots::new(slots, &Device::Cpu).unwrap();
    let attended = ops::attention_cached(&q, &keys, &values, &slots, shape.heads, causal).unwrap();
    case.expect(out, dtype, &attended.flatten_all().unwrap().to_vec1::<f64>().unwrap());
    case
}
