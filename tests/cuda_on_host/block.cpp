#include "block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// Saves the registers that a callee keeps on the running stack, stores its top, and goes on with the other stack.
// swapcontext would do, but calls the kernel for the signal mask: 300 ns instead of 5.
extern "C" void switch_stack(void **save, void *load);
__asm__(".text\n.globl switch_stack\n.hidden switch_stack\n.type switch_stack, @function\nswitch_stack:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
        ".size switch_stack, . - switch_stack\n");

namespace on_host {
namespace {

constexpr unsigned WARP = 32, MOST_THREADS = 1024;
constexpr size_t STACK = 256 << 10;

enum class State { unstarted, ready, at_block_barrier, at_warp_barrier, ended };

struct Fiber {
    char *stack;
    void *top;
    void *sanitizer_stack = nullptr;
};

struct Thread {
    State state;
    Fiber *fiber;
    uint3 index;
    unsigned mask;
    unsigned exchanges;  // counts exchanges: two in a row use different rows, so that a fast lane overwrites nothing
};

struct Block {
    Entry entry;
    void **arguments;
    unsigned size;
    unsigned next, warp_end;  // threads of the running warp that have not started
    unsigned current;
    Thread threads[MOST_THREADS];
    uint64_t exchanged[MOST_THREADS / WARP][2][WARP];
    std::vector<Fiber *> idle;
    Fiber *running;
    void *scheduler_top;
    void *scheduler_sanitizer_stack;
    std::vector<unsigned char> shared;
};
Block &block = *new Block;  // never destroyed (kernel.h)

#ifdef __SANITIZE_ADDRESS__
const void *scheduler_bottom;
size_t scheduler_size;

void to_fiber(Fiber *fiber) {
    __sanitizer_start_switch_fiber(&block.scheduler_sanitizer_stack, fiber->stack, STACK);
    switch_stack(&block.scheduler_top, fiber->top);
    __sanitizer_finish_switch_fiber(block.scheduler_sanitizer_stack, nullptr, nullptr);
}
void to_scheduler() {
    Fiber *fiber = block.running;
    __sanitizer_start_switch_fiber(&fiber->sanitizer_stack, scheduler_bottom, scheduler_size);
    switch_stack(&fiber->top, block.scheduler_top);
    __sanitizer_finish_switch_fiber(fiber->sanitizer_stack, &scheduler_bottom, &scheduler_size);
}
void fiber_begins() { __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size); }
#else
void to_fiber(Fiber *fiber) { switch_stack(&block.scheduler_top, fiber->top); }
void to_scheduler() { switch_stack(&block.running->top, block.scheduler_top); }
void fiber_begins() {}
#endif

// Runs threads one after the other; the fiber is only left when one of them waits, so a kernel without barriers needs one
// fiber and no switch.
void fiber_main() {
    fiber_begins();
    for (;;) {
        while (block.next < block.warp_end) {
            block.current = block.next++;
            Thread &thread = block.threads[block.current];
            thread.state = State::ready;
            thread.fiber = block.running;
            threadIdx = thread.index;
            block.entry(block.arguments);
            block.threads[block.current].state = State::ended;
        }
        block.idle.push_back(block.running);
        to_scheduler();
    }
}

Fiber *new_fiber() {
    void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) fail("no memory for the stack of a thread");
    Fiber *fiber = new Fiber{static_cast<char *>(stack), nullptr};
    // As if `fiber_main` had been left in switch_stack: six registers and its address to return to.
    void **top = reinterpret_cast<void **>(fiber->stack + STACK) - 8;
    std::fill(top, top + 8, nullptr);
    top[6] = reinterpret_cast<void *>(fiber_main);
    fiber->top = top;
    return fiber;
}

void wait_in(State state) {
    block.threads[block.current].state = state;
    to_scheduler();
    threadIdx = block.threads[block.current].index;
}

void resume(unsigned thread) {
    block.current = thread;
    block.threads[thread].state = State::ready;
    block.running = block.threads[thread].fiber;
    to_fiber(block.running);
}

void start_threads() {
    while (block.next < block.warp_end) {
        if (block.idle.empty()) block.idle.push_back(new_fiber());
        block.running = block.idle.back();
        block.idle.pop_back();
        to_fiber(block.running);
    }
}

// Lets the lanes of `waiting` go on if all lanes of its mask have come to the same place.
bool meet(unsigned first, unsigned lanes, unsigned waiting) {
    const unsigned mask = block.threads[waiting].mask;
    for (unsigned lane = 0; lane < lanes; ++lane) {
        const Thread &thread = block.threads[first + lane];
        if (!(mask >> lane & 1) || thread.state == State::ended) continue;
        if (thread.state != State::at_warp_barrier || thread.mask != mask) return false;
    }
    for (unsigned lane = 0; lane < lanes; ++lane) {
        Thread &thread = block.threads[first + lane];
        if ((mask >> lane & 1) && thread.state == State::at_warp_barrier) thread.state = State::ready;
    }
    return true;
}

// Runs one warp until each of its threads waits for the block or has ended.
void run_warp(unsigned first) {
    const unsigned lanes = std::min(WARP, block.size - first);
    block.warp_end = first + lanes;
    if (block.threads[first].state == State::unstarted) {
        block.next = first;
        start_threads();
    }
    for (bool progress = true; progress;) {
        progress = false;
        for (unsigned thread = first; thread < first + lanes; ++thread) {
            if (block.threads[thread].state == State::ready) {
                resume(thread);
                progress = true;
            }
        }
        for (unsigned thread = first; thread < first + lanes; ++thread) {
            if (block.threads[thread].state == State::at_warp_barrier && meet(first, lanes, thread)) progress = true;
        }
    }
    for (unsigned thread = first; thread < first + lanes; ++thread) {
        if (block.threads[thread].state == State::at_warp_barrier)
            fail("the lanes that a warp operation's mask names do not all come to it");
    }
}

void run_block() {
    uint3 index = {0, 0, 0};
    for (unsigned thread = 0; thread < block.size; ++thread) {
        block.threads[thread].state = State::unstarted;
        block.threads[thread].index = index;
        block.threads[thread].exchanges = 0;
        if (++index.x == blockDim.x) {
            index.x = 0;
            if (++index.y == blockDim.y) index.y = 0, ++index.z;
        }
    }
    std::fill(block.shared.begin(), block.shared.end(), 0xff);
    for (;;) {
        for (unsigned first = 0; first < block.size; first += WARP) run_warp(first);
        // Threads that have ended count as arrived, as on the GPU.
        unsigned waiting = 0;
        for (unsigned thread = 0; thread < block.size; ++thread) {
            if (block.threads[thread].state != State::at_block_barrier) continue;
            block.threads[thread].state = State::ready;
            ++waiting;
        }
        if (!waiting) return;
    }
}

}  // namespace

void run_grid(dim3 grid, dim3 size, size_t shared, Entry entry, void **arguments) {
    blockDim = size;
    gridDim = grid;
    block.entry = entry;
    block.arguments = arguments;
    block.size = size.x * size.y * size.z;
    block.shared.resize(shared);
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block();
}

void block_barrier() { wait_in(State::at_block_barrier); }

void warp_barrier(unsigned mask) {
    if (!(mask >> lane() & 1)) fail("a warp operation's mask does not name the lane that calls it");
    block.threads[block.current].mask = mask;
    wait_in(State::at_warp_barrier);
}

uint64_t exchange(uint64_t value, unsigned mask, unsigned source) {
    Thread &thread = block.threads[block.current];
    uint64_t *row = block.exchanged[block.current / WARP][thread.exchanges++ % 2];
    row[lane()] = value;
    warp_barrier(mask);
    return row[source % WARP];
}

unsigned ballot(bool value, unsigned mask) {
    Thread &thread = block.threads[block.current];
    uint64_t *row = block.exchanged[block.current / WARP][thread.exchanges++ % 2];
    row[lane()] = value;
    warp_barrier(mask);
    unsigned all = 0;
    for (unsigned other = 0; other < WARP; ++other) all |= (mask >> other & 1 && row[other]) << other;
    return all;
}

unsigned lane() { return block.current % WARP; }

void *dynamic_shared() { return block.shared.data(); }

void fail(const char *message) {
    fprintf(stderr, "CUDA on the host: block (%u, %u, %u), thread (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z,
            threadIdx.x, threadIdx.y, threadIdx.z, message);
    abort();
}

}  // namespace on_host
