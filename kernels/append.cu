// Writes new keys or values into the caches of the texts being written.
//
//   cache[slots[b].index, slots[b].length - T + t, c] = x[b, t, c]
//
// x (B, T, C); cache (S, limit, C), which may hold another number type; slots (B, 2): index and length after the new vectors.
// Launch: one block for each of the B*T vectors, up to 256 threads over its elements. Bound by memory: 2 loads and a store for
// an element, neighbours in neighbouring lanes; a handful of registers, no shared memory, so occupancy is full.
#include "common.cuh"

template <class X, class E>
__device__ __forceinline__ void append(const X* x, E* cache, const unsigned* slots, int time, int channels, int limit) {
    const int vector = blockIdx.x, row = vector / time, place = vector % time;
    const size_t index = slots[2 * row], position = slots[2 * row + 1] - time + place;
    const X* source = x + (size_t)vector * channels;
    E* target = cache + (index * limit + position) * channels;
    for (int channel = threadIdx.x; channel < channels; channel += blockDim.x)
        target[channel] = from_float<E>(to_float(source[channel]));
}

#define APPEND(suffix, X, E)                                                                                           \
    extern "C" __global__ void append_##suffix(const X* __restrict__ x, E* __restrict__ cache,                         \
                                               const unsigned* __restrict__ slots, int time, int channels, int limit) { \
        append(x, cache, slots, time, channels, limit);                                                                \
    }

APPEND(f32_f32, float, float)
APPEND(f32_f16, float, __half)
APPEND(f32_bf16, float, __nv_bfloat16)
APPEND(f16_f16, __half, __half)
APPEND(bf16_bf16, __nv_bfloat16, __nv_bfloat16)
