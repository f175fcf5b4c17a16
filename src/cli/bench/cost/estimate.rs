//! How long a batch should take on a card: for every stage the limit that it meets first.

use palabra::models::{segmentation, speaker::campplus, whisper::Config};

use super::{
    cards::Peak,
    listeners::{self, Head},
    whisper::Batch,
    work::{Design, Work},
};

/// Seconds of audio in a chunk.
pub const CHUNK_SECONDS: f64 = 30.0;
/// Tokens that a row is fed before it writes.
const PROMPT: usize = 4;
/// Windows of the segmentation network in a chunk's audio: one a second.
const SEGMENTED: usize = 30;
/// Windows that are embedded in a chunk's audio: two a second, of 148 frames.
const EMBEDDED: usize = 60;
const EMBEDDED_FRAMES: usize = 148;
/// Windows in one call of the embedder: 24,000 frames.
const EMBEDDED_TOGETHER: usize = 162;
/// Characters of a chunk's text for each token.
const CHARACTERS: usize = 4;
/// Columns of the aligner's emissions: its labels and two more.
const MORE_COLUMNS: usize = 2;

/// What is assumed beyond data sheets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assumptions {
    /// Tokens in the text of a chunk.
    pub tokens: usize,
    /// Share of the peak that products of many rows reach.
    pub products: f64,
    /// Share of the peak that attention in blocks reaches, where softmax stands between two products.
    pub attention: f64,
    /// Share of the f32 peak that everything else reaches.
    pub other: f64,
    /// Share of the bandwidth that is reached.
    pub bandwidth: f64,
    /// Bytes a second between the memory of the processor and that of the card, from ordinary pages.
    pub bus: f64,
    /// Seconds that the processor takes to launch a kernel: Candle's allocation and arguments, the driver's queue.
    pub launch: f64,
    /// Seconds that a kernel takes to begin and to end, however little it does.
    pub gap: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            tokens: 100,
            products: 0.6,
            attention: 0.35,
            other: 0.25,
            bandwidth: 0.8,
            bus: 12e9,
            launch: 5e-6,
            gap: 2e-6,
        }
    }
}

/// What keeps a stage from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The cores.
    Compute,
    /// The memory.
    Memory,
    /// Launching kernels, or their beginnings and ends.
    Launches,
    /// Copies between the processor and the card.
    Bus,
}

impl Limit {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
            Self::Launches => "launches",
            Self::Bus => "bus",
        }
    }
}

/// Which of a card's rates counts for a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Products,
    Attention,
    Other,
}

/// A stage, and what a batch takes of it.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What it is called.
    pub name: &'static str,
    /// All the work of a batch.
    pub work: Work,
    rate: Rate,
    /// Bytes of a number: 4 computes in f32.
    size: usize,
    /// A part of the decoder's step, which is recorded and launched as one.
    recorded: bool,
    /// Part of telling speakers apart.
    pub speakers: bool,
}

/// What a stage should take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    /// Seconds, every kernel launched by the processor.
    pub launched: f64,
    /// Seconds where the steps of the decoder are launched as one, as a graph.
    pub graph: f64,
    /// What it waits for when launched.
    pub limit: Limit,
}

/// What a batch of chunks takes, stage by stage in their order.
pub fn stages(config: &Config, rows: usize, size: usize, design: Design, assumptions: &Assumptions) -> Vec<Stage> {
    let batch = Batch { config, rows, size, design };
    let steps = assumptions.tokens + 1;
    // The mean number of tokens that a row looks back at.
    let length = PROMPT + assumptions.tokens / 2;
    let stage = |name, work, rate, size| Stage { name, work, rate, size, recorded: false, speakers: false };
    let step = |name, work: Work, rate| Stage { recorded: true, ..stage(name, work * steps, rate, size) };
    let mut stages = vec![
        stage("log-mel", listeners::log_mel(rows, config.num_mel_bins, design), Rate::Other, 4),
        stage("encoder convolutions", batch.encoder_convolutions(), Rate::Products, size),
        stage("encoder linear", batch.encoder_linear(), Rate::Products, size),
        stage("encoder attention", batch.encoder_attention(), Rate::Attention, size),
        stage("cross keys and values", batch.cross_keys(), Rate::Products, size),
        step("decoder linear", batch.step_linear(), Rate::Products),
        step("decoder self-attention", batch.step_self_attention(length), Rate::Attention),
        step("decoder cross-attention", batch.step_cross_attention(), Rate::Attention),
        step("logits and choice", batch.step_logits(), Rate::Products),
    ];
    if let Some(base) = super::checkpoints::find(HEARD).filter(|base| base != config) {
        let encoder = Batch { config: &base, ..batch };
        stages.push(stage("aligner: encoder of base", encoder.encoder(), Rate::Products, size));
    }
    let head = Head::ENGLISH;
    let columns = head.labels + MORE_COLUMNS;
    let path = listeners::best_path(rows, config.max_source_positions, CHARACTERS * assumptions.tokens, columns);
    stages.push(stage("aligner: head", head.work(rows), Rate::Products, 4));
    stages.push(stage("aligner: path", path, Rate::Other, 4));
    stages.extend(speaker_stages(rows));
    stages
}

/// The checkpoint whose encoder the aligner heads hear with.
const HEARD: &str = "base";

fn speaker_stages(chunks: usize) -> [Stage; 3] {
    let embedder = campplus::Config::default();
    let windows = EMBEDDED * chunks;
    let stage = |name, work, rate| Stage { name, work, rate, size: 4, recorded: false, speakers: true };
    let heard = listeners::segmentation(&segmentation::Config::default(), SEGMENTED * chunks);
    let features = listeners::filterbank(windows, EMBEDDED_FRAMES, embedder.features);
    let voices = listeners::embedder(&embedder, windows, EMBEDDED_FRAMES, EMBEDDED_TOGETHER);
    [
        stage("speakers: segmentation", heard, Rate::Products),
        stage("speakers: filterbank", features, Rate::Other),
        stage("speakers: embeddings", voices, Rate::Products),
    ]
}

impl Stage {
    /// What it should take on a card.
    pub fn time(&self, peak: &Peak, assumptions: &Assumptions) -> Time {
        let cores = match (self.rate, self.size) {
            (Rate::Other, _) => peak.single * assumptions.other,
            (Rate::Products, 4) => peak.single * assumptions.products,
            (Rate::Products, _) => peak.half * assumptions.products,
            (Rate::Attention, 4) => peak.single * assumptions.attention,
            (Rate::Attention, _) => peak.half * assumptions.attention,
        };
        let (compute, memory) = (self.work.flops / cores, self.work.bytes / (peak.bandwidth * assumptions.bandwidth));
        let (gaps, launches) = (self.work.kernels * assumptions.gap, self.work.kernels * assumptions.launch);
        let bus = self.work.bus / assumptions.bus;
        let on_card = compute.max(memory) + gaps;
        let limit = match () {
            () if bus > compute.max(memory).max(launches) => Limit::Bus,
            () if launches > on_card || gaps > compute.max(memory) => Limit::Launches,
            () if compute > memory => Limit::Compute,
            () => Limit::Memory,
        };
        let launched = on_card.max(launches) + bus;
        Time { launched, graph: if self.recorded { on_card + bus } else { launched }, limit }
    }
}

/// How much faster than real time a batch goes through `stages`: launched by the processor, and with the decoder's steps as
/// graphs.
pub fn real_time_factors(
    stages: &[Stage],
    rows: usize,
    peak: &Peak,
    assumptions: &Assumptions,
    speakers: bool,
) -> (f64, f64) {
    let times = stages.iter().filter(|stage| speakers || !stage.speakers).map(|stage| stage.time(peak, assumptions));
    let (launched, graph) =
        times.fold((0.0, 0.0), |(launched, graph), time| (launched + time.launched, graph + time.graph));
    let audio = rows as f64 * CHUNK_SECONDS;
    (audio / launched, audio / graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::cost::{cards, checkpoints};

    fn factors(model: &str, rows: usize, design: Design, card: &str) -> (f64, f64) {
        let assumptions = Assumptions::default();
        let stages = stages(&checkpoints::find(model).unwrap(), rows, 2, design, &assumptions);
        real_time_factors(&stages, rows, &cards::find(card).unwrap(), &assumptions, false)
    }

    #[test]
    fn the_limit_is_what_takes_longest() {
        let assumptions =
            Assumptions { products: 1.0, bandwidth: 1.0, launch: 2.0, gap: 0.5, ..Assumptions::default() };
        let peak = Peak { name: "toy".into(), half: 10.0, single: 5.0, bandwidth: 10.0 };
        let time = |flops: f64, bytes: f64, kernels: f64, size| {
            let work = Work { flops, bytes, kernels, bus: 0.0 };
            Stage { name: "toy", work, rate: Rate::Products, size, recorded: true, speakers: false }
                .time(&peak, &assumptions)
        };
        assert_eq!(time(100.0, 10.0, 1.0, 2), Time { launched: 10.5, graph: 10.5, limit: Limit::Compute });
        assert_eq!(time(100.0, 10.0, 1.0, 4), Time { launched: 20.5, graph: 20.5, limit: Limit::Compute });
        assert_eq!(time(10.0, 100.0, 1.0, 2), Time { launched: 10.5, graph: 10.5, limit: Limit::Memory });
        assert_eq!(time(10.0, 10.0, 4.0, 2), Time { launched: 8.0, graph: 3.0, limit: Limit::Launches });
    }

    #[test]
    fn fused_kernels_larger_batches_and_graphs_are_faster() {
        for model in ["base", "large-v3"] {
            for card in ["H100", "RTX-4090"] {
                let (composed, fused) =
                    (factors(model, 16, Design::Composed, card), factors(model, 16, Design::Fused, card));
                assert!(fused.0 > composed.0 && fused.1 > composed.1, "{model} {card}: {composed:?} {fused:?}");
                let built = factors(model, 16, Design::Built, card);
                assert!(fused.0 > built.0 && built.0 > composed.0, "{model} {card}: {built:?}");
                assert!(fused.1 >= fused.0);
                assert!(fused.0 > factors(model, 1, Design::Fused, card).0);
            }
        }
    }

    #[test]
    fn the_design_reaches_its_aim() {
        // Twice what WhisperX's paper claims for large-v2, 70 times real time.
        for card in ["H100", "RTX-4090"] {
            let (launched, _) = factors("large-v3", 16, Design::Fused, card);
            assert!(launched > 140.0, "{card}: {launched}");
        }
    }

    #[test]
    fn only_a_foreign_model_pays_for_the_aligners_encoder() {
        let count = |model: &str| {
            stages(&checkpoints::find(model).unwrap(), 4, 2, Design::Fused, &Assumptions::default()).len()
        };
        assert_eq!(count("large-v3"), count("base") + 1);
    }
}
