//! From an ONNX model to `model.safetensors`: its stored tensors only, the graph is not read.
//!
//! A model is a Protocol Buffers message: field 7 is the graph, whose fields 5 are the tensors; a tensor has dimensions
//! (field 1), an element type (2, where 1 means f32), a name (8) and its bytes in little-endian order (9).
//! Reference: `onnx.proto` of the ONNX project, and the wire format of Protocol Buffers.

use std::path::Path;

use super::tensor_file::{self, Entry};
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// The element type that stands for f32.
const F32: u64 = 1;

/// Converts the f32 tensors of the model at `source` whose names begin with `prefix`, which is cut off.
///
/// # Errors
/// [`Error::Weights`] when it is not an ONNX model or holds no such tensor; [`Error::Machine`] when a file cannot be read or
/// written.
pub(super) fn convert(source: &Path, destination: &Path, prefix: &str) -> Result<()> {
    let model = std::fs::read(source).map_err(|error| file_error("read", source, &error))?;
    let unfit =
        |reason: &str| Error::Weights(format!("`{}` cannot be read as an ONNX model: {reason}", source.display()));
    let mut tensors = tensors(&model).ok_or_else(|| unfit("it is damaged"))?;
    tensors.retain(|tensor| tensor.name.starts_with(prefix) && tensor.is_whole_f32());
    if tensors.is_empty() {
        return Err(unfit(&format!("it holds no f32 tensor whose name begins with `{prefix}`")));
    }
    let entry = |tensor: &StoredTensor| Entry {
        name: tensor.name[prefix.len()..].to_string(),
        dtype: "F32".to_owned(),
        shape: tensor.shape.iter().map(|&size| size as usize).collect(),
        bytes: tensor.data.len() as u64,
    };
    let entries: Vec<Entry> = tensors.iter().map(entry).collect();
    tensor_file::write(destination, &entries, |index, output| {
        output.write_all(tensors[index].data).map_err(|error| file_error("write", destination, &error))
    })
}

/// A tensor whose bytes lie in the model.
#[derive(Debug, Default, PartialEq)]
struct StoredTensor<'a> {
    name: &'a str,
    shape: Vec<u64>,
    element: u64,
    data: &'a [u8],
}

impl StoredTensor<'_> {
    fn is_whole_f32(&self) -> bool {
        let bytes = self.shape.iter().try_fold(4u64, |product, &size| product.checked_mul(size));
        self.element == F32 && bytes == Some(self.data.len() as u64)
    }
}

/// All stored tensors of a model; `None` when the bytes are no such message.
fn tensors(model: &[u8]) -> Option<Vec<StoredTensor<'_>>> {
    let graph = fields(model)?.into_iter().find_map(|field| match field {
        (7, Value::Bytes(graph)) => Some(graph),
        _ => None,
    })?;
    let stored = fields(graph)?.into_iter().filter_map(|field| match field {
        (5, Value::Bytes(tensor)) => Some(tensor),
        _ => None,
    });
    stored.map(tensor).collect()
}

fn tensor(message: &[u8]) -> Option<StoredTensor<'_>> {
    let mut tensor = StoredTensor::default();
    for field in fields(message)? {
        match field {
            (1, Value::Number(size)) => tensor.shape.push(size),
            (1, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    tensor.shape.push(number(&mut packed)?);
                }
            }
            (2, Value::Number(element)) => tensor.element = element,
            (8, Value::Bytes(name)) => tensor.name = std::str::from_utf8(name).ok()?,
            (9, Value::Bytes(data)) => tensor.data = data,
            _ => {}
        }
    }
    Some(tensor)
}

/// The value of a field.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Number(u64),
    /// Text, bytes, packed numbers or an inner message.
    Bytes(&'a [u8]),
    /// A number of fixed width, which nothing here reads.
    Fixed,
}

/// The fields of a message in order, each with its number.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut message)?),
            1 => message.split_off(..8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                Value::Bytes(message.split_off(..length)?)
            }
            5 => message.split_off(..4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

/// Takes a number off the front: seven bits a byte, lowest first; the top bit says that more follow.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_field(field: u8, contents: &[u8]) -> Vec<u8> {
        let mut message = vec![field << 3 | 2, contents.len() as u8];
        message.extend_from_slice(contents);
        message
    }

    /// A model with the f32 tensor `net.a` (2, 1) and the i64 tensor `net.b`.
    fn model() -> Vec<u8> {
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let a = [vec![8, 2, 8, 1, 16, 1], bytes_field(8, b"net.a"), bytes_field(9, &data)].concat();
        let b = [bytes_field(1, &[1]), vec![16, 7], bytes_field(8, b"net.b"), bytes_field(9, &[0; 8])].concat();
        let graph = [bytes_field(1, b"node"), bytes_field(5, &a), bytes_field(5, &b)].concat();
        [vec![8, 0x96, 0x01], bytes_field(7, &graph)].concat()
    }

    #[test]
    fn tensors_of_the_prefix_are_kept_as_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, destination) = (folder.path().join("model.onnx"), folder.path().join("model.safetensors"));
        std::fs::write(&source, model()).expect("written");
        convert(&source, &destination, "net.").expect("converted");
        let bytes = std::fs::read(&destination).expect("read");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.names(), ["a"]);
        let a = file.tensor("a").expect("a");
        assert_eq!(a.shape(), [2, 1]);
        assert_eq!(a.data(), [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat());
        let message = convert(&source, &destination, "other.").map_err(|error| error.to_string());
        assert!(message.is_err_and(|text| text.contains("`other.`")));
    }

    #[test]
    fn damaged_models_are_refused_without_a_panic() {
        let whole = model();
        assert_eq!(tensors(&whole).map(|tensors| tensors.len()), Some(2));
        for length in 0..whole.len() {
            assert_eq!(tensors(&whole[..length]), None, "cut to {length}");
        }
        for index in 0..whole.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[index] = value;
                let kept = tensors(&damaged).unwrap_or_default();
                assert!(kept.iter().all(|tensor| tensor.data.len() <= whole.len()));
            }
        }
    }
}
