// Mean and deviation over time under weights, for each speaker of a window.
//
//   m[b, s, c] = sum_t w x / v1,  d[b, s, c] = sqrt(sum_t w (x - m)^2 / (v1 - v2 / v1)),  v1 = sum_t w,  v2 = sum_t w^2
//
// x (B, T, C), weights (B, S, T), out (B, S, 2C): means, then deviations. Frames without weight are not read. Without any
// weight both are 0; where one frame bears all of it (v1 - v2 / v1 <= least_freedom v1), the deviation is lone_deviation.
//
// Launch: B*S x ceil(C / 32) blocks of 256 threads: 32 channels in neighbouring lanes, 8 moments at once. Two passes over a
// column of 32 channels, the second from the caches. 1.2 KiB shared, 32 to 40 registers: 1,536 to 2,048 threads on a multiprocessor.
// Bound by memory: x is read once for each speaker, of which a window has three.
#include "common.cuh"

constexpr int MOMENTS = 8;

// The sum over the block's moments of each channel, in all of its threads.
__device__ __forceinline__ float sum_of_moments(float value, float (*parts)[WARP]) {
    const int lane = threadIdx.x % WARP;
    __syncthreads();  // whoever reads an earlier sum has done so
    parts[threadIdx.x / WARP][lane] = value;
    __syncthreads();
    float sum = 0.0f;
    for (int moment = 0; moment < MOMENTS; moment++) sum += parts[moment][lane];
    return sum;
}

template <class E>
__device__ __forceinline__ void statistics(const E* x, const E* weights, E* out, int time, int speakers, int channels,
                                           float least_freedom, float lone_deviation) {
    __shared__ float parts[MOMENTS][WARP], scratch[WARP];
    const int row = blockIdx.x, channel = blockIdx.y * WARP + threadIdx.x % WARP, moment = threadIdx.x / WARP;
    const E* frames = x + (size_t)(row / speakers) * time * channels;
    const E* own = weights + (size_t)row * time;
    const bool inside = channel < channels;
    float total = 0.0f, squares = 0.0f;
    for (int t = threadIdx.x; t < time; t += blockDim.x) {
        const float weight = fmaxf(to_float(own[t]), 0.0f);
        total += weight;
        squares += weight * weight;
    }
    total = block_sum(total, scratch);
    squares = block_sum(squares, scratch);
    const float divisor = total > 0.0f ? total : 1.0f;
    float sum = 0.0f;
    for (int t = moment; inside && t < time; t += MOMENTS) {
        const float weight = to_float(own[t]);
        if (weight > 0.0f) sum += weight * to_float(frames[(size_t)t * channels + channel]);
    }
    const float mean = sum_of_moments(sum, parts) / divisor;
    sum = 0.0f;
    for (int t = moment; inside && t < time; t += MOMENTS) {
        const float weight = to_float(own[t]);
        if (weight <= 0.0f) continue;
        const float apart = to_float(frames[(size_t)t * channels + channel]) - mean;
        sum += weight * apart * apart;
    }
    sum = sum_of_moments(sum, parts);
    const float freedom = total - squares / divisor;
    const float deviation = freedom > least_freedom * total ? sqrtf(sum / freedom) : lone_deviation;
    if (!inside || moment != 0) return;
    E* target = out + (size_t)row * 2 * channels + channel;
    target[0] = from_float<E>(mean);
    target[channels] = from_float<E>(total > 0.0f ? deviation : 0.0f);
}

#define WEIGHTED_STATISTICS(suffix, E)                                                                            \
    extern "C" __global__ void __launch_bounds__(256) weighted_statistics_##suffix(                               \
        const E* __restrict__ x, const E* __restrict__ weights, E* __restrict__ out, int time, int speakers,      \
        int channels, float least_freedom, float lone_deviation) {                                                \
        statistics(x, weights, out, time, speakers, channels, least_freedom, lone_deviation);                     \
    }

WEIGHTED_STATISTICS(f32, float)
WEIGHTED_STATISTICS(f16, __half)
WEIGHTED_STATISTICS(bf16, __nv_bfloat16)
