//! The house rules that a reader relies on: which room may use which, and what every file has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Values that every room may use. `Error` and `Result` are what lib.rs exports from `error`.
const OPEN: [&str; 7] = ["error", "span", "language", "progress", "transcript", "Error", "Result"];
/// The values of `audio` that every room may use; the rest of that room decodes and computes.
const OPEN_AUDIO: [&str; 2] = ["Audio", "Chunk"];
/// Which rooms (modules and files directly under src) each room may use besides the open values and itself. The arrows
/// point one way: main, cli -> http -> engine -> stages -> models -> ops, with the others beside them.
const ROOMS: [(&str, &[&str]); 20] = [
    ("main", &["cli", "http", "engine", "settings", "stages", "models", "weights", "audio", "formats", "device"]),
    (
        "cli",
        &[
            "http",
            "engine",
            "settings",
            "stages",
            "models",
            "ops",
            "weights",
            "audio",
            "formats",
            "device",
            "evaluation",
        ],
    ),
    ("http", &["engine", "settings", "stages", "models", "weights", "audio", "formats", "device"]),
    ("engine", &["settings", "stages", "models", "weights", "audio", "formats", "device"]),
    ("settings", &["stages", "models", "weights", "audio", "formats", "device"]),
    ("stages", &["models", "ops", "audio", "device", "spoken"]),
    ("models", &["ops"]),
    ("ops", &[]),
    ("weights", &[]),
    ("audio", &[]),
    ("formats", &[]),
    ("evaluation", &[]),
    // Which numbers a device computes in, the operations know.
    ("device", &["ops"]),
    ("assemble", &[]),
    ("transcript", &[]),
    ("progress", &[]),
    ("language", &[]),
    ("spoken", &[]),
    ("span", &[]),
    ("error", &[]),
];
const MOST_LINES: usize = 500;

struct Source {
    /// The path under src, with slashes.
    name: String,
    text: String,
}

impl Source {
    /// The path of the module that the file holds: `[stages, vad]`.
    fn module(&self) -> Vec<&str> {
        let path = self.name.trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }
}

fn sources() -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 20, "only {} files found under src", found.len());
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let parts: Vec<_> =
                path.strip_prefix(root).expect("under src").iter().map(|p| p.to_string_lossy()).collect();
            found.push(Source { name: parts.join("/"), text: fs::read_to_string(&path).expect("a source file opens") });
        }
    }
}

/// The text without comments, so that neither prose nor links in it count as code.
fn code(text: &str) -> String {
    let uncommented = |line: &str| {
        if line.trim_start().starts_with("//") {
            String::new()
        } else {
            line.split(" // ").next().unwrap_or("").to_owned()
        }
    };
    text.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

/// Every path of the crate that the file names, from the crate's root: of `crate::{a::{B, c}, d}` a::B, a::c and d.
fn references(source: &Source) -> Vec<Vec<String>> {
    let code = code(&source.text);
    let mut found = Vec::new();
    for root in ["crate::", "palabra::"] {
        for rest in after(&code, root) {
            paths(rest, &mut Vec::new(), &mut found);
        }
    }
    // Inside `mod tests`, `super` is the file's own module.
    let untested = code.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let module = source.module();
    for mut rest in after(untested, "super::") {
        let mut levels = 1;
        while let Some(further) = rest.strip_prefix("super::") {
            (rest, levels) = (further, levels + 1);
        }
        let mut from: Vec<String> =
            module.iter().take(module.len().saturating_sub(levels)).map(|part| (*part).into()).collect();
        paths(rest, &mut from, &mut found);
    }
    found
}

/// What follows each `word` that begins a path.
fn after<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        begins.then(|| &code[at + word.len()..])
    })
}

/// Adds the paths of the use tree at the start of `text` to `found`; returns what follows the tree.
fn paths<'a>(text: &'a str, from: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
            let before = rest.len();
            rest = paths(rest, from, found);
            assert!(rest.len() < before, "a use tree that this test cannot read: {}", &rest[..rest.len().min(80)]);
        }
    }
    let length = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    from.push(name.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| c.is_alphabetic() || "_{*".contains(c)) => {
            paths(deeper, from, found)
        }
        _ => {
            found.push(from.clone());
            rest.split_once(" as ")
                .filter(|(gap, _)| gap.is_empty())
                .map_or(rest, |(_, alias)| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
        }
    };
    from.pop();
    rest
}

/// Whether code of `room` may name `path`; says what is wrong where it may not.
fn judge(room: &str, path: &[String]) -> Result<(), String> {
    let allowed: BTreeMap<_, _> = ROOMS.into_iter().collect();
    let Some(allowed) = allowed.get(room) else {
        return Err(format!("{room} is not among the rooms: give it a place in tests/architecture.rs"));
    };
    let [target, rest @ ..] = path else { return Ok(()) };
    let open = OPEN.contains(&target.as_str())
        || target == "audio" && rest.first().is_some_and(|item| OPEN_AUDIO.contains(&item.as_str()));
    if open || target == room || allowed.contains(&target.as_str()) {
        Ok(())
    } else {
        Err(format!("{room} must not use {}", path.join("::")))
    }
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for source in sources() {
        let module = source.module();
        if module == ["lib"] {
            continue;
        }
        for path in references(&source) {
            count += 1;
            wrong.extend(judge(module[0], &path).err().map(|reason| format!("src/{}: {reason}", source.name)));
        }
    }
    assert!(count > 50, "only {count} references found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources().into_iter().filter(|source| !source.text.starts_with("//! ")).collect();
    assert!(
        silent.is_empty(),
        "no //! at the top of {:?}",
        silent.iter().map(|source| &source.name).collect::<Vec<_>>()
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .iter()
        .map(|source| (source.text.lines().count(), source.name.clone()))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
}

#[test]
fn the_gpu_shows_only_in_device_and_ops() {
    let elsewhere: Vec<_> = sources()
        .into_iter()
        .filter(|source| !["device.rs", "ops.rs", "error/fault.rs"].contains(&source.name.as_str()))
        .filter(|source| !source.name.starts_with("device/") && !source.name.starts_with("ops/"))
        .filter(|source| code(&source.text).contains("feature = \"cuda\""))
        .map(|source| source.name)
        .collect();
    assert!(elsewhere.is_empty(), "cfg(feature = \"cuda\") in {elsewhere:?}");
}

#[test]
fn the_reader_of_this_test_sees_arrows() {
    let source = Source {
        name: "models/whisper/decoder.rs".into(),
        text: "//! x\n/// [`crate::http`]\nuse crate::{\n    audio::{Audio, mel::LogMel as Mel},\n    ops, span::*,\n};\nuse super::super::layers;\n\
               use super::super::super::engine;\nfn f() { crate::stages::vad::detect::<u8>() }\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"
            .into(),
    };
    let found: Vec<_> = references(&source).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        ["audio::Audio", "audio::mel::LogMel", "ops", "span::*", "stages::vad::detect", "models::layers", "engine"]
    );
    let wrong: Vec<_> = references(&source).iter().filter_map(|path| judge("models", path).err()).collect();
    assert_eq!(
        wrong,
        [
            "models must not use audio::mel::LogMel",
            "models must not use stages::vad::detect",
            "models must not use engine"
        ]
    );
    assert!(judge("stages", &["engine".into(), "Pipeline".into()]).is_err());
    assert!(judge("cellar", &["ops".into()]).is_err());
}
