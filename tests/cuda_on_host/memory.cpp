// Memory: allocations of the host's heap, full of NaN at first, so that a sanitizer watches their bounds and nobody reads
// what nobody wrote.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "driver.h"

using namespace gpu;

namespace {

constexpr int ANY_DEVICE = -1;

struct Allocation {
    size_t bytes;
    int device;
};
// Never destroyed (driver.h).
std::map<CUdeviceptr, Allocation>& live = *new std::map<CUdeviceptr, Allocation>;
std::map<int, size_t>& used = *new std::map<int, size_t>;

long allocations_left = settings().full_after;

CUresult allocate(CUdeviceptr* address, size_t bytes) {
    if (CUresult result = ready()) return result;
    if (bytes == 0) return refuse(CUDA_ERROR_INVALID_VALUE, "an allocation of no bytes");
    const int device = current()->device;
    // Counts on below zero: only one allocation fails.
    if (allocations_left-- == 0 || used[device] + bytes > settings().memory) return CUDA_ERROR_OUT_OF_MEMORY;
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(memory, 0xff, bytes);
    used[device] += bytes;
    *address = CUdeviceptr(memory);
    live[*address] = {bytes, device};
    return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr address) {
    if (!address) return CUDA_SUCCESS;
    const auto found = live.find(address);
    if (found == live.end()) return refuse(CUDA_ERROR_INVALID_VALUE, "memory is freed that is not allocated");
    used[found->second.device] -= found->second.bytes;
    live.erase(found);
    free(reinterpret_cast<void*>(address));
    return CUDA_SUCCESS;
}

void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

CUresult move(const char* name, CUstream stream, void* target, const void* source, size_t bytes, bool to_device,
              bool from_device) {
    if (CUresult result = ready()) return result;
    if (bytes == 0) return CUDA_SUCCESS;
    if ((to_device && !is_live(CUdeviceptr(target), bytes)) || (from_device && !is_live(CUdeviceptr(source), bytes)))
        return refuse(CUDA_ERROR_INVALID_VALUE,
                      std::string(name) + " of " + std::to_string(bytes) + " bytes beyond an allocation");
    return submit(stream, [=] {
        const auto start = std::chrono::steady_clock::now();
        memmove(target, source, bytes);
        count(name, start, bytes);
    });
}

// The calls without a stream wait for all work, which no capture can.
CUresult move_now(const char* name, void* target, const void* source, size_t bytes, bool to_device, bool from_device) {
    if (forbidden_by_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return move(name, nullptr, target, source, bytes, to_device, from_device);
}

template <class T> CUresult fill(CUstream stream, CUdeviceptr address, T value, size_t count_of) {
    if (CUresult result = ready()) return result;
    if (!is_live(address, count_of * sizeof(T))) return refuse(CUDA_ERROR_INVALID_VALUE, "a memset beyond an allocation");
    return submit(stream, [=] {
        const auto start = std::chrono::steady_clock::now();
        std::fill_n(static_cast<T*>(pointer(address)), count_of, value);
        count("memset", start, count_of * sizeof(T));
    });
}

} // namespace

namespace gpu {

size_t used_on(int device) { return used[device]; }

bool is_live(CUdeviceptr address, size_t bytes) {
    auto after = live.upper_bound(address);
    if (after == live.begin()) return false;
    const auto& [start, allocation] = *std::prev(after);
    return address + bytes <= start + allocation.bytes && address < start + allocation.bytes &&
           (allocation.device == ANY_DEVICE || allocation.device == current()->device);
}

} // namespace gpu

API cuMemGetInfo(size_t* free, size_t* total) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    *total = settings().memory;
    *free = *total - used[current()->device];
    return CUDA_SUCCESS;
}

API cuMemAlloc(CUdeviceptr* address, size_t bytes) {
    Lock held(lock());
    if (forbidden_by_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return allocate(address, bytes);
}

API cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
    Lock held(lock());
    const CUresult result = allocate(address, bytes);
    CUgraph capture = capture_of(stream);
    if (!result && capture) capture->memory[*address] = false;
    return result;
}

API cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool, CUstream stream) {
    return cuMemAllocAsync(address, bytes, stream);
}

API cuMemFree(CUdeviceptr address) {
    Lock held(lock());
    if (forbidden_by_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return release(address);
}

// Memory of a capture belongs to its graph, which uses it at every launch.
API cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    Lock held(lock());
    CUgraph capture = capture_of(stream);
    if (!capture) return release(address);
    const auto own = capture->memory.find(address);
    if (own == capture->memory.end())
        return refuse(CUDA_ERROR_INVALID_VALUE, "a capture frees memory that was not allocated in it");
    own->second = true;
    return CUDA_SUCCESS;
}

API cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    if (posix_memalign(memory, 4096, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    live[CUdeviceptr(*memory)] = {bytes, ANY_DEVICE};
    return CUDA_SUCCESS;
}

API cuMemFreeHost(void* memory) {
    Lock held(lock());
    return release(CUdeviceptr(memory));
}

API cuMemcpyHtoD(CUdeviceptr target, const void* source, size_t bytes) {
    Lock held(lock());
    return move_now("copy to the device", pointer(target), source, bytes, true, false);
}
API cuMemcpyDtoH(void* target, CUdeviceptr source, size_t bytes) {
    Lock held(lock());
    return move_now("copy to the host", target, pointer(source), bytes, false, true);
}
API cuMemcpyDtoD(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
    Lock held(lock());
    return move_now("copy on the device", pointer(target), pointer(source), bytes, true, true);
}
API cuMemcpyHtoDAsync(CUdeviceptr target, const void* source, size_t bytes, CUstream stream) {
    Lock held(lock());
    return move("copy to the device", stream, pointer(target), source, bytes, true, false);
}
API cuMemcpyDtoHAsync(void* target, CUdeviceptr source, size_t bytes, CUstream stream) {
    Lock held(lock());
    return move("copy to the host", stream, target, pointer(source), bytes, false, true);
}
API cuMemcpyDtoDAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
    Lock held(lock());
    return move("copy on the device", stream, pointer(target), pointer(source), bytes, true, true);
}

API cuMemsetD8(CUdeviceptr address, unsigned char value, size_t count) {
    Lock held(lock());
    return forbidden_by_capture() ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : fill(nullptr, address, value, count);
}
API cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
    Lock held(lock());
    return fill(stream, address, value, count);
}
API cuMemsetD16Async(CUdeviceptr address, unsigned short value, size_t count, CUstream stream) {
    Lock held(lock());
    return fill(stream, address, value, count);
}
API cuMemsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream) {
    Lock held(lock());
    return fill(stream, address, value, count);
}
