//! The fast path of appending to a cache: new vectors are copied, and narrowed, straight to their places.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::{slice, slots::Slots};

/// Elements that one task copies into a cache.
const TASK_ELEMENTS: usize = 1 << 15;

/// Copies new vectors to their places in a cache.
pub(super) struct Append<'a> {
    /// Where the rows of the vectors belong.
    pub(super) slots: &'a Slots,
}

impl Append<'_> {
    /// Copies every row of x to its place with `convert(source, target)`, in parallel where it is long.
    fn run<T: Send>(
        &self,
        cache: &mut [T],
        cl: &Layout,
        x: &[f32],
        xl: &Layout,
        convert: impl Fn(&[f32], &mut [T]) + Sync,
    ) {
        let (limit, channels) = (cl.dims()[1], cl.dims()[2]);
        let time = xl.dims()[1];
        let count = time * channels;
        for (row, slot) in self.slots.rows().iter().enumerate() {
            let start = cl.start_offset() + (slot.index * limit + slot.length - time) * channels;
            let (source, target) = (&x[row * count..][..count], &mut cache[start..][..count]);
            if count <= TASK_ELEMENTS {
                convert(source, target);
            } else {
                let parts = source.par_chunks(TASK_ELEMENTS).zip(target.par_chunks_mut(TASK_ELEMENTS));
                parts.for_each(|(source, target)| convert(source, target));
            }
        }
    }
}

impl InplaceOp2 for Append<'_> {
    fn name(&self) -> &'static str {
        "append"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, cl: &Layout, x: &CpuStorage, xl: &Layout) -> Result<()> {
        let x = slice::<f32>(x, xl)?;
        match cache {
            CpuStorage::F32(cache) => self.run(cache, cl, x, xl, |source, target| target.copy_from_slice(source)),
            CpuStorage::F16(cache) => {
                self.run(cache, cl, x, xl, |source, target| target.convert_from_f32_slice(source))
            }
            CpuStorage::BF16(cache) => {
                self.run(cache, cl, x, xl, |source, target| target.convert_from_f32_slice(source))
            }
            _ => bail!("append: a cache is f32, f16 or bf16"),
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, cache: &mut CudaStorage, cl: &Layout, x: &CudaStorage, xl: &Layout) -> Result<()> {
        let (rows, time, channels) = xl.shape().dims3()?;
        let (limit, dtype, cache_dtype) = (cl.dims()[1], x.dtype(), cache.dtype());
        super::kernels::append::Append { rows, time, channels, limit, dtype, cache_dtype }.run(
            (cache, cl),
            (x, xl),
            self.slots.table()?,
        )
    }
}
