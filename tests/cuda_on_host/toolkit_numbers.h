// What candle's kernels use beyond the language and what CUDA's headers have for the host.
#pragma once

using std::isinf;
using std::isnan;
using std::signbit;

inline long min(long a, long b) { return b < a ? b : a; }
inline long max(long a, long b) { return a < b ? b : a; }

inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.707106781f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }

#define CUDA_ON_HOST_HALVES(name, function)                                          \
    inline __half name(__half x) { return __float2half(function(__half2float(x))); } \
    inline __nv_bfloat16 name(__nv_bfloat16 x) { return __float2bfloat16(function(__bfloat162float(x))); }
CUDA_ON_HOST_HALVES(hexp, expf)
CUDA_ON_HOST_HALVES(hlog, logf)
CUDA_ON_HOST_HALVES(hsin, sinf)
CUDA_ON_HOST_HALVES(hcos, cosf)
CUDA_ON_HOST_HALVES(hsqrt, sqrtf)
CUDA_ON_HOST_HALVES(hrcp, 1.0f /)
CUDA_ON_HOST_HALVES(hceil, ceilf)
CUDA_ON_HOST_HALVES(hfloor, floorf)
CUDA_ON_HOST_HALVES(hrint, rintf)

// One GPU thread runs at a time, so that plain reads and writes are atomic.
#define CUDA_ON_HOST_ATOMIC_ADD(type)                \
    inline type atomicAdd(type* place, type value) { \
        const type old = *place;                     \
        *place = old + value;                        \
        return old;                                  \
    }
CUDA_ON_HOST_ATOMIC_ADD(__half)
CUDA_ON_HOST_ATOMIC_ADD(__nv_bfloat16)

// Kernels leave out the number types that the GPU named here does not compute with.
#define __CUDA_ARCH__ 800
