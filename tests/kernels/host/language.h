// CUDA's words, built-in variables, barriers, warp operations, atomics and intrinsics.
#pragma once

#include <cmath>

// Kernels are found in preprocessed text by this word.
#ifndef CUDA_ON_HOST_LIST
#define __global__
#endif
#define __device__
#define __host__
#define __constant__ static const
#define __managed__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#ifdef CUDA_ON_HOST_FILLED
// Memory of the calling thread, which the program fills with NaN before every block.
#define __shared__ static thread_local
#else
#define __shared__ static
#endif
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(cuda_on_host::running.shared)

#define CUDA_ON_HOST_KERNEL(name) [[maybe_unused]] static const bool known_##name = cuda_on_host::add<&name>(#name);

#define threadIdx (cuda_on_host::self().index)
#define blockIdx (cuda_on_host::running.index)
#define blockDim (cuda_on_host::running.block)
#define gridDim (cuda_on_host::running.grid)
#define warpSize 32

#define __syncthreads() ((void)cuda_on_host::block_barrier(0, __LINE__))
#define __syncthreads_count(predicate) (int(cuda_on_host::block_barrier((predicate) != 0, __LINE__)))
#define __syncthreads_or(predicate) (int(cuda_on_host::block_barrier((predicate) != 0, __LINE__) != 0))
#define __syncthreads_and(predicate) (int(cuda_on_host::block_barrier((predicate) == 0, __LINE__) == 0))

namespace cuda_on_host {

enum class Shuffle { from, exclusive_or, down, up };

template <class T> T shuffle(unsigned mask, T value, int offset, int width, Shuffle kind, int line) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    const int lane = self().number % LANES, base = lane / width * width;
    int source = lane;
    switch (kind) {
        case Shuffle::from: source = base + (offset & (width - 1)); break;
        case Shuffle::exclusive_or: source = lane ^ offset; break;
        case Shuffle::down: source = lane + offset; break;
        case Shuffle::up: source = lane - offset; break;
    }
    const bool outside = kind == Shuffle::exclusive_or ? source >= base + width : source < base || source >= base + width;
    uint64_t brought = 0;
    std::memcpy(&brought, &value, sizeof(T));
    warp_barrier(mask, brought, unsigned(outside ? lane : source), line);
    T received;
    std::memcpy(&received, &self().received, sizeof(T));
    return received;
}

inline unsigned ballot(unsigned mask, bool predicate, int line) {
    warp_barrier(mask, predicate, self().number % LANES, line);
    return self().votes;
}

inline void synchronise(int line, unsigned mask = ~0u) { warp_barrier(mask, 0, self().number % LANES, line); }

template <class T, class F> T replace(T* place, F change) {
    T old = *const_cast<volatile T*>(place), next;
    __atomic_load(place, &old, __ATOMIC_RELAXED);
    do next = change(old);
    while (!__atomic_compare_exchange(place, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

template <class To, class From> To bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &value, sizeof(To));
    return to;
}

}  // namespace cuda_on_host

// The width of a shuffle may be left out.
#define CUDA_ON_HOST_SHUFFLE(kind, ...) \
    cuda_on_host::shuffled<cuda_on_host::Shuffle::kind>(__LINE__, __VA_ARGS__)
namespace cuda_on_host {
template <Shuffle kind, class T> T shuffled(int line, unsigned mask, T value, int offset, int width = 32) {
    return shuffle(mask, value, offset, width, kind, line);
}
}  // namespace cuda_on_host
#define __shfl_sync(...) CUDA_ON_HOST_SHUFFLE(from, __VA_ARGS__)
#define __shfl_xor_sync(...) CUDA_ON_HOST_SHUFFLE(exclusive_or, __VA_ARGS__)
#define __shfl_down_sync(...) CUDA_ON_HOST_SHUFFLE(down, __VA_ARGS__)
#define __shfl_up_sync(...) CUDA_ON_HOST_SHUFFLE(up, __VA_ARGS__)
#define __ballot_sync(mask, predicate) cuda_on_host::ballot(mask, (predicate) != 0, __LINE__)
#define __any_sync(mask, predicate) int(cuda_on_host::ballot(mask, (predicate) != 0, __LINE__) != 0)
#define __all_sync(mask, predicate) int(cuda_on_host::ballot(mask, (predicate) == 0, __LINE__) == 0)
#define __syncwarp(...) cuda_on_host::synchronise(__LINE__, ##__VA_ARGS__)

inline unsigned __activemask() { return ~0u; }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

template <class T> T atomicAdd(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return T(old + value); });
}
template <class T> T atomicSub(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return T(old - value); });
}
template <class T> T atomicMax(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return old < value ? value : old; });
}
template <class T> T atomicMin(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return value < old ? value : old; });
}
template <class T> T atomicAnd(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return T(old & value); });
}
template <class T> T atomicOr(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return T(old | value); });
}
template <class T> T atomicExch(T* place, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T) { return value; });
}
template <class T> T atomicCAS(T* place, std::common_type_t<T> expected, std::common_type_t<T> value) {
    return cuda_on_host::replace(place, [=](T old) { return old == expected ? value : old; });
}

template <class T> T __ldg(const T* place) { return *place; }
template <class T> T __ldcs(const T* place) { return *place; }
template <class T> T __ldcg(const T* place) { return *place; }
template <class T> void __stcs(T* place, std::common_type_t<T> value) { *place = value; }
template <class T> void __stcg(T* place, std::common_type_t<T> value) { *place = value; }

inline float __int_as_float(int value) { return cuda_on_host::bits<float>(value); }
inline int __float_as_int(float value) { return cuda_on_host::bits<int>(value); }
inline float __uint_as_float(unsigned value) { return cuda_on_host::bits<float>(value); }
inline unsigned __float_as_uint(float value) { return cuda_on_host::bits<unsigned>(value); }
inline double __longlong_as_double(long long value) { return cuda_on_host::bits<double>(value); }
inline long long __double_as_longlong(double value) { return cuda_on_host::bits<long long>(value); }

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(unsigned(value)); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }

inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long min(unsigned long a, unsigned long b) { return b < a ? b : a; }
inline unsigned long max(unsigned long a, unsigned long b) { return a < b ? b : a; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return powf(10.0f, x); }
inline float exp10f(float x) { return powf(10.0f, x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanhf(float x) { return tanhf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double cospi(double x) { return cos(3.14159265358979323846 * x); }
inline double sinpi(double x) { return sin(3.14159265358979323846 * x); }
inline void sincospif(float x, float* sine, float* cosine) {
    const double angle = 3.14159265358979323846 * double(x);
    *sine = float(sin(angle));
    *cosine = float(cos(angle));
}
