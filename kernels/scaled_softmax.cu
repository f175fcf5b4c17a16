// Softmax of attention scores, in place:
//
//   s[r, n] = exp(scale * s[r, n] - m) / sum, with m the largest scale * s[r, .]
//
// s (R, N). Launch: a block of 128 threads for each of the R rows; each thread keeps up to 16 elements in registers, so that
// rows of up to 2048 (Whisper's audio has 1500 positions) are read once and written once; longer rows are read again.
// Bound by memory: 4 bytes for an element of f16 against 20 for scaling, widening, softmax and narrowing one by one.
// 128 bytes of shared memory and up to 64 registers: 8 or more blocks share a multiprocessor.
#include "common.cuh"

constexpr int THREADS = 128, KEPT = 16;

template <class T> __device__ __forceinline__ void softmax(T* scores, int length, float scale) {
    __shared__ float scratch[WARP];
    T* row = scores + (size_t)blockIdx.x * length;
    float kept[KEPT], largest = -CUDART_INF_F;
#pragma unroll
    for (int turn = 0; turn < KEPT; ++turn) {
        const int place = turn * THREADS + threadIdx.x;
        kept[turn] = place < length ? to_float(row[place]) * scale : -CUDART_INF_F;
        largest = fmaxf(largest, kept[turn]);
    }
    for (int place = KEPT * THREADS + threadIdx.x; place < length; place += THREADS)
        largest = fmaxf(largest, to_float(row[place]) * scale);
    largest = block_max(largest, scratch);

    float sum = 0.0f;
#pragma unroll
    for (int turn = 0; turn < KEPT; ++turn) {
        kept[turn] = expf(kept[turn] - largest);
        sum += kept[turn];
    }
    for (int place = KEPT * THREADS + threadIdx.x; place < length; place += THREADS)
        sum += expf(to_float(row[place]) * scale - largest);
    const float factor = 1.0f / block_sum(sum, scratch);
#pragma unroll
    for (int turn = 0; turn < KEPT; ++turn) {
        const int place = turn * THREADS + threadIdx.x;
        if (place < length) row[place] = from_float<T>(kept[turn] * factor);
    }
    for (int place = KEPT * THREADS + threadIdx.x; place < length; place += THREADS)
        row[place] = from_float<T>(expf(to_float(row[place]) * scale - largest) * factor);
}

#define SCALED_SOFTMAX(suffix, T)                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS) scaled_softmax_##suffix(T* __restrict__ scores, int length,  \
                                                                                  float scale) {                       \
        softmax(scores, length, scale);                                                                                \
    }

SCALED_SOFTMAX(f32, float)
SCALED_SOFTMAX(f16, __half)
SCALED_SOFTMAX(bf16, __nv_bfloat16)
