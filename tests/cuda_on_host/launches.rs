//! What the driver refuses: a launch that no GPU would carry out fails here as there, so that a kernel's geometry, its
//! memory and its captures are tested with the results.

use candle_core::{
    CudaDevice, Device, Tensor,
    backend::BackendDevice,
    cuda_backend::{
        cudarc::driver::{LaunchConfig, PushKernelArg, sys},
        kernels,
    },
};
use libtest_mimic::{Failed, Trial};

/// The number of elements that each launch here works on.
const ELEMENTS: usize = 64;

/// One trial for each refusal, and one for captures that work.
pub fn trials() -> Vec<Trial> {
    vec![
        refused("more_threads_than_a_block_holds", "INVALID_VALUE", |device| launch(device, (1, 1, 1), 2048, 0, None)),
        refused("no_blocks", "INVALID_VALUE", |device| launch(device, (0, 1, 1), 64, 0, None)),
        refused("more_blocks_than_a_grid_holds", "INVALID_VALUE", |device| launch(device, (1, 70_000, 1), 64, 0, None)),
        refused("more_shared_memory_than_was_asked_for", "INVALID_VALUE", |device| {
            launch(device, (1, 1, 1), 64, 49 * 1024, None)
        }),
        refused("memory_that_nobody_allocated", "ILLEGAL_ADDRESS", |device| {
            launch(device, (1, 1, 1), 64, 0, Some(4096))
        }),
        refused("a_kernel_that_is_not_in_the_module", "NOT_FOUND", |device| {
            device.get_or_load_func("usqrt_f32", &kernels::AFFINE).map(drop)
        }),
        Trial::test("a_launch_that_a_gpu_carries_out", || {
            let device = CudaDevice::new(0)?;
            Ok(launch(&device, (2, 1, 1), 32, 48 * 1024, None)?)
        }),
        Trial::test("a_captured_launch_runs_when_its_graph_does", || Ok(replay()?)),
        Trial::test("a_capture_does_not_wait", || {
            let device = capturing_device()?;
            let stream = device.cuda_stream();
            stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
            let refused = stream.synchronize().is_err();
            let void = stream.end_capture(sys::CUgraphInstantiate_flags(0)).is_err();
            if refused && void { Ok(()) } else { Err(Failed::from("a capture waited for its own stream")) }
        }),
    ]
}

fn refused(name: &str, error: &'static str, attempt: fn(&CudaDevice) -> candle_core::Result<()>) -> Trial {
    Trial::test(format!("refused::{name}"), move || {
        let device = CudaDevice::new(0)?;
        match attempt(&device) {
            Err(refusal) if refusal.to_string().contains(error) => Ok(()),
            other => Err(Failed::from(format!("{other:?} instead of {error}"))),
        }
    })
}

/// A launch of candle's `affine_f32` (out = 2 in + 1), whose input may be at an address that is no memory's.
fn launch(
    device: &CudaDevice,
    grid: (u32, u32, u32),
    threads: u32,
    shared: u32,
    address: Option<u64>,
) -> candle_core::Result<()> {
    let function = device.get_or_load_func("affine_f32", &kernels::AFFINE)?;
    let input = device.clone_htod(&vec![1f32; ELEMENTS])?;
    let mut output = device.alloc_zeros::<f32>(ELEMENTS)?;
    let (dimensions, info) = (0usize, 0usize);
    let mut call = function.builder();
    call.arg(&ELEMENTS).arg(&dimensions).arg(&info);
    match &address {
        Some(address) => call.arg(address),
        None => call.arg(&input),
    };
    call.arg(&mut output).arg(&2f32).arg(&1f32);
    let config = LaunchConfig { grid_dim: grid, block_dim: (threads, 1, 1), shared_mem_bytes: shared };
    // SAFETY: the arguments are those of the kernel; what the launch does wrong, the driver refuses.
    unsafe { call.launch(config) }.map_err(candle_core::Error::wrap)?;
    let values = device.clone_dtoh(&output)?;
    if values == vec![3f32; ELEMENTS] { Ok(()) } else { candle_core::bail!("the kernel wrote {values:?}") }
}

/// A device whose buffers are not watched by events, which a capture cannot wait for.
fn capturing_device() -> candle_core::Result<CudaDevice> {
    let device = CudaDevice::new_with_stream(0)?;
    // SAFETY: all work of the test is on one stream.
    unsafe { device.disable_event_tracking() };
    Ok(device)
}

/// Captures x -> x * 2 in place of a sum and launches it three times.
fn replay() -> Result<(), Box<dyn std::error::Error>> {
    let cuda = capturing_device()?;
    let stream = cuda.cuda_stream();
    let device = Device::Cuda(cuda);
    let x = Tensor::new(&[1f32, 2.0, 3.0], &device)?;
    let sum = Tensor::zeros(3, candle_core::DType::F32, &device)?;
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    sum.slice_set(&(&sum + &x)?, 0, 0)?;
    let graph = stream
        .end_capture(sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)?
        .ok_or("nothing was captured")?;
    assert_eq!(sum.to_vec1::<f32>()?, [0.0; 3], "a capture only records");
    for _ in 0..3 {
        graph.launch()?;
    }
    assert_eq!(sum.to_vec1::<f32>()?, [3.0, 6.0, 9.0]);
    Ok(())
}
