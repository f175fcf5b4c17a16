//! The result of an operation while several threads write it.

use std::marker::PhantomData;

/// Memory for a result, each part of which is written by exactly one task. It starts uninitialised: clearing large
/// results costs more than some operations.
pub(super) struct Output {
    values: Vec<f32>,
    length: usize,
}

/// What the tasks share: a way to the parts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    start: *mut f32,
    length: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: `Parts` only hands out slices through `Parts::part`, whose callers promise that no two overlap.
unsafe impl Send for Parts<'_> {}
// SAFETY: as above.
unsafe impl Sync for Parts<'_> {}

impl Output {
    /// Room for `length` elements.
    pub(super) fn new(length: usize) -> Self {
        Self { values: Vec::with_capacity(length), length }
    }

    /// The parts, for the tasks to write.
    pub(super) fn parts(&mut self) -> Parts<'_> {
        Parts { start: self.values.as_mut_ptr(), length: self.length, memory: PhantomData }
    }

    /// The result.
    ///
    /// # Safety
    /// Every element has been written through `parts`.
    pub(super) unsafe fn into_values(mut self) -> Vec<f32> {
        // SAFETY: the capacity is at least `length`, and the caller promises that the elements are initialised.
        unsafe { self.values.set_len(self.length) };
        self.values
    }
}

impl<'a> Parts<'a> {
    /// The `count` elements from `start`; to be written before they are read.
    ///
    /// # Safety
    /// No other slice that is alive covers any of these elements.
    #[inline(always)]
    pub(super) unsafe fn part(self, start: usize, count: usize) -> &'a mut [f32] {
        assert!(start + count <= self.length);
        // SAFETY: the range lies in the allocation, which lives for 'a; the caller promises exclusive use. Any bit pattern
        // is an f32, and callers write before they read.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), count) }
    }
}
