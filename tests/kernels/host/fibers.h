// The engine for logic: every thread of a block is a fiber on the calling thread. One warp at a time runs until all of its
// lanes wait for the block or have ended; so what another warp should have written before, or not yet, shows.
#pragma once

#include <algorithm>
#include <memory>
#include <random>

#ifdef CUDA_ON_HOST_ADDRESSES
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace cuda_on_host {

enum class Standing { begins, runs, at_block_barrier, at_warp_barrier, ended };

// Where a fiber stands that does not run.
struct Context {
#ifdef __x86_64__
    void* stack_pointer = nullptr;
#else
    ucontext_t context;
#endif
};

struct Thread {
    uint3 index{};
    unsigned number = 0;
    Standing standing = Standing::runs;
    int line = 0;
    // The lanes that take part in the warp operation.
    unsigned mask = 0;
    // What the thread brings to a barrier, from which lane it wants a value, and what it gets: that value, the lanes whose
    // value is not 0, or the number of such threads in the block.
    uint64_t brought = 0, received = 0;
    unsigned source = 0, votes = 0;
    Context context;
    std::unique_ptr<char[]> stack;
    // The stack it runs on: its own, or that of a thread which ended just before.
    char* bottom = nullptr;
};

constexpr size_t STACK_BYTES = 128 * 1024;

struct Scheduler {
    std::vector<std::unique_ptr<Thread>> threads;
    Thread* current = nullptr;
    const Kernel* kernel = nullptr;
    void** arguments = nullptr;
    // The running warp's threads that have not had their turn, the next one last.
    std::vector<Thread*> turns;
    Context context;
    void* fake_stack = nullptr;
    const void* stack_bottom = nullptr;
    size_t stack_size = 0;
};
inline Scheduler scheduler;

inline Thread& self() { return *scheduler.current; }

#ifdef __x86_64__
// Saves the registers that a call must keep on the stack, stores the stack pointer, and goes on from another stack.
__attribute__((naked, noinline)) inline void switch_stacks(void** /*from*/, void* /*to*/) {
    __asm__ volatile(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

inline void change(Context& from, Context& to) {
#ifdef __x86_64__
    switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
    swapcontext(&from.context, &to.context);
#endif
}

// Leaves the running fiber for the scheduler.
inline void leave() {
    Thread& thread = self();
#ifdef CUDA_ON_HOST_ADDRESSES
    void* fake_stack = nullptr;
    const bool last = thread.standing == Standing::ended;
    __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack, scheduler.stack_bottom, scheduler.stack_size);
#endif
    change(thread.context, scheduler.context);
#ifdef CUDA_ON_HOST_ADDRESSES
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler.stack_bottom, &scheduler.stack_size);
#endif
}

inline void enter(Thread& thread) {
    scheduler.current = &thread;
#ifdef CUDA_ON_HOST_ADDRESSES
    __sanitizer_start_switch_fiber(&scheduler.fake_stack, thread.bottom, STACK_BYTES);
#endif
    change(scheduler.context, thread.context);
#ifdef CUDA_ON_HOST_ADDRESSES
    __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
#endif
}

inline void begin() {
#ifdef CUDA_ON_HOST_ADDRESSES
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack_bottom, &scheduler.stack_size);
#endif
    for (;;) {
        self().standing = Standing::runs;
        scheduler.kernel->call(scheduler.arguments);
        self().standing = Standing::ended;
        // The next thread begins on this stack: a kernel without barriers needs one fiber, and no switches.
        if (scheduler.turns.empty() || scheduler.turns.back()->standing != Standing::begins) break;
        Thread* next = scheduler.turns.back();
        scheduler.turns.pop_back();
        next->bottom = self().bottom;
        scheduler.current = next;
    }
    leave();
}

inline void prepare(Thread& thread) {
    if (!thread.stack) thread.stack.reset(new char[STACK_BYTES]);
    thread.bottom = thread.stack.get();
#ifdef CUDA_ON_HOST_ADDRESSES
    // Calls that an earlier fiber never returned from have left their marks.
    ASAN_UNPOISON_MEMORY_REGION(thread.stack.get(), STACK_BYTES);
#endif
#ifdef __x86_64__
    const auto top = (reinterpret_cast<uintptr_t>(thread.stack.get()) + STACK_BYTES) & ~uintptr_t(15);
    void** frame = reinterpret_cast<void**>(top) - 8;
    std::fill(frame, frame + 8, nullptr);
    frame[6] = reinterpret_cast<void*>(&begin);  // above it the empty return address of `begin`
    thread.context.stack_pointer = frame;
#else
    getcontext(&thread.context.context);
    thread.context.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.context.uc_stack.ss_size = STACK_BYTES;
    thread.context.context.uc_link = nullptr;
    makecontext(&thread.context.context, begin, 0);
#endif
}

// Waits for all threads of the block; gives the number of those that brought something other than 0.
inline uint64_t block_barrier(uint64_t brought, int line) {
    Thread& thread = self();
    thread.standing = Standing::at_block_barrier;
    thread.brought = brought;
    thread.line = line;
    leave();
    return self().received;
}

// Waits for the lanes of the mask; the calling thread then holds `received` and `votes`.
inline void warp_barrier(unsigned mask, uint64_t brought, unsigned source, int line) {
    Thread& thread = self();
    if ((mask >> thread.number % LANES & 1) == 0) fail("line " + std::to_string(line) + ": a lane outside of its own mask");
    thread.standing = Standing::at_warp_barrier;
    thread.mask = mask;
    thread.brought = brought;
    thread.source = source;
    thread.line = line;
    leave();
}

// The lanes of one warp.
struct Warp {
    unsigned first, count;

    Thread& lane(unsigned lane) const { return *scheduler.threads[first + lane]; }

    // Lets the lanes go on that wait for one another and are all there.
    bool release() const {
        bool any = false;
        for (unsigned lane = 0; lane < count; lane++) {
            Thread& thread = this->lane(lane);
            if (thread.standing != Standing::at_warp_barrier || !complete(thread)) continue;
            const unsigned mask = thread.mask;
            unsigned votes = 0;
            for (unsigned other = 0; other < count; other++)
                if (mask >> other & 1) votes |= unsigned(this->lane(other).brought != 0) << other;
            for (unsigned other = 0; other < count; other++) {
                if ((mask >> other & 1) == 0) continue;
                Thread& member = this->lane(other);
                // A lane that does not take part has no defined value.
                const bool there = member.source < count && (mask >> member.source & 1);
                member.received = there ? this->lane(member.source).brought : ~uint64_t(0);
                member.votes = votes;
                member.standing = Standing::runs;
            }
            any = true;
        }
        return any;
    }

    bool complete(const Thread& thread) const {
        for (unsigned lane = 0; lane < LANES; lane++) {
            if ((thread.mask >> lane & 1) == 0) continue;
            if (lane >= count) fail("line " + std::to_string(thread.line) + ": the mask names lanes that the block lacks");
            const Thread& other = this->lane(lane);
            if (other.standing == Standing::ended) fail("line " + std::to_string(thread.line) + ": a lane of the mask has ended");
            if (other.standing != Standing::at_warp_barrier || other.mask != thread.mask) return false;
            if (other.line != thread.line)
                fail("lanes at different warp operations: lines " + std::to_string(thread.line) + " and " + std::to_string(other.line));
        }
        return true;
    }

    template <class Order> void run(Order& order) const {
        std::vector<unsigned> lanes(count);
        do {
            order(lanes);
            scheduler.turns.clear();
            for (auto lane = lanes.rbegin(); lane != lanes.rend(); ++lane) scheduler.turns.push_back(&this->lane(*lane));
            while (!scheduler.turns.empty()) {
                Thread& thread = *scheduler.turns.back();
                scheduler.turns.pop_back();
                if (thread.standing == Standing::begins) prepare(thread);
                if (thread.standing == Standing::begins || thread.standing == Standing::runs) enter(thread);
            }
        } while (release());
    }
};

// Lets all threads go on once they stand at one barrier; false when all have ended.
inline bool release_block(unsigned count) {
    unsigned ended = 0, waiting = 0;
    uint64_t votes = 0;
    int line = 0;
    for (unsigned number = 0; number < count; number++) {
        const Thread& thread = *scheduler.threads[number];
        if (thread.standing == Standing::at_warp_barrier)
            fail("line " + std::to_string(thread.line) + ": a warp operation that not all of its lanes reach");
        ended += thread.standing == Standing::ended;
        if (thread.standing != Standing::at_block_barrier) continue;
        if (waiting++ != 0 && line != thread.line)
            fail("threads at different barriers: lines " + std::to_string(line) + " and " + std::to_string(thread.line));
        line = thread.line;
        votes += thread.brought != 0;
    }
    if (ended == count) return false;
    if (ended != 0) fail("line " + std::to_string(line) + ": a barrier that " + std::to_string(ended) + " threads never reach");
    for (unsigned number = 0; number < count; number++) {
        scheduler.threads[number]->received = votes;
        scheduler.threads[number]->standing = Standing::runs;
    }
    return true;
}

inline void launch(const Kernel& kernel, void** arguments, const Geometry& geometry) {
    running.kernel = kernel.name.c_str();
    check(geometry);
    const dim3 grid = geometry.grid, block = geometry.block;
    running.grid = grid;
    running.block = block;
    scheduler.kernel = &kernel;
    scheduler.arguments = arguments;
    const unsigned count = block.x * block.y * block.z;
    while (scheduler.threads.size() < count) scheduler.threads.push_back(std::make_unique<Thread>());
    std::mt19937 random(geometry.order);
    auto order = [&](std::vector<unsigned>& places) {
        for (unsigned place = 0; place < places.size(); place++) places[place] = place;
        if (geometry.order == 1) std::reverse(places.begin(), places.end());
        if (geometry.order > 1) std::shuffle(places.begin(), places.end(), random);
    };
    std::vector<unsigned> blocks(size_t(grid.x) * grid.y * grid.z), warps((count + LANES - 1) / LANES);
    order(blocks);
    for (unsigned place : blocks) {
        running.index = {place % grid.x, place / grid.x % grid.y, place / grid.x / grid.y};
        Shared shared(geometry.shared);
        for (unsigned number = 0; number < count; number++) {
            Thread& thread = *scheduler.threads[number];
            thread.number = number;
            thread.index = {number % block.x, number / block.x % block.y, number / block.x / block.y};
            thread.standing = Standing::begins;
        }
        do {
            order(warps);
            for (unsigned warp : warps) Warp{warp * LANES, std::min(LANES, count - warp * LANES)}.run(order);
        } while (release_block(count));
    }
}

}  // namespace cuda_on_host
