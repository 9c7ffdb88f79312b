// Register tiles for one instruction set; included by each_isa.h with ISA, TARGET, WIDTH (32-bit lanes of a vector), ROWS and
// VECTORS (the tile: ROWS × VECTORS·WIDTH) defined. A tile multiplies ROWS rows of A, each step one 32-bit unit that is broadcast,
// with a packed panel of B, [steps][columns] units. A unit is one float, two bf16, two int16 or four 8-bit integers; the same
// body serves all.

typedef float NAME(vf) __attribute__((vector_size(4 * WIDTH)));
typedef int32_t NAME(vi) __attribute__((vector_size(4 * WIDTH)));
typedef float NAME(vf_any) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef int32_t NAME(vi_any) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
#define VF NAME(vf)
#define VI NAME(vi)
#define COLUMNS (VECTORS * WIDTH)

TARGET US_INLINE VF NAME(load)(const float *p) { return *(const NAME(vf_any) *)p; }
TARGET US_INLINE void NAME(store)(float *p, VF v) { *(NAME(vf_any) *)p = v; }
TARGET US_INLINE VI NAME(load_units)(const int32_t *p) { return *(const NAME(vi_any) *)p; }
TARGET US_INLINE void NAME(store_units)(int32_t *p, VI v) { *(NAME(vi_any) *)p = v; }

TARGET US_INLINE VF NAME(dot_f32)(VF sum, float a, VF b) { return sum + a * b; }

/// sum + a₀·b₀ + a₁·b₁ of pairs of bf16.
TARGET US_INLINE VF NAME(dot_bf16)(VF sum, int32_t a, VI b) {
#ifdef HAS_BF16
    return (VF)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
#else
    const VI high = (VI){0} + (int32_t)0xffff0000;
    const VI value = (VI){0} + a;
    sum = sum + (VF)(value << 16) * (VF)(b << 16);
    return sum + (VF)(value & high) * (VF)(b & high);
#endif
}

/// sum + a₀·b₀ + a₁·b₁ of pairs of int16; with HAS_VNNI, of four unsigned (a) and signed (b) bytes.
TARGET US_INLINE VI NAME(dot_int)(VI sum, int32_t a, VI b) {
#if defined(HAS_VNNI)
    return (VI)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(a), (__m512i)b);
#elif WIDTH == 16
    return sum + (VI)_mm512_madd_epi16(_mm512_set1_epi32(a), (__m512i)b);
#elif defined(__x86_64__) && WIDTH == 8
    return sum + (VI)_mm256_madd_epi16(_mm256_set1_epi32(a), (__m256i)b);
#else
    const VI value = (VI){0} + a;
    return sum + ((value << 16) >> 16) * ((b << 16) >> 16) + (value >> 16) * (b >> 16);
#endif
}

// c [ROWS, ldc] (+)= a [ROWS, lda units] · b [steps, count·WIDTH units]; `count` vectors, a constant where it is inlined.
#define DEFINE_TILE(name, SCALAR, VECTOR, UNIT, PANEL, LOAD_C, STORE_C, LOAD_B, DOT)                            \
    TARGET US_INLINE void name(                                                                                 \
        const int count, const UNIT *a, size_t lda, const UNIT *b, size_t steps, SCALAR *c, size_t ldc,         \
        const bool accumulate) {                                                                                \
        VECTOR sum[ROWS][VECTORS];                                                                              \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++)                                       \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++)                                  \
                sum[i][j] = accumulate ? LOAD_C(c + (size_t)i * ldc + j * WIDTH) : (VECTOR){0};                 \
        for (size_t p = 0; p < steps; p++, b += count * WIDTH) {                                                \
            PANEL row[VECTORS];                                                                                 \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++) row[j] = LOAD_B(b + j * WIDTH);  \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++) {                                 \
                const UNIT value = a[(size_t)i * lda + p];                                                      \
                _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++)                              \
                    sum[i][j] = DOT(sum[i][j], value, row[j]);                                                  \
            }                                                                                                   \
        }                                                                                                       \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++)                                       \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++)                                  \
                STORE_C(c + (size_t)i * ldc + j * WIDTH, sum[i][j]);                                            \
    }

DEFINE_TILE(
    NAME(tile_f32), float, VF, float, VF, NAME(load), NAME(store), NAME(load), NAME(dot_f32))
DEFINE_TILE(
    NAME(tile_bf16), float, VF, int32_t, VI, NAME(load), NAME(store), NAME(load_units), NAME(dot_bf16))
DEFINE_TILE(
    NAME(tile_int), int32_t, VI, int32_t, VI, NAME(load_units), NAME(store_units), NAME(load_units), NAME(dot_int))
#undef DEFINE_TILE

/// A tile of any of the three kinds on memory of 32-bit units.
TARGET US_INLINE void NAME(tile)(
    const enum us_kind kind, const int count, const int32_t *a, size_t lda, const int32_t *b, size_t steps, void *c,
    size_t ldc, const bool accumulate) {
    if (kind == US_KIND_F32)
        NAME(tile_f32)(count, (const float *)a, lda, (const float *)b, steps, c, ldc, accumulate);
    else if (kind == US_KIND_BF16)
        NAME(tile_bf16)(count, a, lda, b, steps, c, ldc, accumulate);
    else
        NAME(tile_int)(count, a, lda, b, steps, c, ldc, accumulate);
}

/// The tiles of `rows` rows (a multiple of ROWS) against one panel of `count` vectors.
TARGET US_INLINE void NAME(column)(
    const enum us_kind kind, int count, const int32_t *a, size_t lda, size_t rows, const int32_t *b, size_t steps,
    int32_t *c, size_t ldc, const bool accumulate) {
    for (size_t r = 0; r < rows; r += ROWS, a += ROWS * lda, c += ROWS * ldc) {
        for (size_t i = 0; i < ROWS; i++)
            for (int j = 0; j < count; j++) __builtin_prefetch(c + (ROWS + i) * ldc + j * WIDTH, 1, 3);
#define CASE(n)                                                                                                 \
    case n: NAME(tile)(kind, n, a, lda, b, steps, c, ldc, accumulate); break;
        switch (count) {
            CASE(1)
#if VECTORS == 4
            CASE(2)
            CASE(3)
#endif
        default: NAME(tile)(kind, VECTORS, a, lda, b, steps, c, ldc, accumulate);
        }
#undef CASE
    }
}

/// Vectors of the panel that begins at column `start` of `columns`.
US_INLINE int NAME(panel_vectors)(size_t start, size_t columns) {
    const size_t rest = (columns - start + WIDTH - 1) / WIDTH;
    return rest < VECTORS ? (int)rest : VECTORS;
}

/// How packing changes units on the way.
#define PACK_PLAIN 0
#define PACK_BF16_TO_F32 1   // one unit of two bf16 → two rows of floats
#define PACK_INT8_TO_INT16 2 // one unit of four bytes → two rows of int16 pairs

typedef int32_t NAME(four) __attribute__((vector_size(16)));
typedef int32_t NAME(four_any) __attribute__((vector_size(16), aligned(1), may_alias));

TARGET US_INLINE void NAME(put)(const int mode, int32_t *out, size_t columns, NAME(four) unit) {
    typedef NAME(four_any) any;
    if (mode == PACK_PLAIN) {
        *(any *)out = unit;
    } else if (mode == PACK_BF16_TO_F32) {
        *(any *)out = unit << 16;
        *(any *)(out + columns) = unit & (int32_t)0xffff0000;
    } else {
        const NAME(four) low = ((unit << 24) >> 24) & 0xffff, high = ((unit << 8) >> 24) & 0xffff;
        *(any *)out = low | (((unit << 16) >> 24) << 16);
        *(any *)(out + columns) = high | ((unit >> 24) << 16);
    }
}

/// Packs `rows` rows (stride `row_bytes`, `bytes` of each) as the columns of one panel, [units][columns]; what is missing is zero.
TARGET US_INLINE void NAME(pack_panel)(
    const int mode, int32_t *out, size_t columns, const char *source, size_t row_bytes, size_t rows, size_t bytes) {
    const size_t units = bytes / 4, grown = mode == PACK_PLAIN ? 1 : 2;
    for (size_t c = 0; c < columns; c += 4) {
        const char *row[4];
        static const char nothing[16];
        for (size_t i = 0; i < 4; i++) row[i] = c + i < rows ? source + (c + i) * row_bytes : NULL;
        size_t p = 0;
        if (c + 4 <= rows)
            for (; p + 4 <= units; p += 4) {
                const NAME(four) a = *(const NAME(four_any) *)(row[0] + 4 * p), b = *(const NAME(four_any) *)(row[1] + 4 * p);
                const NAME(four) d = *(const NAME(four_any) *)(row[2] + 4 * p), e = *(const NAME(four_any) *)(row[3] + 4 * p);
                const NAME(four) ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
                const NAME(four) de0 = __builtin_shufflevector(d, e, 0, 4, 1, 5), de1 = __builtin_shufflevector(d, e, 2, 6, 3, 7);
                int32_t *to = out + p * grown * columns + c;
                NAME(put)(mode, to, columns, __builtin_shufflevector(ab0, de0, 0, 1, 4, 5));
                NAME(put)(mode, to + grown * columns, columns, __builtin_shufflevector(ab0, de0, 2, 3, 6, 7));
                NAME(put)(mode, to + 2 * grown * columns, columns, __builtin_shufflevector(ab1, de1, 0, 1, 4, 5));
                NAME(put)(mode, to + 3 * grown * columns, columns, __builtin_shufflevector(ab1, de1, 2, 3, 6, 7));
            }
        for (; 4 * p < bytes; p++) {
            NAME(four) unit = {0};
            const size_t length = bytes - 4 * p < 4 ? bytes - 4 * p : 4;
            for (size_t i = 0; i < 4; i++) {
                int32_t value = 0;
                memcpy(&value, row[i] ? row[i] + 4 * p : nothing, length);
                unit[i] = value;
            }
            NAME(put)(mode, out + p * grown * columns + c, columns, unit);
        }
    }
}

/// Floats to bf16, to the nearest, ties to even.
TARGET US_INLINE void NAME(narrow)(uint16_t *out, const float *x, size_t n) {
    size_t i = 0;
#ifdef HAS_BF16
    for (; i + 32 <= n; i += 32) {
        const __m512bh both = _mm512_cvtne2ps_pbh((__m512)NAME(load)(x + i + 16), (__m512)NAME(load)(x + i));
        memcpy(out + i, &both, sizeof both);
    }
    for (; i + 16 <= n; i += 16) {
        const __m256bh half = _mm512_cvtneps_pbh((__m512)NAME(load)(x + i));
        memcpy(out + i, &half, sizeof half);
    }
#endif
    for (; i < n; i++) out[i] = us_bf16(x[i]);
}

/// Pairs of floats as units of two bf16: `low` in the lower half. `n` is a multiple of WIDTH.
TARGET US_INLINE void NAME(narrow_pairs)(uint32_t *out, const float *low, const float *high, size_t n) {
    for (size_t i = 0; i < n; i += WIDTH) {
        uint16_t halves[2][WIDTH];
        NAME(narrow)(halves[0], low + i, WIDTH);
        NAME(narrow)(halves[1], high + i, WIDTH);
        for (size_t j = 0; j < WIDTH; j++) out[i + j] = halves[0][j] | (uint32_t)halves[1][j] << 16;
    }
}

/// The larger one, lane by lane; b where a is no number.
TARGET US_INLINE VF NAME(largest)(VF a, VF b) {
    const VI more = a > b;
    return (VF)(((VI)a & more) | ((VI)b & ~more));
}

TARGET US_INLINE float NAME(largest_lane)(VF v) {
#if WIDTH == 16
    return _mm512_reduce_max_ps((__m512)v);
#else
    float lanes[WIDTH], top;
    NAME(store)(lanes, v);
    top = lanes[0];
    for (int i = 1; i < WIDTH; i++) top = lanes[i] > top ? lanes[i] : top;
    return top;
#endif
}

/// 2^x for x ≤ 0, to about two units in the last place (1e-4 when `coarse`); −126 and less give zero or nearly.
TARGET US_INLINE VF NAME(exp2)(const bool coarse, VF x) {
#if WIDTH == 16
    // −200 gives 0, as −∞ must.
    x = (VF)_mm512_max_ps(_mm512_set1_ps(-200.0f), (__m512)x);
    const VF whole = (VF)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = x - whole;
#else
    const VF magic = (VF){0} + 12582912.0f;  // 1.5·2²³: adding it rounds to an integer
    const VF least = (VF){0} - 126.0f;
    const VI low = x < least;
    x = (VF)(((VI)x & ~low) | ((VI)least & low));
    const VF shifted = x + magic, f = x - (shifted - magic);
#endif
    VF p;
    if (coarse) {
        p = 0.00961812910762847f * f + 0.0555041086648216f;
        p = p * f + 0.240226506959101f;
        p = p * f + 0.693147180559945f;
    } else {
        p = 1.535336188319500e-4f * f + 1.339887440266574e-3f;
        p = p * f + 9.618437357674640e-3f;
        p = p * f + 5.550332471162809e-2f;
        p = p * f + 2.402264791363012e-1f;
        p = p * f + 6.931472028550421e-1f;
    }
    p = p * f + 1.0f;
#if WIDTH == 16
    return (VF)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
    const VI power = ((VI)shifted - (VI)magic + 127) << 23;
    return (VF)((VI)(p * (VF)power) & ~low);
#endif
}

US_INLINE float NAME(sum_lanes)(const float *lanes) {
    float sum[WIDTH];
    for (int i = 0; i < WIDTH; i++) sum[i] = lanes[i];
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}
