//! The aligner head against the network that was trained, with random weights: `tests/golden/generate_aligner.py`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::models::aligner::{Aligner, Config};
use safetensors::SafeTensors;

use crate::support::{self, trial};

/// The tests of this file.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("aligner::both_outputs", &Ok(()), |()| both_outputs()),
        trial("aligner::a_part_is_the_beginning_of_the_whole", &Ok(()), |()| part_of_the_whole()),
        trial("aligner::what_lacks_a_part_is_refused", &Ok(()), |()| lacking_parts()),
    ]
}

struct Golden {
    tensors: HashMap<String, Tensor>,
    config: Config,
}

impl Golden {
    fn open() -> Self {
        let file = std::fs::read(support::golden("aligner.safetensors")).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
        let config = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["palabra"]).unwrap();
        Self { tensors: candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap(), config }
    }

    fn load(&self) -> candle_core::Result<Aligner> {
        let vb = VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &Device::Cpu);
        Aligner::load(&vb.pp("weights"), self.config.clone())
    }

    /// The states of the taps, and the mel frames.
    fn given(&self) -> (Vec<Tensor>, Tensor) {
        let taps = &self.tensors["given.taps"]; // (B, taps, T, C)
        let tap = |index| taps.narrow(1, index, 1).unwrap().squeeze(1).unwrap();
        ((0..3).map(tap).collect(), self.tensors["given.mel"].clone())
    }
}

fn worst(ours: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(ours.dims(), expected.dims());
    let difference = (ours - expected).unwrap().abs().unwrap();
    difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn both_outputs() {
    let golden = Golden::open();
    let (taps, mel) = golden.given();
    let heard = golden.load().unwrap().forward(&mel, &taps, 60).unwrap();
    let outputs = [("ctc", &heard.ctc), ("frame", heard.frame.as_ref().unwrap())];
    for (name, ours) in outputs {
        let error = worst(ours, &golden.tensors[&format!("expected.{name}")]);
        println!("{name}: max abs error {error:.1e}");
        assert!(error < 2e-5, "{name}: {error}");
    }
}

fn part_of_the_whole() {
    let golden = Golden::open();
    let (taps, mel) = golden.given();
    let head = golden.load().unwrap();
    for frames in [1, 7, 43, 59] {
        let part = head.forward(&mel, &taps, frames).unwrap().ctc;
        let error = worst(&part, &golden.tensors["expected.ctc"].narrow(1, 0, frames).unwrap());
        assert!(error < 2e-5, "{frames} frames: {error}");
    }
}

fn lacking_parts() {
    let mut golden = Golden::open();
    golden.tensors.remove("weights.frame.weight");
    let (taps, mel) = golden.given();
    assert!(golden.load().unwrap().forward(&mel, &taps, 5).unwrap().frame.is_none(), "the second output is optional");
    golden.tensors.remove("weights.ctc.weight");
    assert!(golden.load().unwrap_err().to_string().contains("ctc.weight"));
    let mut golden = Golden::open();
    golden.config.labels.retain(|label| label != "|");
    assert!(golden.load().unwrap_err().to_string().contains("border"));
}
