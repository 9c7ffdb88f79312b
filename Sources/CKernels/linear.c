#include "targets.h"

#define US_LINEAR_STEPS 256

#define BODY "linear_body.h"
#include "each_isa.h"

size_t us_linear_work_bytes(void) {
    return US_LINEAR_STEPS * (US_LINEAR_COLUMNS + 96) * 4 + 96 * 64 * 4;
}

bool us_multiplies_bf16(void) { return us_best_level() == US_AVX512_BF16; }

void us_linear_run(
    const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t column, size_t columns, void *work) {
    DISPATCH(l->level, linear_run, (l, x, first, rows, column, columns, work));
}

KERNEL(
    quantize_rows, (int8_t *out, float *scales, int32_t *sums, const float *x, size_t rows, size_t n),
    (out, scales, sums, x, rows, n)) {
    for (size_t r = 0; r < rows; r++, x += n, out += n) {
        float lanes[16] = {0}, peak = 0;
        size_t i = 0;
        for (; i + 16 <= n; i += 16)
            for (size_t k = 0; k < 16; k++) lanes[k] = fabsf(x[i + k]) > lanes[k] ? fabsf(x[i + k]) : lanes[k];
        for (; i < n; i++) peak = fabsf(x[i]) > peak ? fabsf(x[i]) : peak;
        for (size_t k = 0; k < 16; k++) peak = lanes[k] > peak ? lanes[k] : peak;
        scales[r] = peak / 127.0f;
        const float inverse = peak > 0 ? 127.0f / peak : 0;
        // Adding 1.5·2²³ rounds to the nearest integer; what is past ±127 can only be a rounding of the product.
        int32_t sum = 0;
        for (i = 0; i < n; i++) {
            float value = x[i] * inverse;
            value = value < -127.0f ? -127.0f : value > 127.0f ? 127.0f : value;
            const int32_t whole = (int32_t)((value + 12582912.0f) - 12582912.0f);
            out[i] = (int8_t)whole;
            sum += whole;
        }
        if (sums) sums[r] = sum;
    }
}
