//! Candle's operations on the device against the same on the CPU: the driver plays them right, in every number type that
//! the models use.

use candle_core::{D, DType, Device, Result, Tensor};
use libtest_mimic::Trial;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What is computed on both devices from the same three tensors.
type Operation = fn(&[Tensor; 3]) -> Result<Tensor>;

const OPERATIONS: &[(&str, Operation)] = &[
    ("matmul", |[a, b, _]| a.matmul(&b.t()?)),
    ("matmul_of_transposed", |[a, b, _]| a.t()?.contiguous()?.t()?.matmul(&b.contiguous()?.t()?)),
    ("matmul_in_batches", |[a, b, _]| {
        let heads = |x: &Tensor| x.reshape((x.dim(0)?, 3, 11))?.transpose(0, 1);
        heads(a)?.contiguous()?.matmul(&heads(b)?.transpose(1, 2)?.contiguous()?)
    }),
    ("matmul_of_one_row", |[a, b, _]| a.narrow(0, 4, 1)?.matmul(&b.t()?)),
    ("broadcast", |[a, _, row]| a.broadcast_mul(row)?.broadcast_add(row)),
    ("strided", |[a, b, _]| a.t()?.narrow(0, 3, 20)?.add(&b.narrow(0, 0, 7)?.t()?.narrow(0, 1, 20)?)),
    ("unary", |[a, _, _]| a.gelu_erf()?.add(&a.silu()?)?.add(&a.tanh()?)?.add(&a.sqr()?.exp()?)),
    ("gelu", |[a, _, _]| a.gelu()),
    ("affine", |[a, _, _]| a.t()?.affine(0.5, -1.25)),
    ("softmax", |[a, _, _]| candle_nn::ops::softmax_last_dim(a)),
    ("softmax_by_parts", |[a, _, _]| candle_nn::ops::softmax(a, 0)),
    ("layer_norm", |[a, _, row]| candle_nn::ops::layer_norm(a, row, row, 1e-5)),
    ("sum", |[a, _, _]| a.sum(0)),
    ("mean_of_columns", |[a, _, _]| a.t()?.mean_keepdim(D::Minus1)),
    ("largest", |[a, _, _]| a.max(0)),
    ("place_of_the_largest", |[a, _, _]| a.argmax(D::Minus1)),
    // The order of equals is free.
    ("sorted", |[a, _, _]| a.gather(&a.contiguous()?.arg_sort_last_dim(false)?, 1)),
    ("rows_by_index", |[a, _, _]| a.index_select(&Tensor::new(&[6u32, 0, 6, 2], a.device())?, 0)),
    ("gather", |[a, _, _]| a.gather(&Tensor::new(&[[1u32, 32], [0, 5]], a.device())?.contiguous()?, 1)),
    ("choice", |[a, b, _]| a.gt(&b.narrow(0, 0, 7)?)?.where_cond(a, &b.narrow(0, 0, 7)?)),
    ("concatenation", |[a, b, _]| Tensor::cat(&[&a.t()?, &b.t()?], 1)),
    ("convolution", |[a, b, _]| {
        let signal = Tensor::cat(&[a, a, a], 1)?.reshape((1, 7, 99))?;
        signal.conv1d(&b.narrow(0, 0, 7)?.narrow(1, 0, 21)?.contiguous()?.reshape((7, 7, 3))?, 1, 2, 1, 1)
    }),
    ("grouped_convolution", |[a, b, _]| {
        a.reshape((1, 7, 33))?.conv1d(
            &b.narrow(0, 0, 7)?.narrow(1, 0, 5)?.contiguous()?.reshape((7, 1, 5))?,
            2,
            1,
            1,
            7,
        )
    }),
    ("plane_convolution", |[a, b, _]| {
        let kernel = b.narrow(0, 0, 6)?.narrow(1, 0, 9)?.contiguous()?.reshape((6, 1, 3, 3))?;
        a.reshape((1, 1, 7, 33))?.conv2d(&kernel, 1, 2, 1, 1)
    }),
    ("casts", |[a, _, _]| {
        a.to_dtype(DType::F16)?.to_dtype(DType::F32)?.to_dtype(DType::BF16)?.to_dtype(DType::F64)?.to_dtype(a.dtype())
    }),
    ("whole_numbers", |[a, _, _]| a.affine(40.0, 0.0)?.abs()?.to_dtype(DType::U32)?.to_dtype(DType::I64)),
];

/// One trial for each operation.
pub fn trials() -> Vec<Trial> {
    let trial = |&(name, operation): &(&'static str, Operation)| {
        Trial::test(format!("device_equals_cpu::{name}"), move || {
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 1e-2), (DType::BF16, 8e-2)] {
                check(operation, dtype, tolerance).map_err(|error| format!("{dtype:?}: {error}"))?;
            }
            Ok(())
        })
    };
    OPERATIONS.iter().map(trial).collect()
}

fn inputs(dtype: DType) -> Result<[Tensor; 3]> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut tensor = |shape: (usize, usize)| {
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| random.gen_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)
    };
    Ok([tensor((7, 33))?, tensor((13, 33))?, tensor((1, 33))?.squeeze(0)?])
}

fn check(operation: Operation, dtype: DType, tolerance: f64) -> Result<()> {
    let on_cpu = inputs(dtype)?;
    let device = Device::new_cuda(0)?;
    let [a, b, c] = &on_cpu;
    let on_device = [a.to_device(&device)?, b.to_device(&device)?, c.to_device(&device)?];
    // Candle's CPU lacks some operations in bf16; in f32 it has all of them.
    let in_single = [a.to_dtype(DType::F32)?, b.to_dtype(DType::F32)?, c.to_dtype(DType::F32)?];
    let (expected, found) = (operation(&on_cpu).or_else(|_| operation(&in_single))?, operation(&on_device)?);
    assert!(found.device().is_cuda());
    assert_eq!(expected.dims(), found.dims());
    let flat = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all();
    let difference = (flat(&expected)? - flat(&found)?)?.abs()?.max(0)?.to_scalar::<f64>()?;
    // A difference of NaN is no difference below the tolerance.
    if difference < tolerance {
        return Ok(());
    }
    candle_core::bail!("differs by {difference:e}:\n{expected}\n{found}")
}
