// The instructions of AVX512_BF16, in AVX-512: pairs of products added to floats, and rounding of one or two vectors to bf16.
// (The hardware also takes denormal numbers for zero.)
#pragma once
#include <immintrin.h>

#define SOFTWARE_TARGET                                                                                                   \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma"), always_inline)) static inline

SOFTWARE_TARGET __m512 software_dpbf16(__m512 sum, __m512i a, __m512i b) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    sum = _mm512_fmadd_ps((__m512)_mm512_and_si512(a, high), (__m512)_mm512_and_si512(b, high), sum);
    return _mm512_fmadd_ps((__m512)_mm512_slli_epi32(a, 16), (__m512)_mm512_slli_epi32(b, 16), sum);
}

SOFTWARE_TARGET __m256i software_cvtneps(__m512 x) {
    const __m512i bits = (__m512i)x, odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

#define _mm512_dpbf16_ps(sum, a, b) software_dpbf16(sum, (__m512i)(a), (__m512i)(b))
#define _mm512_cvtneps_pbh(x) ((__m256bh)software_cvtneps(x))
#define _mm512_cvtne2ps_pbh(high, low)                                                                                    \
    ((__m512bh)_mm512_inserti64x4(_mm512_castsi256_si512(software_cvtneps(low)), software_cvtneps(high), 1))
