// Kernels with one mistake each, which prove that the tests of the others can fail. All reverse x (N) into y, or sum it.
#include "common.cuh"

// Without a mistake. Launch: one block of N threads, N floats shared.
extern "C" __global__ void broken_not(const float* x, float* y, int count) {
    DYNAMIC_SHARED(float, values);
    if ((int)threadIdx.x < count) values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    if ((int)threadIdx.x < count) y[threadIdx.x] = values[count - 1 - threadIdx.x];
}

// No barrier between writing and reading.
extern "C" __global__ void broken_barrier(const float* x, float* y, int count) {
    DYNAMIC_SHARED(float, values);
    if ((int)threadIdx.x < count) values[threadIdx.x] = x[threadIdx.x];
    if ((int)threadIdx.x < count) y[threadIdx.x] = values[count - 1 - threadIdx.x];
}

// The same between the lanes of one warp.
extern "C" __global__ void broken_warp(const float* x, float* y, int count) {
    DYNAMIC_SHARED(float, values);
    if ((int)threadIdx.x < count) values[threadIdx.x] = x[threadIdx.x];
    const int other = (threadIdx.x & ~31) + 31 - threadIdx.x % 32;
    if ((int)threadIdx.x < count) y[threadIdx.x] = other < count ? values[other] : 0.0f;
}

// A barrier that not all threads reach.
extern "C" __global__ void broken_divergence(const float* x, float* y, int count) {
    DYNAMIC_SHARED(float, values);
    if ((int)threadIdx.x >= count) return;
    values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[count - 1 - threadIdx.x];
}

// Reads a step beyond x.
extern "C" __global__ void broken_read(const float* x, float* y, int count) {
    if ((int)threadIdx.x < count) y[threadIdx.x] = x[count - threadIdx.x];
}

// Writes a step beyond the shared memory.
extern "C" __global__ void broken_shared(const float* x, float* y, int count) {
    DYNAMIC_SHARED(float, values);
    if ((int)threadIdx.x < count) values[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    if ((int)threadIdx.x < count) y[threadIdx.x] = values[count - threadIdx.x];
}

// All threads add to one sum at once.
extern "C" __global__ void broken_sum(const float* x, float* y, int count) {
    if (threadIdx.x == 0) *y = 0.0f;
    __syncthreads();
    if ((int)threadIdx.x < count) *y += x[threadIdx.x];
}
