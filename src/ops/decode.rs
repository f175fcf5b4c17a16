//! Attention of a few queries to cached keys: bound by memory, so every key and value is read once, in order, for all the
//! heads of a task, in the type it is stored in.

use std::{f32::consts::LOG2_E, ops::Range};

use rayon::prelude::*;

use super::{
    matrix::Packed,
    output::{Output, Parts},
    simd::{Element, Lanes, Task, dispatch},
    slots::{Slot, Slots},
    tiled::{Head, maximum, powers},
};

/// Elements of a head: 64 in all of Whisper's models. Loops of known length are several times faster.
pub(super) const SIZE: usize = 64;

/// From this number of queries to one slot, packing its keys for the tiles of `tiled` pays.
const TILED_QUERIES: usize = 8;
/// Below this number of elements of keys, a second thread does not pay.
const PARALLEL_THRESHOLD: usize = 1 << 14;

/// Queries (B, Tq, H*D) and caches (S, Tmax, H*D).
pub(super) struct Cached<'a, E> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [E],
    pub(super) v: &'a [E],
    pub(super) slots: &'a Slots,
    /// Tq.
    pub(super) time: usize,
    /// Tmax.
    pub(super) limit: usize,
    /// H*D.
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) causal: bool,
}

/// Queries that see the same keys.
struct Group<'a> {
    slot: Slot,
    /// The slots of the first keys, where they lie in others.
    ancestors: &'a [u32],
    /// Their places in q, counted in vectors of H*D, and the number of keys that each sees.
    queries: Vec<(usize, usize)>,
}

impl<E: Element> Cached<'_, E> {
    /// The results (B, Tq, H*D).
    pub(super) fn run(&self) -> Vec<f32> {
        let mut output = Output::new(self.q.len());
        let parts = output.parts();
        let groups = self.groups();
        let tiled = |group: &Group<'_>| group.queries.len() >= TILED_QUERIES;
        let threads = rayon::current_num_threads();
        let splits = (2 * threads).div_ceil(groups.len().max(1)).clamp(1, self.heads);
        let tasks: Vec<(&Group<'_>, Range<usize>)> = groups
            .iter()
            .flat_map(|group| {
                let splits = if tiled(group) { self.heads } else { splits };
                (0..splits).map(move |split| (group, split * self.heads / splits..(split + 1) * self.heads / splits))
            })
            .collect();
        let run = |(group, heads): &(&Group<'_>, Range<usize>)| {
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
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::with_capacity(self.slots.rows().len());
        for (row, slot) in self.slots.rows().iter().enumerate() {
            let ancestors = self.slots.ancestors(row).unwrap_or_default();
            let queries = (0..self.time).map(|query| {
                let hidden = if self.causal { self.time - 1 - query } else { 0 };
                (row * self.time + query, slot.length - hidden)
            });
            match groups.iter_mut().find(|group| group.slot == *slot && group.ancestors == ancestors) {
                Some(group) => group.queries.extend(queries),
                None => groups.push(Group { slot: *slot, ancestors, queries: queries.collect() }),
            }
        }
        groups
    }

    /// Where the vector of a key starts in the caches.
    #[inline(always)]
    fn key_start(&self, group: &Group<'_>, key: usize) -> usize {
        let holder = group.ancestors.get(key).map_or(group.slot.index, |&slot| slot as usize);
        (holder * self.limit + key) * self.channels
    }

    /// One head of many queries.
    ///
    /// # Safety
    /// The results of this head of the group's queries are written by this call alone.
    unsafe fn run_tiled(&self, group: &Group<'_>, head: usize, parts: Parts<'_>) {
        let length = group.slot.length;
        let offset = head * SIZE;
        let read = |source: &[E], key: usize, target: &mut [f32]| {
            E::widen_all(&source[self.key_start(group, key) + offset..][..SIZE], target);
        };
        let place = |query: usize| group.queries[query].0 * self.channels + offset;
        let head = Head {
            keys: Packed::from_rows(length, SIZE, |key, target| read(self.k, key, target)),
            values: Packed::from_columns(SIZE, length, |key, target| read(self.v, key, target)),
            queries: group.queries.len(),
            query: |query: usize| &self.q[place(query)..][..SIZE],
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
    group: &'a Group<'a>,
    heads: Range<usize>,
    parts: Parts<'a>,
}

impl<E: Element> Task for FewQueries<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (length, heads) = (self.group.slot.length, self.heads.len());
        let count = self.group.queries.len() * heads;
        let queries = self.scaled_queries();
        let mut scores = vec![0.0; count * length]; // (queries, heads, keys)
        self.score(simd, &queries, &mut scores);
        for (index, scores) in scores.chunks_exact_mut(length).enumerate() {
            let (_, visible) = self.group.queries[index / heads];
            let (seen, hidden) = scores.split_at_mut(visible);
            let largest = maximum(simd, seen);
            let scale = 1.0 / powers(simd, seen, largest);
            seen.iter_mut().for_each(|weight| *weight *= scale);
            hidden.fill(0.0);
        }
        let mut sums = vec![[0.0; SIZE]; count]; // (queries, heads, D)
        self.mix(simd, &scores, &mut sums);
        for (&(place, _), sums) in self.group.queries.iter().zip(sums.chunks_exact(heads)) {
            let start = place * self.cached.channels + self.heads.start * SIZE;
            // SAFETY: `Cached::run` gives each query and head to one task.
            unsafe { self.parts.part(start, heads * SIZE) }.copy_from_slice(sums.as_flattened());
        }
    }
}

impl<E: Element> FewQueries<'_, E> {
    /// The queries (queries, heads, D), scaled by `log2(e) / sqrt(D)`.
    fn scaled_queries(&self) -> Vec<[f32; SIZE]> {
        let scale = LOG2_E / (SIZE as f32).sqrt();
        let places = self.group.queries.iter().map(|&(place, _)| place * self.cached.channels / SIZE);
        let (q, _) = self.cached.q.as_chunks::<SIZE>();
        places.flat_map(|place| &q[place..][self.heads.clone()]).map(|q| q.map(|value| value * scale)).collect()
    }

    /// The part of a cached vector that belongs to the heads of this task.
    #[inline(always)]
    fn cached_heads<'a>(&self, cache: &'a [E], key: usize) -> &'a [[E; SIZE]] {
        let start = self.cached.key_start(self.group, key) + self.heads.start * SIZE;
        cache[start..start + self.heads.len() * SIZE].as_chunks().0
    }

    #[inline(always)]
    fn score<S: Lanes>(&self, simd: S, queries: &[[f32; SIZE]], scores: &mut [f32]) {
        let (length, heads) = (self.group.slot.length, self.heads.len());
        for key in 0..length {
            let keys = self.cached_heads(self.cached.k, key);
            for (queries, scores) in queries.chunks_exact(heads).zip(scores.chunks_exact_mut(heads * length)) {
                for (head, (query, key_part)) in queries.iter().zip(keys).enumerate() {
                    scores[head * length + key] = dot(simd, query, key_part);
                }
            }
        }
    }

    /// The weighted sums of the values, four keys at a time, so that the sums are read and written a quarter as often.
    #[inline(always)]
    fn mix<S: Lanes>(&self, simd: S, weights: &[f32], sums: &mut [[f32; SIZE]]) {
        let (length, heads) = (self.group.slot.length, self.heads.len());
        let whole = length - length % 4;
        for first in (0..whole).step_by(4) {
            let a = self.cached_heads(self.cached.v, first);
            let b = self.cached_heads(self.cached.v, first + 1);
            let c = self.cached_heads(self.cached.v, first + 2);
            let d = self.cached_heads(self.cached.v, first + 3);
            for (sums, weights) in sums.chunks_exact_mut(heads).zip(weights.chunks_exact(heads * length)) {
                for (head, sums) in sums.iter_mut().enumerate() {
                    let weights = &weights[head * length + first..][..4];
                    add_weighted(simd, sums, weights, [&a[head], &b[head], &c[head], &d[head]]);
                }
            }
        }
        for key in whole..length {
            let values = self.cached_heads(self.cached.v, key);
            for (sums, weights) in sums.chunks_exact_mut(heads).zip(weights.chunks_exact(heads * length)) {
                for (head, (sums, values)) in sums.iter_mut().zip(values).enumerate() {
                    add_weighted(simd, sums, &weights[head * length + key..][..1], [values]);
                }
            }
        }
    }
}

#[inline(always)]
fn dot<S: Lanes, E: Element>(simd: S, query: &[f32; SIZE], key: &[E; SIZE]) -> f32 {
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (index, &vector) in S::as_simd_f32s(query).0.iter().enumerate() {
        let key = E::load(simd, &key[index * S::F32_LANES..]);
        sums[index % 2] = simd.mul_add_f32s(vector, key, sums[index % 2]);
    }
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))
}

/// `sums += sum over n of weights[n] * values[n]`.
#[inline(always)]
fn add_weighted<S: Lanes, E: Element, const N: usize>(
    simd: S,
    sums: &mut [f32; SIZE],
    weights: &[f32],
    values: [&[E; SIZE]; N],
) {
    for (index, vector) in S::as_mut_simd_f32s(sums).0.iter_mut().enumerate() {
        let mut sum = *vector;
        for (&weight, values) in weights.iter().zip(values) {
            sum = simd.mul_add_f32s(simd.splat_f32s(weight), E::load(simd, &values[index * S::F32_LANES..]), sum);
        }
        *vector = sum;
    }
}
