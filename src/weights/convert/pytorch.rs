//! From a PyTorch checkpoint to `model.safetensors`. Only tensors are read; pickled code is never run.

use std::path::Path;

use candle_core::{DType, Tensor, pickle::PthTensors};

use super::tensor_file::{self, Entry};
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// Counters that PyTorch keeps for training; inference has no use for them.
const TRAINING_COUNTER: &str = "num_batches_tracked";

/// Converts the checkpoint at `source`; `key` names the state dict inside it, where it is not the checkpoint itself.
/// `keep` chooses tensors by name.
///
/// # Errors
/// [`Error::Weights`] when it is not a PyTorch checkpoint in the zip format or holds no tensors; [`Error::Machine`] when
/// the result cannot be written.
pub(super) fn convert(source: &Path, destination: &Path, key: Option<&str>, keep: impl Fn(&str) -> bool) -> Result<()> {
    let unfit = |reason: &dyn std::fmt::Display| {
        Error::Weights(format!("`{}` cannot be read as a PyTorch checkpoint: {reason}", source.display()))
    };
    let length = std::fs::metadata(source).map_err(|error| file_error("read", source, &error))?.len();
    let checkpoint = PthTensors::new(source, key).map_err(|error| unfit(&error))?;
    let mut entries = Vec::new();
    for (name, info) in checkpoint.tensor_infos() {
        if name.ends_with(TRAINING_COUNTER) || !keep(name) {
            continue;
        }
        let shape = info.layout.dims().to_vec();
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64));
        let bytes = elements.and_then(|count| count.checked_mul(info.dtype.size_in_bytes() as u64));
        let bytes = bytes
            .filter(|&bytes| bytes <= length)
            .ok_or_else(|| unfit(&format!("`{name}` is larger than the file")))?;
        let dtype = spelling(info.dtype).ok_or_else(|| unfit(&format!("`{name}` is of type {:?}", info.dtype)))?;
        entries.push(Entry { name: name.clone(), dtype: dtype.into(), shape, bytes });
    }
    if entries.is_empty() {
        return Err(unfit(&"it holds no tensors"));
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    tensor_file::write(destination, &entries, |index, output| {
        let name = &entries[index].name;
        let tensor = checkpoint.get(name).map_err(|error| unfit(&error))?;
        let tensor = tensor.ok_or_else(|| unfit(&format!("`{name}` is missing")))?;
        let bytes = bytes_of(&tensor).map_err(|error| unfit(&error))?;
        output.write_all(&bytes).map_err(|error| file_error("write", destination, &error))
    })
}

/// The element type as safetensors spells it; `None` for types that no checkpoint here uses.
fn spelling(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F16 => Some("F16"),
        DType::BF16 => Some("BF16"),
        DType::F32 => Some("F32"),
        DType::F64 => Some("F64"),
        DType::I64 => Some("I64"),
        DType::U8 => Some("U8"),
        _ => None,
    }
}

/// The elements in row-major order, little-endian.
fn bytes_of(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::F16 => flat.to_vec1::<half::f16>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::BF16 => flat.to_vec1::<half::bf16>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::F32 => flat.to_vec1::<f32>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::F64 => flat.to_vec1::<f64>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::I64 => flat.to_vec1::<i64>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::U8 => flat.to_vec1::<u8>()?,
        other => candle_core::bail!("unsupported element type {other:?}"),
    })
}
