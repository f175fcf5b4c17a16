//! Speaker embedders: what was heard of a voice in, one vector out, alike where the speaker is the same.
//!
//! Whatever the network, a window goes through its trunk once, and the trunk's frames are pooled for each speaker of the
//! window under weights that say when that speaker is heard, as pyannote.audio does (`StatsPool`). The trunk itself still
//! hears everybody: weights decide which frames count, not what they contain.

pub mod campplus;
pub mod ecapa;
mod residual;
pub mod resnet;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use campplus::CamPlusPlus;
use ecapa::EcapaTdnn;
use resnet::ResNet34;

/// The epsilon of every batch normalisation.
const EPSILON: f64 = 1e-5;

/// A network that tells voices apart, in f32: half precision multiplies the diarization error.
pub enum SpeakerEmbedder {
    /// Context-aware masking over densely connected time-delay layers: 192 numbers.
    CamPlusPlus(CamPlusPlus),
    /// Residual convolutions over frequency and time: 256 numbers.
    ResNet34(ResNet34),
    /// Time-delay layers with weighted channels and attentive statistics: 192 numbers.
    EcapaTdnn(EcapaTdnn),
}

/// Which network it is: what distances mean differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// CAM++ of 3D-Speaker.
    CamPlusPlus,
    /// ResNet34 of WeSpeaker.
    ResNet34,
    /// ECAPA-TDNN of SpeechBrain.
    EcapaTdnn,
}

/// How the features of an embedder are made of samples in -1..1. Every bin's mean over the window is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Features {
    /// Kaldi's log mel filterbank with a Povey window.
    KaldiPovey {
        /// Values in a frame.
        bins: usize,
    },
    /// Kaldi's log mel filterbank with a Hamming window, of samples in the range of 16-bit integers.
    KaldiHamming {
        /// Values in a frame.
        bins: usize,
    },
    /// SpeechBrain's mel filterbank in decibels, at most 80 below the window's loudest value.
    Decibels {
        /// Values in a frame.
        bins: usize,
    },
}

impl Features {
    /// Values in a frame.
    pub fn bins(&self) -> usize {
        match self {
            Self::KaldiPovey { bins } | Self::KaldiHamming { bins } | Self::Decibels { bins } => *bins,
        }
    }
}

impl SpeakerEmbedder {
    /// Reads the network from `vb`, the root of a checkpoint; its tensors say which architecture it is.
    ///
    /// # Errors
    /// When it is none of them, a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder) -> Result<Self> {
        if vb.contains_tensor("xvector.tdnn.linear.weight") {
            return Ok(Self::CamPlusPlus(CamPlusPlus::load(vb, &campplus::Config::default())?));
        }
        if vb.contains_tensor("resnet.seg_1.weight") {
            return Ok(Self::ResNet34(ResNet34::load(vb, &resnet::Config::default())?));
        }
        if vb.contains_tensor("asp.conv.conv.weight") {
            return Ok(Self::EcapaTdnn(EcapaTdnn::load(vb, &ecapa::Config::default())?));
        }
        bail!(
            "its tensors are those of no speaker embedder known here: CAM++, WeSpeaker's ResNet34, SpeechBrain's ECAPA-TDNN"
        )
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::CamPlusPlus(_) => Architecture::CamPlusPlus,
            Self::ResNet34(_) => Architecture::ResNet34,
            Self::EcapaTdnn(_) => Architecture::EcapaTdnn,
        }
    }

    /// How its features are made.
    pub fn features(&self) -> Features {
        match self {
            Self::CamPlusPlus(network) => Features::KaldiPovey { bins: network.config().features },
            Self::ResNet34(network) => Features::KaldiHamming { bins: network.config().features },
            Self::EcapaTdnn(network) => Features::Decibels { bins: network.config().features },
        }
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        match self {
            Self::CamPlusPlus(network) => network.config().embedding,
            Self::ResNet34(network) => network.config().embedding,
            Self::EcapaTdnn(network) => network.config().embedding,
        }
    }

    /// Embeddings of whole windows: features (B, T, bins) -> (B, dimension), not normalised in length.
    ///
    /// # Errors
    /// When the features have another number of bins, no frames, or a device fails.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let everything = Tensor::ones((features.dim(0)?, 1, 1), DType::F32, features.device())?;
        self.forward_masked(features, &everything)?.squeeze(1)
    }

    /// Embeddings of the speakers of windows: features (B, T, bins), weights (B, S, W) in 0..1 -> (B, S, dimension), not
    /// normalised in length.
    ///
    /// The W weights lie evenly over the window, whatever its frames, and each of the trunk's frames takes the nearest. One
    /// frame alone has no deviation (0, or what the reference says); a speaker without any weight gets zeros.
    ///
    /// # Errors
    /// When the shapes do not fit or a device fails.
    pub fn forward_masked(&self, features: &Tensor, weights: &Tensor) -> Result<Tensor> {
        if weights.dims3()?.0 != features.dim(0)? || weights.elem_count() == 0 {
            bail!("weights {:?} do not fit features {:?}", weights.dims(), features.dims());
        }
        let trunk = self.trunk(features)?;
        let weights = nearest(weights, trunk.dim(1)?)?;
        let embeddings = self.pool(&trunk, &weights)?;
        let total = weights.sum_keepdim(2)?;
        let heard = total.gt(&total.zeros_like()?)?.broadcast_as(embeddings.shape())?;
        heard.where_cond(&embeddings, &embeddings.zeros_like()?)
    }

    /// The frames that are pooled: features (B, T, bins) -> (B, T', C).
    ///
    /// # Errors
    /// As [`SpeakerEmbedder::forward`].
    pub fn trunk(&self, features: &Tensor) -> Result<Tensor> {
        match self {
            Self::CamPlusPlus(network) => network.trunk(features),
            Self::ResNet34(network) => network.trunk(features),
            Self::EcapaTdnn(network) => network.trunk(features),
        }
    }

    fn pool(&self, trunk: &Tensor, weights: &Tensor) -> Result<Tensor> {
        match self {
            Self::CamPlusPlus(network) => network.pool(trunk, weights),
            Self::ResNet34(network) => network.pool(trunk, weights),
            Self::EcapaTdnn(network) => network.pool(trunk, weights),
        }
    }
}

/// Brings weights (B, S, W) onto `frames` frames: frame t takes weight floor(t W / frames), torch's "nearest".
fn nearest(weights: &Tensor, frames: usize) -> Result<Tensor> {
    let steps = weights.dim(2)?;
    if steps == frames {
        return Ok(weights.clone());
    }
    let places: Vec<u32> = (0..frames).map(|frame| (frame * steps / frames) as u32).collect();
    weights.index_select(&Tensor::new(places, weights.device())?, 2)
}

/// A batch normalisation as `x * scale + shift`.
fn batch_norm(channels: usize, vb: VarBuilder) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = plain_batch_norm(channels, vb.clone())?;
    let weight = vb.get(channels, "weight")?;
    Ok(((scale * &weight)?, ((shift * weight)? + vb.get(channels, "bias")?)?))
}

/// The same for a batch normalisation without weight and bias of its own.
fn plain_batch_norm(channels: usize, vb: VarBuilder) -> Result<(Tensor, Tensor)> {
    let scale = (vb.get(channels, "running_var")? + EPSILON)?.sqrt()?.recip()?;
    let shift = (vb.get(channels, "running_mean")?.neg()? * &scale)?;
    Ok((scale, shift))
}
