//! What the GPU is told: which kernel of `kernels/` runs over how many blocks, and with which arguments.
//!
//! A launch is described without a GPU and without the feature `cuda`, so that tests run the same description, with the same
//! geometry and the same order of arguments, against the kernel compiled for the host. One file per kernel file; with the
//! feature, `device` carries launches out.

pub mod add_bias;
pub mod append;
pub mod cached_attention;
pub mod choose_token;
pub mod ctc_viterbi;
#[cfg(feature = "cuda")]
pub(super) mod device;
pub mod fbank;
pub mod log_mel;
pub mod scaled_softmax;
pub mod weighted_statistics;

use candle_core::{DType, Result, bail};

/// One argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// The address of a buffer.
    Buffer(u64),
    /// `int`.
    I32(i32),
    /// `unsigned`.
    U32(u32),
    /// `float`.
    F32(f32),
}

/// One launch of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The file in `kernels/`, without `.cu`.
    pub file: &'static str,
    /// The function in it.
    pub kernel: String,
    /// Blocks along x, y, z.
    pub grid: [usize; 3],
    /// Threads in a block, all along x.
    pub block: usize,
    /// Bytes of dynamic shared memory.
    pub shared: usize,
    /// What it is called with, in order.
    pub arguments: Vec<Argument>,
}

impl Launch {
    /// Blocks along y and z at most; those along x may be 2^31 - 1 (CUDA programming guide, "Technical Specifications").
    pub const MOST_BLOCKS: usize = 65_535;
    /// Threads in a block at most.
    pub const MOST_THREADS: usize = 1024;
    /// Bytes of shared memory that every GPU grants a block without being asked.
    pub const MOST_SHARED: usize = 48 * 1024;

    /// Refuses a geometry that no GPU can launch.
    ///
    /// # Errors
    /// Naming the kernel and what does not fit.
    pub fn check(&self) -> Result<()> {
        let [x, y, z] = self.grid;
        let fits = (1..=i32::MAX as usize).contains(&x)
            && (1..=Self::MOST_BLOCKS).contains(&y)
            && (1..=Self::MOST_BLOCKS).contains(&z)
            && (1..=Self::MOST_THREADS).contains(&self.block)
            && self.shared <= Self::MOST_SHARED;
        if !fits {
            bail!(
                "{}: {:?} blocks of {} threads with {} bytes shared",
                self.kernel,
                self.grid,
                self.block,
                self.shared
            );
        }
        Ok(())
    }
}

/// A count as a kernel's `int`.
///
/// # Errors
/// When it is larger than kernels count.
pub fn int(count: usize) -> Result<Argument> {
    match i32::try_from(count) {
        Ok(count) => Ok(Argument::I32(count)),
        Err(_) => bail!("{count} elements are more than a kernel counts"),
    }
}

/// The end of the name of a kernel for elements of this type.
///
/// # Errors
/// For types that no kernel reads.
pub fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::F16 => Ok("f16"),
        DType::BF16 => Ok("bf16"),
        other => bail!("no kernel reads {other:?}"),
    }
}
