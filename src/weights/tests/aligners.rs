//! Aligners: by language, by name, from the hub and from folders, in both formats of weights.

use super::*;

/// The languages that WhisperX aligns.
const LANGUAGES: &str = "en fr de es it ja zh nl uk pt ar cs ru pl hu fi fa el tr da he vi ko ur te hi ca ml no nn sk sl hr ro eu gl ka lv tl sv id";
const CONFIG: &[u8] = br#"{"model_type":"wav2vec2"}"#;
const VOCABULARY: &[u8] = br#"{"<pad>":0,"a":1}"#;
const NAME: &str = "some/aligner";

type Files<'a> = &'a [(&'a str, &'a [u8])];

fn reads(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("a file of the model")
}

#[test]
fn every_language_has_one_and_the_rest_a_romanised_one() {
    let manifest = Manifest::built_in().expect("a manifest");
    for language in LANGUAGES.split_whitespace() {
        let model = manifest.aligner(language).unwrap_or_else(|| panic!("no aligner for {language}"));
        assert_eq!((model.role, model.languages.as_slice()), (Role::Aligner, &[language.to_owned()][..]));
        assert_eq!(model.name, format!("wav2vec2-{language}"));
    }
    assert!(manifest.aligner("la").is_none());
    let fallback = manifest.romanised_aligner().expect("a romanised aligner");
    assert!(fallback.non_commercial && fallback.languages.is_empty());
    let aligners: Vec<_> = manifest.models.iter().filter(|model| model.role == Role::Aligner).collect();
    assert_eq!(aligners.len(), LANGUAGES.split_whitespace().count() + 1);
    for model in aligners {
        assert_eq!(model.non_commercial, model.licence.contains("-NC"), "{}", model.name);
    }
}

#[test]
fn a_role_that_contradicts_itself_is_found() {
    let text = include_str!("../../../weights/manifest.toml");
    let broken = [
        text.replacen("romanised = true\n", "", 1),
        text.replacen("aliases = [\"base\"]\n", "aliases = [\"base\"]\nlanguages = [\"en\"]\n", 1),
    ];
    for variant in broken {
        assert_ne!(variant, text);
        assert!(matches!(Manifest::parse(&variant), Err(Error::Bug(reason)) if reason.contains("aligners")));
    }
}

#[test]
fn a_repository_comes_with_what_says_what_its_labels_mean() {
    let weights = weights();
    let files: Files<'_> = &[
        ("config.json", CONFIG),
        ("vocab.json", VOCABULARY),
        ("tokenizer_config.json", b"{}"),
        ("special_tokens_map.json", b"{}"),
        ("preprocessor_config.json", b"{}"),
        ("tokenizer.json", b"of no use"),
        ("model.safetensors", &weights),
        ("pytorch_model.bin", b"of no use"),
    ];
    let server = HubServer::start(NAME, files);
    server.behaviour.lock().expect("the behaviour").break_after = Some(60_000);
    let root = folder();
    let mut store = store(&root, &server.endpoint, "");
    assert!(weights_error(store.resolve_aligner(NAME, &silent())).contains("go on from where it stopped"));
    let place = store.resolve_aligner(NAME, &silent()).expect("fetched");
    assert_eq!(place, store.root().join("models/some--aligner"));
    for (name, bytes) in &files[..5] {
        assert_eq!(reads(&place, name), *bytes, "{name}");
    }
    assert_eq!(reads(&place, "model.safetensors"), weights);
    assert!(!place.join("tokenizer.json").exists() && server.downloads("pytorch_model.bin").is_empty());
    store.offline = true;
    assert_eq!(store.resolve_aligner(NAME, &silent()).expect("cached"), place);
    assert!(weights_error(store.resolve_aligner("other/aligner", &silent())).contains("models pull other/aligner"));
    let cached = store.cached_models().expect("a list");
    assert_eq!((cached.len(), cached[0].role()), (1, Role::Aligner));
    assert_eq!(store.verify(NAME, &silent()).expect("verified"), Vec::<PathBuf>::new());
}

#[test]
fn an_old_checkpoint_is_converted() {
    let checkpoint: &[u8] = include_bytes!("../../../tests/golden/wav2vec2.bin");
    let files: Files<'_> = &[("config.json", CONFIG), ("vocab.json", VOCABULARY), ("pytorch_model.bin", checkpoint)];
    let server = HubServer::start(NAME, files);
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let place = store.resolve_aligner(NAME, &silent()).expect("converted");
    let bytes = reads(&place, "model.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert!(tensors.tensor("wav2vec2.encoder.pos_conv_embed.conv.weight_g").is_ok());
    assert_eq!(tensors.tensor("lm_head.weight").expect("a head").shape(), [12, 32]);
    assert!(!place.join("pytorch_model.bin").exists());
}

#[test]
fn names_and_roles_are_kept_apart() {
    let weights = weights();
    let files: Files<'_> = &[("config.json", CONFIG), ("vocab.json", VOCABULARY), ("model.safetensors", &weights)];
    let server = HubServer::start("facebook/wav2vec2-base-960h", files);
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let place = store.resolve_aligner("facebook/wav2vec2-base-960h", &silent()).expect("fetched");
    assert_eq!(place, store.root().join("models/wav2vec2-en"));
    let name = &store.aligner("en").expect("an aligner").name;
    for resolved in
        [store.resolve_aligner(name, &silent()), store.fetch(name, &silent()), store.resolve(name, &silent())]
    {
        assert_eq!(resolved.expect("cached"), place);
    }
    let refused = |result: Result<PathBuf>, part: &str| {
        assert!(matches!(&result, Err(Error::Request(reason)) if reason.contains(part)), "{result:?}");
    };
    refused(store.resolve_transcriber(name, &silent()), "`wav2vec2-en` is an aligner, not a transcriber");
    refused(store.resolve_aligner("base", &silent()), "`base` is a transcriber, not an aligner");
    refused(store.resolve_aligner("nothing", &silent()), "not known");
}

#[test]
fn repositories_that_are_no_use_say_why() {
    let cases: [(Files<'_>, &str); 5] = [
        (&[], "no `config.json`"),
        (&[("config.json", br#"{"model_type":"whisper"}"#), ("vocab.json", VOCABULARY)], "`whisper`, not wav2vec2"),
        (&[("config.json", b"<html>")], "not JSON"),
        (&[("config.json", CONFIG), ("model.safetensors", b"x")], "no vocab.json"),
        (&[("config.json", CONFIG), ("vocab.json", VOCABULARY)], "no model.safetensors or pytorch_model.bin"),
    ];
    for (files, expected) in cases {
        let server = HubServer::start(NAME, files);
        let root = folder();
        let store = store(&root, &server.endpoint, "");
        let reason = weights_error(store.resolve_aligner(NAME, &silent()));
        assert!(reason.contains(expected) && reason.contains(NAME), "{reason}");
        assert!(is_empty(&store.root().join("models")));
        assert!(server.downloads("model.safetensors").is_empty(), "nothing large is fetched in vain");
    }
}

#[test]
fn any_repository_can_be_pulled_and_its_configuration_says_what_it_is() {
    let cases: [(&[u8], Option<Role>); 3] =
        [(CONFIG, Some(Role::Aligner)), (super::CONFIG, Some(Role::Transcriber)), (br#"{"model_type":"bert"}"#, None)];
    for (config, role) in cases {
        let files: Files<'_> = &[
            ("config.json", config),
            ("vocab.json", VOCABULARY),
            ("tokenizer.json", b"{}"),
            ("model.safetensors", b"x"),
        ];
        let server = HubServer::start("some/thing", files);
        let root = folder();
        let store = store(&root, &server.endpoint, "");
        let resolved = store.resolve("some/thing", &silent());
        let Some(role) = role else {
            assert!(weights_error(resolved).contains("`bert`"));
            continue;
        };
        let place = resolved.expect("fetched");
        assert_eq!(store.resolve("some/thing", &silent()).expect("cached"), place);
        assert_eq!(store.fetch_again("some/thing", &silent()).expect("fetched again"), place);
        assert_eq!(store.cached_models().expect("a list")[0].role(), role);
        let other = if role == Role::Aligner {
            store.resolve_transcriber("some/thing", &silent())
        } else {
            store.resolve_aligner("some/thing", &silent())
        };
        assert!(weights_error(other).contains("describes a model of type"));
    }
}

#[test]
fn a_complete_folder_is_used_as_it_is() {
    let (root, local) = (folder(), folder());
    let store = store(&root, NOBODY, "");
    let name = local.path().to_str().expect("a plain path");
    assert!(weights_error(store.resolve_aligner(name, &silent())).contains("no config.json"));
    for (file, bytes) in [("config.json", CONFIG), ("model.safetensors", b"x")] {
        std::fs::write(local.path().join(file), bytes).expect("written");
    }
    assert!(weights_error(store.resolve_aligner(name, &silent())).contains("no vocab.json"));
    std::fs::write(local.path().join("vocab.json"), VOCABULARY).expect("written");
    let place = local.path().canonicalize().expect("a folder");
    assert_eq!(store.resolve_aligner(name, &silent()).expect("as it is"), place);
    assert_eq!(store.resolve(name, &silent()).expect("as it is"), place);
    assert!(weights_error(store.resolve_transcriber(name, &silent())).contains("not Whisper"));
    assert!(is_empty(&store.root().join("models")));
}
