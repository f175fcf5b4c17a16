// What follows a matrix product, in place and in one pass:
//
//   y[r, c] = f(y[r, c] + bias[c]) + residual[r, c]     f: nothing, or GELU in its erf form
//
// y, residual (R, C) with C a multiple of 8; bias (C). `residual` may be y's own type only. Launch: one thread for 8
// neighbours, blocks of 256. Bound by memory: 2 bytes in and 2 out for an f16 element (4 in with a residual) against the
// 6 to 8 that three passes would move. About 30 registers and no shared memory: full occupancy.
#include "common.cuh"

__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

template <class T, bool GELU, bool RESIDUAL>
__device__ __forceinline__ void add_bias(T* y, const T* bias, const T* residual, int eights, int columns) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= eights) return;
    const size_t start = (size_t)index * 8;
    float values[8], offsets[8], others[8];
    load_eight(y + start, values);
    load_eight(bias + start % columns, offsets);
    if (RESIDUAL) load_eight(residual + start, others);
#pragma unroll
    for (int place = 0; place < 8; ++place) {
        float value = values[place] + offsets[place];
        if (GELU) value = gelu(value);
        if (RESIDUAL) value += others[place];
        values[place] = value;
    }
    store_eight(values, y + start);
}

#define ADD_BIAS(suffix, T)                                                                                            \
    extern "C" __global__ void add_bias_##suffix(T* __restrict__ y, const T* __restrict__ bias, int eights,            \
                                                 int columns) {                                                        \
        add_bias<T, false, false>(y, bias, nullptr, eights, columns);                                                  \
    }                                                                                                                  \
    extern "C" __global__ void add_bias_gelu_##suffix(T* __restrict__ y, const T* __restrict__ bias, int eights,       \
                                                      int columns) {                                                   \
        add_bias<T, true, false>(y, bias, nullptr, eights, columns);                                                   \
    }                                                                                                                  \
    extern "C" __global__ void add_bias_residual_##suffix(T* __restrict__ y, const T* __restrict__ bias,               \
                                                          const T* __restrict__ residual, int eights, int columns) {   \
        add_bias<T, false, true>(y, bias, residual, eights, columns);                                                  \
    }

ADD_BIAS(f32, float)
ADD_BIAS(f16, __half)
ADD_BIAS(bf16, __nv_bfloat16)
