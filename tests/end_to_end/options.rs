//! Each option does what its help says.

use std::{collections::BTreeSet, path::Path};

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    command::{Needs, Outcome, json, list, names, number, sample, transcribe, write_clip},
    support::{self, trial},
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let (base, tiny) = (&needs.base, &needs.tiny);
    vec![
        trial("align_off_leaves_words_out_and_quiet_says_nothing", base, |_| align_off()),
        trial("align_dtw_times_words_with_an_english_only_model", tiny, |_| align_dtw()),
        trial("batches_and_threads_do_not_change_the_text_and_logs_are_json", base, |_| batches()),
        trial("translate_writes_english", base, |_| translate()),
        trial("a_language_given_is_certain_and_one_speaker_is_one", base, |_| one_speaker()),
        trial("language_auto_and_three_speakers", base, |_| three_speakers()),
        trial("prompts_and_hotwords_set_the_spelling", base, |_| spelling()),
        #[cfg(unix)]
        trial("speech_is_found_by_the_network_asked_for", base, |_| voice_detectors()),
        trial("temperatures_and_thresholds_act", base, |_| temperatures()),
    ]
}

/// A run over the sample's clip and its JSON.
fn clip(arguments: &[&str]) -> (Outcome, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.wav");
    write_clip(&file);
    run(&file, arguments, folder)
}

fn run(file: &Path, arguments: &[&str], folder: TempDir) -> (Outcome, Value) {
    let results = folder.path().join("results");
    let mut arguments = arguments.to_vec();
    arguments.extend(["--format", "json", "--output-dir", results.to_str().unwrap()]);
    let outcome = transcribe(file, &arguments).succeeded();
    let written = names(&results);
    assert_eq!(written.len(), 1, "{written:?}");
    let document = json(&results.join(&written[0]));
    (outcome, document)
}

fn align_off() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, document) = run(&sample(), &["--align", "off", "--quiet"], folder);
    assert_eq!(outcome.stderr, "");
    let segments = list(&document, "segments");
    assert!(segments.len() > 1, "the times that Whisper writes part the text: {segments:?}");
    assert!(segments.iter().all(|segment| list(segment, "words").is_empty()), "{segments:?}");
    assert!(segments.iter().all(|segment| segment["speaker"].is_null()), "{segments:?}");
    assert!(list(&document, "word_segments").is_empty());
    let mut before = 0.0;
    for segment in segments {
        assert!(
            before <= number(segment, "start") && number(segment, "start") < number(segment, "end"),
            "{segments:?}"
        );
        before = number(segment, "end");
    }
    assert!(before <= number(&document, "duration") && outcome.text().contains("New Jersey"), "{outcome:?}");
}

fn align_dtw() {
    let (outcome, document) = clip(&["--model", "tiny.en", "--align", "dtw"]);
    let words = list(&document, "word_segments");
    assert!(words.len() > 15 && outcome.text().contains("New Jersey"), "{outcome:?}");
    assert!(words.iter().all(|word| number(word, "start") < number(word, "end")), "{words:?}");
    assert!(words.windows(2).all(|pair| number(&pair[0], "start") <= number(&pair[1], "start")), "{words:?}");
    assert!(number(words.last().unwrap(), "end") <= number(&document, "duration"));
    assert_eq!(document["language"], "en");
    let refused = transcribe(&sample(), &["--model", "tiny.en", "--task", "translate"]);
    refused.refused(2, &["English-only", "translate", "base"]);
    let refused = transcribe(&sample(), &["--model", "tiny.en", "--language", "de"]);
    refused.refused(2, &["English-only", "german", "base"]);
}

fn batches() {
    let together = transcribe(&sample(), &["--chunk-size", "10", "--json-log"]).succeeded();
    let alone = transcribe(&sample(), &["--chunk-size", "10", "--batch-size", "1", "--threads", "1"]).succeeded();
    assert_eq!(together.text(), alone.text());
    assert!(together.text().contains("New Jersey"), "{together:?}");
    let events: Vec<Value> =
        together.stderr.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let message = |event: &Value| event["fields"]["message"].as_str().unwrap_or_default().to_owned();
    let last = events.last().unwrap();
    assert_eq!(message(&events[0]), "model loaded");
    assert_eq!(message(last), "transcribed");
    assert!(number(&last["fields"], "duration") > 29.0 && number(&last["fields"], "segments") > 3.0, "{last}");
}

fn translate() {
    let german = transcribe(&sample(), &["--language", "german"]).succeeded();
    let english = transcribe(&sample(), &["--language", "german", "--task", "translate"]).succeeded();
    assert!(german.text().contains("ich") && german.stderr.contains("German"), "{german:?}");
    assert!(english.text().contains("I'm originally from Chicago"), "{english:?}");
    assert!(!english.text().contains("ich "), "{english:?}");
}

fn one_speaker() {
    let (_, document) = clip(&["--language", "en", "--diarize", "--num-speakers", "1"]);
    assert_eq!((&document["language"], number(&document, "language_probability")), (&"en".into(), 1.0));
    assert_eq!(speakers(&document), ["SPEAKER_00"]);
}

fn three_speakers() {
    let (_, document) =
        run(&sample(), &["--language", "auto", "--diarize", "--num-speakers", "3"], tempfile::tempdir().unwrap());
    assert_eq!(document["language"], "en");
    assert!(number(&document, "language_probability") < 1.0);
    assert!(list(&document, "segments").iter().all(|segment| segment["language"] == "en"), "{document}");
    assert_eq!(speakers(&document), ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]);
}

/// The speakers who have a turn.
fn speakers(document: &Value) -> Vec<String> {
    let turns = list(document, "turns").iter();
    let speakers: BTreeSet<String> = turns.filter_map(|turn| turn["speaker"].as_str().map(str::to_owned)).collect();
    speakers.into_iter().collect()
}

fn spelling() {
    for option in [["--hotwords", "Dyane"], ["--initial-prompt", "Dyane lives in New Jersey."]] {
        let outcome = transcribe(&sample(), &option).succeeded();
        assert!(outcome.text().contains("Dyane") && !outcome.text().contains("Diane"), "{option:?}: {outcome:?}");
    }
}

/// Each with a cache that lacks what the other one needs.
#[cfg(unix)]
fn voice_detectors() {
    let folder = tempfile::tempdir().unwrap();
    for (detector, own, other) in
        [("pyannote", "segmentation-3.0", "silero-vad"), ("silero", "silero-vad", "segmentation-3.0")]
    {
        let cache = folder.path().join(detector);
        let models = cache.join("models");
        std::fs::create_dir_all(&models).unwrap();
        for name in ["whisper-base", own] {
            std::os::unix::fs::symlink(support::weights(name).unwrap(), models.join(name)).unwrap();
        }
        let run = |wanted: &str| {
            let cache = cache.to_str().unwrap();
            transcribe(&sample(), &["--offline", "--cache-dir", cache, "--align", "off", "--vad", wanted])
        };
        let heard = run(detector).succeeded();
        assert!(heard.text().contains("New Jersey"), "{heard:?}");
        let lacking = if detector == "silero" { "pyannote" } else { "silero" };
        run(lacking).refused(4, &[&format!("`{other}` is not cached"), &format!("models pull {other}")]);
    }
    // Speech that begins only where it is certain is less speech.
    let strict = transcribe(&sample(), &["--align", "off", "--vad", "pyannote", "--vad-onset", "0.9999"]).succeeded();
    let usual = transcribe(&sample(), &["--align", "off", "--vad", "pyannote"]).succeeded();
    assert_ne!(strict.stdout, usual.stdout);
}

fn temperatures() {
    let (strict, document) = clip(&["--temperature", "0", "--logprob-threshold", "0"]);
    assert!(strict.stderr.contains("warning: ") && strict.stderr.contains("uncertain"), "{strict:?}");
    let warnings = list(&document, "warnings");
    assert!(warnings.iter().any(|warning| warning.as_str().is_some_and(|text| text.contains("uncertain"))));
    assert!(list(&document, "segments").iter().all(|segment| number(segment, "temperature") == 0.0), "{document}");
    // Where every text passes, the first temperature is kept.
    let (_, document) =
        clip(&["--temperature", "0.1,0.2", "--compression-ratio-threshold", "9", "--logprob-threshold=-9"]);
    let segments = list(&document, "segments");
    assert!(!segments.is_empty() && segments.iter().all(|segment| number(segment, "temperature") == 0.1), "{document}");
}
