//! The number types that a transcriber can compute in.

use candle_core::DType;
use clap::ValueEnum;
use palabra::{Error, Result};

/// `--compute-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ComputeType {
    /// float16 on a GPU, float32 on the CPU.
    Auto,
    /// Single precision.
    Float32,
    /// Half precision with 11 bits of mantissa.
    Float16,
    /// Half precision with the range of single precision.
    Bfloat16,
}

impl ComputeType {
    /// Candle's type on a device.
    ///
    /// # Errors
    /// [`Error::Request`] where the device does not compute in it.
    pub fn dtype(self, on_cpu: bool) -> Result<DType> {
        match (self, on_cpu) {
            (Self::Auto | Self::Float32, true) | (Self::Float32, false) => Ok(DType::F32),
            (Self::Float16 | Self::Bfloat16, true) => {
                Err(Error::Request("half precision is for GPUs; on the CPU take --compute-type float32".into()))
            }
            (Self::Auto | Self::Float16, false) => Ok(DType::F16),
            (Self::Bfloat16, false) => Ok(DType::BF16),
        }
    }

    /// Bytes of a number on a GPU.
    pub fn size(self) -> usize {
        if self == Self::Float32 { 4 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_has_a_say() {
        assert_eq!(ComputeType::Auto.dtype(true).ok(), Some(DType::F32));
        assert_eq!(ComputeType::Auto.dtype(false).ok(), Some(DType::F16));
        assert!(ComputeType::Bfloat16.dtype(true).is_err());
        for kind in [ComputeType::Float32, ComputeType::Float16, ComputeType::Bfloat16] {
            assert_eq!(kind.dtype(false).map(|dtype| dtype.size_in_bytes()).ok(), Some(kind.size()));
        }
    }
}
