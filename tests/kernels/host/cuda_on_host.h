// Plays the GPU for kernels that a C++17 compiler compiles for this machine: the language (this file), its numbers, its
// mathematics, and an engine that runs blocks of threads. Header only.
//
// Blocks run one after the other. Two engines run the threads of a block:
//   fibers (fibers.h)   one at a time, in an order that the launch chooses, each up to its next barrier or warp operation;
//                       finds results that depend on the order, and barriers that not all threads reach
//   threads (threads.h) as threads of the system, under -fsanitize=thread; finds data races
// Shared memory that a launch sizes is a heap block of exactly that size, filled with NaN before every block.
//
// A file of kernels is compiled inside a namespace of its own; CUDA_ON_HOST_KERNEL(name) behind it makes a kernel known by
// its name, with a function that unpacks `void**` as cuLaunchKernel takes it.
//
// Not played: textures, tensor cores, asynchronous copies, cooperative groups, inline PTX, streams, anything of time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#define CUDA_ON_HOST_THREADS
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CUDA_ON_HOST_THREADS
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_HOST_ADDRESSES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_ON_HOST_ADDRESSES
#endif
#endif

#ifdef CUDA_ON_HOST_TOOLKIT
// The number types and vectors of CUDA's own headers, where there is a toolkit.
#include "toolkit.h"
#else
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
#endif

namespace cuda_on_host {

// A kernel as a launch finds it.
struct Kernel {
    std::string name;
    // Calls the kernel in the calling thread with the values that the pointers point to.
    void (*call)(void** arguments);
    // Bytes of each argument, and whether it is an address.
    std::vector<size_t> arguments;
    std::vector<bool> addresses;
    // Threads of a block at most.
    unsigned most_threads = 1024;
};

inline std::map<std::string, Kernel>& kernels() {
    // Never destroyed: other threads of a program may launch while it ends.
    static auto& known = *new std::map<std::string, Kernel>;
    return known;
}

// Where a launch runs.
struct Geometry {
    dim3 grid, block;
    size_t shared = 0;
    // In which order blocks, warps and lanes run: 0 forward, 1 backward, else a seed of random orders.
    unsigned order = 0;
};

constexpr unsigned LANES = 32;
constexpr size_t MOST_SHARED = 227 * 1024;

// The running launch. One launch runs at a time.
struct Running {
    const char* kernel = "";
    dim3 grid, block;
    uint3 index{};
    unsigned char* shared = nullptr;
    size_t shared_bytes = 0;
    // Called before each block, where a program has more to prepare.
    void (*before_block)() = nullptr;
};
inline Running running;

[[noreturn]] inline void fail(const std::string& reason) {
    std::fprintf(stderr, "cuda on host: %s: %s\n", running.kernel, reason.c_str());
    std::fflush(stderr);
    std::abort();
}

// Shared memory of one block, filled with NaN; freed before the next.
class Shared {
public:
    explicit Shared(size_t bytes) {
        void* memory = nullptr;
        if (bytes != 0 && posix_memalign(&memory, 16, bytes) != 0) fail("there is no memory for shared memory");
        if (bytes != 0) std::memset(memory, 0xff, bytes);
        running.shared = static_cast<unsigned char*>(memory);
        running.shared_bytes = bytes;
        if (running.before_block) running.before_block();
    }
    ~Shared() { std::free(running.shared); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
};

template <class... A, size_t... I>
void apply(void (*function)(A...), void** arguments, std::index_sequence<I...>) {
    function(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}
template <class... A> void unpack(void (*function)(A...), void** arguments) {
    apply(function, arguments, std::index_sequence_for<A...>{});
}
template <class... A> std::vector<size_t> sizes(void (*)(A...)) { return {sizeof(A)...}; }
template <class... A> std::vector<bool> addresses(void (*)(A...)) { return {std::is_pointer_v<A>...}; }

template <auto function> bool add(const char* name, unsigned most_threads = 1024) {
    const auto call = [](void** arguments) { unpack(function, arguments); };
    Kernel kernel{name, call, sizes(function), addresses(function), most_threads};
    if (!kernels().emplace(name, kernel).second) fail(std::string("two kernels are called ") + name);
    return true;
}

inline const Kernel* find(const std::string& name) {
    const auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

inline void check(const Geometry& geometry) {
    const dim3 &grid = geometry.grid, &block = geometry.block;
    const size_t threads = size_t(block.x) * block.y * block.z, blocks = size_t(grid.x) * grid.y * grid.z;
    if (threads == 0 || threads > 1024 || blocks == 0) fail("no GPU runs blocks of this size");
    if (geometry.shared > MOST_SHARED) fail("no GPU has so much shared memory");
}

}  // namespace cuda_on_host

#ifdef CUDA_ON_HOST_THREADS
#include "threads.h"
#else
#include "fibers.h"
#endif
#include "language.h"
#ifdef CUDA_ON_HOST_TOOLKIT
#include "toolkit_numbers.h"
#else
#include "numbers.h"
#endif
