// The most that arithmetic can reach here: twelve chains of multiply-adds that never leave the registers.
#include "CPeak.h"

#define CHAINS 12

#if defined(__x86_64__)
#include <immintrin.h>

#define LOOP(TARGET, name, VECTOR, STEP)                                                                        \
    __attribute__((target(TARGET))) static void name(long steps) {                                              \
        VECTOR sum[CHAINS] = {{0}}, x = {0};                                                                     \
        for (long s = 0; s < steps; s++) {                                                                      \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++) sum[i] = STEP(sum[i], x);        \
            __asm__ volatile("" : "+v"(x));                                                                     \
        }                                                                                                       \
        for (int i = 0; i < CHAINS; i++) __asm__ volatile("" ::"v"(sum[i]));                                    \
    }
#define F32_8(sum, x) _mm256_fmadd_ps(x, x, sum)
#define F32_16(sum, x) _mm512_fmadd_ps(x, x, sum)
#define BF16(sum, x) _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(x))
#define INT8(sum, x) _mm512_dpbusd_epi32(sum, x, x)
LOOP("avx2,fma", f32_avx2, __m256, F32_8)
LOOP("avx512f", f32_avx512, __m512, F32_16)
LOOP("avx512f,avx512bf16", bf16_avx512, __m512, BF16)
LOOP("avx512f,avx512vnni", int8_avx512, __m512i, INT8)

double peak_run(peak_kind kind, long steps) {
    __builtin_cpu_init();
    const double chains = (double)steps * CHAINS;
    if (kind == PEAK_F32 && __builtin_cpu_supports("avx512f")) return f32_avx512(steps), chains * 32;
    if (kind == PEAK_F32 && __builtin_cpu_supports("avx2")) return f32_avx2(steps), chains * 16;
    if (kind == PEAK_BF16 && __builtin_cpu_supports("avx512bf16")) return bf16_avx512(steps), chains * 64;
    if (kind == PEAK_INT8 && __builtin_cpu_supports("avx512vnni")) return int8_avx512(steps), chains * 128;
    return 0;
}
#else
double peak_run(peak_kind kind, long steps) {
    (void)kind, (void)steps;
    return 0;
}
#endif
