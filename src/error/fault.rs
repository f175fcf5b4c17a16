//! What the codes of CUDA say of a failed operation: too little memory, from which work can go on, or a device that is lost.

#![cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "without CUDA no device fails"))]

/// Why a device has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has no memory left; what it holds is as it was.
    Memory,
    /// Nothing can be done with it any more in this process; says what happened.
    Lost(&'static str),
}

/// What a `CUresult` of the driver says (CUDA Driver API, "Data types used by CUDA driver"); `None` for errors of one call,
/// after which the device is as it was. Errors that the API calls sticky ("the process must be terminated and relaunched") are
/// losses, and so is everything that says that the device or the context is not there any more.
pub(super) fn of_driver(code: u32) -> Option<Fault> {
    Some(match code {
        2 => Fault::Memory,
        4 => Fault::Lost("the driver is shutting down"),
        46 => Fault::Lost("the device is not available"),
        100 | 101 => Fault::Lost("the device is not there any more"),
        201 | 709 => Fault::Lost("the context of the device was destroyed"),
        214 => Fault::Lost("an uncorrectable memory (ECC) error"),
        220 => Fault::Lost("an uncorrectable NVLink error"),
        226 => Fault::Lost("an uncorrectable error that was contained"),
        700 => Fault::Lost("a kernel used an illegal address"),
        702 => Fault::Lost("a kernel took too long"),
        710 => Fault::Lost("an assertion failed in a kernel"),
        714 => Fault::Lost("a hardware stack error"),
        715 => Fault::Lost("an illegal instruction"),
        716 | 717 => Fault::Lost("a kernel used a wrong address"),
        718 => Fault::Lost("a program counter went astray"),
        719 => Fault::Lost("a kernel failed"),
        721 => Fault::Lost("a kernel left tensor memory behind"),
        806 => Fault::Lost("the MPS server does not answer"),
        911 => Fault::Lost("an external device failed"),
        999 => Fault::Lost("an unknown error of the driver"),
        _ => return None,
    })
}

/// As [`of_driver`], for a `cublasStatus_t`.
pub(super) fn of_cublas(code: u32) -> Option<Fault> {
    match code {
        3 => Some(Fault::Memory),
        11 | 13 | 14 => Some(Fault::Lost("a matrix product failed")),
        _ => None,
    }
}

/// As [`of_driver`], for a `curandStatus`.
pub(super) fn of_curand(code: u32) -> Option<Fault> {
    match code {
        102 => Some(Fault::Memory),
        201 | 202 | 999 => Some(Fault::Lost("the generator of random numbers failed")),
        _ => None,
    }
}

/// What an error that Candle boxes says.
#[cfg(feature = "cuda")]
pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    use candle_core::cuda_backend::{CudaError, cudarc::driver::DriverError};
    match error.downcast_ref::<CudaError>() {
        Some(CudaError::Cuda(reason) | CudaError::Load { cuda: reason, .. }) => of_driver(reason.0 as u32),
        Some(CudaError::Cublas(reason)) => of_cublas(reason.0 as u32),
        Some(CudaError::Curand(reason)) => of_curand(reason.0 as u32),
        Some(_) => None,
        None => error.downcast_ref::<DriverError>().and_then(|reason| of_driver(reason.0 as u32)),
    }
}

/// As above: without CUDA no device fails.
#[cfg(not(feature = "cuda"))]
pub(super) fn of(_error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_can_be_had_again_and_sticky_errors_are_losses() {
        assert_eq!(
            (of_driver(2), of_cublas(3), of_curand(102)),
            (Some(Fault::Memory), Some(Fault::Memory), Some(Fault::Memory))
        );
        for sticky in [46, 214, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999] {
            assert!(matches!(of_driver(sticky), Some(Fault::Lost(_))), "{sticky}");
        }
        for passing in [0, 1, 222, 400, 600, 701, 720, 801, 900] {
            assert_eq!(of_driver(passing), None, "{passing}");
        }
    }
}
