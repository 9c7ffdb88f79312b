// One body, several instruction sets: KERNEL(name, (parameters), (arguments)) { body } defines us_name, which runs the
// body compiled for the best set that the machine has.
#pragma once
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "include/CKernels.h"

#define US_INLINE static inline __attribute__((always_inline))

/// What a 32-bit unit of a product holds: a float, two bf16, or integers (two of 16 bits, four of 8 where there is VNNI).
enum us_kind { US_KIND_F32, US_KIND_BF16, US_KIND_INT };
/// 32-bit units that hold `count` elements of f32 or bf16.
#define UNITS(kind, count) ((kind) == US_KIND_BF16 ? ((count) + 1) / 2 : (count))

#if defined(__x86_64__)
#define DISPATCH(level, name, arguments)                                                                        \
    switch (us_resolve(level)) {                                                                                \
    case US_AVX512_BF16: name##_avx512bf16 arguments; break;                                                    \
    case US_AVX512_VNNI: name##_avx512vnni arguments; break;                                                    \
    case US_AVX512: name##_avx512 arguments; break;                                                             \
    case US_AVX2: name##_avx2 arguments; break;                                                                 \
    default: name##_portable arguments;                                                                         \
    }
#else
#define DISPATCH(level, name, arguments) name##_portable arguments
#endif

/// The level asked for, or the best one that the machine has.
US_INLINE us_level us_resolve(int32_t level) {
    const us_level best = us_best_level();
    return level < 0 || level > (int32_t)best ? best : (us_level)level;
}

/// A float as bf16: to the nearest, ties to even; NaN stays NaN.
US_INLINE uint16_t us_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}

#if defined(__x86_64__)
#define KERNEL(name, parameters, arguments)                                                                     \
    US_INLINE void name##_body parameters;                                                                      \
    static void name##_portable parameters { name##_body arguments; }                                           \
    __attribute__((target("avx2,fma"))) static void name##_avx2 parameters { name##_body arguments; }           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-256-bit"))) static void           \
        name##_avx512 parameters {                                                                              \
        name##_body arguments;                                                                                  \
    }                                                                                                           \
    void us_##name parameters {                                                                                 \
        switch (us_best_level()) {                                                                              \
        case US_AVX512_BF16:                                                                                    \
        case US_AVX512_VNNI:                                                                                    \
        case US_AVX512: name##_avx512 arguments; break;                                                         \
        case US_AVX2: name##_avx2 arguments; break;                                                             \
        default: name##_portable arguments;                                                                     \
        }                                                                                                       \
    }                                                                                                           \
    US_INLINE void name##_body parameters
#else
#define KERNEL(name, parameters, arguments)                                                                     \
    US_INLINE void name##_body parameters;                                                                      \
    void us_##name parameters { name##_body arguments; }                                                        \
    US_INLINE void name##_body parameters
#endif

/// e^x to about one unit in the last place; NaN stays NaN, both ends saturate at finite values.
US_INLINE float us_expf(float x) {
    const float magic = 12582912.0f;  // 1.5·2²³: adding it rounds to an integer
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.3f ? 88.3f : x;
    float n = (x * 1.44269504088896341f + magic) - magic;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

/// ½x(1 + tanh u) = x·σ(2u): no cancellation for negative x.
US_INLINE float us_gelu_tanhf(float x) {
    const float u = 1.5957691216057308f * (x + 0.044715f * x * x * x);
    return x / (1.0f + us_expf(-u));
}
