//! Attention of a few queries to cached keys: bound by memory, so every key and value is read once, in order, for all the
//! heads of a task, in the type it is stored in.

use std::{f32::consts::LOG2_E, ops::Range};

use rayon::prelude::*;

use super::{
    cache::Slot,
    matrix::Packed,
    output::{Output, Parts},
    simd::{Element, Lanes, Task, dispatch},
    tiled::{HEAD_LIMIT, Head, maximum, powers},
};

/// From this number of queries to one slot, packing its keys for the tiles of `tiled` pays.
const TILED_QUERIES: usize = 8;
/// Below this number of elements of keys, a second thread does not pay.
const PARALLEL_THRESHOLD: usize = 1 << 14;

/// Queries (B, Tq, H*D) and caches (S, Tmax, H*D).
pub(super) struct Cached<'a, E> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [E],
    pub(super) v: &'a [E],
    pub(super) slots: &'a [Slot],
    /// Tq.
    pub(super) time: usize,
    /// Tmax.
    pub(super) limit: usize,
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) causal: bool,
}

/// Queries that see one slot.
struct Group {
    slot: Slot,
    /// Their places in q, counted in vectors of H*D, and the number of keys that each sees.
    queries: Vec<(usize, usize)>,
}

impl<E: Element> Cached<'_, E> {
    /// The results (B, Tq, H*D).
    pub(super) fn run(&self) -> Vec<f32> {
        let mut output = Output::new(self.q.len());
        let parts = output.parts();
        let groups = self.groups();
        let tiled = |group: &Group| group.queries.len() >= TILED_QUERIES && self.channels / self.heads <= HEAD_LIMIT;
        let threads = rayon::current_num_threads();
        let splits = (2 * threads).div_ceil(groups.len().max(1)).clamp(1, self.heads);
        let tasks: Vec<(&Group, Range<usize>)> = groups
            .iter()
            .flat_map(|group| {
                let splits = if tiled(group) { self.heads } else { splits };
                (0..splits).map(move |split| (group, split * self.heads / splits..(split + 1) * self.heads / splits))
            })
            .collect();
        let run = |(group, heads): &(&Group, Range<usize>)| {
            // SAFETY: a query is in one group only and a group's tasks have different heads.
            unsafe {
                if tiled(group) {
                    self.run_tiled(group, heads.start, parts);
                } else {
                    dispatch(FewQueries { cached: self, group, heads: heads.clone(), parts });
                }
            }
        };
        let elements = groups.iter().map(|group| group.slot.length * self.channels).sum::<usize>();
        if threads == 1 || elements < PARALLEL_THRESHOLD {
            tasks.iter().for_each(run);
        } else {
            tasks.par_iter().with_max_len(1).for_each(run);
        }
        // SAFETY: every query is in a group, and the tasks cover all heads.
        unsafe { output.into_values() }
    }

    /// Queries by what they read: rows that share a slot, such as the beams of one text, are taken together.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::with_capacity(self.slots.len());
        for (row, slot) in self.slots.iter().enumerate() {
            let queries = (0..self.time).map(|query| {
                let hidden = if self.causal { self.time - 1 - query } else { 0 };
                (row * self.time + query, slot.length - hidden)
            });
            match groups.iter_mut().find(|group| group.slot == *slot) {
                Some(group) => group.queries.extend(queries),
                None => groups.push(Group { slot: *slot, queries: queries.collect() }),
            }
        }
        groups
    }

    /// Where the vector of a key starts in the caches.
    #[inline(always)]
    fn key_start(&self, slot: Slot, key: usize) -> usize {
        (slot.index * self.limit + key) * self.channels
    }

    /// One head of many queries.
    ///
    /// # Safety
    /// The results of this head of the group's queries are written by this call alone.
    unsafe fn run_tiled(&self, group: &Group, head: usize, parts: Parts<'_>) {
        let (size, length) = (self.channels / self.heads, group.slot.length);
        let offset = head * size;
        let read = |source: &[E], key: usize, target: &mut [f32]| {
            let source = &source[self.key_start(group.slot, key) + offset..][..size];
            E::widen_all(source, target);
        };
        let place = |query: usize| group.queries[query].0 * self.channels + offset;
        let head = Head {
            keys: Packed::from_rows(length, size, |key, target| read(self.k, key, target)),
            values: Packed::from_columns(size, length, |key, target| read(self.v, key, target)),
            queries: group.queries.len(),
            query: |query: usize| &self.q[place(query)..][..size],
            visible: |query: usize| group.queries[query].1,
            place: &place,
            parts,
        };
        // SAFETY: as promised by the caller.
        unsafe { head.run() };
    }
}

/// Some heads of a few queries.
struct FewQueries<'a, E> {
    cached: &'a Cached<'a, E>,
    group: &'a Group,
    heads: Range<usize>,
    parts: Parts<'a>,
}

impl<E: Element> Task for FewQueries<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (length, count) = (self.group.slot.length, self.group.queries.len());
        let (heads, size) = (self.heads.len(), self.cached.channels / self.cached.heads);
        let queries = self.scaled_queries();
        let mut scores = vec![0.0; count * heads * length]; // (queries, heads, keys)
        self.score(simd, &queries, &mut scores);
        for (index, &(_, visible)) in self.group.queries.iter().enumerate() {
            for scores in scores[index * heads * length..][..heads * length].chunks_exact_mut(length) {
                let (seen, hidden) = scores.split_at_mut(visible);
                let largest = maximum(simd, seen);
                let scale = 1.0 / powers(simd, seen, largest);
                seen.iter_mut().for_each(|weight| *weight *= scale);
                hidden.fill(0.0);
            }
        }
        let mut sums = vec![0.0; count * heads * size]; // (queries, heads, D)
        self.mix(simd, &scores, &mut sums);
        for (&(place, _), sums) in self.group.queries.iter().zip(sums.chunks_exact(heads * size)) {
            let start = place * self.cached.channels + self.heads.start * size;
            // SAFETY: `Cached::run` gives each query and head to one task.
            unsafe { self.parts.part(start, sums.len()) }.copy_from_slice(sums);
        }
    }
}

impl<E: Element> FewQueries<'_, E> {
    /// The queries (queries, heads, D), scaled by `log2(e) / sqrt(D)`.
    fn scaled_queries(&self) -> Vec<f32> {
        let size = self.cached.channels / self.cached.heads;
        let scale = LOG2_E / (size as f32).sqrt();
        let of_query = |place: usize| &self.cached.q[place * self.cached.channels..][..self.cached.channels];
        let heads = self.heads.start * size..self.heads.end * size;
        let places = self.group.queries.iter().map(|&(place, _)| place);
        places.flat_map(|place| of_query(place)[heads.clone()].iter().map(|value| value * scale)).collect()
    }

    /// The part of a cached vector that belongs to the heads of this task.
    #[inline(always)]
    fn cached_vector<'a>(&self, cache: &'a [E], key: usize) -> &'a [E] {
        let size = self.cached.channels / self.cached.heads;
        &cache[self.cached.key_start(self.group.slot, key)..][self.heads.start * size..self.heads.end * size]
    }

    #[inline(always)]
    fn score<S: Lanes>(&self, simd: S, queries: &[f32], scores: &mut [f32]) {
        let (length, size) = (self.group.slot.length, self.cached.channels / self.cached.heads);
        let heads = self.heads.len();
        for key in 0..length {
            let keys = self.cached_vector(self.cached.k, key);
            for (query, vectors) in queries.chunks_exact(heads * size).enumerate() {
                for (head, (query_part, key_part)) in
                    vectors.chunks_exact(size).zip(keys.chunks_exact(size)).enumerate()
                {
                    scores[(query * heads + head) * length + key] = dot(simd, query_part, key_part);
                }
            }
        }
    }

    /// The weighted sums of the values.
    #[inline(always)]
    fn mix<S: Lanes>(&self, simd: S, weights: &[f32], sums: &mut [f32]) {
        let (length, size) = (self.group.slot.length, self.cached.channels / self.cached.heads);
        let heads = self.heads.len();
        // Four keys at a time, so that the sums are read and written a quarter as often.
        for first in (0..length).step_by(4) {
            let count = 4.min(length - first);
            for (query, sums) in sums.chunks_exact_mut(heads * size).enumerate() {
                for (head, sums) in sums.chunks_exact_mut(size).enumerate() {
                    let weights = &weights[(query * heads + head) * length + first..][..count];
                    if let Some(weights) = weights.first_chunk::<4>() {
                        let mut values: [&[E]; 4] = [&[]; 4];
                        for (index, value) in values.iter_mut().enumerate() {
                            *value = &self.cached_vector(self.cached.v, first + index)[head * size..][..size];
                        }
                        add_weighted(simd, sums, weights, values);
                    } else {
                        for (index, &weight) in weights.iter().enumerate() {
                            let value = &self.cached_vector(self.cached.v, first + index)[head * size..][..size];
                            add_weighted(simd, sums, &[weight], [value]);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn dot<S: Lanes, E: Element>(simd: S, query: &[f32], key: &[E]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(query);
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (index, &vector) in vectors.iter().enumerate() {
        let key = E::load(simd, &key[index * S::F32_LANES..]);
        sums[index % 2] = simd.mul_add_f32s(vector, key, sums[index % 2]);
    }
    let mut sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
    for (value, key) in rest.iter().zip(&key[vectors.len() * S::F32_LANES..]) {
        sum += value * key.widen();
    }
    sum
}

/// `sums += sum over n of weights[n] * values[n]`.
#[inline(always)]
fn add_weighted<S: Lanes, E: Element, const N: usize>(
    simd: S,
    sums: &mut [f32],
    weights: &[f32; N],
    values: [&[E]; N],
) {
    let (vectors, rest) = S::as_mut_simd_f32s(sums);
    let whole = vectors.len() * S::F32_LANES;
    let mut splats = [simd.splat_f32s(0.0); N];
    for (splat, &weight) in splats.iter_mut().zip(weights) {
        *splat = simd.splat_f32s(weight);
    }
    for (index, vector) in vectors.iter_mut().enumerate() {
        let mut sum = *vector;
        for (splat, values) in splats.iter().zip(values) {
            sum = simd.mul_add_f32s(*splat, E::load(simd, &values[index * S::F32_LANES..]), sum);
        }
        *vector = sum;
    }
    for (index, sum) in rest.iter_mut().enumerate() {
        for (weight, values) in weights.iter().zip(values) {
            *sum += weight * values[whole + index].widen();
        }
    }
}
