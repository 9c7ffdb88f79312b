#include "targets.h"

us_level us_best_level(void) {
#if defined(__x86_64__)
    static _Atomic int known = -1;
    int level = known;
    if (level < 0) {
        __builtin_cpu_init();
        level = US_PORTABLE;
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = US_AVX2;
        if (level == US_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
            level = US_AVX512;
        if (level == US_AVX512 && __builtin_cpu_supports("avx512vnni")) level = US_AVX512_VNNI;
        if (level == US_AVX512_VNNI && __builtin_cpu_supports("avx512bf16")) level = US_AVX512_BF16;
        known = level;
    }
    return (us_level)level;
#else
    return US_PORTABLE;
#endif
}

const char *us_level_name(us_level level) {
    static const char *const names[] = {"portable", "avx2", "avx512", "avx512-vnni", "avx512-bf16"};
    return names[level];
}

// The three step patterns that occur are told apart outside the loop, so that each vectorises.
#define BINARY(name, operation)                                                                                 \
    KERNEL(                                                                                                     \
        name, (float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step),             \
        (out, a, b, n, a_step, b_step)) {                                                                       \
        if (a_step && b_step) {                                                                                 \
            for (size_t i = 0; i < n; i++) out[i] = a[i] operation b[i];                                        \
        } else if (a_step) {                                                                                    \
            const float value = *b;                                                                             \
            for (size_t i = 0; i < n; i++) out[i] = a[i] operation value;                                       \
        } else if (b_step) {                                                                                    \
            const float value = *a;                                                                             \
            for (size_t i = 0; i < n; i++) out[i] = value operation b[i];                                       \
        } else {                                                                                                \
            const float value = *a operation *b;                                                                \
            for (size_t i = 0; i < n; i++) out[i] = value;                                                      \
        }                                                                                                       \
    }

BINARY(add, +)
BINARY(subtract, -)
BINARY(multiply, *)
BINARY(divide, /)

KERNEL(affine, (float *out, const float *x, float scale, float offset, size_t n), (out, x, scale, offset, n)) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] * scale + offset;
}

KERNEL(axpy, (float *y, const float *x, float alpha, size_t n), (y, x, alpha, n)) {
    for (size_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

KERNEL(
    add_product, (float *out, const float *x, const float *y, const float *factor, size_t n), (out, x, y, factor, n)) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] + y[i] * factor[i];
}

KERNEL(clamp, (float *out, const float *x, float low, float high, size_t n), (out, x, low, high, n)) {
    for (size_t i = 0; i < n; i++) {
        float value = x[i] < low ? low : x[i];
        out[i] = value > high ? high : value;
    }
}

KERNEL(silu, (float *out, const float *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] / (1.0f + us_expf(-x[i]));
}

KERNEL(gelu_tanh, (float *out, const float *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) out[i] = us_gelu_tanhf(x[i]);
}

void us_gelu_exact(float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
}

KERNEL(exp, (float *out, const float *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) out[i] = us_expf(x[i]);
}

void us_tanh(float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = tanhf(x[i]);
}

KERNEL(leaky_relu, (float *out, const float *x, float slope, size_t n), (out, x, slope, n)) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] < 0 ? x[i] * slope : x[i];
}

KERNEL(f32_to_bf16, (uint16_t *out, const float *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) out[i] = us_bf16(x[i]);
}

KERNEL(bf16_to_f32, (float *out, const uint16_t *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(out + i, &bits, 4);
    }
}

// Exponent moved by a multiplication, which also makes subnormals right; infinities and NaN get theirs set.
KERNEL(f16_to_f32, (float *out, const uint16_t *x, size_t n), (out, x, n)) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)(x[i] & 0x7fff) << 13;
        float value;
        memcpy(&value, &bits, 4);
        value *= 5.192296858534828e33f;  // 2¹¹²
        memcpy(&bits, &value, 4);
        bits |= (x[i] & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
        bits |= (uint32_t)(x[i] & 0x8000) << 16;
        memcpy(out + i, &bits, 4);
    }
}

bool us_all_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bad |= (uint32_t)((bits & 0x7f800000u) == 0x7f800000u);
    }
    return !bad;
}

double us_sum(const float *x, size_t n) {
    double lanes[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) lanes[k] += x[i + (size_t)k];
    for (; i < n; i++) lanes[0] += x[i];
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

static void gather2(
    float *out, size_t out_stride, const float *x, size_t rows, size_t columns, size_t row_stride, size_t column_stride) {
    enum { block = 16 };
    for (size_t r = 0; r < rows; r += block)
        for (size_t c = 0; c < columns; c += block) {
            size_t r_end = r + block < rows ? r + block : rows, c_end = c + block < columns ? c + block : columns;
            for (size_t i = r; i < r_end; i++)
                for (size_t j = c; j < c_end; j++) out[i * out_stride + j] = x[i * row_stride + j * column_stride];
        }
}

static void gather(
    float *out, const float *x, int rank, const size_t *shape, const size_t *strides, const size_t *out_strides) {
    if (rank == 0) {
        *out = *x;
    } else if (rank == 1) {
        if (strides[0] == 1)
            memcpy(out, x, shape[0] * sizeof(float));
        else
            for (size_t i = 0; i < shape[0]; i++) out[i] = x[i * strides[0]];
    } else if (rank == 2 && strides[1] != 1) {
        gather2(out, out_strides[0], x, shape[0], shape[1], strides[0], strides[1]);
    } else {
        for (size_t i = 0; i < shape[0]; i++)
            gather(out + i * out_strides[0], x + i * strides[0], rank - 1, shape + 1, strides + 1, out_strides + 1);
    }
}

void us_gather(float *out, const float *x, int rank, const size_t *shape, const size_t *strides) {
    size_t sizes[8], steps[8], out_steps[8], step = 1;
    for (int d = rank - 1; d >= 0; d--) {
        sizes[d] = shape[d], steps[d] = strides[d], out_steps[d] = step;
        step *= shape[d];
    }
    // The dimension that is contiguous in the source goes next to last, where the blocked transposition finds it.
    for (int d = 0; d + 2 < rank; d++)
        if (steps[d] == 1 && steps[rank - 1] != 1 && sizes[d] > 1) {
            size_t size = sizes[d], in = steps[d], o = out_steps[d];
            for (int e = d; e + 2 < rank; e++) sizes[e] = sizes[e + 1], steps[e] = steps[e + 1], out_steps[e] = out_steps[e + 1];
            sizes[rank - 2] = size, steps[rank - 2] = in, out_steps[rank - 2] = o;
            break;
        }
    gather(out, x, rank, sizes, steps, out_steps);
}

void us_upsample2x(float *out, const float *x, size_t planes, size_t height, size_t width) {
    for (size_t row = 0; row < planes * height; row++) {
        const float *source = x + row * width;
        float *target = out + row * 4 * width;
        for (size_t i = 0; i < width; i++) target[2 * i] = target[2 * i + 1] = source[i];
        memcpy(target + 2 * width, target, 2 * width * sizeof(float));
    }
}
