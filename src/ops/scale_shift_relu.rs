//! A batch normalisation at inference followed by ReLU, over the last axis: `y = max(x * scale + shift, 0)`.
//!
//! The fast path makes one pass over memory where the definition makes three, and reads channels out of a wider tensor in place.

use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::{
    is_fast,
    profile::{self, Class, Work},
};

/// `max(x * scale + shift, 0)`: x (B, T, C), which may be a slice of a wider contiguous tensor; scale and shift (C).
///
/// # Errors
/// When the shapes do not fit.
pub fn scale_shift_relu(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let (batch, time, channels) = x.dims3()?;
    if scale.dims() != [channels] || shift.dims() != [channels] {
        bail!("scale {:?} and shift {:?} do not fit x {:?}", scale.dims(), shift.dims(), x.dims());
    }
    let _timed = profile::span(Class::Elementwise, || Work::over(x));
    let stride = x.stride();
    let rows_apart_alike = stride[2] == 1 && (batch == 1 || stride[0] == time * stride[1]);
    if !is_fast(&[x]) || !rows_apart_alike || x.elem_count() == 0 {
        return composition(x, scale, shift);
    }
    let (scale, shift) = (scale.to_vec1::<f32>()?, shift.to_vec1::<f32>()?);
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(values) = &*storage else { bail!("the fast path is for the CPU") };
    let values = &values.as_slice::<f32>()?[layout.start_offset()..];
    let mut y = vec![0.0; x.elem_count()];
    y.par_chunks_mut(channels).enumerate().with_min_len(128).for_each(|(row, y)| {
        let x = &values[row * stride[1]..][..channels];
        for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
            *y = (x * scale + shift).max(0.0);
        }
    });
    Tensor::from_vec(y, (batch, time, channels), &Device::Cpu)
}

/// The definition.
fn composition(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(scale)?.broadcast_add(shift)?.relu()
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    #[test]
    fn fast_path_agrees_with_the_definition() {
        let device = Device::Cpu;
        let wide = Tensor::arange(0f32, 2.0 * 7.0 * 10.0, &device).unwrap().reshape((2, 7, 10)).unwrap();
        let scale = Tensor::new(&[1f32, -0.5, 0.25, 2.0], &device).unwrap();
        let shift = Tensor::new(&[-3f32, 30.0, 0.0, 1.0], &device).unwrap();
        let of_one = wide.narrow(0, 1, 1).unwrap();
        let swapped = wide.transpose(0, 1).unwrap();
        for x in [&wide, &of_one, &swapped] {
            for start in [0, 6] {
                let x = x.narrow(2, start, 4).unwrap();
                let fast = scale_shift_relu(&x, &scale, &shift).unwrap();
                let oracle = composition(&x, &scale, &shift).unwrap();
                assert_eq!(fast.to_vec3::<f32>().unwrap(), oracle.to_vec3::<f32>().unwrap());
            }
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let x = Tensor::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap();
        let scale = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        assert!(scale_shift_relu(&x, &scale, &scale).is_err());
    }
}
