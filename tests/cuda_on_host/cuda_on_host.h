// What a kernel file sees instead of nvcc's built-ins when a C++ compiler compiles it.
#pragma once
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

// The toolkit's own number types, whose arithmetic also exists for the host. They come before __CUDA_ARCH__ is set, which would
// choose their device code.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <math_constants.h>
#include <vector_functions.h>

#include <cuda/std/limits>

#include "block.h"

#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(on_host::dynamic_shared())
// Kernels leave out the number types that the GPU named here does not compute with.
#define __CUDA_ARCH__ 800

using std::isinf;
using std::isnan;
using std::signbit;

#define __syncthreads() on_host::block_barrier()

inline void __syncwarp(unsigned mask = ~0u) { on_host::warp_barrier(mask); }

namespace on_host {

template <class T> T shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a shuffle moves up to 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = exchange(bits, mask, source);
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace on_host

// A shuffle within segments of `width` lanes; a source beyond its own segment is the lane itself.
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    return on_host::shuffle(mask, value, (on_host::lane() & -width) + (source & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int offset, int width = 32) {
    const unsigned lane = on_host::lane(), source = lane ^ offset;
    return on_host::shuffle(mask, value, source / width > lane / width ? lane : source);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned offset, int width = 32) {
    const unsigned lane = on_host::lane();
    return on_host::shuffle(mask, value, lane % width + offset < unsigned(width) ? lane + offset : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned offset, int width = 32) {
    const unsigned lane = on_host::lane();
    return on_host::shuffle(mask, value, lane % width >= offset ? lane - offset : lane);
}
inline unsigned __ballot_sync(unsigned mask, int value) { return on_host::ballot(value != 0, mask); }
inline int __any_sync(unsigned mask, int value) { return on_host::ballot(value != 0, mask) != 0; }
inline int __all_sync(unsigned mask, int value) { return on_host::ballot(value == 0, mask) == 0; }

// One GPU thread runs at a time, so plain reads and writes are atomic. The value converts to the place's type.
template <class T> using Value = std::enable_if_t<true, T>;
template <class T> T atomicAdd(T *place, Value<T> value) {
    const T old = *place;
    *place = old + value;
    return old;
}
template <class T> T atomicMax(T *place, Value<T> value) {
    const T old = *place;
    if (value > old) *place = value;
    return old;
}
template <class T> T atomicMin(T *place, Value<T> value) {
    const T old = *place;
    if (value < old) *place = value;
    return old;
}
template <class T> T atomicExch(T *place, Value<T> value) {
    const T old = *place;
    *place = value;
    return old;
}
template <class T> T atomicCAS(T *place, Value<T> expected, Value<T> value) {
    const T old = *place;
    if (old == expected) *place = value;
    return old;
}

template <class T> T __ldg(const T *place) { return *place; }

template <class To, class From> inline To on_host_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}
inline int __float_as_int(float value) { return on_host_bits<int>(value); }
inline unsigned __float_as_uint(float value) { return on_host_bits<unsigned>(value); }
inline float __int_as_float(int value) { return on_host_bits<float>(value); }
inline float __uint_as_float(unsigned value) { return on_host_bits<float>(value); }
inline long long __double_as_longlong(double value) { return on_host_bits<long long>(value); }
inline double __longlong_as_double(long long value) { return on_host_bits<double>(value); }

inline float __expf(float x) { return expf(x); }
inline float __exp2f(float x) { return exp2f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.707106781f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
inline void sincospif(float x, float *sine, float *cosine) {
    *sine = float(sin(M_PI * x));
    *cosine = float(cos(M_PI * x));
}
inline float cospif(float x) { return float(cos(M_PI * x)); }
inline float sinpif(float x) { return float(sin(M_PI * x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }

template <class A, class B> std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    return T(a) < T(b) ? T(b) : T(a);
}
template <class A, class B> std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    return T(b) < T(a) ? T(b) : T(a);
}

#define ON_HOST_HALF_FUNCTION(name, function)                                                                 \
    inline __half name(__half x) { return __float2half(function(__half2float(x))); }                          \
    inline __nv_bfloat16 name(__nv_bfloat16 x) { return __float2bfloat16(function(__bfloat162float(x))); }
ON_HOST_HALF_FUNCTION(hexp, expf)
ON_HOST_HALF_FUNCTION(hlog, logf)
ON_HOST_HALF_FUNCTION(hsin, sinf)
ON_HOST_HALF_FUNCTION(hcos, cosf)
ON_HOST_HALF_FUNCTION(hsqrt, sqrtf)
ON_HOST_HALF_FUNCTION(hrcp, 1.0f /)
ON_HOST_HALF_FUNCTION(hceil, ceilf)
ON_HOST_HALF_FUNCTION(hfloor, floorf)
ON_HOST_HALF_FUNCTION(hrint, rintf)
