//! The only choice of device and number type.

mod choice;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "GPUs refuse only where they are opened"))]
mod refusal;

use candle_core::{DType, Device, DeviceLocation};

pub use self::choice::{ComputeType, DeviceChoice};
use crate::{
    error::{Error, Result},
    ops::{Precision, instructions::check_limit},
};

/// Where models run and in which number type.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// The type of weights and activations of the transcriber; everything else is f32.
    pub dtype: DType,
    /// How the transcriber's products are made where the device is the CPU.
    pub precision: Precision,
}

/// The memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What tensors can still have.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Compute {
    /// f32 on the CPU.
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32, precision: Precision::Float32 }
    }

    /// The device's name, as it is asked for: `cpu`, `cuda:0`.
    pub fn name(&self) -> String {
        match self.device.location() {
            DeviceLocation::Cpu => "cpu".into(),
            DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
        }
    }

    /// The name of the transcriber's numbers, as they are asked for: `float32`, `float16`, `bfloat16`, `int8`.
    pub fn type_name(&self) -> &'static str {
        match self.dtype {
            DType::F32 if self.precision == Precision::Int8 => ComputeType::Int8.name(),
            DType::F32 if self.precision == Precision::BFloat16 => ComputeType::BFloat16.name(),
            DType::F16 => ComputeType::Float16.name(),
            DType::BF16 => ComputeType::BFloat16.name(),
            DType::F32 => ComputeType::Float32.name(),
            other => other.as_str(),
        }
    }

    /// Whether the transcriber's products are made in int8.
    pub fn is_int8(&self) -> bool {
        self.device.is_cpu() && self.precision == Precision::Int8
    }

    /// The same device with a stream of its own, so that a model at work on it overlaps with the others. Tensors of two
    /// streams cannot meet: everything that a model touches belongs to the stream that it was loaded for.
    ///
    /// # Errors
    /// When the device refuses another stream.
    pub fn own_stream(&self) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if let DeviceLocation::Cuda { gpu_id } = self.device.location() {
            return Ok(Self { device: cuda::handle(gpu_id)?, ..self.clone() });
        }
        Ok(self.clone())
    }

    /// What the driver calls the card; `None` for the CPU.
    pub fn card(&self) -> Option<String> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            return device.cuda_stream().context().name().ok();
        }
        None
    }

    /// How much memory the device has; `None` for the CPU, which shares the machine's.
    pub fn memory(&self) -> Option<Memory> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            return cuda::memory(device);
        }
        None
    }

    /// Gives memory that tensors have freed back to the device's other users.
    pub fn give_back(&self) {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            cuda::give_back(device);
        }
    }
}

/// The devices that work side by side: at least one, all of one kind, all with one number type.
#[derive(Debug, Clone)]
pub struct Devices {
    first: Compute,
    others: Vec<Compute>,
}

impl Devices {
    /// Opens the chosen devices; `auto` falls back to the CPU.
    ///
    /// # Errors
    /// [`Error::Machine`] when a GPU was named and cannot be used; [`Error::Request`] for numbers that the device lacks, or a
    /// limit of instructions that is not known.
    pub fn open(choice: &DeviceChoice, compute_type: ComputeType) -> Result<Self> {
        check_limit().map_err(Error::Request)?;
        let on_cpu = |workers: usize| {
            let cpu = Compute { precision: compute_type.on_cpu()?, ..Compute::cpu() };
            Ok(Self { others: vec![cpu.clone(); workers.saturating_sub(1)], first: cpu })
        };
        match choice {
            DeviceChoice::Cpu(workers) => on_cpu(*workers),
            DeviceChoice::Auto => match gpu(0, compute_type) {
                Ok(first) => Ok(first.into()),
                Err(reason @ Error::Request(_)) => Err(reason),
                Err(reason) => {
                    let devices = on_cpu(1)?;
                    if cfg!(feature = "cuda") {
                        tracing::warn!("running on the CPU: {reason}");
                    }
                    Ok(devices)
                }
            },
            DeviceChoice::Cuda(numbers) => {
                let mut opened = numbers.iter().map(|&number| gpu(number, compute_type));
                let first = opened.next().unwrap_or_else(|| Err(Error::Bug("no GPU was named".into())))?;
                let others = opened.collect::<Result<Vec<_>>>()?;
                // One number type for all: results must not depend on which card a chunk comes to.
                if let Some(other) = others.iter().find(|other| other.dtype != first.dtype) {
                    return Err(Error::Request(format!(
                        "{} and {} compute in different numbers; name a --compute-type that both have",
                        first.name(),
                        other.name()
                    )));
                }
                Ok(Self { first, others })
            }
        }
    }

    /// The first of them, on which everything runs that is not spread over all.
    pub fn first(&self) -> &Compute {
        &self.first
    }

    /// Every one of them, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Compute> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Their names, as they are asked for: `cuda:0,cuda:1`.
    pub fn names(&self) -> String {
        self.all().map(Compute::name).collect::<Vec<_>>().join(",")
    }
}

impl From<Compute> for Devices {
    fn from(first: Compute) -> Self {
        Self { first, others: Vec::new() }
    }
}

#[cfg(feature = "cuda")]
fn gpu(index: usize, compute_type: ComputeType) -> Result<Compute> {
    cuda::open(index, compute_type).map(|(device, dtype)| Compute { device, dtype, precision: Precision::Float32 })
}

#[cfg(not(feature = "cuda"))]
fn gpu(_index: usize, _compute_type: ComputeType) -> Result<Compute> {
    Err(Error::Machine(
        "this palabra was built without GPU support; build it with --features cuda, or use --device cpu".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(device: &str, compute_type: ComputeType) -> Result<Devices> {
        Devices::open(&device.parse()?, compute_type)
    }

    #[test]
    fn the_cpu_may_have_several_workers() {
        let devices = open("cpu,cpu", ComputeType::Auto).unwrap();
        assert_eq!((devices.names().as_str(), devices.all().count()), ("cpu,cpu", 2));
        assert_eq!((devices.first().dtype, devices.first().type_name()), (DType::F32, expected_type()));
        let single = open("cpu", ComputeType::Float32).unwrap();
        assert_eq!((single.first().precision, single.first().type_name()), (Precision::Float32, "float32"));
        assert_eq!(devices.first().memory(), None);
    }

    /// What `auto` stands for on this processor.
    fn expected_type() -> &'static str {
        if crate::ops::instructions::has_fast_int8() { "int8" } else { "float32" }
    }

    #[test]
    fn numbers_that_the_cpu_lacks_are_refused_and_not_replaced() {
        let refused = open("cpu", ComputeType::Float16).map(|_| ()).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|refusal| refusal.contains("--compute-type float16 needs a GPU")));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_of_the_machine() {
        // The highest number: no machine has so many.
        let refused = open(&format!("cuda:{}", usize::MAX), ComputeType::Auto);
        assert!(matches!(refused, Err(Error::Machine(reason)) if reason.contains("--device cpu")));
    }
}
