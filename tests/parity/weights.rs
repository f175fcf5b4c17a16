//! Converted checkpoints against the tensors that the reference implementations read from the published files.

use std::{collections::BTreeMap, fs, path::Path};

use half::f16;
use libtest_mimic::Trial;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use crate::support;

/// Shape and the first 16 digits of the sha256 of the bytes, by tensor.
type Fingerprints = BTreeMap<String, (Vec<usize>, String)>;

pub fn trials() -> Vec<Trial> {
    let trial = |model: &'static str, count: usize| {
        let name = format!("weights_{}", model.replace(['-', '.'], "_"));
        support::trial(&name, &support::weights(model), move |folder| same_tensors(model, count, &folder))
    };
    vec![trial("whisper-base", 245), trial("segmentation-3.0", 54), trial("campplus", 815)]
}

fn same_tensors(model: &str, count: usize, folder: &Path) {
    let golden = fs::read(support::golden("weights.json")).unwrap();
    let mut golden: BTreeMap<String, Fingerprints> = serde_json::from_slice(&golden).unwrap();
    let golden = golden.remove(model).unwrap();
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let as_half = model.starts_with("whisper");
    let ours: Fingerprints = file.iter().map(|(name, view)| (name.to_owned(), fingerprint(&view, as_half))).collect();
    for (name, expected) in &golden {
        assert_eq!(ours.get(name), Some(expected), "{name}");
    }
    assert_eq!((ours.len(), golden.len()), (count, count));
    println!("{model}: {count} tensors are bit-identical");
}

/// The hub keeps Whisper's float16 values as float32; they are compared as float16, which loses nothing.
fn fingerprint(view: &TensorView<'_>, as_half: bool) -> (Vec<usize>, String) {
    let digest = match (view.dtype(), as_half) {
        (Dtype::F32, true) => {
            let values = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            let halves: Vec<u8> = values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
            Sha256::digest(halves)
        }
        _ => Sha256::digest(view.data()),
    };
    let digits: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    (view.shape().to_vec(), digits)
}
