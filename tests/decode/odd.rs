//! The project's odd files against what is expected of each.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use palabra::{
    Error,
    audio::decode::{Decoded, Limits, decode_file},
    progress::Watch,
};

use crate::{support, written::correlation};

/// What decoding a file must give.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The reference speech: seconds, and the correlation with the reference that it reaches at zero lag.
    Speech(f64, f64),
    /// The reference speech behind the encoder's run-in, which nothing in the file tells of.
    Delayed(f64),
    /// Something else of this length, in seconds.
    Sound(f64),
    /// A refusal whose sentence contains this.
    Refused(&'static str),
}

use Expected::{Delayed, Refused, Sound, Speech};

const EXPECTED: &[(&str, Expected)] = &[
    ("aac_adts.aac", Delayed(11.03)),
    ("ac3.ac3", Refused("AC-3")),
    ("aiff.aiff", Speech(11.0, 0.9999)),
    ("amr_nb.amr", Refused("AMR-NB")),
    ("au.au", Speech(11.0, 0.9999)),
    ("caf.caf", Speech(11.0, 0.9999)),
    ("clipped_plus30db.wav", Speech(11.0, 0.7)),
    ("dc_offset.wav", Speech(11.0, 0.9999)),
    ("flac_16bit.flac", Speech(11.0, 0.9999)),
    ("flac_24bit.flac", Speech(11.0, 0.9999)),
    ("flac_51.flac", Speech(11.0, 0.9999)),
    ("flac_truncated.flac", Speech(5.328, 0.9999)),
    ("g722.g722", Refused("G.722")),
    ("gsm.gsm", Refused("GSM 6.10")),
    ("long_2h.opus", Sound(7200.018)),
    ("loop.ogg", Sound(110.173)),
    ("m4a_aac.m4a", Speech(11.0, 0.995)),
    ("m4a_aac_faststart.m4a", Speech(11.0, 0.995)),
    ("m4a_alac.m4a", Speech(11.0, 0.9999)),
    ("m4a_fragmented.m4a", Delayed(11.03)),
    ("m4a_truncated_no_moov.m4a", Refused("without its index (moov)")),
    ("mka_two_tracks_first_silent.mkv", Delayed(11.072)),
    ("mp3_8k_mpeg25.mp3", Speech(11.0, 0.95)),
    ("mp3_cbr64.mp3", Speech(11.0, 0.995)),
    ("mp3_id3_cover.mp3", Speech(11.0, 0.995)),
    ("mp3_junk_head.mp3", Speech(11.0, 0.995)),
    ("mp3_named.wav", Speech(11.0, 0.995)),
    ("mp3_truncated.mp3", Speech(5.46, 0.995)),
    ("mp3_vbr_stereo.mp3", Speech(11.0, 0.995)),
    ("mp4_named.wav", Speech(11.0, 0.995)),
    ("music_like_60s.wav", Sound(60.0)),
    ("name with spaces – ünïcode 日本.wav", Speech(11.0, 0.9999)),
    ("nan_inf_float.wav", Sound(1.0)),
    ("opus.ogg", Speech(11.0, 0.99)),
    ("opus.webm", Speech(11.0135, 0.99)),
    ("opus_ext.opus", Speech(11.0, 0.99)),
    ("quiet_minus45db.wav", Speech(11.0, 0.999)),
    ("random_bytes.mp3", Refused("no audio format is recognised")),
    ("ref_16k_mono.wav", Speech(11.0, 0.99999)),
    ("rf64.wav", Speech(11.0, 0.9999)),
    ("silence_30s.wav", Sound(30.0)),
    ("text_renamed.mp3", Refused("text")),
    ("text_renamed.wav", Refused("text")),
    ("tones_60s.wav", Sound(60.0)),
    ("video.mkv", Speech(11.0135, 0.99)),
    ("video.mov", Speech(11.0, 0.995)),
    ("video.mp4", Speech(11.0, 0.995)),
    ("video.ts", Refused("MPEG transport stream")),
    ("video.webm", Speech(11.009, 0.99)),
    ("video_no_audio.mp4", Refused("no sound")),
    ("vorbis.ogg", Speech(11.0, 0.99)),
    ("w64.w64", Speech(11.0, 0.9999)),
    ("wav_11025.wav", Speech(11.0, 0.9999)),
    ("wav_1_sample.wav", Sound(0.0)),
    ("wav_20_bytes.wav", Refused("cut short")),
    ("wav_24bit.wav", Speech(11.0, 0.9999)),
    ("wav_32bit.wav", Speech(11.0, 0.9999)),
    ("wav_48k.wav", Speech(11.0, 0.9999)),
    ("wav_50ms.wav", Sound(0.05)),
    ("wav_51_centre.wav", Speech(11.0, 0.9999)),
    ("wav_8bit.wav", Speech(11.0, 0.999)),
    ("wav_8k.wav", Speech(11.0, 0.999)),
    ("wav_96k.wav", Speech(11.0, 0.9999)),
    ("wav_adpcm_ima.wav", Speech(11.098, 0.999)),
    ("wav_adpcm_ms.wav", Speech(11.071, 0.998)),
    ("wav_alaw_8k.wav", Speech(11.0, 0.999)),
    ("wav_channels_zero.wav", Refused("0 channels")),
    ("wav_float32.wav", Speech(11.0, 0.9999)),
    ("wav_float64.wav", Speech(11.0, 0.9999)),
    ("wav_gsm610.wav", Refused("GSM 6.10")),
    ("wav_header_only.wav", Sound(0.0)),
    ("wav_len_ffffffff.wav", Speech(11.0, 0.9999)),
    ("wav_len_too_long.wav", Speech(11.0, 0.9999)),
    ("wav_len_zero.wav", Speech(11.0, 0.9999)),
    ("wav_mulaw_8k.wav", Speech(11.0, 0.999)),
    ("wav_odd_junk_chunk.wav", Speech(11.0, 0.9999)),
    ("wav_rate_zero.wav", Refused("sample rate of 0")),
    ("wav_stereo_44k.wav", Speech(11.0, 0.9999)),
    ("wav_stereo_antiphase.wav", Speech(11.0, 0.9999)),
    ("wav_stereo_left_only.wav", Speech(11.0, 0.9999)),
    ("wav_without_extension", Speech(11.0, 0.9999)),
    ("wavpack.wv", Refused("WavPack")),
    ("white_noise_30s.wav", Sound(30.0)),
    ("wma.wma", Refused("Windows Media")),
    ("zero_byte.wav", Refused("empty")),
];

/// Files of which something is lost, and a word of the warning about it.
const WARNED: &[(&str, &str)] = &[
    ("flac_truncated.flac", "cut short"),
    ("mka_two_tracks_first_silent.mkv", "track 2"),
    ("mp3_truncated.mp3", "promises 11.0 s"),
    ("nan_inf_float.wav", "not numbers"),
    ("wav_header_only.wav", "no samples"),
    ("wav_len_too_long.wav", "promises"),
    ("wav_stereo_antiphase.wav", "cancel each other"),
];

pub fn trials() -> Vec<Trial> {
    let need = support::reference_data().map(|data| data.join("odd"));
    let mut trials: Vec<Trial> = EXPECTED
        .iter()
        .map(|&(name, expected)| {
            support::trial(&format!("odd::{name}"), &need, move |folder| check(&folder, name, expected))
        })
        .collect();
    trials.push(support::trial("odd::every_file_is_in_the_table", &need, |folder| every_file_is_in_the_table(&folder)));
    trials
}

fn decode(path: &Path) -> Result<Decoded, Error> {
    decode_file(path, &Limits::default(), &Watch::silent())
}

fn check(folder: &Path, name: &str, expected: Expected) {
    let result = decode(&folder.join(name));
    if let Refused(part) = expected {
        match result {
            Err(Error::Audio(sentence)) => assert!(sentence.contains(part) && sentence.contains(name), "{sentence}"),
            other => panic!("not refused: {other:?}"),
        }
        return;
    }
    let recording = result.expect("a recording");
    let reference = decode(&folder.join("ref_16k_mono.wav")).expect("the reference");
    let (samples, reference) = (recording.audio.samples(), reference.audio.samples());
    assert!(samples.iter().all(|sample| sample.is_finite()));
    let seconds = match expected {
        Speech(seconds, least) => {
            let likeness = correlation(samples, reference);
            assert!(likeness > least, "correlation {likeness:.5}, at least {least} expected");
            println!("{name}: correlation {likeness:.5}");
            seconds
        }
        Delayed(seconds) => {
            // One frame of AAC: 1024 samples at the file's rate.
            let delay = (1024.0 * 16_000.0 / f64::from(recording.source_rate)).round() as usize;
            let likeness = correlation(&samples[delay..], reference);
            assert!(likeness > 0.97, "correlation {likeness:.5} at {delay} samples");
            println!("{name}: correlation {likeness:.5} after {delay} samples of run-in");
            seconds
        }
        Sound(seconds) => seconds,
        Refused(_) => unreachable!("answered above"),
    };
    let duration = recording.audio.duration();
    assert!((duration - seconds).abs() < 0.002, "{duration:.4} s instead of {seconds}");
    match WARNED.iter().find(|(warned, _)| *warned == name) {
        Some((_, part)) => {
            assert!(recording.warnings.iter().any(|warning| warning.contains(part)), "{:?}", recording.warnings);
        }
        None => assert_eq!(recording.warnings, Vec::<String>::new()),
    }
}

fn every_file_is_in_the_table(folder: &Path) {
    let listed = std::fs::read_to_string(folder.join("expect.tsv")).expect("the list of files");
    let names = listed.lines().skip(1).filter_map(|line| line.split('\t').next());
    let missing: Vec<PathBuf> =
        names.filter(|name| !EXPECTED.iter().any(|(known, _)| known == name)).map(PathBuf::from).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
