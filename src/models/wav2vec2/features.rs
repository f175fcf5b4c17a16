//! From samples to frames: a stack of strided convolutions, and the projection to the encoder's channels.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::config::{Config, FeatureNorm};
use crate::{
    models::layers::{layer_norm, linear},
    ops::{self, LayerNorm, Linear, Sliding, TimeConvolution},
};

/// Epsilon of the norms inside the stack, which no configuration names (torch's default).
const EPSILON: f64 = 1e-5;
/// Frames that go through the stack at a time: the first convolution makes 64 times as many, too many to keep for a long clip.
const PIECE: usize = 100;

/// The convolutions over the samples.
#[derive(Debug)]
pub(super) struct FeatureExtractor {
    first: First,
    others: Vec<Layer>,
    hop: usize,
    receptive_field: usize,
    device: Device,
    dtype: DType,
}

/// The first convolution.
#[derive(Debug)]
enum First {
    /// Its channels are normalised over the clip, so its weights are made for each clip.
    Group(GroupNormed),
    Plain(Layer),
}

impl FeatureExtractor {
    /// Loads `conv_layers.N.{conv, layer_norm}`.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let vb = vb.pp("conv_layers");
        let layers = (1..config.conv_dim.len()).map(|index| Layer::load(&vb.pp(index), config, index));
        Ok(Self {
            first: match config.feat_extract_norm {
                FeatureNorm::Group => First::Group(GroupNormed::load(&vb.pp(0), config)?),
                FeatureNorm::Layer => First::Plain(Layer::load(&vb.pp(0), config, 0)?),
            },
            others: layers.collect::<Result<_>>()?,
            hop: config.hop(),
            receptive_field: config.receptive_field(),
            device: vb.device().clone(),
            dtype: vb.dtype(),
        })
    }

    /// Samples of one clip, at least as many as the receptive field, to (1, T, channels).
    pub(super) fn forward(&self, samples: &[f32]) -> Result<Tensor> {
        let of_clip;
        let first = match &self.first {
            First::Plain(layer) => layer,
            First::Group(normed) => {
                of_clip = normed.for_clip(samples)?;
                &of_clip
            }
        };
        let frames = (samples.len() - self.receptive_field) / self.hop + 1;
        let pieces = (0..frames).step_by(PIECE).map(|frame| {
            let count = PIECE.min(frames - frame);
            let samples = &samples[frame * self.hop..][..(count - 1) * self.hop + self.receptive_field];
            let x = Tensor::from_slice(samples, (1, samples.len(), 1), &self.device)?.to_dtype(self.dtype)?;
            self.others.iter().try_fold(first.forward(&x)?, |x, layer| layer.forward(&x))
        });
        Tensor::cat(&pieces.collect::<Result<Vec<_>>>()?, 1)
    }
}

/// A convolution, a layer norm where there is one, GELU.
#[derive(Debug)]
struct Layer {
    convolution: TimeConvolution,
    norm: Option<LayerNorm>,
}

impl Layer {
    fn load(vb: &VarBuilder, config: &Config, index: usize) -> Result<Self> {
        let outputs = config.conv_dim[index];
        let norm = match config.feat_extract_norm {
            FeatureNorm::Layer => Some(layer_norm(outputs, EPSILON, &vb.pp("layer_norm"))?),
            FeatureNorm::Group => None,
        };
        let (weight, bias) = convolution(vb, config, index)?;
        Ok(Self { convolution: TimeConvolution::new(weight, bias, sliding(config, index))?, norm })
    }

    /// (1, T, in) to (1, T', out).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => ops::gelu(&norm.forward(&self.convolution.forward(x)?)?),
            None => self.convolution.forward_gelu(x),
        }
    }
}

fn sliding(config: &Config, index: usize) -> Sliding {
    Sliding { stride: config.conv_stride[index], ..Sliding::default() }
}

/// Weight (out, in, width) and bias (out) of a convolution.
fn convolution(vb: &VarBuilder, config: &Config, index: usize) -> Result<(Tensor, Option<Tensor>)> {
    let inputs = if index == 0 { 1 } else { config.conv_dim[index - 1] };
    let (outputs, vb) = (config.conv_dim[index], vb.pp("conv"));
    let bias = if config.conv_bias { Some(vb.get(outputs, "bias")?) } else { None };
    Ok((vb.get((outputs, inputs, config.conv_kernel[index]), "weight")?, bias))
}

/// The first convolution where a group norm follows: every channel is brought to zero mean and unit variance over the
/// clip. Mean and variance of a channel follow from those of the windows of samples, so no pass over its output is needed.
#[derive(Debug)]
struct GroupNormed {
    /// (out, width), in row-major order.
    weight: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    width: usize,
    sliding: Sliding,
    device: Device,
    dtype: DType,
}

impl GroupNormed {
    fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let outputs = config.conv_dim[0];
        let numbers = |tensor: Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        // A bias would shift a channel as a whole, which the norm takes back.
        let (weight, _) = convolution(vb, config, 0)?;
        let norm = vb.pp("layer_norm");
        Ok(Self {
            weight: numbers(weight)?,
            scale: numbers(norm.get(outputs, "weight")?)?,
            shift: numbers(norm.get(outputs, "bias")?)?,
            width: config.conv_kernel[0],
            sliding: sliding(config, 0),
            device: vb.device().clone(),
            dtype: vb.dtype(),
        })
    }

    /// The convolution that includes the norm over this clip.
    fn for_clip(&self, samples: &[f32]) -> Result<Layer> {
        let windows = Windows::of(samples, self.width, self.sliding.stride);
        let mut weight = Vec::with_capacity(self.weight.len());
        let mut bias = Vec::with_capacity(self.scale.len());
        for ((row, &scale), &shift) in self.weight.chunks_exact(self.width).zip(&self.scale).zip(&self.shift) {
            let (mean, variance) = windows.moments(row);
            let factor = f64::from(scale) / (variance + EPSILON).sqrt();
            weight.extend(row.iter().map(|&value| (f64::from(value) * factor) as f32));
            bias.push((f64::from(shift) - mean * factor) as f32);
        }
        let outputs = bias.len();
        let weight = Tensor::from_vec(weight, (outputs, 1, self.width), &self.device)?.to_dtype(self.dtype)?;
        let bias = Tensor::from_vec(bias, outputs, &self.device)?.to_dtype(self.dtype)?;
        Ok(Layer { convolution: TimeConvolution::new(weight, Some(bias), self.sliding)?, norm: None })
    }
}

/// Mean and covariance of the windows of a clip that the first convolution sees.
struct Windows {
    mean: Vec<f64>,
    /// (width, width), in row-major order.
    covariance: Vec<f64>,
}

impl Windows {
    fn of(samples: &[f32], width: usize, stride: usize) -> Self {
        let (mut mean, mut covariance) = (vec![0.0; width], vec![0.0; width * width]);
        let mut window = vec![0.0; width];
        // Centred first, so that an offset of the whole clip costs no digits.
        let centre = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64;
        for samples in samples.windows(width).step_by(stride) {
            for (value, &sample) in window.iter_mut().zip(samples) {
                *value = f64::from(sample) - centre;
            }
            for (row, (&value, mean)) in window.iter().zip(&mut mean).enumerate() {
                *mean += value;
                for (sum, other) in covariance[row * width..][..=row].iter_mut().zip(&window) {
                    *sum += value * other;
                }
            }
        }
        let share = 1.0 / (samples.windows(width).step_by(stride).len().max(1)) as f64;
        mean.iter_mut().for_each(|mean| *mean *= share);
        for row in 0..width {
            for column in 0..=row {
                let value = covariance[row * width + column] * share - mean[row] * mean[column];
                covariance[row * width + column] = value;
                covariance[column * width + row] = value;
            }
        }
        mean.iter_mut().for_each(|mean| *mean += centre);
        Self { mean, covariance }
    }

    /// Mean and variance of the windows' products with `weight`.
    fn moments(&self, weight: &[f32]) -> (f64, f64) {
        let wide = |(&weight, value): (&f32, &f64)| f64::from(weight) * value;
        let mean = weight.iter().zip(&self.mean).map(wide).sum();
        let rows = self.covariance.chunks_exact(weight.len());
        let variance: f64 =
            rows.zip(weight).map(|(row, &w)| f64::from(w) * weight.iter().zip(row).map(wide).sum::<f64>()).sum();
        (mean, variance.max(0.0))
    }
}

/// From the convolutions' channels to the encoder's.
#[derive(Debug)]
pub(super) struct Projection {
    norm: Option<LayerNorm>,
    dense: Linear,
}

impl Projection {
    /// Loads `layer_norm, projection`.
    pub(super) fn load(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let channels = config.conv_dim[config.conv_dim.len() - 1];
        let norm = |vb: &VarBuilder| layer_norm(channels, config.layer_norm_eps, &vb.pp("layer_norm"));
        Ok(Self {
            norm: config.feat_proj_layer_norm.then(|| norm(vb)).transpose()?,
            dense: linear(channels, config.hidden_size, &vb.pp("projection"))?,
        })
    }

    /// (1, T, channels) to (1, T, hidden size).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => self.dense.forward(&norm.forward(x)?),
            None => self.dense.forward(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_convolution() {
        let samples: Vec<f32> = (0..1003).map(|index| (index as f32 * 0.37).sin() + 0.1 * (index % 7) as f32).collect();
        let weight = [0.5f32, -1.0, 0.25, 2.0];
        let outputs: Vec<f64> = samples
            .windows(4)
            .step_by(3)
            .map(|window| window.iter().zip(weight).map(|(&x, w)| f64::from(x) * f64::from(w)).sum())
            .collect();
        let mean = outputs.iter().sum::<f64>() / outputs.len() as f64;
        let variance = outputs.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / outputs.len() as f64;
        let ours = Windows::of(&samples, 4, 3).moments(&weight);
        assert!((ours.0 - mean).abs() < 1e-9 && (ours.1 - variance).abs() < 1e-9, "{ours:?}, {mean}, {variance}");
    }

    #[test]
    fn silence_has_no_variance() {
        assert_eq!(Windows::of(&[0.0; 400], 10, 5).moments(&[1.0; 10]), (0.0, 0.0));
    }
}
