//! A checkpoint in int8: the weights of its linear layers as values and scales, everything else as it was.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor, safetensors::MmapedSafetensors};

use crate::{
    models::layers::INT8_SCALE,
    ops::{Linear, Precision},
};

/// The layers whose weights become int8, by the end of their names.
const LAYERS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "embed_tokens"];

/// The tensors of a hub checkpoint with its linear layers in int8: beside each `weight` (out, in), now an int8 in each byte
/// (u8), a `weight_scale` (out), f32. [`Whisper::load`](super::Whisper::load) reads both kinds of file.
///
/// # Errors
/// When a tensor cannot be read.
pub fn int8_tensors(checkpoint: &MmapedSafetensors) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for (name, _) in checkpoint.tensors() {
        let tensor = checkpoint.load(&name, &Device::Cpu)?;
        let layer = name.strip_suffix(".weight").filter(|layer| LAYERS.iter().any(|end| layer.ends_with(end)));
        let int8 = match layer {
            Some(layer) if tensor.rank() == 2 => {
                let linear = Linear::with_precision(tensor.to_dtype(DType::F32)?, None, Precision::Int8)?;
                linear.int8_weight()?.map(|parts| (layer, parts))
            }
            _ => None,
        };
        match int8 {
            Some((layer, (values, scales))) => {
                tensors.insert(format!("{layer}.{INT8_SCALE}"), scales);
                tensors.insert(name, values);
            }
            None => {
                tensors.insert(name, tensor);
            }
        }
    }
    Ok(tensors)
}
