//! Keys and values of audio in int8: what cross-attention reads for every token, a quarter of its size in f32.
//!
//! Each key has a scale, and each channel of a head's values. Queries and softmax weights are split in two int8 numbers, the
//! second of which holds what the first leaves, so that only the rounding of keys and values is lost.

use std::f32::consts::LOG2_E;

use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{
    attention::{scores, softmax},
    instructions::integers,
    is_fast,
    matrix::PANEL,
    narrow::{
        BLOCK_ROWS, Block, Line, TILE_ROWS, bytes_mut,
        int8::{Quantized, Session, flip, lines},
    },
    output::{Output, Parts},
    profile::{self, Class, Numbers, Work},
    simd::{Lanes, Task, dispatch},
    slice,
    slots::Slot,
    tiled::{maximum, powers},
};

/// Queries of a block: each takes two rows of a tile.
const QUERIES: usize = BLOCK_ROWS / 2;
/// What the first of the two numbers counts.
const STEP: f32 = 128.0;
/// The largest number that two int8 hold.
const LARGEST: f32 = 127.0 * STEP;

/// Keys (length, D) and values (D, length) of one head in one slot.
#[derive(Debug)]
struct Head {
    keys: Quantized,
    values: Quantized,
}

/// Keys and values of audio for a number of slots.
#[derive(Debug)]
pub struct Int8Cache {
    /// Slot after slot, the heads of each.
    heads: Vec<Head>,
    head_count: usize,
    size: usize,
    length: usize,
}

impl Int8Cache {
    /// Empty caches for `slots` chunks of `length` positions with `head_count` heads of `size` elements.
    pub fn new(slots: usize, length: usize, head_count: usize, size: usize) -> Self {
        let mut cache = Self { heads: Vec::new(), head_count, size, length };
        cache.grow(slots);
        cache
    }

    /// Makes room for `slots` chunks in all; the present ones stay.
    pub fn grow(&mut self, slots: usize) {
        let (length, size) = (self.length, self.size);
        let empty = || Head { keys: Quantized::empty(length, size), values: Quantized::empty(size, length) };
        self.heads.resize_with(slots * self.head_count, empty);
    }

    /// Puts the keys and values (B, length, H*D) of B chunks into `slots`, no two of which are the same.
    ///
    /// # Errors
    /// When the shapes do not fit, or a slot lies outside.
    pub fn set(&mut self, keys: &Tensor, values: &Tensor, slots: &[usize]) -> Result<()> {
        let channels = self.head_count * self.size;
        let shape = [slots.len(), self.length, channels];
        if keys.dims() != shape || values.dims() != shape {
            bail!("keys {:?} and values {:?} do not fit a cache of {shape:?}", keys.dims(), values.dims());
        }
        // Keys and values are read in f32 and written in one byte.
        let _timed = profile::span(Class::CacheCopy, || Work::pass(0, 2 * 5 * keys.elem_count()));
        let (keys, values) = (keys.contiguous()?, values.contiguous()?);
        let ((keys, key_layout), (values, value_layout)) = (keys.storage_and_layout(), values.storage_and_layout());
        let (Storage::Cpu(keys), Storage::Cpu(values)) = (&*keys, &*values) else {
            bail!("an int8 cache is the CPU's")
        };
        let (keys, values) = (slice::<f32>(keys, key_layout)?, slice::<f32>(values, value_layout)?);
        let (length, size) = (self.length, self.size);
        for (row, &slot) in slots.iter().enumerate() {
            let chunk = row * length * channels..(row + 1) * length * channels;
            let (keys, values) = (&keys[chunk.clone()], &values[chunk]);
            let Some(heads) = self.heads.chunks_exact_mut(self.head_count).nth(slot) else {
                bail!("slot {slot} lies outside of the cache");
            };
            heads.par_iter_mut().enumerate().for_each(|(index, head)| {
                let start = |position: usize| position * channels + index * size;
                head.keys.fill(|key, target| target.copy_from_slice(&keys[start(key)..][..size]));
                head.values.fill_columns(|position| &values[start(position)..][..size]);
            });
        }
        Ok(())
    }

    /// Attention of q (B, Tq, H*D) to all keys of each row's slot -> (B, Tq, H*D).
    ///
    /// # Errors
    /// When the shapes do not fit, or a slot lies outside.
    pub fn attention(&self, q: &Tensor, slots: &[Slot]) -> Result<Tensor> {
        let time = self.check(q, slots)?;
        let _timed = profile::span(Class::AudioAttention, || self.work(time, slots.len()));
        let queries = q.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        let mut output = Output::new(queries.len());
        let parts = output.parts();
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (row, slot) in slots.iter().enumerate() {
            let places = (0..time).map(|query| row * time + query);
            match groups.iter_mut().find(|(index, _)| *index == slot.index) {
                Some((_, group)) => group.extend(places),
                None => groups.push((slot.index, places.collect())),
            }
        }
        let tasks: Vec<(usize, usize, &[usize])> = groups
            .iter()
            .flat_map(|(slot, places)| {
                (0..self.head_count).flat_map(move |head| places.chunks(QUERIES).map(move |part| (*slot, head, part)))
            })
            .collect();
        tasks.par_iter().with_max_len(1).for_each(|&(slot, head, places)| {
            let offset = head * self.size;
            dispatch(Attend {
                cache: self,
                head: &self.heads[slot * self.head_count + head],
                offset,
                q: &queries,
                places,
                parts,
            });
        });
        // SAFETY: every query is in a group, and the tasks cover all heads.
        Tensor::from_vec(unsafe { output.into_values() }, q.shape(), &Device::Cpu)
    }

    /// The softmax weights of the `chosen` heads in attention of q (B, Tq, H*D) to the first `length` keys of each row's slot:
    /// (B, chosen, Tq, length), of rows that all have the same.
    ///
    /// # Errors
    /// When the shapes do not fit, a slot lies outside, or a chosen head does not exist.
    pub fn weights(&self, q: &Tensor, slots: &[Slot], chosen: &[usize]) -> Result<Tensor> {
        let time = self.check(q, slots)?;
        let _timed = profile::span(Class::AudioAttention, || self.work(time, slots.len()));
        let length = slots.first().map_or(0, |slot| slot.length);
        if length == 0 || slots.iter().any(|slot| slot.length != length) || chosen.iter().any(|&h| h >= self.head_count)
        {
            bail!(
                "weights of heads {chosen:?} for {slots:?}: all rows must have the same length and all heads must exist"
            );
        }
        let weights = |(row, slot): (usize, &Slot)| {
            let of_head = |&head: &usize| {
                let keys = &self.heads[slot.index * self.head_count + head].keys;
                let keys: Vec<f32> = (0..length).flat_map(|key| keys.row(key)).collect();
                let q = q.narrow(0, row, 1)?.narrow(2, head * self.size, self.size)?.contiguous()?;
                softmax(&scores(&q, &Tensor::from_vec(keys, (1, length, self.size), &Device::Cpu)?)?)?.squeeze(0)
            };
            Tensor::stack(&chosen.iter().map(of_head).collect::<Result<Vec<_>>>()?, 0)
        };
        Tensor::stack(&slots.iter().enumerate().map(weights).collect::<Result<Vec<_>>>()?, 0)
    }

    /// Attention of so many queries of each of so many rows.
    fn work(&self, time: usize, rows: usize) -> Work {
        Work::attention(time, self.length, self.head_count * self.size, (4, 1)).of(Numbers::Int8) * rows
    }

    /// The number of queries of each row.
    fn check(&self, q: &Tensor, slots: &[Slot]) -> Result<usize> {
        let (batch, time, channels) = q.dims3()?;
        let outside = |slot: &Slot| (slot.index + 1) * self.head_count > self.heads.len() || slot.length > self.length;
        if batch != slots.len() || channels != self.head_count * self.size || !is_fast(&[q]) {
            bail!(
                "queries {:?} for {} slots do not fit {} heads of {}",
                q.dims(),
                slots.len(),
                self.head_count,
                self.size
            );
        }
        match slots.iter().find(|slot| outside(slot)) {
            Some(slot) => bail!("{slot:?} lies outside of the cache"),
            None => Ok(time),
        }
    }
}

/// Some queries of one head to one slot.
struct Attend<'a> {
    cache: &'a Int8Cache,
    head: &'a Head,
    /// Where the head begins in the channels.
    offset: usize,
    q: &'a [f32],
    /// The places of the queries, counted in vectors of H*D.
    places: &'a [usize],
    parts: Parts<'a>,
}

/// Rows of int8, two for each vector: first the upper numbers of all, then the lower ones.
struct Pairs {
    memory: Vec<Line>,
    lines: usize,
    count: usize,
    flip: u8,
}

impl Pairs {
    fn new(count: usize, elements: usize, flip: u8) -> Self {
        let lines = lines(elements);
        Self { memory: vec![Line::ZERO; (2 * count).next_multiple_of(TILE_ROWS) * lines], lines, count, flip }
    }

    /// Splits `values`, none of them beyond ±1 / `inverse`, into multiples of 1 / (16256 `inverse`).
    #[inline(always)]
    fn set(&mut self, index: usize, values: &[f32], inverse: f32) {
        let (upper, lower) = self.memory.split_at_mut(self.count * self.lines);
        let row = index * self.lines..(index + 1) * self.lines;
        let (upper, lower) = (bytes_mut(&mut upper[row.clone()]), bytes_mut(&mut lower[row]));
        // Adding 1.5 * 2^23 rounds to the nearest and leaves the integer in the lowest bits.
        const SHIFTER: f32 = 12_582_912.0;
        for ((upper, lower), &value) in upper.iter_mut().zip(lower).zip(values) {
            let number = (value * inverse * LARGEST + SHIFTER) - SHIFTER;
            let shifted = number * (1.0 / STEP) + SHIFTER;
            *upper = shifted.to_bits() as u8 ^ self.flip;
            *lower = (number - (shifted - SHIFTER) * STEP + SHIFTER).to_bits() as u8 ^ self.flip;
        }
    }

    fn block(&self) -> Block<'_> {
        Block::new(&self.memory, self.lines, 2 * self.count)
    }
}

impl Task for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (integers, size, length) = (integers(), self.cache.size, self.cache.length);
        let channels = size * self.cache.head_count;
        let count = self.places.len();
        let mut session = Session::new(integers);
        let mut queries = Pairs::new(count, size, flip(integers));
        let mut query_scales = [0.0; QUERIES];
        for (index, (&place, scale)) in self.places.iter().zip(&mut query_scales).enumerate() {
            let query = &self.q[place * channels + self.offset..][..size];
            let largest = query.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
            queries.set(index, query, 1.0 / largest);
            // Scores are scaled by log2(e) / sqrt(D), since the softmax is made of powers of two.
            *scale = largest / LARGEST * LOG2_E / (size as f32).sqrt();
        }
        let mut scores = vec![0.0; count * length.next_multiple_of(PANEL)];
        let stride = length.next_multiple_of(PANEL);
        for panel in 0..stride / PANEL {
            let scales = &self.head.keys.padded_scales()[panel * PANEL..][..PANEL];
            let sums = session.multiply(queries.block(), &self.head.keys, panel);
            for (index, &scale) in query_scales[..count].iter().enumerate() {
                let target = &mut scores[index * stride + panel * PANEL..][..PANEL];
                combine(&sums[index], &sums[count + index], scales, scale, target);
            }
        }
        let mut weights = Pairs::new(count, length, flip(integers));
        let mut weight_scales = [0.0; QUERIES];
        for (index, (scores, scale)) in scores.chunks_exact_mut(stride).zip(&mut weight_scales).enumerate() {
            let scores = &mut scores[..length];
            let largest = maximum(simd, scores);
            *scale = 1.0 / (powers(simd, scores, largest) * LARGEST);
            weights.set(index, scores, 1.0);
        }
        let mut values = [0.0; PANEL];
        for panel in 0..size.div_ceil(PANEL) {
            let scales = &self.head.values.padded_scales()[panel * PANEL..][..PANEL];
            let sums = session.multiply(weights.block(), &self.head.values, panel);
            let width = PANEL.min(size - panel * PANEL);
            for (index, &place) in self.places.iter().enumerate() {
                combine(&sums[index], &sums[count + index], scales, weight_scales[index], &mut values);
                // SAFETY: each query and head is written by one task.
                let target = unsafe { self.parts.part(place * channels + self.offset + panel * PANEL, width) };
                target.copy_from_slice(&values[..width]);
            }
        }
    }
}

/// The sums of both numbers together, with the scales of row and column.
#[inline(always)]
fn combine(upper: &[i32; PANEL], lower: &[i32; PANEL], columns: &[f32], row: f32, target: &mut [f32]) {
    for (((target, &upper), &lower), column) in target.iter_mut().zip(upper).zip(lower).zip(columns) {
        *target = (upper as f32 * STEP + lower as f32) * (row * column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Precision, attention, tests::assert_close, tests::random};

    #[test]
    fn stays_near_full_attention() -> Result<()> {
        for (slots, length, heads, size, time) in
            [(1, 1, 1, 64, 1), (3, 70, 2, 64, 1), (2, 1500, 3, 64, 4), (2, 333, 2, 20, 35)]
        {
            let mut cache = Int8Cache::new(1, length, heads, size);
            cache.grow(slots);
            let places: Vec<usize> = (0..slots).rev().collect();
            let shape = (slots, length, heads * size);
            let (k, v) = (random(shape)?, random(shape)?);
            cache.set(&k, &v, &places)?;
            let q = random((slots, time, heads * size))?;
            let rows: Vec<Slot> = places.iter().map(|&index| Slot { index, length }).collect();
            let expected = attention(&q, &k, &v, heads, Precision::Float32)?;
            let name = format!("int8 cache {slots}x{time}x{length}, {heads}x{size}");
            assert_close(&name, &cache.attention(&q, &rows)?, &expected, 4e-2)?;
        }
        Ok(())
    }

    #[test]
    fn rows_that_share_a_slot_are_as_rows_alone() -> Result<()> {
        let mut cache = Int8Cache::new(2, 50, 2, 64);
        cache.set(&random((2, 50, 128))?, &random((2, 50, 128))?, &[0, 1])?;
        let q = random((20, 1, 128))?;
        let slots: Vec<Slot> = (0..20).map(|row| Slot { index: usize::from(row == 3), length: 50 }).collect();
        let together = cache.attention(&q, &slots)?;
        for (row, slot) in slots.iter().enumerate() {
            let alone = cache.attention(&q.narrow(0, row, 1)?, &[*slot])?;
            assert_close("a row alone", &alone, &together.narrow(0, row, 1)?, 0.0)?;
        }
        Ok(())
    }

    #[test]
    fn weights_are_those_of_the_keys() -> Result<()> {
        let mut cache = Int8Cache::new(1, 90, 2, 64);
        let k = random((1, 90, 128))?;
        cache.set(&k, &k, &[0])?;
        let q = random((1, 3, 128))?;
        let weights = cache.weights(&q, &[Slot { index: 0, length: 60 }], &[1])?;
        let own = |x: &Tensor| x.narrow(2, 64, 64)?.contiguous();
        let expected = softmax(&scores(&own(&q)?, &own(&k.narrow(1, 0, 60)?)?)?)?.unsqueeze(1)?;
        assert_close("weights", &weights, &expected, 2e-2)
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() -> Result<()> {
        let mut cache = Int8Cache::new(1, 5, 2, 4);
        let x = random((1, 5, 8))?;
        assert!(cache.set(&x, &x, &[1]).is_err());
        assert!(cache.set(&x, &random((1, 4, 8))?, &[0]).is_err());
        cache.set(&x, &x, &[0])?;
        assert!(cache.attention(&random((1, 1, 8))?, &[Slot { index: 1, length: 5 }]).is_err());
        assert!(cache.attention(&random((1, 1, 9))?, &[Slot { index: 0, length: 5 }]).is_err());
        assert!(cache.weights(&random((1, 1, 8))?, &[Slot { index: 0, length: 5 }], &[2]).is_err());
        Ok(())
    }
}
