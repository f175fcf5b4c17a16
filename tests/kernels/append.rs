//! `kernels/append.cu` against copies of vectors.

use candle_core::DType;
use palabra::ops::kernels::append::Append;
use rand::{Rng, rngs::StdRng, seq::SliceRandom};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers, rounded},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("append", case);

fn case(random: &mut StdRng, size: Size) -> Case {
    let most = if size == Size::Small { 3 } else { 6 };
    let dtype = any_float(random);
    let cache_dtype = if dtype == DType::F32 { any_float(random) } else { dtype };
    let limit = random.gen_range(1..=9);
    let shape = Append {
        rows: random.gen_range(1..=most),
        time: random.gen_range(1..=limit.min(most)),
        channels: random.gen_range(1..=if size == Size::Small { 70 } else { 400 }),
        limit,
        dtype,
        cache_dtype,
    };
    let places = shape.rows + random.gen_range(0..3);
    let mut indices: Vec<u32> = (0..places as u32).collect();
    indices.shuffle(random);
    let slots: Vec<u32> =
        indices[..shape.rows].iter().flat_map(|&index| [index, random.gen_range(shape.time..=limit) as u32]).collect();
    let x = numbers(random, shape.rows * shape.time * shape.channels, dtype);
    let mut cache = numbers(random, places * limit * shape.channels, cache_dtype);
    let mut case = Case::new(format!("{shape:?}"));
    let (x_buffer, slots_buffer) = (case.floats(&x, dtype), case.buffer(&slots));
    let cache_buffer = case.floats(&cache, cache_dtype);
    for (row, slot) in x.chunks_exact(shape.time * shape.channels).zip(slots.chunks_exact(2)) {
        let start = slot[0] as usize * limit + slot[1] as usize - shape.time;
        let target = &mut cache[start * shape.channels..][..row.len()];
        target.iter_mut().zip(row).for_each(|(target, &value)| *target = rounded(value, cache_dtype));
    }
    case.launch(shape.launch(x_buffer, cache_buffer, slots_buffer).unwrap());
    case.expect(cache_buffer, cache_dtype, &cache);
    case
}
