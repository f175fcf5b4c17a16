// The engine for races: every thread of a block is a thread of the system, and the thread sanitizer sees which accesses no
// barrier orders. Blocks run one after the other, so it sees nothing between blocks. A barrier that not all threads reach
// hangs here; the fibers say where it is.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

namespace cuda_on_host {

struct Thread {
    uint3 index{};
    unsigned number = 0;
    uint64_t brought = 0, received = 0;
    unsigned votes = 0;
};

// Two barriers in turn: to the sanitizer, a thread that already waits at a barrier again comes before those that are still
// on their way out of it.
class Barrier {
public:
    explicit Barrier(unsigned count) {
        for (auto& barrier : barriers) pthread_barrier_init(&barrier, nullptr, count);
    }
    ~Barrier() {
        for (auto& barrier : barriers) pthread_barrier_destroy(&barrier);
    }
    Barrier(const Barrier&) = delete;
    Barrier& operator=(const Barrier&) = delete;
    // The first and the second half of a barrier.
    void arrive() { pthread_barrier_wait(&barriers[0]); }
    void depart() { pthread_barrier_wait(&barriers[1]); }

private:
    pthread_barrier_t barriers[2];
};

struct Scheduler {
    std::vector<Thread> threads;
    std::unique_ptr<Barrier> block;
    std::mutex lock;
    // By warp and mask.
    std::map<std::pair<unsigned, unsigned>, std::unique_ptr<Barrier>> warps;
};
inline Scheduler scheduler;
inline thread_local Thread* current = nullptr;

inline Thread& self() { return *current; }

// Waits for all threads of the block; gives the number of those that brought something other than 0.
inline uint64_t block_barrier(uint64_t brought, int /*line*/) {
    self().brought = brought;
    scheduler.block->arrive();
    uint64_t votes = 0;
    for (const Thread& thread : scheduler.threads) votes += thread.brought != 0;
    scheduler.block->depart();
    return votes;
}

// Waits for the lanes of the mask; the calling thread then holds `received` and `votes`.
inline void warp_barrier(unsigned mask, uint64_t brought, unsigned source, int line) {
    Thread& thread = self();
    const unsigned warp = thread.number / LANES, first = warp * LANES;
    const unsigned count = std::min<unsigned>(LANES, scheduler.threads.size() - first);
    if ((mask >> (thread.number - first) & 1) == 0) fail("line " + std::to_string(line) + ": a lane outside of its own mask");
    Barrier* barrier;
    {
        const std::lock_guard<std::mutex> guard(scheduler.lock);
        auto& known = scheduler.warps[{warp, mask}];
        if (!known) known = std::make_unique<Barrier>(__builtin_popcount(mask));
        barrier = known.get();
    }
    thread.brought = brought;
    barrier->arrive();
    thread.votes = 0;
    for (unsigned lane = 0; lane < count; lane++)
        if (mask >> lane & 1) thread.votes |= unsigned(scheduler.threads[first + lane].brought != 0) << lane;
    const bool there = source < count && (mask >> source & 1);
    thread.received = there ? scheduler.threads[first + source].brought : ~uint64_t(0);
    barrier->depart();
}

inline void launch(const Kernel& kernel, void** arguments, const Geometry& geometry) {
    running.kernel = kernel.name.c_str();
    check(geometry);
    const dim3 grid = geometry.grid, block = geometry.block;
    running.grid = grid;
    running.block = block;
    const unsigned count = block.x * block.y * block.z, blocks = grid.x * grid.y * grid.z;
    scheduler.threads.assign(count, Thread{});
    scheduler.warps.clear();
    scheduler.block = std::make_unique<Barrier>(count);
    std::unique_ptr<Shared> shared;
    auto work = [&](unsigned number) {
        Thread& thread = scheduler.threads[number];
        thread.number = number;
        thread.index = {number % block.x, number / block.x % block.y, number / block.x / block.y};
        current = &thread;
        for (unsigned place = 0; place < blocks; place++) {
            if (number == 0) {
                running.index = {place % grid.x, place / grid.x % grid.y, place / grid.x / grid.y};
                shared.reset();
                shared = std::make_unique<Shared>(geometry.shared);
            }
            block_barrier(0, 0);
            kernel.call(arguments);
            block_barrier(0, 0);
        }
    };
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < count; number++) threads.emplace_back(work, number);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace cuda_on_host
