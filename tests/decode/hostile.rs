//! Damaged files by the thousand: none may panic, hang or fill the memory.
//!
//! `PALABRA_MUTATIONS` sets how many are tried (10 000 unless set), `PALABRA_MUTATION_SEED` where the sequence starts. The
//! project's odd files join the ones written here as seeds where they are.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use palabra::{
    Error,
    audio::decode::{Limits, decode_bytes},
    progress::Watch,
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    forge::{self, Width},
    support,
};

/// Seeds are cut to this length, so that a run is made of many files rather than long ones.
const SEED_BYTES: usize = 40_000;

/// No file of that size may take longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Nor hold more than this, the samples of [`LIMIT_SECONDS`] included.
const MOST_MEMORY: usize = 256 << 20;

const LIMIT_SECONDS: f64 = 900.0;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("hostile::mutated_files", || {
        mutated_files();
        Ok(())
    })]
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let sound = forge::sound(16_000, 0.5);
    let opus = forge::opus(&forge::sound(48_000, 0.5));
    let mut seeds: Vec<(String, Vec<u8>)> = Width::WAVE
        .iter()
        .map(|&width| (format!("{width:?}.wav"), forge::wave(width, 44_100, 2, &sound)))
        .chain([
            ("rf64.wav".to_owned(), forge::rf64(Width::Signed16, 16_000, &sound)),
            ("wave64.w64".to_owned(), forge::wave64(Width::Signed16, 16_000, &sound)),
            ("ima.wav".to_owned(), forge::ima_adpcm(20)),
            ("sun.au".to_owned(), forge::au(Width::Signed16, 16_000, &sound, None)),
            ("apple.aiff".to_owned(), forge::aiff(44_100, &sound)),
            ("opus.ogg".to_owned(), forge::ogg(&opus)),
            ("opus.webm".to_owned(), forge::webm(&opus, 5..9, 300)),
        ])
        .collect();
    if let Ok(data) = support::reference_data() {
        seeds.extend(odd_files(&data.join("odd")));
    }
    seeds
}

fn odd_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the odd files").flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: &Path| {
        let mut bytes = std::fs::read(path).ok()?;
        // An index at the end of an MP4 file would be lost by cutting it.
        let movie = bytes.get(4..8) == Some(b"ftyp");
        bytes.truncate(if movie { 4 * SEED_BYTES } else { SEED_BYTES });
        Some((path.file_name()?.to_string_lossy().into_owned(), bytes))
    };
    files.iter().filter_map(|path| read(path)).filter(|(_, bytes)| bytes.len() > 16).collect()
}

/// Damages `file` in one to eight places, most of them near its start, where the headers are.
fn mutate(file: &[u8], other: &[u8], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..1 + random.next_u32() % 8 {
        let length = file.len().max(9);
        file.resize(length, 0);
        let reach = [64, 512, 4096, length][random.next_u32() as usize % 4].min(length - 8);
        let at = random.next_u32() as usize % reach;
        let span = 1 + random.next_u32() as usize % 64;
        match random.next_u32() % 9 {
            0 | 1 => file[at] ^= 1 << (random.next_u32() % 8),
            2 => file[at] = random.next_u32() as u8,
            3 => file[at..at + 4].copy_from_slice(&extreme(random).to_le_bytes()),
            4 => file[at..at + 4].copy_from_slice(&extreme(random).to_be_bytes()),
            5 => file.truncate(at + random.next_u32() as usize % (length - at)),
            6 => drop(file.drain(at..(at + span).min(length))),
            7 => {
                let copied = file[at..(at + span).min(length)].to_vec();
                file.splice(at..at, copied);
            }
            _ => {
                let from = random.next_u32() as usize % other.len();
                file.splice(at.., other[from..].iter().copied());
            }
        }
    }
    file
}

fn extreme(random: &mut Xoshiro256PlusPlus) -> u32 {
    const VALUES: [u32; 12] =
        [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
    VALUES[random.next_u32() as usize % VALUES.len()]
}

fn mutated_files() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let (count, seed) = (number("PALABRA_MUTATIONS", 10_000), number("PALABRA_MUTATION_SEED", 1));
    let limits = Limits { max_seconds: Some(LIMIT_SECONDS), max_bytes: None };
    let seeds = seeds();
    let (mut decoded, mut refused) = (0, 0);
    let (mut slowest, mut largest) = ((Duration::ZERO, 0, ""), (0, 0, ""));
    // Panics inside a codec are contained; they are counted here instead of being printed.
    let printing = panic::take_hook();
    panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let start = Instant::now();
    let mut failure = None;
    for index in 0..count {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(index));
        let (name, file) = &seeds[random.next_u32() as usize % seeds.len()];
        let (_, other) = &seeds[random.next_u32() as usize % seeds.len()];
        let bytes = mutate(file, other, &mut random);
        let began = Instant::now();
        let attempt = AssertUnwindSafe(|| decode_bytes(bytes.clone(), None, &limits, &Watch::silent()));
        let (result, peak) = crate::peak_of(|| panic::catch_unwind(attempt));
        let took = began.elapsed();
        slowest = slowest.max((took, index, name));
        largest = largest.max((peak, index, name));
        match result {
            Ok(Ok(recording)) if recording.audio.samples().iter().all(|sample| sample.is_finite()) => decoded += 1,
            Ok(Err(Error::Audio(sentence))) if !sentence.is_empty() => refused += 1,
            Ok(other) => failure = Some(format!("{name}, mutation {index}: {other:?}")),
            Err(_) => failure = Some(format!("{name}, mutation {index}: a panic came through")),
        }
        if took > LONGEST || peak > MOST_MEMORY {
            failure = Some(format!("{name}, mutation {index}: {took:?}, {peak} bytes"));
        }
        if failure.is_some() {
            let kept = std::env::temp_dir().join(format!("palabra-mutation-{seed}-{index}"));
            std::fs::write(&kept, &bytes).expect("room for the file that failed");
            println!("kept as {}", kept.display());
            break;
        }
    }
    panic::set_hook(printing);
    println!(
        "{count} mutations of {} files in {:.1} s: {decoded} decoded, {refused} refused, {} panics contained; \
         slowest {:?} ({}, {}), most memory {:.1} MiB ({}, {})",
        seeds.len(),
        start.elapsed().as_secs_f64(),
        PANICS.load(Ordering::Relaxed),
        slowest.0,
        slowest.2,
        slowest.1,
        largest.0 as f64 / 1_048_576.0,
        largest.2,
        largest.1,
    );
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}
