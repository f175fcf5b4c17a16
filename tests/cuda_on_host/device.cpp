// GPUs, contexts, attributes, errors.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver.h"

namespace gpu {
namespace {

Settings read_settings() {
    Settings settings;
    const char* text = getenv("CUDA_ON_HOST");
    std::string rest = text ? text : "";
    while (!rest.empty()) {
        const size_t end = std::min(rest.find(','), rest.size()), equals = rest.find('=');
        const std::string name = rest.substr(0, std::min(equals, end)),
                          value = rest.substr(std::min(equals + 1, end), end - equals - 1);
        rest.erase(0, end + 1);
        if (name == "devices") settings.devices = atoi(value.c_str());
        else if (name == "memory") settings.memory = size_t(atoll(value.c_str())) << 20;
        else if (name == "capability") settings.capability = int(atof(value.c_str()) * 10 + 0.5);
        else if (name == "driver") settings.driver = atoi(value.c_str());
        else if (name == "lost-after") settings.lost_after = atol(value.c_str());
        else if (name == "full-after") settings.full_after = atol(value.c_str());
        else if (name == "report") settings.report = true;
        else fprintf(stderr, "CUDA on the host: CUDA_ON_HOST names %s, which is no setting\n", name.c_str()), abort();
    }
    return settings;
}

struct Counted {
    long calls = 0;
    double seconds = 0;
    size_t bytes = 0;
};

std::map<std::string, Counted>& counted = *new std::map<std::string, Counted>;

void report() {
    Lock held(lock());
    std::vector<std::pair<std::string, Counted>> rows(counted.begin(), counted.end());
    std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second.seconds > b.second.seconds; });
    for (const auto& [name, row] : rows)
        fprintf(stderr, "%9ld x %-40s %9.1f ms %12zu bytes\n", row.calls, name.c_str(), row.seconds * 1e3, row.bytes);
}

CUctx_st contexts[16];
CUmemPoolHandle_st pools[16];

} // namespace

const Settings& settings() {
    static const auto& settings = *new Settings(read_settings());
    return settings;
}

std::recursive_mutex& lock() {
    static auto& lock = *new std::recursive_mutex;
    return lock;
}

CUcontext& current() {
    static thread_local CUcontext context;
    return context;
}

static long launches_left = settings().lost_after;

CUresult ready() {
    if (!current()) return CUDA_ERROR_INVALID_CONTEXT;
    return launches_left == 0 ? CUDA_ERROR_LAUNCH_FAILED : CUDA_SUCCESS;
}

void count(const std::string& name, std::chrono::steady_clock::time_point start, size_t bytes) {
    if (!settings().report) return;
    if (counted.empty()) atexit(report);
    Counted& row = counted[name];
    row.calls += 1;
    row.bytes += bytes;
    row.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

CUresult refuse(CUresult result, const std::string& reason) {
    fprintf(stderr, "CUDA on the host: %s\n", reason.c_str());
    return result;
}

void launched() {
    if (launches_left > 0) --launches_left;
}

} // namespace gpu

using namespace gpu;

API cuInit(unsigned) { return settings().devices > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }

API cuDriverGetVersion(int* version) {
    *version = settings().driver;
    return CUDA_SUCCESS;
}

API cuDeviceGetCount(int* count) {
    *count = settings().devices;
    return CUDA_SUCCESS;
}

API cuDeviceGet(CUdevice* device, int ordinal) {
    if (ordinal < 0 || ordinal >= std::min(settings().devices, 16)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

API cuDeviceGetName(char* name, int size, CUdevice) {
    snprintf(name, size, "CUDA on the host");
    return CUDA_SUCCESS;
}

API cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
    memset(uuid, device, sizeof *uuid);
    return CUDA_SUCCESS;
}

API cuDeviceTotalMem(size_t* bytes, CUdevice) {
    *bytes = settings().memory;
    return CUDA_SUCCESS;
}

// The limits that the CUDA programming guide gives for compute capability 8.0, and an A100's rates.
API cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    static const auto& values = *new std::map<int, int>{
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 << 10},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 163 << 10},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 164 << 10},
        {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 108},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1410000},
        {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1215000},
        {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 5120},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 40 << 20},
        {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
        {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, settings().capability / 10},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, settings().capability % 10},
    };
    const auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    contexts[device].device = device;
    *context = &contexts[device];
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }

API cuCtxSetCurrent(CUcontext context) {
    current() = context;
    return CUDA_SUCCESS;
}

API cuCtxGetCurrent(CUcontext* context) {
    *context = current();
    return CUDA_SUCCESS;
}

API cuCtxGetDevice(CUdevice* device) {
    if (!current()) return CUDA_ERROR_INVALID_CONTEXT;
    *device = current()->device;
    return CUDA_SUCCESS;
}

API cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }

API cuCtxSynchronize() {
    Lock held(lock());
    if (forbidden_by_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return ready();
}

API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return CUDA_SUCCESS;
}

API cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
    pools[device].device = device;
    *pool = &pools[device];
    return CUDA_SUCCESS;
}

API cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) { return cuDeviceGetDefaultMemPool(pool, device); }

// A pool's limits say when memory goes back to the system, which here it always does: nothing is reserved but what is used.
API cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; }
API cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }
API cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
    Lock held(lock());
    const bool memory = attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT || attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
    *static_cast<cuuint64_t*>(value) = memory ? used_on(pool->device) : 0;
    return memory ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuGetErrorName(CUresult result, const char** name) {
    switch (result) {
    case CUDA_SUCCESS: *name = "CUDA_SUCCESS"; break;
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case CUDA_ERROR_NO_BINARY_FOR_GPU: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; break;
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    case CUDA_ERROR_NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; break;
    case CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; break;
    case CUDA_ERROR_STREAM_CAPTURE_ISOLATION: *name = "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"; break;
    default: *name = "a CUDA error"; break;
    }
    return CUDA_SUCCESS;
}

API cuGetErrorString(CUresult result, const char** text) {
    switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *text = "unspecified launch failure"; break;
    default: return cuGetErrorName(result, text);
    }
    return CUDA_SUCCESS;
}
