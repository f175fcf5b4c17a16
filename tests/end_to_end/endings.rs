//! How runs end: some files bad, nothing said, nobody listening, no room left, interrupted.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use libtest_mimic::Trial;

use crate::{
    command::{
        Needs, json, line_of, list, names, number, outcome, palabra, prepared, sample_samples, write_clip, write_wave,
    },
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let base = &needs.base;
    let linux = if cfg!(target_os = "linux") { base.clone() } else { Err("needs Linux".into()) };
    let small_disk = base.clone().and_then(|base| can_mount().map(|()| base));
    vec![
        trial("bad_files_do_not_stop_the_others_and_silence_is_no_error", base, |_| several_files()),
        trial("nobody_reads_standard_output", base, |_| nobody_reads()),
        trial("standard_output_is_full", &linux, |_| standard_output_is_full()),
        trial("the_disk_is_full", &small_disk, |_| disk_is_full()),
        trial("an_interrupt_leaves_nothing_half_written", &linux, |_| {
            ["INT", "TERM"].into_iter().for_each(interrupted);
        }),
    ]
}

fn several_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    write_clip(&place("clip.wav"));
    write_wave(&place("silence.wav"), &[0; 5 * 16_000]);
    write_wave(&place("blink.wav"), &sample_samples()[8 * 16_000..][..800]);
    fs::write(place("letter.wav"), "Good morning.\n").unwrap();
    let inputs = ["letter.wav", "silence.wav", "missing.wav", "blink.wav", "clip.wav"].map(place);
    let mut command = palabra();
    command.arg("transcribe").args(&inputs).args(["--diarize", "--output-dir"]).arg(place("results"));
    let outcome = outcome(&mut command);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let spoken: Vec<&str> = outcome.stdout.lines().map(|line| line_of(line).2).collect();
    assert!(spoken.iter().any(|text| text.contains("New Jersey")), "{outcome:?}");
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(said.iter().filter(|line| line.starts_with("error: ")).count(), 2, "{outcome:?}");
    let summary = format!("2 of 5 files failed: {}, {}", inputs[0].display(), inputs[2].display());
    assert_eq!(said.last(), Some(&summary.as_str()), "{outcome:?}");
    for input in [&inputs[1], &inputs[3], &inputs[4]] {
        assert!(said.contains(&format!("{}:", input.display()).as_str()), "each transcript is announced: {outcome:?}");
    }
    // Three recordings in six formats.
    assert_eq!(names(&place("results")).len(), 18);
    for (name, seconds) in [("silence", 5.0), ("blink", 0.05)] {
        let document = json(&place("results").join(format!("{name}.json")));
        assert!((number(&document, "duration") - seconds).abs() < 0.01, "{document}");
        assert!(list(&document, "segments").is_empty() && list(&document, "turns").is_empty(), "{document}");
        let warned = |warning: &serde_json::Value| warning.as_str().is_some_and(|text| text.contains("no speech"));
        assert!(list(&document, "warnings").iter().any(warned), "{document}");
        assert_eq!(fs::read_to_string(place("results").join(format!("{name}.srt"))).unwrap(), "");
    }
}

fn nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.wav");
    write_clip(&clip);
    let again = folder.path().join("again.wav");
    write_clip(&again);
    let mut command = palabra();
    command.arg("transcribe").args([&clip, &again]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(!said.contains("error") && !said.contains("panic"), "{said}");
    assert!(!said.contains("again.wav"), "without a reader and without files nothing more is wanted: {said}");
}

fn standard_output_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.wav");
    write_clip(&clip);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let outcome = outcome(palabra().arg("transcribe").arg(&clip).stdout(full));
    outcome.refused(5, &["standard output", "disk is full"]);
}

/// Mounts a disk of two pages where only this shell and its children see it, runs the command there, and keeps the names of
/// what was left.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=8k tmpfs "$1" || exit 99
disk=$1; left=$2; shift 2
"$@"; code=$?
ls -A "$disk" > "$left"
exit $code"#;

fn on_a_small_disk(disk: &Path, left: &Path, program: &str) -> Command {
    let mut command = prepared(Command::new("unshare"));
    command.args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]).args([disk, left]).arg(program);
    command
}

fn can_mount() -> Result<(), String> {
    let refused = || "needs to mount a small disk".to_owned();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let status = on_a_small_disk(folder.path(), Path::new("/dev/null"), "true").stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(refused()) }
}

fn disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    write_clip(&place("clip.wav"));
    fs::create_dir(place("disk")).unwrap();
    let mut command = on_a_small_disk(&place("disk"), &place("left"), env!("CARGO_BIN_EXE_palabra"));
    command.arg("transcribe").arg(place("clip.wav")).args(["--format", "json,txt", "--output-dir"]).arg(place("disk"));
    outcome(&mut command).refused(5, &["disk/clip.json'", "the disk is full", "free some space"]);
    let left = fs::read_to_string(place("left")).unwrap();
    assert!(["", "clip.txt\n"].contains(&left.as_str()), "left on the disk: {left}");
}

fn interrupted(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (long, results) = (folder.path().join("long.wav"), folder.path().join("results"));
    write_wave(&long, &sample_samples().repeat(10));
    let mut command = palabra();
    command.arg("transcribe").arg(&long).args(["--json-log", "--batch-size", "2", "--output-dir"]).arg(&results);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let loaded = said.next().unwrap().unwrap();
    assert!(loaded.contains("model loaded"), "{loaded}");
    thread::sleep(Duration::from_millis(700));
    let killed = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.len() == 1 && rest[0].contains("interrupted"), "{rest:?}");
    let mut transcript = String::new();
    child.stdout.take().unwrap().read_to_string(&mut transcript).unwrap();
    assert_eq!(transcript, "");
    assert!(names(&results).is_empty(), "{:?}", names(&results));
}
