//! Opening NVIDIA GPUs, and what is asked of their memory.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

use candle_core::{
    CudaDevice, DType, Device, Tensor,
    cuda_backend::{
        CudaError,
        cudarc::driver::{DriverError, result, sys},
    },
};

use super::{
    Memory,
    choice::ComputeType,
    refusal::{LEAST_CAPABILITY, Refusal},
};
use crate::error::{Error, Result};

/// Opens a GPU and runs a kernel on it in the numbers that are asked for: only then is it known that the driver takes what
/// the build has made.
pub(super) fn open(index: usize, compute_type: ComputeType) -> Result<(Device, DType)> {
    let refused = |refusal: Refusal| Error::Machine(format!("{}; or use --device cpu", refusal.sentence(index)));
    // Bindings that do not fit the driver may panic.
    let guarded = catch_unwind(|| look_at(index)).unwrap_or(Err(Refusal::Bindings));
    let dtype = compute_type.on_gpu(guarded.map_err(refused)?)?;
    let opened = catch_unwind(|| {
        let device = handle(index).map_err(|error| refusal_of(&error))?;
        keep_freed_memory(&device);
        let ones = Tensor::zeros(1, dtype, &device).and_then(|zeros| zeros.affine(1.0, 1.0));
        ones.map(|_| device).map_err(|error| refusal_of(&error))
    });
    opened.unwrap_or(Err(Refusal::Bindings)).map(|device| (device, dtype)).map_err(refused)
}

/// A way to the GPU with a stream and a cuBLAS handle of its own: work through it waits for nothing else on the card.
pub(super) fn handle(index: usize) -> candle_core::Result<Device> {
    let device = Device::new_cuda_with_stream(index)?;
    // SAFETY: tensors never meet tensors of another handle (Candle refuses it), so everything that is made, used and freed
    // through this handle is ordered by its one stream, and events that order streams among each other are not needed.
    unsafe { device.as_cuda_device()?.disable_event_tracking() };
    Ok(device)
}

/// The compute capability of a GPU that may be used.
fn look_at(index: usize) -> std::result::Result<(i32, i32), Refusal> {
    result::init().map_err(of_driver)?;
    let count = result::device::get_count().map_err(of_driver)?;
    let count = usize::try_from(count).unwrap_or(0);
    if index >= count {
        return Err(Refusal::NoSuchGpu { count });
    }
    let gpu = result::device::get(i32::try_from(index).unwrap_or(i32::MAX)).map_err(of_driver)?;
    let attribute = |attribute| {
        // SAFETY: `gpu` is a device that the driver has named.
        unsafe { result::device::get_attribute(gpu, attribute) }.map_err(of_driver)
    };
    let capability = (
        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    if capability < LEAST_CAPABILITY {
        let name = result::device::get_name(gpu).unwrap_or_else(|_| "of an unknown name".into());
        return Err(Refusal::OldCard { name, capability });
    }
    Ok(capability)
}

fn of_driver(error: DriverError) -> Refusal {
    Refusal::Driver { code: error.0 as u32, name: format!("{:?}", error.0), speaks: spoken_version() }
}

/// The CUDA version that the driver speaks.
fn spoken_version() -> Option<(i32, i32)> {
    let mut version = 0;
    // SAFETY: the driver writes one number there.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().ok()?;
    (version >= 1000).then_some((version / 1000, version % 1000 / 10))
}

fn refusal_of(error: &candle_core::Error) -> Refusal {
    use candle_core::Error as Tensor;
    match error {
        Tensor::WithBacktrace { inner, .. } | Tensor::Context { inner, .. } => refusal_of(inner),
        Tensor::Cuda(reason) => match reason.downcast_ref::<CudaError>() {
            Some(CudaError::Cuda(error) | CudaError::Load { cuda: error, .. }) => of_driver(*error),
            Some(CudaError::Cublas(error)) => Refusal::Library { name: "cuBLAS", status: error.to_string() },
            Some(CudaError::Curand(error)) => Refusal::Library { name: "cuRAND", status: error.to_string() },
            _ => unknown(reason.to_string()),
        },
        other => unknown(other.to_string()),
    }
}

fn unknown(name: String) -> Refusal {
    Refusal::Driver { code: 999, name: name.lines().next().unwrap_or_default().to_owned(), speaks: None }
}

/// The pool from which tensors get their memory; `None` where the driver has none.
fn pool(device: &CudaDevice) -> Option<sys::CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return None;
    }
    // SAFETY: the context's device is a device.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }.ok()
}

/// Lets the pool keep what was freed until [`give_back`]: by default all of it goes back to the driver whenever the host waits
/// for the GPU, which is after every token, and has to be had anew.
fn keep_freed_memory(device: &Device) {
    let Ok(device) = device.as_cuda_device() else { return };
    let Some(pool) = pool(device) else { return };
    let mut everything = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own; the attribute is a u64.
    let kept = unsafe { result::mem_pool::set_attribute(pool, threshold, (&raw mut everything).cast::<c_void>()) };
    if let Err(reason) = kept {
        tracing::debug!(%reason, "freed memory is not kept");
    }
}

/// Gives the driver back what tensors have freed.
pub(super) fn give_back(device: &CudaDevice) {
    let Some(pool) = pool(device) else { return };
    let trim = || {
        // What is still to be freed on the stream counts only when that has been reached.
        device.cuda_stream().synchronize()?;
        // SAFETY: the pool is the device's own.
        unsafe { result::mem_pool::trim_to(pool, 0) }
    };
    if let Err(reason) = trim() {
        tracing::debug!(%reason, "freed memory is not given back");
    }
}

/// How much memory there is: what the driver has free, and what the pool keeps of freed tensors.
pub(super) fn memory(device: &CudaDevice) -> Option<Memory> {
    let asked = catch_unwind(AssertUnwindSafe(|| device.cuda_stream().context().mem_get_info()));
    let (free, total) = asked.ok()?.ok()?;
    let kept = pool(device).and_then(|pool| {
        let ask = |attribute| {
            let mut bytes = 0u64;
            // SAFETY: the pool is the device's own; both attributes are a u64.
            unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast::<c_void>()) }.ok()?;
            Some(bytes)
        };
        let reserved = ask(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        reserved.checked_sub(ask(sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?)
    });
    Some(Memory { free: free as u64 + kept.unwrap_or(0), total: total as u64 })
}
