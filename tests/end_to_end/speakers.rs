//! Who says what: names of known voices, labels that files share, what a change of speaker does, a speaker in each channel.

use std::{collections::BTreeSet, fs, path::Path};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    command::{
        Needs, Outcome, json, line_of, list, names, outcome, palabra, sample, sample_samples, transcribe, write_wave,
    },
    support::{self, trial},
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let nothing = &Ok(());
    vec![
        trial("what_speakers_cannot_be_asked_for", nothing, |()| refusals()),
        trial("known_voices_have_their_names_in_every_format", &needs.base, |_| known_voices()),
        trial("references_that_tell_no_voice_are_refused", &needs.base, |_| references()),
        trial("a_speaker_keeps_the_label_in_the_next_file", &needs.base, |_| several_files()),
        trial("each_way_of_changing_speakers_keeps_the_text", &needs.base, |_| speaker_changes()),
        trial("a_speaker_in_each_channel", &needs.base, |_| channels()),
        trial("copies_leaks_and_single_channels", &needs.base, |_| odd_channels()),
    ]
}

fn refusals() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.wav");
    write_wave(&file, &[0; 16_000]);
    let text = folder.path().join("text.wav");
    fs::write(&text, "This is no recording at all, it is a text.\n".repeat(20)).unwrap();
    let named = |name: &str, file: &Path| format!("{name}={}", file.display());
    let (nameless, unknown, taken) = (named(" ", &file), named("Ann", &text), named("SPEAKER_01", &file));
    let cases: &[(&[&str], &[&str])] = &[
        (&["--speaker", "Ann=a.wav"], &["--speaker", "add --diarize"]),
        (&["--speaker-changes", "word"], &["--speaker-changes", "add --diarize"]),
        (&["--speaker-embeddings", "--format", "json"], &["--speaker-embeddings", "add --diarize"]),
        (&["--diarize", "--speaker-embeddings", "--format", "srt"], &["--speaker-embeddings", "add --format json"]),
        (&["--diarize", "--channels", "speakers"], &["--channels speakers", "leave out --diarize"]),
        (&["--channels", "mix", "--format", "rttm"], &["rttm", "add --diarize"]),
        (&["--diarize", "--speaker", "Ann"], &["--speaker Ann", "--speaker Ann=ann.wav"]),
        (&["--diarize", "--speaker", "Ann="], &["--speaker Ann=", "a name and a recording"]),
        (&["--diarize", "--speaker", &nameless], &["empty", "give each speaker a name"]),
        (&["--diarize", "--speaker", &taken], &["SPEAKER_01 is what unknown speakers are called"]),
    ];
    for (arguments, parts) in cases {
        transcribe(&file, arguments).refused(2, parts);
    }
    transcribe(&file, &["--diarize", "--speaker", "Ann=missing.wav"])
        .refused(3, &["missing.wav: there is no such file"]);
    transcribe(&file, &["--diarize", "--speaker", &unknown]).refused(3, &["text.wav", "holds text"]);
}

/// The sample from one second to another.
fn part(start: f64, end: f64) -> Vec<i16> {
    let place = |seconds: f64| (seconds * 16_000.0) as usize;
    sample_samples()[place(start)..place(end)].to_vec()
}

/// Three seconds of each of the sample's speakers.
fn write_references(folder: &Path) -> [String; 3] {
    [("Diane", 18.3, 21.3), ("Sheila Lee", 23.0, 26.5), ("Sheila Lee", 14.5, 17.7)].map(|(name, start, end)| {
        let file = folder.join(format!("{start}.wav"));
        write_wave(&file, &part(start, end));
        format!("{name}={}", file.display())
    })
}

fn known_voices() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let mut arguments = vec!["--diarize", "--speaker-embeddings", "--format", "all", "--output-dir"];
    arguments.push(results.to_str().unwrap());
    let references = write_references(folder.path());
    references.iter().for_each(|reference| arguments.extend(["--speaker", reference]));
    let outcome = transcribe(&sample(), &arguments).succeeded();
    let said_by = |part: &str| {
        let line = outcome.stdout.lines().map(|line| line_of(line).2).find(|text| text.contains(part));
        line.and_then(|line| line.split_once(": ")).unwrap_or_else(|| panic!("{part}: {outcome:?}")).0.to_owned()
    };
    assert_eq!([said_by("Diane in"), said_by("Sheila")], ["Diane", "Sheila Lee"], "{outcome:?}");
    let document = json(&results.join("sample.json"));
    let speakers = |key: &str| -> BTreeSet<&str> {
        list(&document, key).iter().map(|entry| entry["speaker"].as_str().unwrap()).collect()
    };
    for key in ["segments", "word_segments", "turns"] {
        assert_eq!(speakers(key), BTreeSet::from(["Diane", "Sheila Lee"]), "{key}");
    }
    let voices = document["speaker_embeddings"].as_object().unwrap();
    assert_eq!(voices.keys().collect::<Vec<_>>().len(), 2, "{:?}", voices.keys());
    for voice in ["Diane", "Sheila Lee"] {
        let squares = voices[voice].as_array().unwrap().iter().map(|value| value.as_f64().unwrap().powi(2));
        assert!((squares.sum::<f64>() - 1.0).abs() < 1e-3, "{voice} has length one");
    }
    let read = |extension: &str| fs::read_to_string(results.join(format!("sample.{extension}"))).unwrap();
    for (extension, diane, sheila) in [
        ("srt", "[Diane]: ", "[Sheila Lee]: "),
        ("vtt", "<v Diane>", "<v Sheila Lee>"),
        ("txt", "[Diane]: ", "[Sheila Lee]: "),
        ("tsv", "[Diane]: ", "[Sheila Lee]: "),
        ("rttm", " Diane ", " Sheila_Lee "),
    ] {
        let text = read(extension);
        assert!(text.contains(diane) && text.contains(sheila) && !text.contains("SPEAKER_0"), "{extension}: {text}");
    }
}

fn references() {
    let folder = tempfile::tempdir().unwrap();
    let (silence, both) = (folder.path().join("silence.wav"), folder.path().join("both.wav"));
    write_wave(&silence, &[0; 48_000]);
    let clip = folder.path().join("clip.wav");
    write_wave(&clip, &part(12.4, 18.0));
    let refused = transcribe(&clip, &["--diarize", "--speaker", &format!("Ann={}", silence.display())]);
    refused.refused(2, &["--speaker Ann=", "silence.wav", "too little to know a voice by"]);
    write_wave(&both, &part(12.0, 30.0));
    let told = transcribe(&clip, &["--diarize", "--speaker", &format!("Ann={}", both.display())]).succeeded();
    assert!(told.stderr.contains("both.wav: more than one voice is heard"), "{told:?}");
}

fn several_files() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.wav"), folder.path().join("second.wav"));
    write_wave(&first, &part(11.0, 30.0));
    // The other speaker is heard first.
    write_wave(&second, &part(21.7, 30.0));
    let label = |outcome: &Outcome, said: &str| {
        let of = |line: &str| Some(line_of(line).2.split_once(": ")?.0.to_owned());
        let lines = outcome.stdout.lines().filter(|line| line.contains(said));
        lines.filter_map(of).collect::<Vec<String>>()
    };
    let alone = outcome(palabra().args(["transcribe", "--diarize"]).arg(&second)).succeeded();
    assert_eq!(label(&alone, "Yankee"), ["SPEAKER_00"], "{alone:?}");
    let both = outcome(palabra().args(["transcribe", "--diarize"]).arg(&first).arg(&second)).succeeded();
    assert_eq!(label(&both, "Diane in"), ["SPEAKER_00"], "{both:?}");
    assert_eq!(label(&both, "Yankee"), ["SPEAKER_01", "SPEAKER_01"], "{both:?}");
}

fn speaker_changes() {
    let mut found: Vec<(usize, String)> = Vec::new();
    for mode in ["none", "smoothed", "word"] {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().to_str().unwrap();
        let arguments = ["--diarize", "--speaker-changes", mode, "--format", "json", "--output-dir", results];
        transcribe(&sample(), &arguments).succeeded();
        let document = json(&folder.path().join("sample.json"));
        let segments = list(&document, "segments");
        for segment in segments {
            assert!(segment["speaker"].is_string(), "{mode}: {segment}");
            let words = list(segment, "words");
            assert!(words.iter().all(|word| word["speaker"] == segment["speaker"]), "{mode}: {segment}");
        }
        let words = list(&document, "word_segments").iter().filter_map(|word| word["word"].as_str());
        found.push((segments.len(), words.collect::<Vec<_>>().join(" ")));
    }
    assert!(found[0].0 <= found[1].0 && found[1].0 <= found[2].0, "{found:?}");
    assert!(found.iter().all(|(_, words)| *words == found[0].1), "{found:?}");
}

/// Writes two channels of 16 kHz samples as a WAV file.
fn write_stereo(path: &Path, left: &[i16], right: &[i16]) {
    fs::write(path, support::wave(&[left, right])).unwrap();
}

/// The sample from 11 s with Diane on the left and Sheila on the right.
fn apart() -> (Vec<i16>, Vec<i16>) {
    let sheila = |index: usize| {
        let time = 11.0 + index as f64 / 16_000.0;
        (14.27..18.0).contains(&time) || (21.6..27.37).contains(&time)
    };
    let whole = part(11.0, 30.0);
    let of = |right: bool| {
        whole.iter().enumerate().map(|(index, sample)| if sheila(index) == right { *sample } else { 0 }).collect()
    };
    (of(false), of(true))
}

/// What `--channels speakers` makes of two channels: what was printed, and the JSON.
fn in_channels(left: &[i16], right: &[i16]) -> (Outcome, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (file, results) = (folder.path().join("call.wav"), folder.path().join("results"));
    write_stereo(&file, left, right);
    let format = ["--channels", "speakers", "--format", "json,rttm", "--output-dir", results.to_str().unwrap()];
    let outcome = transcribe(&file, &format).succeeded();
    assert_eq!(names(&results), ["call.json", "call.rttm"]);
    let rttm = fs::read_to_string(results.join("call.rttm")).unwrap();
    let document = json(&results.join("call.json"));
    assert_eq!(rttm.lines().count(), list(&document, "turns").len());
    (outcome, document)
}

/// What the speaker with this number says.
fn said(document: &Value, speaker: u16) -> String {
    let label = format!("SPEAKER_{speaker:02}");
    let own = list(document, "segments").iter().filter(|segment| segment["speaker"] == label.as_str());
    own.filter_map(|segment| segment["text"].as_str()).collect::<Vec<_>>().join(" ")
}

fn channels() {
    let (left, right) = apart();
    let (outcome, document) = in_channels(&left, &right);
    let (diane, sheila) = (said(&document, 0), said(&document, 1));
    assert!(diane.contains("Diane") && !diane.contains("Yankee"), "{outcome:?}");
    assert!(sheila.contains("Sheila") && sheila.contains("Yankee") && !sheila.contains("Diane"), "{outcome:?}");
    let starts: Vec<f64> =
        list(&document, "segments").iter().map(|segment| segment["start"].as_f64().unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    assert!(list(&document, "word_segments").iter().all(|word| word["speaker"].is_string()));
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
    // The first channel is the first speaker, whoever speaks first.
    let (_, document) = in_channels(&right, &left);
    assert_eq!([said(&document, 1), said(&document, 0)], [diane.clone(), sheila.clone()]);
    // With a leak of 26 dB below, nothing is said twice.
    let leaking: Vec<i16> = right.iter().zip(&left).map(|(own, other)| own.saturating_add(other / 20)).collect();
    let (outcome, document) = in_channels(&left, &leaking);
    assert!(outcome.stderr.contains("channel 2 picks up other channels"), "{outcome:?}");
    assert!(!said(&document, 1).contains("Diane") && said(&document, 1).contains("Sheila"), "{outcome:?}");
    assert_eq!(said(&document, 0), diane);
}

fn odd_channels() {
    let clip = part(12.4, 18.0);
    let (outcome, document) = in_channels(&clip, &clip);
    assert!(outcome.stderr.contains("the channels 1 and 2 are identical"), "{outcome:?}");
    assert_eq!(said(&document, 1), "");
    let once = said(&document, 0);
    assert!(once.contains("Diane") && once.contains("Sheila"), "{once}");
    // One channel, and one that is silent beside another.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mono.wav");
    write_wave(&file, &clip);
    let mono = transcribe(&file, &["--channels", "speakers"]).succeeded();
    assert!(mono.stderr.contains("has one channel"), "{mono:?}");
    assert!(mono.stdout.lines().all(|line| line_of(line).2.starts_with("SPEAKER_00: ")), "{mono:?}");
    let (outcome, document) = in_channels(&vec![0; clip.len()], &clip);
    assert_eq!((said(&document, 0), said(&document, 1)), (String::new(), once));
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
    let (outcome, document) = in_channels(&[0; 32_000], &[0; 32_000]);
    assert!(outcome.stderr.contains("no speech was found"), "{outcome:?}");
    assert!(list(&document, "segments").is_empty() && list(&document, "turns").is_empty());
}
