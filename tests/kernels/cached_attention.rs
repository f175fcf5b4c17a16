//! `kernels/cached_attention.cu` against attention as Candle's operations compute it in f64.

use candle_core::{DType, Device, Tensor};
use palabra::ops::{
    self, Ancestors, Slot, Slots,
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
    let (causal, shared) = (random.r#gen(), random.r#gen());
    let shape = CachedAttention {
        rows: random.gen_range(1..=if small { 2 } else { 3 }),
        time: random.gen_range(1..=if small { 2 } else { MOST_QUERIES }.min(limit)),
        heads: random.gen_range(1..=if small { 1 } else { 3 }),
        limit,
        causal,
        shared,
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
    // Any slot may hold a key that comes before the row's own, as in a search that has forked.
    let mut ancestors = |slot: &Slot| -> Ancestors {
        let count = random.gen_range(0..=slot.length);
        (0..count).map(|_| random.gen_range(0..places) as u32).collect()
    };
    let ancestors: Vec<Option<Ancestors>> = slots.iter().map(|slot| shared.then(|| ancestors(slot))).collect();
    let slots = Slots::new(slots, &Device::Cpu).and_then(|slots| slots.with_ancestors(ancestors, limit, &Device::Cpu));
    let slots = slots.unwrap();
    let holder = |row: usize| (0..limit).map(move |place| (row, place));
    let holders: Vec<u32> =
        (0..shape.rows).flat_map(holder).map(|(row, place)| slots.holder(row, place) as u32).collect();
    let holders = if shared { case.buffer(&holders) } else { slots_buffer };
    let out = case.empty(q.len(), dtype);
    let workspace = case.empty(shape.workspace(), DType::F32);
    let [q_buffer, keys_buffer, values_buffer] = buffers;
    let launches =
        shape.launches([q_buffer, keys_buffer, values_buffer, slots_buffer, holders, out, workspace]).unwrap();
    launches.for_each(|launch| case.launch(launch));

    let tensor = |values: &[f32], shape: (usize, usize, usize)| {
        Tensor::from_slice(values, shape, &Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::F64)).unwrap()
    };
    let cache = (places, limit, channels);
    let (q, keys, values) =
        (tensor(&q, (shape.rows, shape.time, channels)), tensor(&keys, cache), tensor(&values, cache));
    let attended = ops::attention_cached(&q, &keys, &values, &slots, shape.heads, causal).unwrap();
    case.expect(out, dtype, &attended.flatten_all().unwrap().to_vec1::<f64>().unwrap());
    case
}
