//! What a computation takes, whatever it runs on: operations, bytes, kernels.

use std::{
    iter::Sum,
    ops::{Add, Mul},
};

/// What a computation takes.
///
/// Bytes are those between the memory of a device and its cores, at the least: every operation reads each of its operands
/// once and writes its result once, and what one kernel hands on inside itself is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Floating-point operations; a multiplication with its addition counts as two.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Kernels that are launched.
    pub kernels: f64,
    /// Bytes between the memory of the device and that of the processor.
    pub bus: f64,
}

impl Work {
    /// A kernel that reads `read` and writes `written` elements of `size` bytes and does `flops` operations.
    pub fn kernel(flops: usize, read: usize, written: usize, size: usize) -> Self {
        Self { flops: flops as f64, bytes: (read + written) as f64 * size as f64, kernels: 1.0, bus: 0.0 }
    }

    /// The product of (rows, inputs) with a matrix of weights (inputs, outputs).
    pub fn product(rows: usize, inputs: usize, outputs: usize, size: usize) -> Self {
        Self::kernel(2 * rows * inputs * outputs, rows * inputs + inputs * outputs, rows * outputs, size)
    }

    /// A kernel that reads `read` and writes `written` elements, and computes next to nothing.
    pub fn pass(read: usize, written: usize, size: usize) -> Self {
        Self::kernel(0, read, written, size)
    }

    /// The same in `kernels` kernels.
    #[must_use]
    pub fn in_kernels(self, kernels: usize) -> Self {
        Self { kernels: kernels as f64, ..self }
    }

    /// The same with `elements` of `size` bytes that cross the bus.
    #[must_use]
    pub fn over_the_bus(self, elements: usize, size: usize) -> Self {
        Self { bus: self.bus + elements as f64 * size as f64, ..self }
    }

    /// Operations done for every byte moved.
    pub fn intensity(&self) -> f64 {
        self.flops / self.bytes
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            kernels: self.kernels + other.kernels,
            bus: self.bus + other.bus,
        }
    }
}

impl Mul<usize> for Work {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        let times = times as f64;
        Self {
            flops: self.flops * times,
            bytes: self.bytes * times,
            kernels: self.kernels * times,
            bus: self.bus * times,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(works: I) -> Self {
        works.fold(Self::default(), Add::add)
    }
}

/// How the operations are cut into kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Design {
    /// Candle's own operations one after the other, as the definitions in `ops` compose them.
    Composed,
    /// The kernels that there are: caches that are read where they lie, bias, GELU and residual in one kernel behind their
    /// product, a softmax of one pass, tokens chosen on the device. The encoder's convolutions are Candle's, and its
    /// attention writes its weights.
    Built,
    /// The aim: also attention of the encoder in blocks, which never writes its weights, and convolutions as products.
    Fused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_reads_both_factors_and_writes_one_result() {
        let work = Work::product(3, 5, 7, 2);
        assert_eq!((work.flops, work.bytes, work.kernels), (210.0, 2.0 * (15.0 + 35.0 + 21.0), 1.0));
        assert_eq!(work * 2 + work, [work; 3].into_iter().sum());
        assert_eq!(work.in_kernels(4).kernels, 4.0);
        assert_eq!((work.over_the_bus(5, 4) * 2).bus, 40.0);
        assert!((work.intensity() - 210.0 / 142.0).abs() < 1e-12);
    }
}
