//! wav2vec2, HuBERT and WavLM against transformers: tiny random networks of every variant at every boundary, and, where
//! PALABRA_TEST_WAV2VEC2 names a folder that tests/golden/generate_wav2vec2.py has filled, networks of full size.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors::load};
use candle_nn::VarBuilder;
use libtest_mimic::Trial;
use palabra::{
    device::Compute,
    engine,
    models::wav2vec2::{Boundary, Config, Wav2Vec2},
    progress::Watch,
    weights::{Store, StoreOptions},
};
use serde_json::{Value, json};

use crate::support::{compare, golden, trial};

const VARIANTS: [&str; 9] =
    ["base", "base_with_biases", "large", "layer_norm_post", "mms", "hubert", "hubert_large", "wavlm", "wavlm_large"];

/// The tests of this file.
pub fn trials() -> Vec<Trial> {
    let variants = VARIANTS.map(|variant| {
        trial(&format!("wav2vec2::every_boundary_of_{variant}"), &Ok(()), move |()| every_boundary(variant))
    });
    let mut trials = Vec::from(variants);
    let full =
        |name: &str| match std::env::var_os("PALABRA_TEST_WAV2VEC2").map(|folder| PathBuf::from(folder).join(name)) {
            Some(folder) if folder.join("golden.safetensors").is_file() => Ok(folder),
            _ => Err("needs PALABRA_TEST_WAV2VEC2, a folder that generate_wav2vec2.py has filled".into()),
        };
    trials.extend([
        trial("wav2vec2::batch_equals_one_by_one", &Ok(()), |()| batch_equals_one_by_one()),
        trial("wav2vec2::any_prefix_will_do", &Ok(()), |()| any_prefix_will_do()),
        trial("wav2vec2::what_is_missing_is_named", &Ok(()), |()| what_is_missing_is_named()),
        trial("wav2vec2::a_pickled_checkpoint_in_a_folder", &Ok(()), |()| a_pickled_checkpoint_in_a_folder()),
        trial("wav2vec2::full_size_base", &full("base"), full_size),
        trial("wav2vec2::full_size_xlsr_300m", &full("xlsr-300m"), full_size),
    ]);
    trials
}

type Tensors = HashMap<String, Tensor>;

fn tensors() -> Tensors {
    load(golden("wav2vec2.safetensors"), &Device::Cpu).unwrap()
}

fn description() -> Value {
    serde_json::from_slice(&std::fs::read(golden("wav2vec2.json")).unwrap()).unwrap()
}

fn config(variant: &str) -> Config {
    let described = &description()["variants"][variant];
    let config: Config = serde_json::from_value(described["config"].clone()).unwrap();
    Config { do_normalize: described["do_normalize"].as_bool().unwrap(), ..config }
}

/// The checkpoint's tensors by their own names.
fn checkpoint(variant: &str, tensors: &Tensors) -> Tensors {
    let own = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(variant)?.strip_prefix('/')?.to_owned(), tensor.clone()))
    };
    tensors.iter().filter_map(own).collect()
}

fn network(checkpoint: Tensors, config: &Config) -> candle_core::Result<Wav2Vec2> {
    Wav2Vec2::load(&VarBuilder::from_tensors(checkpoint, DType::F32, &Device::Cpu), config)
}

fn tiny(variant: &str) -> Wav2Vec2 {
    network(checkpoint(variant, &tensors()), &config(variant)).unwrap()
}

/// The generator that the golden script uses: every value exact in f32.
fn pseudo_noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0 - 0.375
    };
    (0..count).map(|_| next()).collect()
}

fn clips() -> Vec<Vec<f32>> {
    let lengths: Vec<usize> = serde_json::from_value(description()["lengths"].clone()).unwrap();
    lengths.into_iter().enumerate().map(|(index, length)| pseudo_noise(length, index as u32 + 1)).collect()
}

fn slices(clips: &[Vec<f32>]) -> Vec<&[f32]> {
    clips.iter().map(Vec::as_slice).collect()
}

fn name(boundary: Boundary) -> String {
    match boundary {
        Boundary::Features => "features".into(),
        Boundary::Projection => "projection".into(),
        Boundary::Positions => "positions".into(),
        Boundary::Block(index) => format!("block{index}"),
        Boundary::Logits => "logits".into(),
    }
}

fn every_boundary(variant: &str) {
    let (tensors, network, clips) = (tensors(), tiny(variant), clips());
    let step = description()["step"].as_u64().unwrap() as usize;
    let mut seen = Vec::new();
    let scores = network.forward_observed(&slices(&clips), &mut |boundary, tensor| {
        seen.push((boundary, tensor.squeeze(0).unwrap()));
    });
    assert_eq!(seen.len(), 4 + network.config().num_hidden_layers);
    for (boundary, ours) in &seen {
        let name = name(*boundary);
        let kept = if name == "logits" { 1 } else { step };
        let rows: Vec<u32> = (0..ours.dim(0).unwrap() as u32).step_by(kept).collect();
        let ours = ours.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 0).unwrap();
        compare(&format!("{variant} {name}"), &ours, &tensors[&format!("{variant}.{name}")], 5e-5);
    }
    let expected = candle_nn::ops::log_softmax(&tensors[&format!("{variant}.logits")], 1).unwrap();
    let scores = scores.unwrap();
    let frames: Vec<usize> = scores.iter().map(|scores| scores.dim(0).unwrap()).collect();
    assert_eq!(frames, [103, 12, 38, 1]);
    assert_eq!(frames, clips.iter().map(|clip| network.frames(clip.len())).collect::<Vec<_>>());
    compare(&format!("{variant} log-probabilities"), &Tensor::cat(&scores, 0).unwrap(), &expected, 5e-5);
}

fn batch_equals_one_by_one() {
    for variant in VARIANTS {
        let (network, clips) = (tiny(variant), clips());
        let together = network.forward(&slices(&clips)).unwrap();
        for (clip, together) in clips.iter().zip(&together) {
            let alone = network.forward(&[clip]).unwrap();
            compare(&format!("{variant}, {} samples", clip.len()), &alone[0], together, 0.0);
        }
        assert!(network.forward(&[]).unwrap().is_empty());
        let nothing = network.forward(&[&[]]).unwrap();
        compare(&format!("{variant}, no samples"), &nothing[0], &network.forward(&[&[0.0; 400]]).unwrap()[0], 0.0);
    }
}

fn any_prefix_will_do() {
    let (tensors, config, clips) = (tensors(), config("large"), clips());
    let own = checkpoint("large", &tensors);
    let expected = network(own.clone(), &config).unwrap().forward(&slices(&clips[..1])).unwrap();
    for prefix in ["", "model.", "hubert.", "wavlm."] {
        let renamed = own.iter().map(|(name, tensor)| (name.replace("wav2vec2.", prefix), tensor.clone())).collect();
        let ours = network(renamed, &config).unwrap().forward(&slices(&clips[..1])).unwrap();
        compare(&format!("prefix `{prefix}`"), &ours[0], &expected[0], 0.0);
    }
}

fn what_is_missing_is_named() {
    let (own, config) = (checkpoint("base", &tensors()), config("base"));
    let without = |part: &str| {
        let rest = own.iter().filter(|(name, _)| !name.contains(part));
        let rest: Tensors = rest.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        assert!(rest.len() < own.len());
        network(rest, &config).unwrap_err().to_string()
    };
    assert!(without("lm_head").contains("wav2vec2 without a CTC head"));
    assert!(without("feature_extractor").contains("no wav2vec2 checkpoint"));
    assert!(without("layers.1.attention.k_proj.bias").contains("layers.1.attention.k_proj.bias"));
    assert!(without("original1").contains("pos_conv_embed.conv.weight"));
    let wider = Config { hidden_size: 64, ..config.clone() };
    assert!(network(own.clone(), &wider).unwrap_err().to_string().contains("projection"));
}

/// The folder's model through the store, with a cache of its own.
fn resolve(folder: &Path, cache: &Path) -> PathBuf {
    let options = StoreOptions { root: Some(cache.to_owned()), offline: true, quiet: true, ..StoreOptions::default() };
    Store::open(&options).unwrap().resolve_aligner(folder.to_str().unwrap(), &Watch::silent()).unwrap()
}

fn a_pickled_checkpoint_in_a_folder() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, value: &Value| std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    std::fs::copy(golden("wav2vec2.bin"), folder.path().join("pytorch_model.bin")).unwrap();
    write("config.json", &description()["variants"]["base"]["config"]);
    write("vocab.json", &json!({"[PAD]": 11, "|": 0, "a": 1, "ñ": 2}));
    write("preprocessor_config.json", &json!({"do_normalize": true, "sampling_rate": 16000, "feature_size": 1}));
    let place = resolve(folder.path(), cache.path());
    assert!(place.starts_with(cache.path()));
    assert_eq!(resolve(folder.path(), cache.path()), place, "it was converted once");
    assert_eq!(resolve(&place, cache.path()), place, "what was converted is used as it is");
    let (network, labels) = engine::wav2vec2(&place, &Compute::cpu()).unwrap();
    assert_eq!((labels.blank(), labels.delimiter(), labels.of('Ñ'), labels.count()), (11, Some(0), Some(2), 12));
    let clips = clips();
    let (ours, expected) = (network.forward(&slices(&clips)).unwrap(), tiny("base").forward(&slices(&clips)).unwrap());
    for (ours, expected) in ours.iter().zip(&expected) {
        compare("from a pickled checkpoint", ours, expected, 0.0);
    }
}

fn full_size(folder: PathBuf) {
    let (cache, golden) =
        (tempfile::tempdir().unwrap(), load(folder.join("golden.safetensors"), &Device::Cpu).unwrap());
    let (network, _) = engine::wav2vec2(&resolve(&folder, cache.path()), &Compute::cpu()).unwrap();
    let wave = golden["wave"].to_vec1::<f32>().unwrap();
    let ours = network.forward(&[&wave]).unwrap();
    compare(&folder.display().to_string(), &ours[0], &golden["log_probabilities"], 1e-4);
}
