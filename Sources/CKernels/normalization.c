#include "targets.h"

// Reductions run over 16 lanes that are joined in a fixed order: the same result on every instruction set but for FMA.
#define LANES 16

US_INLINE float lane_sum(const float *lanes) {
    float half[LANES];
    memcpy(half, lanes, sizeof half);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int k = 0; k < width; k++) half[k] += half[k + width];
    return half[0];
}

KERNEL(
    layer_norm,
    (float *out, const float *x, const float *weight, const float *bias, float eps, size_t rows, size_t n),
    (out, x, weight, bias, eps, rows, n)) {
    for (size_t row = 0; row < rows; row++, x += n, out += n) {
        float lanes[LANES] = {0};
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (size_t k = 0; k < LANES; k++) lanes[k] += x[i + k];
        for (; i < n; i++) lanes[0] += x[i];
        const float mean = lane_sum(lanes) / (float)n;
        float squares[LANES] = {0};
        for (i = 0; i + LANES <= n; i += LANES)
            for (size_t k = 0; k < LANES; k++) {
                float d = x[i + k] - mean;
                squares[k] += d * d;
            }
        for (; i < n; i++) squares[0] += (x[i] - mean) * (x[i] - mean);
        const float scale = 1.0f / sqrtf(lane_sum(squares) / (float)n + eps);
        for (i = 0; i < n; i++) out[i] = (x[i] - mean) * scale;
        if (weight)
            for (i = 0; i < n; i++) out[i] *= weight[i];
        if (bias)
            for (i = 0; i < n; i++) out[i] += bias[i];
    }
}

KERNEL(
    rms_norm, (float *out, const float *x, const float *weight, float eps, size_t rows, size_t n),
    (out, x, weight, eps, rows, n)) {
    for (size_t row = 0; row < rows; row++, x += n, out += n) {
        float lanes[LANES] = {0};
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (size_t k = 0; k < LANES; k++) lanes[k] += x[i + k] * x[i + k];
        for (; i < n; i++) lanes[0] += x[i] * x[i];
        const float scale = 1.0f / sqrtf(lane_sum(lanes) / (float)n + eps);
        if (weight)
            for (i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
        else
            for (i = 0; i < n; i++) out[i] = x[i] * scale;
    }
}

US_INLINE float row_maximum(const float *x, size_t n, float start) {
    float lanes[LANES];
    for (int k = 0; k < LANES; k++) lanes[k] = start;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) lanes[k] = x[i + k] > lanes[k] ? x[i + k] : lanes[k];
    for (; i < n; i++) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (int k = 1; k < LANES; k++) lanes[0] = lanes[k] > lanes[0] ? lanes[k] : lanes[0];
    return lanes[0];
}

/// out = e^(x − maximum); returns the sum.
US_INLINE float row_exp(float *out, const float *x, size_t n, float maximum) {
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float e = us_expf(x[i + k] - maximum);
            out[i + k] = e;
            lanes[k] += e;
        }
    for (; i < n; i++) {
        out[i] = us_expf(x[i] - maximum);
        lanes[0] += out[i];
    }
    return lane_sum(lanes);
}

KERNEL(softmax, (float *out, const float *x, size_t rows, size_t n), (out, x, rows, n)) {
    for (size_t row = 0; row < rows; row++, x += n, out += n) {
        const float scale = 1.0f / row_exp(out, x, n, row_maximum(x, n, -3.0e38f));
        for (size_t i = 0; i < n; i++) out[i] *= scale;
    }
}

KERNEL(
    channel_norm,
    (float *out, size_t out_stride, const float *x, size_t stride, const float *gamma, float eps, size_t channels,
     size_t positions, bool silu, float *work),
    (out, out_stride, x, stride, gamma, eps, channels, positions, silu, work)) {
    for (size_t i = 0; i < positions; i++) work[i] = 0;
    for (size_t c = 0; c < channels; c++) {
        const float *row = x + c * stride;
        for (size_t i = 0; i < positions; i++) work[i] += row[i] * row[i];
    }
    const float root = sqrtf((float)channels);
    for (size_t i = 0; i < positions; i++) {
        float norm = sqrtf(work[i]);
        work[i] = root / (norm > eps ? norm : eps);
    }
    for (size_t c = 0; c < channels; c++) {
        const float *row = x + c * stride;
        float *target = out + c * out_stride;
        const float g = gamma[c];
        if (silu)
            for (size_t i = 0; i < positions; i++) {
                float v = row[i] * work[i] * g;
                target[i] = v / (1.0f + us_expf(-v));
            }
        else
            for (size_t i = 0; i < positions; i++) target[i] = row[i] * work[i] * g;
    }
}

KERNEL(
    rotary,
    (float *out, const float *x, const float *cosine, const float *sine, size_t heads, size_t width, bool interleaved),
    (out, x, cosine, sine, heads, width, interleaved)) {
    const size_t half = width / 2;
    for (size_t h = 0; h < heads; h++, x += width, out += width) {
        if (interleaved)
            for (size_t i = 0; i < half; i++) {
                float a = x[2 * i], b = x[2 * i + 1];
                out[2 * i] = a * cosine[i] - b * sine[i];
                out[2 * i + 1] = a * sine[i] + b * cosine[i];
            }
        else
            for (size_t i = 0; i < half; i++) {
                float a = x[i], b = x[i + half];
                out[i] = a * cosine[i] - b * sine[i];
                out[i + half] = a * sine[i] + b * cosine[i];
            }
    }
}
