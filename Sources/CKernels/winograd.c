#include "targets.h"

/// A number of a frame or a weight.
US_INLINE float us_widened(const bool bf16, const void *x, size_t index) {
    if (!bf16) return ((const float *)x)[index];
    const uint32_t bits = (uint32_t)((const uint16_t *)x)[index] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

#define BODY "winograd_body.h"
#include "each_isa.h"

// Sizes that hold for every instruction set: at most 16 lanes and 6 rows of a tile.

size_t us_winograd_panels(const us_winograd *w) {
    const us_level level = us_resolve(w->level);
    const size_t columns = level >= US_AVX512 ? 64 : level == US_AVX2 ? 16 : 8;
    return (w->out_channels + columns - 1) / columns;
}

size_t us_winograd_weight_bytes(const us_winograd *w) {
    const size_t units = w->bf16 ? (w->in_channels + 1) / 2 : w->in_channels;
    return w->time * 16 * units * ((w->out_channels + 15) / 16 * 16) * 4;
}

size_t us_winograd_work_bytes(const us_winograd *w, size_t rows) {
    const size_t across = (w->out_width + 1) / 2, padded = rows * across + 12;
    const size_t channels = (w->out_channels + 15) / 16 * 16;
    return 4
        * ((2 * rows + 2) * (2 * across + 2) * w->in_channels + w->time * 16 * padded * w->in_channels
           + 16 * padded * channels + 4 * rows * across * channels + channels);
}

void us_winograd_pack(const us_winograd *w, const void *weights, bool bf16, size_t panel, void *packed) {
    DISPATCH(w->level, winograd_pack, (w, weights, bf16, panel, packed));
}

void us_winograd_run(
    const us_winograd *w, const us_frame *x, const void *packed, const float *bias, float *out, size_t first, size_t rows,
    float *work) {
    DISPATCH(w->level, winograd_run, (w, x, packed, bias, out, first, rows, work));
}
