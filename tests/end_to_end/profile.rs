//! `palabra bench cpu`: where the time of a recording goes.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    command::{Needs, list, number, outcome, palabra, write_wave},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    vec![
        trial("bench_cpu_measures_every_stage", &needs.tiny, |_| every_stage()),
        trial("bench_cpu_refuses_what_cannot_be_measured", &Ok(()), |()| refusals()),
        trial("bench_cpu_says_where_nobody_speaks", &needs.tiny, |_| silence()),
    ]
}

fn every_stage() {
    let line = "--quiet bench cpu --model tiny.en --threads 2,1 --rounds 1 --warm-up 0 --compute-type float32";
    let figures = outcome(palabra().args(line.split(' ')).arg("--json")).succeeded();
    assert_eq!(figures.stderr, "");
    let figures: Value = serde_json::from_str(&figures.stdout).unwrap();
    let runs = list(&figures, "runs");
    assert_eq!(runs.iter().map(|run| number(run, "threads")).collect::<Vec<_>>(), [2.0, 1.0]);
    for run in runs {
        assert_eq!((number(run, "audio_seconds"), number(run, "speakers")), (30.0, 2.0), "{run:#}");
        let stages = list(run, "stages");
        let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        for name in ["audio decoding", "voice detection", "log-mel", "encoder", "cross keys", "prompt", "decoder step"]
        {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        for name in ["logits", "token choice", "text", "alignment", "segmentation", "speaker embeddings", "clustering"]
        {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        let total: f64 = stages.iter().map(|stage| number(stage, "seconds")).sum();
        assert!((total - number(run, "profiled_seconds")).abs() < 1e-6, "{run:#}");
        assert!((total - number(run, "seconds")).abs() < 0.01 * total + 0.01, "{run:#}");
        for stage in stages {
            let classes: f64 = list(stage, "classes").iter().map(|class| number(class, "seconds")).sum();
            let parts = classes + number(stage, "other_seconds");
            assert!((parts - number(stage, "seconds")).abs() < 1e-6, "{stage:#}");
        }
        let step = stages.iter().find(|stage| stage["name"] == "decoder step").unwrap();
        let linear = list(step, "classes").iter().find(|class| class["name"] == "linear").unwrap();
        // Four layers of tiny.en, 384 wide, in each the products of two attentions and of the feed-forward network.
        let one = 4.0 * 2.0 * 384.0 * 384.0 * (4.0 + 2.0 + 8.0);
        let (calls, operations) = (number(linear, "calls"), number(linear, "operations"));
        assert!(calls > 0.0 && calls % (4.0 * 8.0) == 0.0, "{linear:#}");
        assert_eq!(operations, calls / (4.0 * 8.0) * one, "one chunk is one row: {linear:#}");
        assert!(number(&run["peaks"]["float32"], "operations_per_second") > 1e8, "{run:#}");
        assert!(number(&run["peaks"], "memory_bytes_per_second") > 1e8, "{run:#}");
    }
}

fn refusals() {
    let refused = |arguments: &str, parts: &[&str]| {
        outcome(palabra().args(["bench", "cpu"]).args(arguments.split(' '))).refused(2, parts);
    };
    refused("--threads 0", &["--threads", "between 1 and"]);
    refused("--rounds 0", &["--rounds", "between 1 and"]);
    refused("--batch-size 0", &["--batch-size", "between 1 and"]);
    refused("--compute-type float16", &["float16", "needs a GPU"]);
    let help = outcome(palabra().args(["bench", "cpu", "--help"])).succeeded();
    for part in ["of peak %", "of mem. %", "GOP/s", "Examples:", "--threads", "--no-diarize"] {
        assert!(help.stdout.contains(part), "`{part}` is missing in the help");
    }
}

fn silence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("silence.wav");
    write_wave(&file, &[0; 32_000]);
    let line = "--quiet bench cpu --model tiny.en --threads 1 --no-diarize";
    outcome(palabra().args(line.split(' ')).arg(&file)).refused(2, &["nobody speaks", "name one with speech"]);
}
