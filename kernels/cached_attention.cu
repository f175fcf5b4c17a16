// Attention of a few queries to the keys and values of their slots (self- and cross-attention of a decoding step):
//
//   out[b, i, h] = softmax over n < visible(b, i) of (q[b, i, h] . k[slot(b, n), n, h] / sqrt(D)) times v[slot(b, n), n, h]
//   visible(b, i) = length[b] - (causal ? T - 1 - i : 0)
//   slot(b, n) = shared ? holders[b, n] : index[b]
//
// q, out (B, T, H*D) with D = 64; k, v (S, limit, H*D); slots (B, 2): index and length; holders (B, limit): texts that share a
// beginning share its keys, and only where they do is this table read. Sums in f32, the softmax with a running maximum (Milakov
// and Gimelshein 2018), so that keys and values are read once and scores are never written.
//
// Launch: blocks (B*T, H, splits) of 128 threads. Eight lanes share a key (8 elements each, loads of 16 bytes), so a warp
// reads 4 neighbouring keys and a block 16, in two keys per turn to keep loads in flight. Where there are few rows, the keys
// are split between blocks, which leave partial results for `combine_splits`; the number of splits does not depend on the
// lengths, so a step has the same launches whatever has been written so far.
// Bound by memory: 4 FLOP for each byte of an f16 cache. 16 x 64 + 32 floats of shared memory (4.2 KiB) and 48 to 57 registers
// (64 to 72 in f32) let 8 to 10 blocks share a multiprocessor: over 1,000 threads with 64 bytes each in flight, which is what a memory
// of 3 TB/s asks for. Told that one block is enough, the compiler spills none of them.
#include "common.cuh"

constexpr int SIZE = 64, LANES = 8, THREADS = 128, GROUPS = THREADS / LANES, TURN = 2;
// Below every score; finite, so that differences of two of them are numbers.
constexpr float LOWEST = -1e30f;

template <class E>
__device__ __forceinline__ void attend(const E* q, const E* keys, const E* values, const unsigned* slots,
                                       const unsigned* holders, E* out, float* partial, int time, int limit, int causal,
                                       int shared) {
    __shared__ float sums[GROUPS][SIZE];
    __shared__ float largest[GROUPS], total[GROUPS];
    const int query = blockIdx.x, head = blockIdx.y, split = blockIdx.z, heads = gridDim.y, splits = gridDim.z;
    const int row = query / time, hidden = causal ? time - 1 - query % time : 0;
    const int visible = (int)slots[2 * row + 1] - hidden;
    const int from = (int)((long long)visible * split / splits), to = (int)((long long)visible * (split + 1) / splits);
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES, channels = heads * SIZE;
    const int part = head * SIZE + lane * LANES;
    const unsigned index = slots[2 * row];
    const unsigned* ancestors = holders + (size_t)row * (shared ? limit : 0);

    float own[8], sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    load_eight(q + (size_t)query * channels + part, own);
#pragma unroll
    for (int place = 0; place < 8; ++place) own[place] *= 0.125f * 1.44269504f;  // 1 / sqrt(D), and to powers of 2
    float maximum = LOWEST, weights = 0.0f;

    for (int first = from; first < to; first += GROUPS * TURN) {
        float key[TURN][8], value[TURN][8];
#pragma unroll
        for (int turn = 0; turn < TURN; ++turn) {
            const int next = first + turn * GROUPS + group, place = next < to ? next : from;
            const size_t slot = shared ? ancestors[place] : index;
            const size_t start = (slot * limit + place) * channels + part;
            load_eight(keys + start, key[turn]);
            load_eight(values + start, value[turn]);
        }
#pragma unroll
        for (int turn = 0; turn < TURN; ++turn) {
            float score = 0.0f;
#pragma unroll
            for (int place = 0; place < 8; ++place) score += own[place] * key[turn][place];
            for (int offset = LANES / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(FULL_WARP, score, offset);
            const bool seen = first + turn * GROUPS + group < to;
            const float higher = seen ? fmaxf(maximum, score) : maximum;
            const float weight = seen ? exp2f(score - higher) : 0.0f, shrink = exp2f(maximum - higher);
            weights = weights * shrink + weight;
#pragma unroll
            for (int place = 0; place < 8; ++place) sum[place] = sum[place] * shrink + weight * value[turn][place];
            maximum = higher;
        }
    }

#pragma unroll
    for (int place = 0; place < 8; ++place) sums[group][lane * LANES + place] = sum[place];
    if (lane == 0) largest[group] = maximum, total[group] = weights;
    __syncthreads();
    if (threadIdx.x >= SIZE) return;
    maximum = LOWEST;
    for (int other = 0; other < GROUPS; ++other) maximum = fmaxf(maximum, largest[other]);
    float mixed = 0.0f;
    weights = 0.0f;
    for (int other = 0; other < GROUPS; ++other) {
        const float scale = exp2f(largest[other] - maximum);
        weights += total[other] * scale;
        mixed += sums[other][threadIdx.x] * scale;
    }
    const size_t place = (size_t)query * heads + head;
    if (splits == 1) {
        out[place * SIZE + threadIdx.x] = from_float<E>(mixed / weights);
        return;
    }
    float* result = partial + (place * splits + split) * (SIZE + 2);
    result[threadIdx.x] = mixed;
    if (threadIdx.x == 0) result[SIZE] = maximum, result[SIZE + 1] = weights;
}

// partial (B*T, H, splits, D + 2): weighted sums, the maximum, the sum of weights -> out (B, T, H*D).
// Launch: blocks (B*T, H) of 64 threads.
template <class E> __device__ __forceinline__ void combine(const float* partial, E* out, int splits) {
    const size_t place = (size_t)blockIdx.x * gridDim.y + blockIdx.y;
    const float* parts = partial + place * splits * (SIZE + 2);
    float maximum = LOWEST, mixed = 0.0f, weights = 0.0f;
    for (int split = 0; split < splits; ++split) maximum = fmaxf(maximum, parts[split * (SIZE + 2) + SIZE]);
    for (int split = 0; split < splits; ++split) {
        const float* part = parts + split * (SIZE + 2);
        const float scale = exp2f(part[SIZE] - maximum);
        weights += part[SIZE + 1] * scale;
        mixed += part[threadIdx.x] * scale;
    }
    out[place * SIZE + threadIdx.x] = from_float<E>(mixed / weights);
}

#define CACHED_ATTENTION(suffix, E)                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) cached_attention_##suffix(                                \
        const E* __restrict__ q, const E* __restrict__ keys, const E* __restrict__ values,                             \
        const unsigned* __restrict__ slots, const unsigned* __restrict__ holders, E* __restrict__ out,                 \
        float* __restrict__ partial, int time, int limit, int causal, int shared) {                                    \
        attend(q, keys, values, slots, holders, out, partial, time, limit, causal, shared);                            \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(SIZE)                                                                 \
        combine_splits_##suffix(const float* __restrict__ partial, E* __restrict__ out, int splits) {                  \
        combine(partial, out, splits);                                                                                 \
    }

CACHED_ATTENTION(f32, float)
CACHED_ATTENTION(f16, __half)
CACHED_ATTENTION(bf16, __nv_bfloat16)
