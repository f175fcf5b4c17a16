//! The only choice of device and number type.

use std::{fmt, str::FromStr};

use candle_core::{DType, Device};

use crate::error::{Error, Result};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| Error::Request(format!("unknown device '{text}': use auto, cpu, cuda or cuda:N"))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Where models run and in which number type.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// The type of weights and activations of the transcriber; everything else is f32.
    pub dtype: DType,
}

impl Compute {
    /// f32 on the CPU.
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }

    /// Opens the chosen device; `auto` falls back to the CPU.
    ///
    /// # Errors
    /// [`Error::Machine`] when a GPU was named and cannot be used.
    pub fn open(choice: DeviceChoice) -> Result<Self> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Auto => Ok(Self::cuda(0).unwrap_or_else(|reason| {
                if cfg!(feature = "cuda") {
                    tracing::warn!("no usable GPU, running on the CPU ({reason})");
                }
                Self::cpu()
            })),
            DeviceChoice::Cuda(index) => Self::cuda(index),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda(index: usize) -> Result<Self> {
        // new_cuda reports a missing driver as an error; a driver that is too old can panic inside the bindings.
        std::panic::catch_unwind(|| Device::new_cuda(index))
            .map_err(|_| {
                Error::Machine(format!(
                    "the CUDA driver cannot be used for GPU {index}; install driver 580 or newer, or use --device cpu"
                ))
            })?
            .map(|device| Self { device, dtype: DType::F32 })
            .map_err(|reason| {
                Error::Machine(format!(
                    "GPU {index} cannot be opened: {}; use --device cpu, or check the driver with nvidia-smi",
                    crate::error::sentence(&reason)
                ))
            })
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(_index: usize) -> Result<Self> {
        Err(Error::Machine(
            "this palabra was built without GPU support; build it with --features cuda, or use --device cpu".into(),
        ))
    }
}

impl Compute {
    /// What the driver calls the card; `None` for the CPU.
    pub fn card(&self) -> Option<String> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            return device.cuda_stream().context().name().ok();
        }
        None
    }
}
