// How the host plays a thread block: every GPU thread that has to wait becomes a fiber.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector_types.h>

// CUDA's built-in variables, set for whichever GPU thread runs. One launch runs at a time (see launch.cpp), so they are global.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace on_host {

using Entry = void (*)(void **arguments);

// Runs every thread of every block. `shared` bytes of dynamic shared memory, full of NaN when a block begins.
void run_grid(dim3 grid, dim3 block, size_t shared, Entry entry, void **arguments);

// What a kernel calls. A barrier that some threads of the block never reach, though they have not ended, ends the program with
// a message, as does a warp operation whose lanes do not meet.
void block_barrier();
void warp_barrier(unsigned mask);
// Gives `value` to the other lanes and takes that of lane `source`; all lanes of `mask` take part.
uint64_t exchange(uint64_t value, unsigned mask, unsigned source);
unsigned ballot(bool value, unsigned mask);
unsigned lane();
void *dynamic_shared();

[[noreturn]] void fail(const char *message);

}  // namespace on_host
