//! What the tests that need weights or reference recordings share: they look for what they need when they start, and a
//! test whose need is not met is listed as ignored with the reason in its name.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use libtest_mimic::{Failed, Trial};
use palabra::{
    audio::decode::{Decoded, Limits, decode_file},
    device::{Compute, Devices},
    engine::{Engine, EngineOptions},
    progress::Watch,
    weights::{Store, StoreOptions},
};

/// A test that needs something: `need` is either that thing or the reason why it is not there.
pub fn trial<T, F>(name: &str, need: &Result<T, String>, body: F) -> Trial
where
    T: Clone + Send + 'static,
    F: FnOnce(T) + Send + 'static,
{
    match need {
        Ok(value) => {
            let value = value.clone();
            Trial::test(name, move || -> Result<(), Failed> {
                body(value);
                Ok(())
            })
        }
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

/// The project's reference recordings, which lie beside the checkout where they exist.
pub fn reference_data() -> Result<PathBuf, String> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if data.join("dev/manifest.jsonl").is_file() { Ok(data) } else { Err("needs ../shared/data".into()) }
}

/// A golden file under `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The folder of a model of the manifest, fetched where it is not in the cache.
pub fn weights(name: &str) -> Result<PathBuf, String> {
    let options = StoreOptions { quiet: true, ..StoreOptions::default() };
    let store = Store::open(&options).map_err(|error| error.to_string())?;
    store.fetch(name, &Watch::silent()).map_err(|error| format!("needs the weights of {name}: {error}"))
}

/// An engine on the CPU that stays with the models on this machine.
pub fn engine(options: EngineOptions) -> Engine {
    engine_on(Compute::cpu(), options)
}

/// The same on other devices.
pub fn engine_on(devices: impl Into<Devices>, options: EngineOptions) -> Engine {
    let store = Store::open(&StoreOptions { quiet: true, offline: true, ..StoreOptions::default() }).unwrap();
    Engine::new(store, devices, options)
}

/// The samples of a file.
pub fn decoded(file: &Path) -> Decoded {
    decode_file(file, &Limits::default(), &Watch::silent()).unwrap()
}

/// Every `step`-th slice along an axis.
pub fn stride(tensor: &Tensor, axis: usize, step: usize) -> Tensor {
    let size = tensor.dim(axis).unwrap() as u32;
    let chosen: Vec<u32> = (0..size).step_by(step).collect();
    tensor.index_select(&Tensor::new(chosen, &Device::Cpu).unwrap(), axis).unwrap()
}

/// Prints the largest absolute and relative difference and where it is, and fails above `tolerance` (absolute).
pub fn compare(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f32) {
    let (largest, place, _) = differences(what, ours, reference, tolerance);
    assert!(largest <= tolerance, "{what}: {largest:.2e} at {place} exceeds {tolerance:.0e}");
}

/// As [`compare`], for tensors of which single values amplify rounding: one value in a thousand may differ by up to
/// `outliers`.
pub fn compare_most(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f32, outliers: f32) {
    let (largest, place, beyond) = differences(what, ours, reference, tolerance);
    println!("{what}: {beyond} of {} values differ by more than {tolerance:.0e}", ours.elem_count());
    assert!(largest <= outliers, "{what}: {largest:.2e} at {place} exceeds {outliers:.0e}");
    assert!(beyond * 1000 <= ours.elem_count(), "{what}: {beyond} values exceed {tolerance:.0e}");
}

/// The largest absolute difference, its place, and how many exceed `tolerance`.
fn differences(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f32) -> (f32, usize, usize) {
    assert_eq!(ours.dims(), reference.dims(), "{what}: shapes");
    let flat = |tensor: &Tensor| -> Vec<f32> {
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (ours, reference_values) = (flat(ours), flat(reference));
    let (mut absolute, mut relative, mut place, mut beyond) = (0f32, 0f32, 0, 0);
    for (index, (a, b)) in ours.iter().zip(&reference_values).enumerate() {
        assert!(a.is_finite(), "{what}: value {index} is {a}");
        let difference = (a - b).abs();
        relative = relative.max(difference / b.abs().max(1e-3));
        beyond += usize::from(difference > tolerance);
        if difference > absolute {
            (absolute, place) = (difference, index);
        }
    }
    println!("{what} {:?}: max abs {absolute:.2e} at {place}, max rel {relative:.2e}", reference.dims());
    (absolute, place, beyond)
}

/// A WAV file of 16 kHz and 16 bits with these channels, equally long.
pub fn wave(channels: &[&[i16]]) -> Vec<u8> {
    let count = channels.len() as u16;
    let length = channels.first().map_or(0, |channel| channel.len());
    let frames = (0..length).flat_map(|index| channels.iter().map(move |channel| channel[index]));
    let bytes: Vec<u8> = frames.flat_map(i16::to_le_bytes).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(count.to_le_bytes());
    file.extend(16_000u32.to_le_bytes());
    file.extend((32_000 * u32::from(count)).to_le_bytes());
    file.extend((2 * count).to_le_bytes());
    file.extend(b"\x10\0data");
    file.extend((bytes.len() as u32).to_le_bytes());
    file.extend(bytes);
    file
}
