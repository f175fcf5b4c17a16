// What every kernel shares: number types, reductions, shared memory.
//
// A kernel reads and writes f32, f16 or bf16 and computes in f32 (f64 where it says so). Its file opens with the formula, the
// shapes and the launch geometry; src/ops/kernels holds the same geometry in Rust. Compiled by nvcc for every GPU that we
// name, and by a C++ compiler for the tests, which define PALABRA_ON_HOST and bring a header that plays the GPU.
#pragma once

#ifdef PALABRA_ON_HOST
#include "cuda_on_host.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math_constants.h>
// Shared memory whose size the launch sets.
#define DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(16) unsigned char name##_raw[]; \
    type* name = reinterpret_cast<type*>(name##_raw)
#endif

#ifndef CUDART_INF_F
#define CUDART_INF_F __int_as_float(0x7f800000)
#endif

constexpr unsigned FULL_WARP = 0xffffffffu;
constexpr int WARP = 32;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T> __device__ __forceinline__ T from_float(float value);
template <> __device__ __forceinline__ float from_float<float>(float value) { return value; }
template <> __device__ __forceinline__ __half from_float<__half>(float value) { return __float2half_rn(value); }
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
    return __float2bfloat16_rn(value);
}

// The sum and the maximum over a warp, in all of its lanes. All 32 lanes take part.
__device__ __forceinline__ float warp_sum(float value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(FULL_WARP, value, offset);
    return value;
}
__device__ __forceinline__ float warp_max(float value) {
    for (int offset = WARP / 2; offset > 0; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(FULL_WARP, value, offset));
    return value;
}

// The same over a block of whole warps. `scratch` holds 32 floats in shared memory and may be used again at once.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_sum(value);
    __syncthreads();  // whoever reads an earlier result has done so
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return warp_sum(lane < warps ? scratch[lane] : 0.0f);
}
__device__ __forceinline__ float block_max(float value, float* scratch) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_max(value);
    __syncthreads();
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return warp_max(lane < warps ? scratch[lane] : -CUDART_INF_F);
}

// Eight neighbours, loaded by instructions of 16 bytes. The first one's address must be a multiple of 16 bytes.
template <class T> struct alignas(16) Eight {
    T values[8];
};

template <class T> __device__ __forceinline__ void load_eight(const T* source, float* target) {
    const Eight<T> eight = *reinterpret_cast<const Eight<T>*>(source);
#pragma unroll
    for (int place = 0; place < 8; ++place) target[place] = to_float(eight.values[place]);
}

template <class T> __device__ __forceinline__ void store_eight(const float* source, T* target) {
    Eight<T> eight;
#pragma unroll
    for (int place = 0; place < 8; ++place) eight.values[place] = from_float<T>(source[place]);
    *reinterpret_cast<Eight<T>*>(target) = eight;
}
