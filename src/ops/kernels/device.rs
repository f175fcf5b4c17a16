//! Carries launches out on a GPU.
//!
//! Candle's own loader takes PTX text only, which the driver compiles at the first use of every start; ours are images with
//! machine code for the GPUs that we name and PTX for the others, so they are loaded beside it, once for each GPU.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{
    CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage,
    backend::BackendDevice,
    bail,
    cuda::{
        CudaStorageSlice, WrapErr,
        cudarc::{
            driver::{
                CudaModule, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, LaunchConfig, PushKernelArg, SyncOnDrop,
            },
            nvrtc::Ptx,
        },
    },
};

use super::{Argument, Launch};

/// Every kernel file: its name and its image.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The buffers of a launch: as long as this lives they count as in use, also for other streams.
pub(in crate::ops) struct Buffers<'a> {
    stream: &'a CudaStream,
    held: Vec<SyncOnDrop<'a>>,
}

impl<'a> Buffers<'a> {
    pub(in crate::ops) fn new(stream: &'a CudaStream) -> Self {
        Self { stream, held: Vec::new() }
    }

    /// A tensor that the kernel reads from its first element on. It must be contiguous.
    pub(in crate::ops) fn read(&mut self, storage: &'a CudaStorage, layout: &Layout) -> Result<Argument> {
        let Some((start, _)) = layout.contiguous_offsets() else {
            bail!("a kernel was given a tensor that is not contiguous");
        };
        match &storage.slice {
            CudaStorageSlice::U8(slice) => self.address(slice, start),
            CudaStorageSlice::U32(slice) => self.address(slice, start),
            CudaStorageSlice::F32(slice) => self.address(slice, start),
            CudaStorageSlice::F64(slice) => self.address(slice, start),
            CudaStorageSlice::F16(slice) => self.address(slice, start),
            CudaStorageSlice::BF16(slice) => self.address(slice, start),
            _ => bail!("no kernel reads numbers of this type"),
        }
    }

    /// The same of several tensors, held as [`Tensor::storage_and_layout`](candle_core::Tensor::storage_and_layout) gives them.
    pub(in crate::ops) fn read_all<S: Deref<Target = Storage>>(
        &mut self,
        storages: &'a [(S, &Layout)],
    ) -> Result<Vec<Argument>> {
        storages.iter().map(|(storage, layout)| self.read(on_gpu(storage)?, layout)).collect()
    }

    /// A tensor that the kernel writes.
    pub(in crate::ops) fn write(&mut self, storage: &'a mut CudaStorage, layout: &Layout) -> Result<Argument> {
        let Some((start, _)) = layout.contiguous_offsets() else {
            bail!("a kernel was given a tensor that is not contiguous");
        };
        match &mut storage.slice {
            CudaStorageSlice::U8(slice) => self.address_mut(slice, start),
            CudaStorageSlice::U32(slice) => self.address_mut(slice, start),
            CudaStorageSlice::F32(slice) => self.address_mut(slice, start),
            CudaStorageSlice::F64(slice) => self.address_mut(slice, start),
            CudaStorageSlice::F16(slice) => self.address_mut(slice, start),
            CudaStorageSlice::BF16(slice) => self.address_mut(slice, start),
            _ => bail!("no kernel writes numbers of this type"),
        }
    }

    /// A whole buffer that the kernel writes.
    pub(in crate::ops) fn fill(&mut self, storage: &'a mut CudaStorage) -> Result<Argument> {
        self.write(storage, &Layout::contiguous(1))
    }

    fn address<T: DeviceRepr>(&mut self, slice: &'a impl DevicePtr<T>, start: usize) -> Result<Argument> {
        let (address, held) = slice.device_ptr(self.stream);
        self.held.push(held);
        Ok(Argument::Buffer(address + (start * size_of::<T>()) as u64))
    }

    fn address_mut<T: DeviceRepr>(&mut self, slice: &'a mut impl DevicePtrMut<T>, start: usize) -> Result<Argument> {
        let (address, held) = slice.device_ptr_mut(self.stream);
        self.held.push(held);
        Ok(Argument::Buffer(address + (start * size_of::<T>()) as u64))
    }
}

/// Room for `count` numbers, which hold anything until a kernel has written them.
pub(in crate::ops) fn empty(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: every caller hands it to a kernel that writes all of what is read later.
    unsafe { device.alloc_uninit(&Shape::from(count), dtype) }
}

/// What a tensor holds on the GPU.
pub(in crate::ops) fn on_gpu(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("a kernel was given a tensor that is not on a GPU"),
    }
}

/// Puts a launch on the device's stream.
///
/// # Errors
/// When the geometry fits no GPU, or the driver refuses.
pub(in crate::ops) fn launch(device: &CudaDevice, launch: &Launch) -> Result<()> {
    launch.check()?;
    let function = module(device, launch.file)?.load_function(&launch.kernel).w()?;
    let stream = device.cuda_stream();
    let mut call = stream.launch_builder(&function);
    for argument in &launch.arguments {
        match argument {
            Argument::Buffer(address) => call.arg(address),
            Argument::I32(value) => call.arg(value),
            Argument::U32(value) => call.arg(value),
            Argument::F32(value) => call.arg(value),
        };
    }
    let [x, y, z] = launch.grid.map(|blocks| blocks as u32);
    let config = LaunchConfig {
        grid_dim: (x, y, z),
        block_dim: (launch.block as u32, 1, 1),
        shared_mem_bytes: launch.shared as u32,
    };
    // SAFETY: the description names the kernel's own arguments, in order and of its types; tests run the same descriptions
    // on the host, with every buffer's bounds watched.
    unsafe { call.launch(config) }.w()?;
    Ok(())
}

/// Modules by the number of their GPU and their file.
type Modules = HashMap<(usize, &'static str), Arc<CudaModule>>;

/// What is loaded. Each GPU has one primary context, which all of its streams share.
static MODULES: Mutex<Option<Modules>> = Mutex::new(None);

fn module(device: &CudaDevice, file: &'static str) -> Result<Arc<CudaModule>> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_default();
    if let Some(module) = modules.get(&(context.ordinal(), file)) {
        return Ok(module.clone());
    }
    let Some((_, image)) = FILES.iter().find(|(name, _)| *name == file) else {
        bail!("there is no kernel file {file}");
    };
    let module = context.load_module(Ptx::from_binary(image.to_vec())).w()?;
    modules.insert((context.ordinal(), file), module.clone());
    Ok(module)
}
