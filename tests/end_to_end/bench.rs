//! `palabra bench`: recordings with references that the test makes itself, so that every figure is known.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    command::{Needs, Outcome, list, names, number, outcome, palabra, sample, write_wave},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    vec![
        trial("bench_of_speakers", &needs.base, |_| speakers()),
        trial("bench_of_words", &needs.base, |_| words()),
        trial("bench_goes_on_where_a_recording_is_broken", &needs.base, |_| broken()),
        trial("bench_refuses_what_cannot_be_measured", &Ok(()), |()| refusals()),
        trial("bench_cost_is_what_the_decision_says", &Ok(()), |()| cost()),
        trial("bench_gpu_measures_every_stage_on_the_cpu", &needs.tiny, |_| gpu()),
        trial("bench_gpu_measures_one_stage_alone", &needs.tiny, |_| one_stage()),
        trial("bench_gpu_refuses_what_cannot_be_measured", &Ok(()), |()| gpu_refusals()),
    ]
}

fn bench(folder: &Path, arguments: &[&str]) -> Outcome {
    outcome(palabra().args(["bench", "diarization"]).arg(folder).args(arguments))
}

fn figures(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.succeeded().stdout).unwrap()
}

/// A folder with the sample, and what Palabra finds in it as its reference.
fn sample_folder(arguments: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("talks")).unwrap();
    fs::copy(sample(), place("talks/sample.wav")).unwrap();
    fs::write(place("talks/sample.rttm"), "SPEAKER sample 1 0 30 <NA> <NA> nobody <NA> <NA>\n").unwrap();
    if arguments.contains(&"--words") {
        let anything = r#"[{"speaker": "nobody", "start_time": 0, "end_time": 30, "words": "so"}]"#;
        fs::write(place("talks/sample.seglst.json"), anything).unwrap();
    }
    let found = place("found");
    bench(&place("talks"), &[arguments, &["--output-dir", found.to_str().unwrap()]].concat()).succeeded();
    for name in names(&found) {
        fs::copy(found.join(&name), place("talks").join(&name)).unwrap();
    }
    let talks = place("talks");
    (folder, talks)
}

fn speakers() {
    let (folder, talks) = sample_folder(&[]);
    assert_eq!(names(&folder.path().join("found")), ["sample.rttm"]);
    let table = bench(&talks, &["--collar", "0"]).succeeded();
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("Speakers of 1 recording, 0.5 min: no collar, overlapped speech scored, number"));
    let cells: Vec<&str> = lines[4].split_whitespace().collect();
    assert_eq!(cells[..10], ["talks", "1", "0.5", "0.00", "0.00", "0.00", "0.00", "0.00", "1/1", "0.00"], "{table:?}");
    assert_eq!((lines.len(), table.stderr.as_str()), (5, ""));

    // One name for everybody: the speech of one of the two is confused, unless it is told that there is but one speaker.
    let reference = fs::read_to_string(talks.join("sample.rttm")).unwrap();
    let (one, other) = ("SPEAKER_00", "SPEAKER_01");
    let seconds = |name: &str| -> f64 {
        let lines = reference.lines().filter(|line| line.contains(name));
        lines.map(|line| line.split(' ').nth(4).unwrap().parse::<f64>().unwrap()).sum()
    };
    let expected = 100.0 * seconds(one).min(seconds(other)) / (seconds(one) + seconds(other));
    fs::write(talks.join("sample.rttm"), reference.replace(other, one)).unwrap();
    let wrong = figures(bench(&talks, &["--json", "--collar", "0", "--skip-overlap"]));
    let set = &list(&wrong, "sets")[0];
    assert!(expected > 10.0 && number(set, "confusion") > 0.7 * expected, "{set} beside {expected}");
    assert_eq!((number(set, "counts_right"), number(set, "count_error")), (0.0, 1.0));
    assert_eq!(
        (&wrong["collar"], &wrong["skip_overlap"], &wrong["known_count"]),
        (&0.0.into(), &true.into(), &false.into())
    );
    let told = figures(bench(&talks, &["--json", "--known-count"]));
    let recording = &list(&told, "recordings")[0];
    assert_eq!((&recording["speakers"]["found"], number(recording, "confusion")), (&1.into(), 0.0), "{recording}");
    assert!(number(recording, "seconds") == 30.0 && number(recording, "wall_seconds") > 0.0, "{recording}");
}

fn words() {
    let (_folder, talks) = sample_folder(&["--words"]);
    let table = bench(&talks, &["--words"]).succeeded();
    let cells: Vec<&str> = table.stdout.lines().nth(4).unwrap().split_whitespace().collect();
    assert_eq!(cells[10..12], ["100.00", "0.00"], "{table:?}");
    assert!(table.stdout.contains("right%  cpWER%") && table.stdout.contains("transcribing with base"), "{table:?}");

    let reference = fs::read_to_string(talks.join("sample.seglst.json")).unwrap();
    assert!(reference.contains("Diane") && reference.contains("Sheila"), "{reference}");
    fs::write(talks.join("sample.seglst.json"), reference.replace("Diane", "Mary")).unwrap();
    let changed = figures(bench(&talks, &["--words", "--json"]));
    let words = &list(&changed, "recordings")[0]["words"];
    assert!(number(words, "concatenated") > 0.0 && number(words, "heard") == number(words, "words"), "{words}");
    assert_eq!(number(words, "misattributed"), 0.0);

    fs::remove_file(talks.join("sample.seglst.json")).unwrap();
    bench(&talks, &["--words"]).refused(2, &["--words", "seglst.json"]);
}

fn broken() {
    let (_folder, talks) = sample_folder(&[]);
    let line = "SPEAKER x 1 0.5 1.0 <NA> <NA> anna <NA> <NA>\n";
    fs::write(talks.join("letter.wav"), "Good morning, this is a letter.\n").unwrap();
    fs::write(talks.join("letter.rttm"), line).unwrap();
    write_wave(&talks.join("short.wav"), &[0; 16_000]);
    fs::write(talks.join("short.rttm"), format!("{line}SPEAKER x 1 soon\n")).unwrap();
    fs::write(talks.join("lost.rttm"), line).unwrap();
    let outcome = bench(&talks, &["--json"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let figures: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let ids = |key: &str| -> Vec<&str> { list(&figures, key).iter().map(|row| row["id"].as_str().unwrap()).collect() };
    assert_eq!((ids("recordings"), ids("failed")), (vec!["sample"], vec!["short", "letter"]));
    for part in
        ["letter is left out: ", "the file holds text", "short is left out: ", "short.rttm: line 2 has 4 columns"]
    {
        assert!(outcome.stderr.contains(part), "`{part}` is missing: {outcome:?}");
    }
    assert!(outcome.stderr.contains("warning: lost.rttm has no recording beside it"), "{outcome:?}");
    assert!(outcome.stderr.ends_with("2 of 3 recordings were not measured: short, letter\n"), "{outcome:?}");
}

fn refusals() {
    let folder = tempfile::tempdir().unwrap();
    bench(folder.path(), &[]).refused(2, &["holds no recording with a reference", "talk.rttm", "manifest.jsonl"]);
    bench(&folder.path().join("none"), &[]).refused(2, &["none is not there"]);
    write_wave(&folder.path().join("talk.wav"), &[0; 16_000]);
    fs::write(folder.path().join("talk.rttm"), "SPEAKER talk 1 0 1 <NA> <NA> anna <NA> <NA>\n").unwrap();
    for collar in ["-1", "nan", "inf"] {
        bench(folder.path(), &["--collar", collar]).refused(2, &["--collar", "from 0 up"]);
    }
    bench(folder.path(), &["--sets", "far"]).refused(2, &["`far`", "which is not there"]);
    bench(folder.path(), &["--words"]).refused(2, &["--words", "no recording", "seglst.json"]);
    bench(folder.path(), &["--output-dir", folder.path().to_str().unwrap()])
        .refused(2, &["talk.rttm", "would replace the reference", "--output-dir"]);
    let model = bench(folder.path(), &["--model", "tiny"]);
    assert!(model.code == Some(2) && model.stderr.contains("--words"), "{model:?}");
    let help = outcome(palabra().args(["bench", "diarization", "--help"])).succeeded();
    for part in ["NAME.rttm", "NAME.seglst.json", "DER%", "cpWER%", "pyannote.metrics", "exit code"] {
        assert!(help.stdout.contains(part), "`{part}` is missing in the help");
    }
}

fn cost() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions/0001-gpu-cost-model.md");
    let document = fs::read_to_string(path).unwrap();
    let printed = outcome(palabra().args(["bench", "cost"])).succeeded();
    let copied =
        document.split("<!-- palabra bench cost -->\n").nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    assert_eq!(copied, Some(printed.stdout.as_str()), "copy what `palabra bench cost` prints into the document");

    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let estimate = figures(outcome(palabra().args(["bench", "cost", "--json"])));
    for (model, name) in list(&estimate, "models").iter().zip(["base", "large-v3"]) {
        let built = list(model, "designs").iter().find(|design| design["design"] == "built").unwrap();
        let cards = list(built, "cards");
        for (what, key) in
            [("words with times", "times_real_time_graph"), ("with speakers", "times_real_time_speakers_graph")]
        {
            let line = readme.lines().find(|line| line.starts_with(&format!("| `{name}`, {what} |"))).unwrap();
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let written = [cells[2], cells[4]].map(|cell| cell.parse::<f64>().unwrap());
            assert_eq!(written, [0, 1].map(|card| number(&cards[card], key).round()), "{line}");
        }
    }

    let one = ["bench", "cost", "--model", "whisper-tiny", "--card", "l4", "--batch-size", "3", "--json"];
    let figures = figures(outcome(palabra().args(one)));
    let model = &list(&figures, "models")[0];
    assert_eq!((number(&figures, "batch_size"), number(model, "parameters")), (3.0, 37_760_640.0));
    for design in list(model, "designs") {
        assert!(list(design, "stages").iter().all(|stage| number(stage, "flops") + number(stage, "bus_bytes") > 0.0));
        assert!(number(&list(design, "cards")[0], "times_real_time") > 1.0);
    }
    let refused = |arguments: &[&str], parts: &[&str]| {
        outcome(palabra().args(["bench", "cost"]).args(arguments)).refused(2, parts);
    };
    refused(&["--card", "abacus"], &["`abacus`", "RTX-4090"]);
    refused(&["--model", "gigantic"], &["`gigantic`", "large-v3-turbo"]);
    refused(&["--batch-size", "0"], &["--batch-size", "between 1 and"]);
    refused(&["--tokens", "449"], &["--tokens", "between 1 and"]);
    refused(&["--launch", "nan"], &["--launch", "from 0 up"]);
}

fn gpu() {
    let arguments = ["--device", "cpu", "--model", "tiny.en", "--batch-sizes", "1", "--rounds", "1", "--warm-up", "0"];
    let run = || palabra().args(["bench", "gpu"]).args(arguments).arg("--json").output().unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["device"], &figures["peak_source"]), (&"cpu".into(), &"measured".into()));
    assert_eq!((&figures["right"], number(&figures, "rounds"), number(&figures, "warm_up")), (&true.into(), 1.0, 0.0));
    assert!(["half_flops", "single_flops", "bandwidth"].iter().all(|key| number(&figures["peak"], key) > 1e8));
    let groups = list(&figures, "groups");
    let names = |key: &str, name: &str| -> Vec<Vec<String>> {
        let of_group = |group: &Value| list(group, key).iter().map(|row| row[name].as_str().unwrap().into()).collect();
        groups.iter().map(of_group).collect()
    };
    let stages = names("stages", "stage");
    assert_eq!(
        stages[0],
        [
            "log-mel",
            "encoder",
            "encoder convolutions",
            "encoder linear",
            "encoder attention",
            "cross keys and values",
            "decoder step",
            "decoder linear",
            "decoder self-attention",
            "decoder cross-attention",
            "logits and choice",
            "step and choice in a batch",
            "whole recording",
            "whole recording, speakers",
        ]
    );
    assert_eq!(
        stages[1],
        [
            "aligner: head",
            "aligner: path",
            "speakers: segmentation",
            "speakers: filterbank",
            "speakers: embeddings",
            "voice detection (processor)",
        ]
    );
    assert!(names("checks", "what")[0].contains(&"tokens of a chunk".to_owned()));
    assert!(groups.iter().all(|group| list(group, "left_out").is_empty() && group["dtype"] == "f32"), "{figures}");
    for stage in groups.iter().flat_map(|group| list(group, "stages")) {
        let seconds = number(stage, "seconds");
        assert!(seconds > 0.0 && number(stage, "fastest") <= seconds && seconds <= number(stage, "slowest"), "{stage}");
        assert!((number(stage, "times_real_time") * seconds - 30.0).abs() < 1e-6, "{stage}");
        if !stage["flops"].is_null() {
            assert!(
                (number(stage, "flops_per_second") * seconds / number(stage, "flops") - 1.0).abs() < 1e-6,
                "{stage}"
            );
            assert!(number(stage, "share_of_flops") < 20.0 && number(stage, "share_of_bandwidth") < 20.0, "{stage}");
        }
    }
}

/// The figures of one stage alone.
fn one_stage() {
    let arguments = [
        "--device",
        "cpu",
        "--model",
        "tiny.en",
        "--batch-sizes",
        "1,2",
        "--rounds",
        "2",
        "--json",
        "--only",
        "log-mel",
    ];
    let output = outcome(palabra().args(["bench", "gpu", "-q"]).args(arguments)).succeeded();
    let figures: Value = serde_json::from_str(&output.stdout).unwrap();
    let [group] = list(&figures, "groups") else { panic!("{figures}") };
    let batches: Vec<f64> = list(group, "stages").iter().map(|stage| number(stage, "batch_size")).collect();
    assert_eq!((batches, output.stderr.as_str()), (vec![1.0, 2.0], ""));
    assert!(list(group, "stages").iter().all(|stage| stage["stage"] == "log-mel"), "{figures}");
}

fn gpu_refusals() {
    let refused = |arguments: &[&str], code: i32, parts: &[&str]| {
        outcome(palabra().args(["bench", "gpu"]).args(arguments)).refused(code, parts);
    };
    refused(&["--batch-sizes", "0"], 2, &["--batch-sizes", "from 1 to"]);
    refused(&["--rounds", "0"], 2, &["--rounds", "between 1 and"]);
    refused(&["--device", "cpu", "--only", "singing"], 2, &["`singing`", "encoder attention", "voice detection"]);
    refused(&["--device", "auto"], 2, &["--device", "cpu"]);
    refused(&["--device", "cpu", "--compute-type", "float16"], 2, &["--compute-type float16 needs a GPU", "float32"]);
    refused(&["--device", "cpu", "--model", "gigantic"], 2, &["`gigantic`"]);
    // A machine may have a card; this one has none with so high a number.
    refused(&["--device", "cuda:63"], 5, &["--device cpu"]);
    let empty = tempfile::tempdir().unwrap();
    refused(
        &["--device", "cpu", "--offline", "--cache-dir", empty.path().to_str().unwrap()],
        4,
        &["no Whisper model is in the cache", "--model"],
    );
}
