//! Speaker embedders: from the hub in the checkpoints' own files, and from a folder.

use super::*;

fn tensor_names(folder: &Path) -> Vec<String> {
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("the weights");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.names().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_checkpoint_with_more_than_tensors_is_converted() {
    let checkpoint: &[u8] = include_bytes!("../../../tests/golden/checkpoint.pth");
    let files: [(&str, &[u8]); 1] = [("pytorch_model.bin", checkpoint)];
    let server = HubServer::start("pyannote/wespeaker-voxceleb-resnet34-LM", &files);
    let root = folder();
    let mut store = store(&root, &server.endpoint, "");
    let place = store.resolve_speaker_embedder("wespeaker", &silent()).expect("fetched");
    assert_eq!(place, store.root().join("models/wespeaker-resnet34"));
    assert_eq!(tensor_names(&place).len(), 3, "the tensors of the state dict, no counter");
    store.offline = true;
    assert_eq!(store.resolve_speaker_embedder("wespeaker-resnet34", &silent()).expect("cached"), place);
    assert_eq!(store.verify("resnet34", &silent()).expect("verified"), Vec::<PathBuf>::new());
}

#[test]
fn a_file_of_another_name_is_converted() {
    let checkpoint: &[u8] = include_bytes!("../../../tests/golden/wav2vec2.bin");
    let files: [(&str, &[u8]); 1] = [("embedding_model.ckpt", checkpoint)];
    let server = HubServer::start("speechbrain/spkrec-ecapa-voxceleb", &files);
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let place = store.resolve_speaker_embedder("ecapa", &silent()).expect("fetched");
    assert_eq!(place, store.root().join("models/ecapa-tdnn"));
    assert!(tensor_names(&place).contains(&"lm_head.weight".to_owned()));
    assert!(!place.join("pytorch_model.bin").exists() && !place.join("embedding_model.ckpt").exists());
    assert_eq!(server.downloads("embedding_model.ckpt").len(), 1);
}

#[test]
fn a_checkpoint_that_contradicts_the_announced_checksum_is_thrown_away() {
    let checkpoint: &[u8] = include_bytes!("../../../tests/golden/wav2vec2.bin");
    let server = HubServer::start("speechbrain/spkrec-ecapa-voxceleb", &[("embedding_model.ckpt", checkpoint)]);
    server.behaviour.lock().expect("the behaviour").lies = true;
    let root = folder();
    let store = store(&root, &server.endpoint, "");
    let reason = weights_error(store.resolve_speaker_embedder("ecapa-tdnn", &silent()));
    assert!(reason.contains("checksum"), "{reason}");
    assert!(store.cached("ecapa-tdnn").expect("a known name").is_none());
}

#[test]
fn a_folder_is_used_as_it_is_and_anything_else_is_told_the_names() {
    let (root, local) = (folder(), folder());
    let store = store(&root, NOBODY, "");
    let path = local.path().to_str().expect("a plain path");
    for unknown in ["no-such-model", "base", path] {
        let reason = store.resolve_speaker_embedder(unknown, &silent()).expect_err("no embedder");
        assert!(matches!(reason, Error::Request(_)), "{reason}");
        assert!(reason.to_string().contains("campplus, wespeaker-resnet34, ecapa-tdnn"), "{reason}");
    }
    std::fs::write(local.path().join("model.safetensors"), b"x").expect("written");
    assert_eq!(store.resolve_speaker_embedder(path, &silent()).expect("a folder"), local.path());
}
