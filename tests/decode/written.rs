//! Recordings written here: every width, every container that needs no encoder, Opus, and headers that lie.

use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::Trial;
use palabra::{
    Error,
    audio::decode::{Decoded, Limits, decode_bytes, decode_file},
    progress::{StageName, Watch},
};

use crate::forge::{self, Width};

const SECONDS: f64 = 1.5;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 22] = [
        ("every_width_of_wave", every_width_of_wave),
        ("every_rate_of_wave", every_rate_of_wave),
        ("large_kinds_of_wave", large_kinds_of_wave),
        ("extensible_wave", extensible_wave),
        ("every_width_of_au", every_width_of_au),
        ("aiff", aiff),
        ("opus_in_ogg", opus_in_ogg),
        ("opus_in_webm", opus_in_webm),
        ("a_pause_in_webm_keeps_its_length", a_pause_in_webm_keeps_its_length),
        ("joined_ogg_files", joined_ogg_files),
        ("stereo_and_its_traps", stereo_and_its_traps),
        ("lengths_that_lie", lengths_that_lie),
        ("truncation_keeps_what_is_there", truncation_keeps_what_is_there),
        ("odd_chunks_with_and_without_padding", odd_chunks_with_and_without_padding),
        ("values_that_are_no_numbers", values_that_are_no_numbers),
        ("floats_on_an_integer_scale", floats_on_an_integer_scale),
        ("impossible_headers", impossible_headers),
        ("what_is_not_audio", what_is_not_audio),
        ("what_cannot_be_read", what_cannot_be_read),
        ("limits", limits),
        ("cancelling_and_progress", cancelling_and_progress),
        ("memory_stays_bounded", memory_stays_bounded),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(format!("written::{name}"), move || {
            test();
            Ok(())
        })
    };
    tests.into_iter().map(trial).collect()
}

fn decode(bytes: Vec<u8>) -> Result<Decoded, Error> {
    decode_bytes(bytes, None, &Limits::default(), &Watch::silent())
}

fn decoded(bytes: Vec<u8>) -> Decoded {
    decode(bytes).expect("a recording that can be decoded")
}

/// The sentence with which `bytes` are refused.
fn refusal(bytes: Vec<u8>) -> String {
    match decode(bytes) {
        Err(Error::Audio(sentence)) => sentence,
        other => panic!("not refused as audio: {other:?}"),
    }
}

/// Correlation at zero lag over what both have.
pub fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let common = a.len().min(b.len());
    let centred = |samples: &[f32]| {
        let mean = samples[..common].iter().map(|sample| f64::from(*sample)).sum::<f64>() / common as f64;
        samples[..common].iter().map(|sample| f64::from(*sample) - mean).collect::<Vec<f64>>()
    };
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let (a, b) = (centred(a), centred(b));
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

fn reference() -> Vec<f32> {
    forge::sound(16_000, SECONDS).into_iter().map(|sample| sample as f32).collect()
}

/// Checks length and likeness; the level too, where `level` is what the recording keeps of it.
fn assert_sounds_like_reference(recording: &Decoded, level: f64, what: &str) {
    let (samples, reference) = (recording.audio.samples(), reference());
    let off = samples.len().abs_diff(reference.len());
    assert!(off <= 1, "{what}: {} samples instead of {}", samples.len(), reference.len());
    let likeness = correlation(samples, &reference);
    assert!(likeness > 0.999, "{what}: correlation {likeness:.5}");
    let energy = |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>().sqrt();
    let kept = energy(samples) / energy(&reference);
    assert!((kept / level - 1.0).abs() < 0.02, "{what}: level {kept:.4} instead of {level}");
}

fn every_width_of_wave() {
    for width in Width::WAVE {
        let recording = decoded(forge::wave(width, 16_000, 1, &forge::sound(16_000, SECONDS)));
        assert_sounds_like_reference(&recording, 1.0, &format!("{width:?}"));
        assert_eq!((recording.source_rate, recording.channels), (16_000, 1));
        assert_eq!(recording.warnings, Vec::<String>::new(), "{width:?}");
    }
}

fn every_rate_of_wave() {
    for rate in [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000] {
        let recording = decoded(forge::wave(Width::Signed16, rate, 1, &forge::sound(rate, SECONDS)));
        assert_sounds_like_reference(&recording, 1.0, &format!("{rate} Hz"));
        assert_eq!(recording.source_rate, rate);
    }
}

fn large_kinds_of_wave() {
    let sound = forge::sound(16_000, SECONDS);
    assert_sounds_like_reference(&decoded(forge::rf64(Width::Signed16, 16_000, &sound)), 1.0, "RF64");
    assert_sounds_like_reference(&decoded(forge::wave64(Width::Signed24, 16_000, &sound)), 1.0, "Wave64");
}

fn extensible_wave() {
    let sound: Vec<f64> = forge::sound(16_000, SECONDS).into_iter().flat_map(|sample| [sample, sample]).collect();
    let mut format = forge::format_chunk(Width::Signed24, 16_000, 2);
    format[..2].copy_from_slice(&[0xfe, 0xff]);
    // 22 more bytes: 20 valid bits, left and right, and PCM's GUID.
    format.extend([22, 0, 20, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    let file = forge::riff(&[forge::chunk(b"fmt ", &format), forge::chunk(b"data", &Width::Signed24.encode(&sound))]);
    let recording = decoded(file);
    assert_sounds_like_reference(&recording, 1.0, "extensible");
    assert_eq!(recording.channels, 2);
}

fn every_width_of_au() {
    use Width::{ALaw, Float32, Float64, MuLaw, Signed8, Signed16, Signed24, Signed32};
    let sound = forge::sound(16_000, SECONDS);
    for width in [Signed8, Signed16, Signed24, Signed32, Float32, Float64, ALaw, MuLaw] {
        for length in [None, Some(u32::MAX)] {
            let recording = decoded(forge::au(width, 16_000, &sound, length));
            assert_sounds_like_reference(&recording, 1.0, &format!("AU {width:?}"));
        }
    }
}

fn aiff() {
    let recording = decoded(forge::aiff(44_100, &forge::sound(44_100, SECONDS)));
    assert_sounds_like_reference(&recording, 1.0, "AIFF");
}

fn opus_in_ogg() {
    let recording = decoded(forge::ogg(&forge::opus(&forge::sound(48_000, SECONDS))));
    let samples = recording.audio.samples();
    assert_eq!(samples.len(), reference().len(), "run-in and padding are cut exactly");
    assert!(correlation(samples, &reference()) > 0.99, "in its place: {}", correlation(samples, &reference()));
    assert_eq!((recording.codec.as_str(), recording.channels), ("Opus", 1));
    assert_eq!(recording.warnings, Vec::<String>::new());
}

fn opus_in_webm() {
    let recording = decoded(forge::webm(&forge::opus(&forge::sound(48_000, SECONDS)), 0..0, 0));
    let samples = recording.audio.samples();
    // Without a statement about padding the last packet is played to its end.
    assert!((24_000..24_000 + 320).contains(&samples.len()), "{} samples", samples.len());
    assert!(correlation(samples, &reference()) > 0.99, "{}", correlation(samples, &reference()));
}

fn a_pause_in_webm_keeps_its_length() {
    let stream = forge::opus(&forge::sound(48_000, SECONDS));
    let recording = decoded(forge::webm(&stream, 30..stream.packets.len(), 2000));
    let seconds = recording.audio.duration();
    assert!((seconds - SECONDS - 2.0).abs() < 0.03, "{seconds} s");
    let samples = recording.audio.samples();
    assert!(samples[10_000..40_000].iter().all(|sample| sample.abs() < 0.05), "silence in the pause");
    assert!(correlation(&samples[..9_000], &reference()) > 0.99);
    // Matroska's clock ticks in milliseconds, 16 samples each.
    let behind = (41_980..42_020).map(|start| correlation(&samples[start..start + 8_000], &reference()[10_000..]));
    assert!(behind.fold(0.0, f64::max) > 0.98);
}

fn joined_ogg_files() {
    let file = forge::ogg(&forge::opus(&forge::sound(48_000, SECONDS)));
    let other = {
        let mut stream = forge::opus(&forge::sound(48_000, SECONDS));
        stream.head[16..18].copy_from_slice(&0_u16.to_le_bytes());
        forge::ogg(&stream)
    };
    let recording = decoded([file, other].concat());
    let samples = recording.audio.samples();
    assert!((samples.len() as f64 - 48_000.0).abs() < 700.0, "both parts: {} samples", samples.len());
    assert!(correlation(&samples[24_000..], &reference()) > 0.95, "{}", correlation(&samples[24_000..], &reference()));
}

fn stereo_and_its_traps() {
    let sound = forge::sound(16_000, SECONDS);
    let with = |channels: u16, frame: fn(f64) -> Vec<f64>| {
        let interleaved: Vec<f64> = sound.iter().flat_map(|&sample| frame(sample)).collect();
        decoded(forge::wave(Width::Float32, 16_000, channels, &interleaved))
    };
    assert_sounds_like_reference(&with(2, |sample| vec![sample, sample]), 1.0, "the same on both sides");
    assert_sounds_like_reference(&with(2, |sample| vec![sample, 0.0]), 0.5, "left only");
    assert_sounds_like_reference(&with(6, |sample| vec![0.0, 0.0, sample, 0.0, 0.0, 0.0]), 1.0 / 6.0, "centre of six");
    let opposite = with(2, |sample| vec![sample, -sample]);
    assert_sounds_like_reference(&opposite, 1.0, "opposite sides");
    assert!(opposite.warnings[0].contains("cancel each other"), "{:?}", opposite.warnings);
}

fn lengths_that_lie() {
    let sound = forge::sound(16_000, SECONDS);
    let file = forge::wave(Width::Signed16, 16_000, 1, &sound);
    for (riff_length, data_length, warned) in [
        (0, 0, false),
        (u32::MAX, u32::MAX, false),
        (48_036, 0x7fff_fff0, false),
        (48_036, 10_000_000, true),
        (4, 48_000, false),
    ] {
        let mut lying = file.clone();
        lying[4..8].copy_from_slice(&u32::to_le_bytes(riff_length));
        lying[40..44].copy_from_slice(&u32::to_le_bytes(data_length));
        let recording = decoded(lying);
        assert_sounds_like_reference(&recording, 1.0, &format!("data length {data_length}"));
        assert_eq!(recording.warnings.iter().any(|warning| warning.contains("promises")), warned, "{data_length}");
    }
}

fn truncation_keeps_what_is_there() {
    let sound = forge::sound(48_000, SECONDS);
    let opus = forge::opus(&sound);
    for (name, file) in [("wave", forge::wave(Width::Signed16, 48_000, 1, &sound)), ("ogg", forge::ogg(&opus))] {
        let half = file[..file.len() / 2].to_vec();
        let recording = decoded(half);
        let seconds = recording.audio.duration();
        assert!((0.3..SECONDS * 0.6).contains(&seconds), "{name}: {seconds} s");
        assert!(correlation(recording.audio.samples(), &reference()) > 0.99, "{name}");
    }
    let wave = forge::wave(Width::Signed16, 48_000, 1, &sound);
    let recording = decoded(wave[..wave.len() / 2].to_vec());
    assert!(recording.warnings[0].contains("promises 1.5 s"), "{:?}", recording.warnings);
}

fn odd_chunks_with_and_without_padding() {
    let format = forge::chunk(b"fmt ", &forge::format_chunk(Width::Signed16, 16_000, 1));
    let data = forge::chunk(b"data", &Width::Signed16.encode(&forge::sound(16_000, SECONDS)));
    let mut junk = forge::chunk(b"JUNK", b"seven b");
    assert_sounds_like_reference(&decoded(forge::riff(&[format.clone(), junk.clone(), data.clone()])), 1.0, "padded");
    junk.pop();
    assert_sounds_like_reference(&decoded(forge::riff(&[format, junk, data])), 1.0, "not padded");
}

fn values_that_are_no_numbers() {
    let mut sound = forge::sound(16_000, SECONDS);
    for (index, value) in [(100, f64::NAN), (200, f64::INFINITY), (300, f64::NEG_INFINITY), (400, 1e30)] {
        sound[index] = value;
    }
    let recording = decoded(forge::wave(Width::Float32, 16_000, 1, &sound));
    assert!(recording.audio.samples().iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
    assert_sounds_like_reference(&recording, 1.0, "four bad samples");
    assert!(recording.warnings[0].starts_with("4 samples"), "{:?}", recording.warnings);
}

fn floats_on_an_integer_scale() {
    let sound: Vec<f64> = forge::sound(16_000, SECONDS).iter().map(|sample| sample * 32_768.0).collect();
    let recording = decoded(forge::wave(Width::Float32, 16_000, 1, &sound));
    assert!(recording.audio.samples().iter().all(|sample| sample.abs() <= 1.0));
    assert!(correlation(recording.audio.samples(), &reference()) > 0.999);
    assert!(recording.warnings[0].contains("times full scale"), "{:?}", recording.warnings);
}

fn impossible_headers() {
    let file = forge::wave(Width::Signed16, 16_000, 1, &forge::sound(16_000, 0.1));
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(file)
    };
    assert!(with(24, &[0; 4]).contains("sample rate of 0"));
    assert!(with(24, &u32::MAX.to_le_bytes()).contains("sample rate of 4294967295"));
    assert!(with(22, &[0, 0]).contains("0 channels"));
    assert!(with(22, &[0xff, 0xff]).contains("more than 64 channels"));
    assert!(with(34, &[64, 0]).contains("8, 16, 24 nor 32 bits"));
    assert!(with(20, &[0x31, 0]).contains("GSM 6.10"));
    assert!(with(20, &[0x99, 0x99]).contains("unknown codec"));
    assert!(refusal(file[..20].to_vec()).contains("cut short"));
    let header_only = decoded(file[..44].to_vec());
    assert_eq!((header_only.audio.samples().len(), header_only.channels), (0, 0));
    assert!(header_only.warnings.iter().any(|warning| warning.contains("no samples")), "{:?}", header_only.warnings);
}

fn what_is_not_audio() {
    assert!(refusal(Vec::new()).contains("empty"));
    assert!(refusal(b"Good morning.\n".to_vec()).contains("text"));
    assert!(refusal(b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec()).contains("JPEG"));
    assert!(refusal(b"#!AMR\n\x3c\x91\x17".repeat(9)).contains("AMR-NB"));
    let noise: Vec<u8> = (0..50_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(refusal(noise.clone()).contains("no audio format is recognised"), "{}", refusal(noise.clone()));
    match decode_bytes(noise, Some("G722"), &Limits::default(), &Watch::silent()) {
        Err(Error::Audio(sentence)) => assert!(sentence.contains("G.722"), "{sentence}"),
        other => panic!("{other:?}"),
    }
}

fn what_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gone.wav");
    let sentence = |path: &std::path::Path| match decode_file(path, &Limits::default(), &Watch::silent()) {
        Err(Error::Audio(sentence)) => sentence,
        other => panic!("{other:?}"),
    };
    assert!(sentence(&file).contains("gone.wav: there is no such file"), "{}", sentence(&file));
    assert!(sentence(folder.path()).contains("this is a folder"), "{}", sentence(folder.path()));
    // A name is no hint: this is a WAVE file.
    let misnamed = folder.path().join("ünïcode 日本.mp3");
    std::fs::write(&misnamed, forge::wave(Width::Signed16, 16_000, 1, &forge::sound(16_000, SECONDS))).expect("room");
    let recording = decode_file(&misnamed, &Limits::default(), &Watch::silent()).expect("a recording");
    assert_sounds_like_reference(&recording, 1.0, "misnamed");
}

fn limits() {
    let file = forge::wave(Width::Signed16, 16_000, 1, &forge::sound(16_000, SECONDS));
    let bytes = file.len() as u64;
    let with = |max_seconds, max_bytes| {
        decode_bytes(file.clone(), None, &Limits { max_seconds, max_bytes }, &Watch::silent())
            .map_err(|error| error.to_string())
    };
    assert!(with(Some(SECONDS), Some(bytes)).is_ok());
    assert!(with(Some(SECONDS - 0.1), None).is_err_and(|sentence| sentence.contains("limit of 1.4 seconds")));
    assert!(with(None, Some(bytes - 1)).is_err_and(|sentence| sentence.contains("larger than the limit")));
}

fn cancelling_and_progress() {
    let file = forge::wave(Width::Signed16, 16_000, 1, &forge::sound(16_000, 35.0));
    let cancelled = AtomicBool::new(false);
    let steps = std::sync::Mutex::new(Vec::new());
    let report = |progress: palabra::progress::Progress| {
        assert_eq!(progress.stage, StageName::Decode);
        steps.lock().expect("no panic before").push((progress.done, progress.total));
    };
    decode_bytes(file.clone(), None, &Limits::default(), &Watch::new(&report, &cancelled)).expect("a recording");
    let seen = steps.lock().expect("no panic before").clone();
    assert!(seen.len() >= 4 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&(35.0, 35.0)));
    let stop = |_| cancelled.store(true, Ordering::Relaxed);
    let result = decode_bytes(file, None, &Limits::default(), &Watch::new(&stop, &cancelled));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
}

/// Ten minutes at 48 kHz in stereo are 220 MiB as floats; beyond the 37 MiB that come out, next to nothing is held.
fn memory_stays_bounded() {
    let minute: Vec<f64> = forge::sound(48_000, 2.0).into_iter().flat_map(|sample| [sample, sample]).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("long.wav");
    let data = Width::Unsigned8.encode(&minute).repeat(300);
    let format = forge::chunk(b"fmt ", &forge::format_chunk(Width::Unsigned8, 48_000, 2));
    std::fs::write(&path, forge::riff(&[format, forge::chunk(b"data", &data)])).expect("room");
    let (recording, peak) = crate::peak_of(|| decode_file(&path, &Limits::default(), &Watch::silent()));
    let samples = recording.expect("a recording").audio.samples().len();
    assert_eq!(samples, 600 * 16_000);
    let beyond = peak.saturating_sub(samples * 4);
    println!("memory beyond the samples of 10 minutes: {:.2} MiB", beyond as f64 / 1_048_576.0);
    assert!(beyond < 4 << 20, "{beyond} bytes");
}
