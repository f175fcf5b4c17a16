// What the files of the driver share: GPUs, their memory, and the order of work. Every call of the API holds `lock`, and work
// is carried out at once, by the caller. State is never destroyed, since threads of the program may call while it ends.
#pragma once
#include <cuda.h>

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cuda_on_host.h"

#define API extern "C" __attribute__((visibility("default"))) CUresult CUDAAPI

// Handles of the API are addresses of these.
struct CUctx_st {
    int device;
};
struct CUmemPoolHandle_st {
    int device;
};

// Recorded work: a graph, or a capture that becomes one.
struct CUgraph_st {
    std::vector<std::function<void()>> work;
    std::map<CUdeviceptr, bool> memory; // allocated in the capture: is it freed in it too?
    CUstreamCaptureMode mode;
    CUstream origin;
    CUcontext context;
    bool broken = false;
};
struct CUgraphExec_st {
    CUgraph_st graph;
    bool frees_itself;
    bool launched = false;
};
struct CUstream_st {
    CUgraph capture = nullptr;
};
struct CUevent_st {
    bool recorded = false;
    CUgraph capture = nullptr;
    std::chrono::steady_clock::time_point time;
};
struct CUfunc_st {
    const cuda_on_host::Kernel* kernel;
    size_t most_shared;
};
struct CUmod_st {
    std::string origin; // the first word of its kernels' names: candle's modules come as PTX, ours as fatbins
    std::string ptx;
    std::map<std::string, CUfunc_st> functions;
};

// Seen by libcublas and libcurand, too.
#pragma GCC visibility push(default)
namespace gpu {

// How the GPU behaves, from the variable CUDA_ON_HOST (README.md).
struct Settings {
    int devices = 1;
    size_t memory = size_t(8) << 30;
    int capability = 80;
    int driver = 13000;
    long lost_after = -1; // launches
    long full_after = -1; // allocations
    bool report = false;
};
const Settings& settings();

std::recursive_mutex& lock();
using Lock = std::lock_guard<std::recursive_mutex>;

// The context of the calling thread, or null.
CUcontext& current();
// What every call that needs a GPU begins with: is there a context, and is its GPU still there?
CUresult ready();
// One launch less until the GPU is lost.
void launched();

// Says on standard error what a call did wrong, where a GPU would say nothing or a bare number.
CUresult refuse(CUresult result, const std::string& reason);

// Whether [address, address + bytes) lies in memory that the GPU of the current context may touch.
bool is_live(CUdeviceptr address, size_t bytes);

// Bytes that are allocated on a GPU.
size_t used_on(int device);

CUgraph capture_of(CUstream stream);
// Whether a capture forbids the calling thread what waits for the GPU; the capture is void then.
bool forbidden_by_capture();
// Carries work out, or records it where its stream is being captured.
CUresult submit(CUstream stream, std::function<void()> work);

// For the report: one more of `name`, which took as long as since `start`, and moved `bytes`.
void count(const std::string& name, std::chrono::steady_clock::time_point start, size_t bytes = 0);

} // namespace gpu
#pragma GCC visibility pop
