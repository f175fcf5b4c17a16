//! What operations take at the least, counted from their shapes.

use std::{
    iter::Sum,
    ops::{AddAssign, Mul},
};

use candle_core::Tensor;

use super::Numbers;

/// What an operation takes at the least, as its shapes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Operations; a multiplication with its addition counts as two.
    pub operations: u64,
    /// Bytes that are read and written when every operand is read once and the result is written once.
    pub bytes: u64,
    /// What is multiplied.
    pub numbers: Numbers,
}

impl Work {
    /// The product of (rows, inputs) in f32 with weights (inputs, outputs) that are stored in `weight_bytes` bytes each.
    pub fn product(rows: usize, inputs: usize, outputs: usize, weight_bytes: usize) -> Self {
        let moved = inputs * outputs * weight_bytes + rows * (inputs + outputs) * size_of::<f32>();
        Self { operations: (2 * rows * inputs * outputs) as u64, bytes: moved as u64, ..Self::default() }
    }

    /// Attention of `queries` vectors of `channels` elements, of `width` bytes each, to `keys` keys and values of `key_width`.
    pub fn attention(queries: usize, keys: usize, channels: usize, (width, key_width): (usize, usize)) -> Self {
        let moved = 2 * queries * channels * width + 2 * keys * channels * key_width;
        Self { operations: (4 * queries * keys * channels) as u64, bytes: moved as u64, ..Self::default() }
    }

    /// The same in other numbers.
    #[must_use]
    pub fn of(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    /// A pass over x that writes as much as it reads, and whose operations are too few to count.
    pub fn over(x: &Tensor) -> Self {
        Self::pass(0, 2 * x.elem_count() * x.dtype().size_in_bytes())
    }

    /// One pass that reads and writes so many bytes, with so many operations.
    pub fn pass(operations: usize, bytes: usize) -> Self {
        Self { operations: operations as u64, bytes: bytes as u64, ..Self::default() }
    }
}

impl Mul<usize> for Work {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        Self { operations: self.operations * times as u64, bytes: self.bytes * times as u64, ..self }
    }
}

impl Sum for Work {
    /// In the numbers of the last.
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, work| {
            sum += work;
            sum
        })
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.numbers = other.numbers;
    }
}
