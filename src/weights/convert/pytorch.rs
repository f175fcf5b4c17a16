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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// `torch.save({"state_dict": {"a": 0..6 as 2 x 3, "b": 0..4 in float16, "c": a transposed, "n.num_batches_tracked": 3}, "epoch": 3})`
    const CHECKPOINT: &[u8] = include_bytes!("../../../tests/golden/checkpoint.pth");

    fn converted(checkpoint: &[u8], key: Option<&str>) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, destination) = (folder.path().join("checkpoint"), folder.path().join("model.safetensors"));
        std::fs::write(&source, checkpoint).expect("written");
        convert(&source, &destination, key, |name| name != "b")?;
        Ok(std::fs::read(destination).expect("read"))
    }

    #[test]
    fn tensors_come_across() {
        let bytes = converted(CHECKPOINT, Some("state_dict")).expect("converted");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.names().len(), 2, "neither the counter nor what is not kept");
        let values = |name: &str| -> Vec<f32> {
            let data = file.tensor(name).expect("a tensor").data();
            data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
        };
        assert_eq!(values("a"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(file.tensor("c").expect("c").shape(), [3, 2]);
        assert_eq!(values("c"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for (bytes, key) in
            [(&b"not a zip"[..], None), (&CHECKPOINT[..200], None), (CHECKPOINT, None), (CHECKPOINT, Some("model"))]
        {
            assert!(matches!(converted(bytes, key), Err(Error::Weights(_))));
        }
    }

    #[test]
    fn mutated_pickles_never_panic() {
        let mut archive = ZipArchive::new(Cursor::new(CHECKPOINT)).expect("an archive");
        let mut members = Vec::new();
        for index in 0..archive.len() {
            let mut member = archive.by_index(index).expect("a member");
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).expect("read");
            members.push((member.name().to_owned(), bytes));
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        for _ in 0..1_000 {
            let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
            for (name, bytes) in &members {
                let mut bytes = bytes.clone();
                if name.ends_with("data.pkl") {
                    for _ in 0..random.gen_range(1..4) {
                        let position = random.gen_range(0..bytes.len());
                        bytes[position] = random.r#gen();
                    }
                }
                writer.start_file(name.as_str(), SimpleFileOptions::default()).expect("a member");
                writer.write_all(&bytes).expect("written");
            }
            let checkpoint = writer.finish().expect("an archive").into_inner();
            drop(converted(&checkpoint, Some("state_dict")));
        }
    }
}
