// Half-precision numbers, bfloat16, and short vectors: the conversions round to the nearest, ties to even, as the GPU does.
#pragma once

#include <cstdint>
#include <cstring>

namespace cuda_on_host {

inline float float_of_half(uint16_t bits) {
    const uint32_t sign = uint32_t(bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    if (exponent == 0) {  // zero and subnormal numbers: multiples of 2^-24
        const float magnitude = float(fraction) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    const uint32_t wide = exponent == 31 ? 0x7f800000u | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
    const uint32_t whole = sign | wide;
    float value;
    std::memcpy(&value, &whole, 4);
    return value;
}

// Shifts right by `count` (1 to 31) and rounds to the nearest, ties to even.
inline uint32_t rounded_shift(uint32_t value, uint32_t count) {
    const uint32_t kept = value >> count, rest = value & ((1u << count) - 1), half = 1u << (count - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

inline uint16_t half_of_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint16_t sign = uint16_t(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;  // NaN
    if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // at least 65,520 rounds to infinity
    if (magnitude < 0x33000000u) return sign;  // below half of the least subnormal number
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 113) return sign | uint16_t(rounded_shift((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent));
    return sign | uint16_t(rounded_shift(magnitude - (112u << 23), 13));
}

inline float float_of_bfloat16(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline uint16_t bfloat16_of_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return uint16_t(rounded_shift(bits, 16));
}

}  // namespace cuda_on_host

struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};
using half = __half;

inline float __half2float(__half value) { return cuda_on_host::float_of_half(value.bits); }
inline __half __float2half_rn(float value) { return {cuda_on_host::half_of_float(value)}; }
inline __half __float2half(float value) { return __float2half_rn(value); }
inline float __bfloat162float(__nv_bfloat16 value) { return cuda_on_host::float_of_bfloat16(value.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return {cuda_on_host::bfloat16_of_float(value)}; }
inline __nv_bfloat16 __float2bfloat16(float value) { return __float2bfloat16_rn(value); }

#define CUDA_ON_HOST_VECTORS(type, name)                                                       \
    struct alignas(2 * sizeof(type)) name##2 {                                                 \
        type x, y;                                                                             \
    };                                                                                         \
    struct name##3 {                                                                           \
        type x, y, z;                                                                          \
    };                                                                                         \
    struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4 {                    \
        type x, y, z, w;                                                                       \
    };                                                                                         \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                           \
    inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

CUDA_ON_HOST_VECTORS(float, float)
CUDA_ON_HOST_VECTORS(double, double)
CUDA_ON_HOST_VECTORS(int, int)
CUDA_ON_HOST_VECTORS(unsigned char, uchar)
CUDA_ON_HOST_VECTORS(unsigned short, ushort)

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

struct alignas(4) __half2 {
    __half x, y;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
using half2 = __half2;

inline float2 __half22float2(__half2 pair) { return {__half2float(pair.x), __half2float(pair.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float22half2_rn(float2 pair) { return __floats2half2_rn(pair.x, pair.y); }
inline float __low2float(__half2 pair) { return __half2float(pair.x); }
inline float __high2float(__half2 pair) { return __half2float(pair.y); }
inline float2 __bfloat1622float2(__nv_bfloat162 pair) { return {__bfloat162float(pair.x), __bfloat162float(pair.y)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 pair) { return __floats2bfloat162_rn(pair.x, pair.y); }
