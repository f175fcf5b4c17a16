//! The speaker embedder as a stage: windows of many recordings, a vector each, in one batch.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Device, Tensor};

use super::stage::{Key, Stage};
use crate::{error::Result, models::speaker::SpeakerEmbedder};

/// Windows embedded together.
pub const BATCH: usize = 32;

/// The features of one window.
#[derive(Debug, Clone)]
pub struct Window {
    /// (frames, bins), row after row.
    pub features: Vec<f32>,
    /// Rows.
    pub frames: usize,
}

/// One embedding a window, in their order; windows of the same length share a call of the network.
///
/// # Errors
/// When a tensor operation fails.
pub fn embed(embedder: &SpeakerEmbedder, device: &Device, windows: &[&Window]) -> Result<Vec<Vec<f32>>> {
    let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, window) in windows.iter().enumerate() {
        lengths.entry(window.frames).or_default().push(index);
    }
    let mut embeddings = vec![Vec::new(); windows.len()];
    for (frames, members) in lengths {
        let features: Vec<f32> = members.iter().flat_map(|&index| windows[index].features.iter().copied()).collect();
        let features = Tensor::from_vec(features, (members.len(), frames, embedder.config().features), device)?;
        let rows: Vec<Vec<f32>> = embedder.forward(&features)?.to_vec2()?;
        members.into_iter().zip(rows).for_each(|(index, row)| embeddings[index] = row);
    }
    Ok(embeddings)
}

/// The stage.
pub struct Embedder {
    network: SpeakerEmbedder,
    device: Device,
    inside: Vec<(Key, Arc<Window>)>,
}

impl Embedder {
    /// A stage around the network.
    pub fn new(network: SpeakerEmbedder, device: Device) -> Self {
        Self { network, device, inside: Vec::new() }
    }
}

impl Stage for Embedder {
    type Job = Window;
    type Output = Vec<f32>;
    const NAME: &'static str = "speakers";

    fn places(&self) -> usize {
        BATCH
    }

    fn intake(&self) -> usize {
        BATCH
    }

    fn admit(&mut self, jobs: Vec<(Key, Arc<Window>)>) -> Result<()> {
        self.inside.extend(jobs);
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(Key, Result<Vec<f32>>)>> {
        let windows: Vec<&Window> = self.inside.iter().map(|(_, window)| window.as_ref()).collect();
        let embeddings = embed(&self.network, &self.device, &windows)?;
        let keys = std::mem::take(&mut self.inside).into_iter().map(|(key, _)| key);
        Ok(keys.zip(embeddings.into_iter().map(Ok)).collect())
    }

    fn dismiss(&mut self, key: Key) {
        self.inside.retain(|(inside, _)| *inside != key);
    }

    fn clear(&mut self) {
        self.inside.clear();
    }
}
