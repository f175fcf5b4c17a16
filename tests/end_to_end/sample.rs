//! The first command of a new user: the sample, its speakers, every format.

use std::{collections::BTreeSet, fs, path::Path};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    command::{Needs, Outcome, json, line_of, list, names, number, outcome, palabra, span_of},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    vec![trial("the_sample_with_speakers_in_every_format", &needs.base, |_| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["transcribe", "--sample", "--diarize", "--format", "all", "--output-dir"];
        let outcome = outcome(palabra().args(arguments).arg(folder.path())).succeeded();
        let extensions = ["json", "rttm", "srt", "tsv", "txt", "vtt"];
        assert_eq!(names(folder.path()), extensions.map(|extension| format!("sample.{extension}")));
        check_console(&outcome);
        check_json(&json(&folder.path().join("sample.json")));
        check_srt(&read(folder.path(), "srt"));
        check_vtt(&read(folder.path(), "vtt"));
        check_rttm(&read(folder.path(), "rttm"));
        check_tables(&outcome, &read(folder.path(), "txt"), &read(folder.path(), "tsv"));
        assert!(outcome.stderr.contains("30.0 s of English") && outcome.stderr.contains("sample.srt"), "{outcome:?}");
    })]
}

fn read(folder: &Path, extension: &str) -> String {
    fs::read_to_string(folder.join(format!("sample.{extension}"))).unwrap()
}

fn speaker_of(text: &str) -> &str {
    let speaker = text.split_once(": ").map_or("", |(speaker, _)| speaker);
    assert!(["SPEAKER_00", "SPEAKER_01"].contains(&speaker), "the speaker of {text:?}");
    speaker
}

fn check_console(outcome: &Outcome) {
    let texts: Vec<&str> = outcome.stdout.lines().map(|line| line_of(line).2).collect();
    let speakers: BTreeSet<&str> = texts.iter().map(|text| speaker_of(text)).collect();
    assert_eq!(speakers.len(), 2, "{outcome:?}");
    assert_eq!(speaker_of(texts[0]), "SPEAKER_00", "the first to speak is the first speaker");
    let first_speaker_of = |part: &str| texts.iter().find(|text| text.contains(part)).map(|text| speaker_of(text));
    let (diane, sheila) = (first_speaker_of("Diane"), first_speaker_of("Sheila"));
    assert!(diane.is_some() && sheila.is_some() && diane != sheila, "{outcome:?}");
    for words in ["New Jersey", "Chicago"] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome:?}");
    }
}

fn check_json(document: &Value) {
    let duration = number(document, "duration");
    assert!((duration - 30.0).abs() < 0.1, "{duration}");
    assert_eq!(document["language"], "en");
    let probability = number(document, "language_probability");
    assert!(probability > 0.5 && probability <= 1.0, "{probability}");
    assert!(document["warnings"].is_array());
    let segments = list(document, "segments");
    let words: Vec<&Value> = segments.iter().flat_map(|segment| list(segment, "words")).collect();
    assert!(segments.len() > 5 && words.len() > 50, "{} segments, {} words", segments.len(), words.len());
    assert_eq!(words, list(document, "word_segments").iter().collect::<Vec<_>>());
    for entries in [segments.iter().collect::<Vec<_>>(), words] {
        let mut before = 0.0;
        for entry in entries {
            let (start, end) = (number(entry, "start"), number(entry, "end"));
            assert!(before <= start && start < end && end <= duration, "after {before}: {entry}");
            assert!(entry["speaker"].as_str().is_some_and(|speaker| speaker.starts_with("SPEAKER_0")), "{entry}");
            before = start;
        }
    }
    for segment in segments {
        let texts: Vec<&str> = list(segment, "words").iter().filter_map(|word| word["word"].as_str()).collect();
        assert_eq!(segment["text"], texts.join(" "));
        assert!(list(segment, "words").iter().all(|word| (0.0..=1.0).contains(&number(word, "score"))), "{segment}");
    }
    let timings = &document["timings"];
    // Speakers are listened to while the text is written.
    let one_by_one = ["load", "decode", "vad", "queue", "transcribe", "align"];
    let sum: f64 = one_by_one.iter().map(|stage| number(timings, stage)).sum();
    let (total, diarize) = (number(timings, "total"), number(timings, "diarize"));
    assert!(sum <= total + 0.01 && total <= sum + diarize + 0.1, "{timings}");
    assert!(number(timings, "transcribe") > 0.0 && diarize > 0.0, "{timings}");
}

/// Cues as start, end and text lines; the times are in order.
fn cues<'a>(blocks: impl Iterator<Item = &'a str>, separator: char) -> Vec<Vec<&'a str>> {
    let mut before = 0.0;
    let cue = |block: &'a str| {
        let mut lines = block.lines();
        let (start, end) = span_of(lines.next().unwrap(), " --> ", separator);
        assert!(before <= start && end <= 30.1, "after {before}: {block}");
        before = start;
        let lines: Vec<&str> = lines.collect();
        assert!((1..=2).contains(&lines.len()) && lines.iter().all(|line| line.len() <= 60), "{block}");
        lines
    };
    blocks.map(cue).collect()
}

fn check_srt(text: &str) {
    let blocks: Vec<&str> = text.trim_end().split("\n\n").collect();
    let numbered = blocks.iter().enumerate().map(|(index, block)| {
        block.strip_prefix(&format!("{}\n", index + 1)).unwrap_or_else(|| panic!("cue {} is {block:?}", index + 1))
    });
    let cues = cues(numbered, ',');
    assert!(cues.len() > 5 && cues.iter().all(|lines| lines[0].starts_with("[SPEAKER_0")), "{text}");
}

fn check_vtt(text: &str) {
    let body = text.strip_prefix("WEBVTT\n\n").unwrap_or_else(|| panic!("{text}"));
    let cues = cues(body.trim_end().split("\n\n"), '.');
    assert!(cues.len() > 5 && cues.iter().all(|lines| lines[0].starts_with("<v SPEAKER_0")), "{text}");
}

fn check_rttm(text: &str) {
    let mut speakers = BTreeSet::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split(' ').collect();
        assert_eq!(columns.len(), 10, "{line}");
        assert_eq!(columns[..3], ["SPEAKER", "sample", "1"]);
        let (start, length): (f64, f64) = (columns[3].parse().unwrap(), columns[4].parse().unwrap());
        assert!(length > 0.0 && start + length <= 30.1, "{line}");
        speakers.insert(columns[7]);
    }
    assert_eq!(speakers.into_iter().collect::<Vec<_>>(), ["SPEAKER_00", "SPEAKER_01"]);
}

/// Text and table have a line for each line on the screen.
fn check_tables(outcome: &Outcome, text: &str, table: &str) {
    let texts = || outcome.stdout.lines().map(|line| line_of(line).2.split_once(": ").unwrap().1);
    assert_eq!(text.lines().count(), texts().count());
    assert!(text.lines().zip(texts()).all(|(line, text)| line.ends_with(text)), "{text}");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], "start\tend\ttext");
    assert_eq!(rows.len() - 1, texts().count());
    for (row, text) in rows[1..].iter().zip(texts()) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (start, end): (u64, u64) = (columns[0].parse().unwrap(), columns[1].parse().unwrap());
        assert!(start < end && columns[2].ends_with(text), "{row}");
    }
}
