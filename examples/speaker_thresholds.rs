//! Finds the clustering thresholds of a speaker embedder on recordings with references:
//! `cargo run --release --example speaker_thresholds -- DIR [--embedder FOLDER]`
//!
//! DIR holds manifest.jsonl as `palabra bench diarization --help` describes it. Recordings are listened to once; then every
//! pair of thresholds is scored (collar 0.25 s, overlap included): error rate over all, and how many counts are right.

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use clap::Parser;
use palabra::{
    audio::decode::{Limits, decode_file},
    evaluation::{SpeakerTurn, rttm, turns},
    models::{segmentation, speaker::SpeakerEmbedder},
    progress::Watch,
    stages::{cluster::ClusterOptions, diarize::*, embed::*, linkage::Linkage, segment::*},
    weights::{Store, StoreOptions},
};

#[derive(Parser)]
struct Arguments {
    /// Folder with manifest.jsonl.
    folder: PathBuf,
    /// Folder of an embedder [default: CAM++, from the cache].
    #[arg(long)]
    embedder: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let (arguments, watch, cpu) = (Arguments::parse(), Watch::silent(), Device::Cpu);
    let store = Store::open(&StoreOptions::default())?;
    let weights = |folder: &Path| -> anyhow::Result<VarBuilder> {
        let bytes = std::fs::read(folder.join("model.safetensors"))?;
        Ok(VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?)
    };
    let network = weights(&store.fetch("segmentation-3.0", &watch)?)?;
    let segmenter = segmentation::Segmenter::load(&network, &segmentation::Config::default())?;
    let embedder = arguments.embedder.map_or_else(|| store.fetch("campplus", &watch), Ok)?;
    let embedder = SpeakerEmbedder::load(weights(&embedder)?)?;
    let (extractor, architecture) = (FeatureExtractor::new(embedder.features(), &cpu), embedder.architecture());

    let mut heard = Vec::new();
    for row in std::fs::read_to_string(arguments.folder.join("manifest.jsonl"))?.lines() {
        let row: serde_json::Value = serde_json::from_str(row)?;
        let Some(reference) = row["rttm_words"].as_str().or(row["rttm"].as_str()) else { continue };
        let path = row["path"].as_str().context("a row of the manifest has no path")?;
        let audio = decode_file(&arguments.folder.join(path), &Limits::default(), &watch)?.audio;
        let segmentation = segment(&segmenter, &cpu, &audio, STEP, &watch)?;
        let plan = Plan::new(&audio, segmentation, &DiarizeOptions::default(), (architecture, &extractor))?;
        let embeddings = embed_all(&plan, &embedder, &cpu, &audio, &watch)?;
        let reference = std::fs::read_to_string(arguments.folder.join(reference))?;
        let reference: Vec<SpeakerTurn> = rttm::read(&reference)?.into_iter().map(|entry| entry.turn).collect();
        heard.push((plan, embeddings, reference, audio.duration()));
    }
    println!(" linkage threshold  merge   DER%  counts right of {}", heard.len());
    let start = ClusterOptions::of(architecture);
    let steps = |from: f32| (0..9).flat_map(move |t| [0.2, 0.35, 0.5].map(|merge| (from + 0.06 * t as f32, merge)));
    let average = steps(0.4).map(|(threshold, merge)| (Linkage::Average, threshold, merge));
    let centroid = steps(0.5).map(|(threshold, merge)| (Linkage::Centroid, threshold, merge));
    for (linkage, threshold, merge) in average.chain(centroid) {
        let (mut wrong, mut total, mut counts) = (0.0, 0.0, 0);
        for (plan, embeddings, reference, seconds) in &heard {
            let plan = plan.clone().clustered_by(ClusterOptions { linkage, threshold, merge, ..start.clone() });
            let found = plan.conclude(embeddings.clone())?;
            let turn =
                |turn: palabra::transcript::Turn| SpeakerTurn { span: turn.span, speaker: turn.speaker.to_string() };
            let found: Vec<SpeakerTurn> = found.turns.into_iter().map(turn).collect();
            let time = turns::score(reference, &found, *seconds, &turns::Scoring { collar: 0.25, skip_overlap: false });
            wrong += time.missed + time.false_alarm + time.confusion;
            total += time.total;
            counts += usize::from(turns::speakers(reference, *seconds) == turns::speakers(&found, *seconds));
        }
        println!("{linkage:?} {threshold:9.2} {merge:6.2} {:6.2} {counts:6}", 100.0 * wrong / total);
    }
    Ok(())
}
