//! What a user may ask for: which devices, and which numbers on them.

use std::{fmt, str::FromStr};

use candle_core::DType;

use crate::{
    error::{Error, Result},
    ops::{
        Precision,
        instructions::{has_bfloat16_unit, has_fast_int8},
    },
};

/// Devices that may work side by side.
const MOST_DEVICES: usize = 64;

/// Which devices the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU, with so many workers side by side that each hold a copy of the models.
    Cpu(usize),
    /// The GPUs with these numbers, each with a worker of its own; at least one, none of them twice.
    Cuda(Vec<usize>),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = |name: &str| {
            Error::Request(format!(
                "unknown device '{name}': use auto, cpu, cuda, cuda:N, or several GPUs such as cuda:0,cuda:1"
            ))
        };
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names == ["auto"] {
            return Ok(Self::Auto);
        }
        if names.len() > MOST_DEVICES {
            return Err(Error::Request(format!("at most {MOST_DEVICES} devices work side by side")));
        }
        if names.iter().all(|name| *name == "cpu") {
            return Ok(Self::Cpu(names.len()));
        }
        let mut numbers = Vec::new();
        for name in names {
            let number = match name {
                "cuda" => 0,
                "auto" | "cpu" => {
                    return Err(Error::Request(format!(
                        "'{text}' mixes devices of several kinds: name GPUs only, or only cpu"
                    )));
                }
                _ => name.strip_prefix("cuda:").and_then(|number| number.parse().ok()).ok_or_else(|| unknown(name))?,
            };
            if numbers.contains(&number) {
                return Err(Error::Request(format!("'{text}' names GPU {number} twice; name each GPU once")));
            }
            numbers.push(number);
        }
        Ok(Self::Cuda(numbers))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu(workers) => f.write_str(&vec!["cpu"; *workers].join(",")),
            Self::Cuda(numbers) => {
                let names: Vec<String> = numbers.iter().map(|number| format!("cuda:{number}")).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// The numbers in which a transcriber computes; every other network computes in f32, whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ComputeType {
    /// float16 on a GPU; on the CPU int8 where the processor multiplies it faster than float32, else float32.
    #[default]
    Auto,
    /// 32-bit floating point.
    Float32,
    /// 16-bit floating point (IEEE half); on GPUs.
    Float16,
    /// 16-bit floating point with the range of 32; on GPUs of compute capability 8.0 or higher, and on processors with AMX-BF16.
    BFloat16,
    /// 8-bit integers with scales; on the CPU.
    Int8,
}

impl ComputeType {
    /// Every choice.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Float32, Self::Float16, Self::BFloat16, Self::Int8];

    /// Its name, as flags, settings and clients of other services spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of a number on a GPU.
    pub fn gpu_bytes(self) -> usize {
        if self == Self::Float32 { 4 } else { 2 }
    }

    /// How the CPU makes its products.
    ///
    /// # Errors
    /// [`Error::Request`] for numbers that only GPUs, or other processors, compute in.
    pub(super) fn on_cpu(self) -> Result<Precision> {
        match self {
            Self::Auto if has_fast_int8() => Ok(Precision::Int8),
            Self::Auto | Self::Float32 => Ok(Precision::Float32),
            Self::Int8 => Ok(Precision::Int8),
            Self::BFloat16 if has_bfloat16_unit() => Ok(Precision::BFloat16),
            Self::BFloat16 => Err(Error::Request(
                "--compute-type bfloat16 needs a GPU or a processor with AMX-BF16; on this CPU use int8 or float32, or \
                 leave the choice to auto"
                    .into(),
            )),
            Self::Float16 => Err(Error::Request(
                "--compute-type float16 needs a GPU; on the CPU use int8 or float32, or leave the choice to auto".into(),
            )),
        }
    }

    /// What a GPU of this compute capability computes in.
    ///
    /// # Errors
    /// [`Error::Request`] for numbers that the GPU lacks.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "asked where a GPU is opened"))]
    pub(super) fn on_gpu(self, capability: (i32, i32)) -> Result<DType> {
        match self {
            Self::Auto | Self::Float16 => Ok(DType::F16),
            Self::Float32 => Ok(DType::F32),
            Self::Int8 => Err(Error::Request(
                "--compute-type int8 is for the CPU; on a GPU use float16, or leave the choice to auto".into(),
            )),
            Self::BFloat16 if capability >= (8, 0) => Ok(DType::BF16),
            Self::BFloat16 => Err(Error::Request(format!(
                "--compute-type bfloat16 needs a GPU of compute capability 8.0 or higher, and this one has {}.{}; use float16",
                capability.0, capability.1
            ))),
        }
    }
}

impl FromStr for ComputeType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Request(format!("unknown compute type '{text}': use one of {known}"))
        })
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_they_are_read() {
        for text in ["auto", "cpu", "cpu,cpu", "cuda:0", "cuda:3", "cuda:0,cuda:1"] {
            assert_eq!(text.parse::<DeviceChoice>().map(|choice| choice.to_string()).ok().as_deref(), Some(text));
        }
        assert_eq!("cuda".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Cuda(vec![0])));
        assert_eq!("cuda, cuda:1".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Cuda(vec![0, 1])));
    }

    #[test]
    fn devices_that_cannot_be_are_refused_with_the_remedy() {
        for (text, told) in [
            ("", "use auto, cpu"),
            ("gpu", "unknown device 'gpu'"),
            ("cuda:x", "cuda:N"),
            ("cuda:-1", "cuda:N"),
            ("cuda:0,", "unknown device ''"),
            ("cpu,cuda:0", "several kinds"),
            ("auto,cuda:0", "several kinds"),
            ("cuda,cuda:0", "GPU 0 twice"),
        ] {
            let refusal = text.parse::<DeviceChoice>().map_err(|error| error.to_string()).err().unwrap_or_default();
            assert!(refusal.contains(told), "{text}: {refusal}");
        }
        assert!(vec!["cpu"; 65].join(",").parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn numbers_follow_the_device() {
        assert_eq!("bfloat16".parse::<ComputeType>().ok(), Some(ComputeType::BFloat16));
        assert!("half".parse::<ComputeType>().is_err_and(|error| error.to_string().contains("float16")));
        let fastest = if has_fast_int8() { Precision::Int8 } else { Precision::Float32 };
        assert_eq!(ComputeType::Auto.on_cpu().ok(), Some(fastest));
        assert_eq!(ComputeType::Float32.on_cpu().ok(), Some(Precision::Float32));
        assert_eq!(ComputeType::BFloat16.on_cpu().is_ok(), has_bfloat16_unit());
        assert!(ComputeType::Int8.on_gpu((9, 0)).is_err_and(|error| error.to_string().contains("float16")));
        assert!(ComputeType::Float16.on_cpu().is_err_and(|error| error.to_string().contains("needs a GPU")));
        assert_eq!(ComputeType::Auto.on_gpu((7, 5)).ok(), Some(DType::F16));
        assert_eq!(ComputeType::BFloat16.on_gpu((8, 0)).ok(), Some(DType::BF16));
        assert!(
            ComputeType::BFloat16.on_gpu((7, 5)).is_err_and(|error| error.to_string().contains("7.5; use float16"))
        );
    }
}
