// Modules, functions, launches. A module's image is not run: its kernels are known by name (build.sh). What the image says of
// the GPUs that it is for is heeded.
#include <cstring>
#include <memory>

#include "driver.h"

using namespace gpu;
using cuda_on_host::Kernel;

namespace {

constexpr unsigned FATBIN = 0xBA55ED50;
constexpr size_t SHARED = 48 << 10, MOST_SHARED = 99 << 10;
// The lowest capability that the images of build.rs hold code for.
constexpr int LOWEST_CAPABILITY = 75;

// The number after `word`, times ten: "9.0" or "sm_80" without its letters.
int number_after(const std::string& text, const char* word) {
    const size_t found = text.find(word);
    if (found == std::string::npos) return 0;
    const char* number = text.c_str() + found + strlen(word);
    const int whole = atoi(number);
    const char* point = strchr(number, '.');
    return point && point - number < 3 ? whole * 10 + atoi(point + 1) : whole;
}

CUresult check_ptx(const std::string& ptx) {
    // PTX 9.0 came with CUDA 13.0, 8.x with 12.
    const int version = number_after(ptx, ".version "),
              driver = settings().driver / 1000 >= 13 ? 90 + settings().driver % 1000 / 10 : 89;
    if (version > driver) return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    return number_after(ptx, ".target sm_") > settings().capability ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_SUCCESS;
}

CUresult check_launch(const CUfunc_st& function, dim3 grid, dim3 block, size_t shared) {
    const Kernel& kernel = *function.kernel;
    const unsigned long threads = (unsigned long)block.x * block.y * block.z;
    if (!grid.x || !grid.y || !grid.z || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
        return refuse(CUDA_ERROR_INVALID_VALUE, kernel.name + ": a grid of " + std::to_string(grid.x) + " x " +
                                                    std::to_string(grid.y) + " x " + std::to_string(grid.z) + " blocks");
    if (!threads || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > kernel.most_threads)
        return refuse(CUDA_ERROR_INVALID_VALUE, kernel.name + ": " + std::to_string(threads) + " threads in a block, where " +
                                                    std::to_string(kernel.most_threads) + " are allowed");
    if (shared > function.most_shared)
        return refuse(CUDA_ERROR_INVALID_VALUE, kernel.name + ": " + std::to_string(shared) +
                                                    " bytes of shared memory, where " + std::to_string(function.most_shared) +
                                                    " were asked for");
    return CUDA_SUCCESS;
}

// A pointer that is not null points into memory of this GPU that is not freed.
CUresult check_arguments(const Kernel& kernel, void** arguments) {
    for (size_t index = 0; index < kernel.arguments.size(); ++index) {
        CUdeviceptr address = 0;
        if (!kernel.addresses[index]) continue;
        memcpy(&address, arguments[index], sizeof address);
        if (address && !is_live(address, 1))
            return refuse(CUDA_ERROR_ILLEGAL_ADDRESS,
                          kernel.name + ": argument " + std::to_string(index) + " points to no memory of this GPU");
    }
    return CUDA_SUCCESS;
}

} // namespace

API cuModuleLoadData(CUmodule* module, const void* image) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    unsigned magic;
    memcpy(&magic, image, sizeof magic);
    auto loaded = std::make_unique<CUmod_st>();
    if (magic == FATBIN) {
        loaded->origin = "palabra ";
        if (settings().capability < LOWEST_CAPABILITY) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    } else {
        loaded->origin = "candle ";
        loaded->ptx = static_cast<const char*>(image);
        if (CUresult result = check_ptx(loaded->ptx)) return result;
    }
    *module = loaded.release();
    return CUDA_SUCCESS;
}

API cuModuleUnload(CUmodule module) {
    Lock held(lock());
    delete module;
    return CUDA_SUCCESS;
}

API cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    const bool listed = module->ptx.empty() || module->ptx.find(std::string(".entry ") + name + "(") != std::string::npos;
    const Kernel* kernel = cuda_on_host::find(module->origin + name);
    if (!listed || !kernel)
        return refuse(CUDA_ERROR_NOT_FOUND,
                      std::string(name) + (listed ? " was not compiled for the host" : " is not in its module"));
    *function = &module->functions.emplace(name, CUfunc_st{kernel, SHARED}).first->second;
    return CUDA_SUCCESS;
}

API cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    Lock held(lock());
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
    if (value < 0 || size_t(value) > MOST_SHARED)
        return refuse(CUDA_ERROR_INVALID_VALUE,
                      function->kernel->name + " asks for " + std::to_string(value) + " bytes of shared memory");
    function->most_shared = value;
    return CUDA_SUCCESS;
}

API cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK           ? int(function->kernel->most_threads)
             : attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? int(function->most_shared)
                                                                            : 0;
    return CUDA_SUCCESS;
}

API cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, CUstream stream, void** arguments, void** extra) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    if (extra) return refuse(CUDA_ERROR_INVALID_VALUE, "arguments in one buffer");
    const dim3 grid(grid_x, grid_y, grid_z), block(block_x, block_y, block_z);
    const Kernel& kernel = *function->kernel;
    if (CUresult result = check_launch(*function, grid, block, shared)) return result;
    if (CUresult result = check_arguments(kernel, arguments)) return result;
    launched();
    // A captured launch outlives the caller's arguments.
    auto copies = std::make_shared<std::vector<std::vector<char>>>();
    for (size_t index = 0; index < kernel.arguments.size(); ++index) {
        const char* argument = static_cast<const char*>(arguments[index]);
        copies->emplace_back(argument, argument + kernel.arguments[index]);
    }
    return submit(stream, [=, &kernel] {
        std::vector<void*> addresses;
        for (auto& copy : *copies) addresses.push_back(copy.data());
        const auto start = std::chrono::steady_clock::now();
        cuda_on_host::launch(kernel, addresses.data(), {grid, block, shared});
        count(kernel.name, start);
    });
}
