// 3×3 convolutions (in space; 1 or 3 in time, stride 1) by Winograd's F(2×2, 3×3): 16 products of matrices in place of 36 give 2×2 output
// pixels. A task takes rows of such tiles through all frames: input frames are transformed once and kept while a later frame needs them.
// `kind` is US_KIND_F32 or US_KIND_BF16: transformed pixels and weights rounded to bf16, two channels to a unit, sums in f32.

TARGET US_INLINE NAME(four) NAME(load_four)(const bool bf16, const void *x, size_t index) {
    if (!bf16) return *(const NAME(four_any) *)(const void *)((const float *)x + index);
    typedef uint16_t halves __attribute__((vector_size(8)));
    halves bits;
    memcpy(&bits, (const uint16_t *)x + index, 8);
    return __builtin_convertvector(bits, NAME(four)) << 16;
}

/// [rows, columns] of bf16 or f32 → [columns, rows] of f32.
TARGET US_INLINE void NAME(transpose)(
    const bool bf16, float *out, size_t out_stride, const void *x, size_t stride, size_t rows, size_t columns) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const size_t source = r * stride;
        int32_t *target = (int32_t *)(void *)(out + r);
        size_t c = 0;
        for (; c + 4 <= columns; c += 4) {
            typedef NAME(four_any) any;
            const NAME(four) a = NAME(load_four)(bf16, x, source + c), b = NAME(load_four)(bf16, x, source + stride + c);
            const NAME(four) d = NAME(load_four)(bf16, x, source + 2 * stride + c);
            const NAME(four) e = NAME(load_four)(bf16, x, source + 3 * stride + c);
            const NAME(four) ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            const NAME(four) de0 = __builtin_shufflevector(d, e, 0, 4, 1, 5), de1 = __builtin_shufflevector(d, e, 2, 6, 3, 7);
            *(any *)(target + c * out_stride) = __builtin_shufflevector(ab0, de0, 0, 1, 4, 5);
            *(any *)(target + (c + 1) * out_stride) = __builtin_shufflevector(ab0, de0, 2, 3, 6, 7);
            *(any *)(target + (c + 2) * out_stride) = __builtin_shufflevector(ab1, de1, 0, 1, 4, 5);
            *(any *)(target + (c + 3) * out_stride) = __builtin_shufflevector(ab1, de1, 2, 3, 6, 7);
        }
        for (; c < columns; c++)
            for (size_t i = 0; i < 4; i++) out[c * out_stride + r + i] = us_widened(bf16, x, (r + i) * stride + c);
    }
    for (; r < rows; r++)
        for (size_t c = 0; c < columns; c++) out[c * out_stride + r] = us_widened(bf16, x, r * stride + c);
}

/// Pixels `start` and following of a frame, channels last and `step` numbers apart.
TARGET static void NAME(gather_pixels)(const us_frame *x, size_t start, size_t channels, size_t count, float *out, size_t step) {
    if (x->bf16)
        NAME(transpose)(true, out, step, (const uint16_t *)x->pixels + start, x->stride, channels, count);
    else
        NAME(transpose)(false, out, step, (const float *)x->pixels + start, x->stride, channels, count);
}

/// Weights of one input channel and frame of the kernel, [9][columns] → [16][columns].
TARGET US_INLINE void NAME(transform_weights)(const float (*g)[COLUMNS], size_t columns, float (*out)[COLUMNS]) {
    for (size_t c = 0; c < columns; c += WIDTH) {
        VF rows[4][3];
        _Pragma("clang loop unroll(full)") for (int j = 0; j < 3; j++) {
            const VF top = NAME(load)(g[j] + c), middle = NAME(load)(g[3 + j] + c), bottom = NAME(load)(g[6 + j] + c);
            rows[0][j] = top;
            rows[1][j] = 0.5f * (top + middle + bottom);
            rows[2][j] = 0.5f * (top - middle + bottom);
            rows[3][j] = bottom;
        }
        _Pragma("clang loop unroll(full)") for (int r = 0; r < 4; r++) {
            const VF *v = rows[r];
            NAME(store)(out[4 * r] + c, v[0]);
            NAME(store)(out[4 * r + 1] + c, 0.5f * (v[0] + v[1] + v[2]));
            NAME(store)(out[4 * r + 2] + c, 0.5f * (v[0] - v[1] + v[2]));
            NAME(store)(out[4 * r + 3] + c, v[2]);
        }
    }
}

/// Weights [out, in, kt, 3, 3] of one panel of outputs → [kt][16][units of in][columns].
TARGET US_INLINE void NAME(pack_weights)(
    const enum us_kind kind, const us_winograd *w, const void *weights, bool bf16, size_t panel, int32_t *packed) {
    const size_t start = panel * COLUMNS, columns = (size_t)NAME(panel_vectors)(start, w->out_channels) * WIDTH;
    const size_t depth = w->time, in = w->in_channels, units = UNITS(kind, in), channels = kind == US_KIND_BF16 ? 2 : 1;
    packed += start * depth * 16 * units;
    float g[9][COLUMNS], transformed[2][16][COLUMNS];
    memset(g, 0, sizeof g);  // columns beyond the last output stay zero
    for (size_t unit = 0; unit < units; unit++)
        for (size_t k = 0; k < depth; k++) {
            for (size_t i = 0; i < channels; i++) {
                if (unit * channels + i >= in) {
                    memset(transformed[i], 0, sizeof transformed[i]);
                    continue;
                }
                for (size_t c = 0; c < columns && start + c < w->out_channels; c++) {
                    const size_t source = (((start + c) * in + unit * channels + i) * depth + k) * 9;
                    for (size_t j = 0; j < 9; j++) g[j][c] = us_widened(bf16, weights, source + j);
                }
                NAME(transform_weights)(g, columns, transformed[i]);
            }
            for (size_t p = 0; p < 16; p++) {
                int32_t *out = packed + ((k * 16 + p) * units + unit) * columns;
                if (kind == US_KIND_F32)
                    memcpy(out, transformed[0][p], columns * 4);
                else
                    NAME(narrow_pairs)((uint32_t *)out, transformed[0][p], transformed[1][p], columns);
            }
        }
}

TARGET static void NAME(winograd_pack)(const us_winograd *w, const void *weights, bool bf16, size_t panel, void *packed) {
    if (w->bf16)
        NAME(pack_weights)(US_KIND_BF16, w, weights, bf16, panel, packed);
    else
        NAME(pack_weights)(US_KIND_F32, w, weights, bf16, panel, packed);
}

/// The rows of one frame that some tiles need, channels last, with zeros beyond the picture: [2·rows + 2][2·across + 2][in].
TARGET US_INLINE void NAME(gather_rows)(
    const us_winograd *w, const us_frame *x, size_t first, size_t rows, size_t across, float *out) {
    const size_t in = w->in_channels, columns = 2 * across + 2;
    for (size_t r = 0; r < 2 * rows + 2; r++, out += columns * in) {
        const int64_t y = (int64_t)(2 * first + r) - w->pad_top;
        if (y < 0 || y >= (int64_t)w->height) {
            memset(out, 0, columns * in * 4);
            continue;
        }
        if (w->doubled && r > 0 && y % 2 == 1) {
            memcpy(out, out - columns * in, columns * in * 4);
            continue;
        }
        const size_t left = w->pad_left, valid = w->width < columns - left ? w->width : columns - left;
        memset(out, 0, left * in * 4);
        memset(out + (left + valid) * in, 0, (columns - left - valid) * in * 4);
        if (w->doubled) {
            const size_t start = (size_t)(y / 2) * (w->width / 2);
            NAME(gather_pixels)(x, start, in, (valid + 1) / 2, out + left * in, 2 * in);
            NAME(gather_pixels)(x, start, in, valid / 2, out + (left + 1) * in, 2 * in);
        } else {
            NAME(gather_pixels)(x, (size_t)y * w->width, in, valid, out + left * in, in);
        }
    }
}

/// Stores a vector of pixels as they are (f32) or rounded.
TARGET US_INLINE void NAME(put_pixels)(const enum us_kind kind, char *out, VF v) {
    if (kind == US_KIND_F32) return NAME(store)((float *)(void *)out, v);
    float values[WIDTH];
    NAME(store)(values, v);
    NAME(narrow)((uint16_t *)(void *)out, values, WIDTH);
}

/// [2·rows + 2][2·across + 2][in] → [16][padded][units of in].
TARGET US_INLINE void NAME(transform_input)(
    const enum us_kind kind, const float *x, size_t rows, size_t across, size_t in, size_t padded, int32_t *out) {
    const size_t columns = (2 * across + 2) * in, units = UNITS(kind, in), step = padded * units * 4, element = kind == US_KIND_BF16 ? 2 : 4;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < across; j++) {
            const float *d = x + 2 * i * columns + 2 * j * in;
            char *tile = (char *)(out + (i * across + j) * units);
            if (kind == US_KIND_BF16 && in % 2)
                for (size_t p = 0; p < 16; p++) memset(tile + p * step + in * 2, 0, 2);
            for (size_t c = 0; c < in; c += WIDTH) {
                // The last vector may overlap the one before.
                if (c + WIDTH > in) c = in - WIDTH;
                VF t[4][4];
                _Pragma("clang loop unroll(full)") for (int k = 0; k < 4; k++) {
                    const VF d0 = NAME(load)(d + k * in + c), d1 = NAME(load)(d + columns + k * in + c);
                    const VF d2 = NAME(load)(d + 2 * columns + k * in + c), d3 = NAME(load)(d + 3 * columns + k * in + c);
                    t[0][k] = d0 - d2;
                    t[1][k] = d1 + d2;
                    t[2][k] = d2 - d1;
                    t[3][k] = d1 - d3;
                }
                char *v = tile + c * element;
                _Pragma("clang loop unroll(full)") for (int r = 0; r < 4; r++) {
                    NAME(put_pixels)(kind, v + (4 * r) * step, t[r][0] - t[r][2]);
                    NAME(put_pixels)(kind, v + (4 * r + 1) * step, t[r][1] + t[r][2]);
                    NAME(put_pixels)(kind, v + (4 * r + 2) * step, t[r][2] - t[r][1]);
                    NAME(put_pixels)(kind, v + (4 * r + 3) * step, t[r][1] - t[r][3]);
                }
            }
        }
}

/// [16][tiles][out] → [2·rows][2·across][out], with the bias.
TARGET US_INLINE void NAME(transform_output)(
    const float *m, size_t rows, size_t across, size_t channels, size_t padded, const float *bias, float *out) {
    const size_t step = padded * channels, line = 2 * across * channels;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < across; j++) {
            const float *source = m + (i * across + j) * channels;
            float *y = out + 2 * i * line + 2 * j * channels;
            for (size_t c = 0; c < channels; c += WIDTH) {
                VF t[2][4];
                _Pragma("clang loop unroll(full)") for (int k = 0; k < 4; k++) {
                    const VF m0 = NAME(load)(source + k * step + c), m1 = NAME(load)(source + (4 + k) * step + c);
                    const VF m2 = NAME(load)(source + (8 + k) * step + c), m3 = NAME(load)(source + (12 + k) * step + c);
                    t[0][k] = m0 + m1 + m2;
                    t[1][k] = m1 - m2 - m3;
                }
                const VF b = NAME(load)(bias + c);
                _Pragma("clang loop unroll(full)") for (int r = 0; r < 2; r++) {
                    NAME(store)(y + (size_t)r * line + c, t[r][0] + t[r][1] + t[r][2] + b);
                    NAME(store)(y + (size_t)r * line + channels + c, t[r][1] - t[r][2] - t[r][3] + b);
                }
            }
        }
}

/// One register tile of Σ aₖ·bₖ over the frames that a kernel reaches.
TARGET US_INLINE void NAME(tile_frames)(
    const enum us_kind kind, const int count, const int32_t *const *a, size_t lda, const int32_t *const *b, size_t frames, size_t steps,
    float *c, size_t ldc) {
    VF sum[ROWS][VECTORS];
    _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++)
        _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++) sum[i][j] = (VF){0};
    for (size_t k = 0; k < frames; k++) {
        const int32_t *left = a[k], *right = b[k];
        for (size_t p = 0; p < steps; p++, right += count * WIDTH) {
            VI row[VECTORS];
            _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++) row[j] = NAME(load_units)(right + j * WIDTH);
            _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++) {
                const int32_t unit = left[(size_t)i * lda + p];
                float value;
                memcpy(&value, &unit, 4);
                _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++)
                    sum[i][j] = kind == US_KIND_F32 ? NAME(dot_f32)(sum[i][j], value, (VF)row[j])
                                                    : NAME(dot_bf16)(sum[i][j], unit, row[j]);
            }
        }
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS; i++)
        _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++)
            NAME(store)(c + (size_t)i * ldc + j * WIDTH, sum[i][j]);
}

TARGET US_INLINE void NAME(convolve)(
    const enum us_kind kind, const us_winograd *w, const us_frame *x, const int32_t *packed, const float *bias, float *out, size_t first,
    size_t rows, float *work) {
    const size_t across = (w->out_width + 1) / 2, tiles = rows * across, padded = (tiles + ROWS - 1) / ROWS * ROWS;
    const size_t in = w->in_channels, channels = (w->out_channels + WIDTH - 1) / WIDTH * WIDTH, depth = w->time;
    const size_t units = UNITS(kind, in), slot = 16 * padded * units;
    float *pixels = work;  // a frame's rows, channels last
    int32_t *transformed = (int32_t *)(pixels + (2 * rows + 2) * (2 * across + 2) * in);  // [depth][16][padded][units]
    float *products = (float *)(transformed + depth * slot);               // [16][padded][channels]
    float *result = products + 16 * padded * channels;                     // [2·rows][2·across][channels]
    float *offsets = result + 4 * rows * across * channels;                // [channels]
    for (size_t c = 0; c < channels; c++) offsets[c] = bias && c < w->out_channels ? bias[c] : 0;
    // Rows that only fill the last register tile are never read back, but must hold numbers.
    for (size_t p = 0; p < depth * 16; p++) memset(transformed + (p * padded + tiles) * units, 0, (padded - tiles) * units * 4);
    size_t next = 0;  // the first input frame that is not transformed yet
    for (size_t t = 0; t < w->out_frames; t++) {
        const int64_t begin = (int64_t)t - w->pad_time;
        const int32_t *frames[3];
        size_t taps[3], count = 0;
        for (size_t k = 0; k < depth; k++) {
            const int64_t f = begin + (int64_t)k;
            if (f < 0 || f >= (int64_t)w->frames) continue;
            int32_t *here = transformed + (size_t)f % depth * slot;
            if ((size_t)f >= next) {
                NAME(gather_rows)(w, x + f, first, rows, across, pixels);
                NAME(transform_input)(kind, pixels, rows, across, in, padded, here);
                next = (size_t)f + 1;
            }
            frames[count] = here;
            taps[count++] = k;
        }
        for (size_t p = 0; p < 16; p++)
            for (size_t c = 0; c < w->out_channels; c += COLUMNS) {
                const int vectors = NAME(panel_vectors)(c, w->out_channels);
                const int32_t *panel = packed + c * depth * 16 * units, *b[3];
                for (size_t k = 0; k < count; k++) b[k] = panel + (taps[k] * 16 + p) * units * (size_t)vectors * WIDTH;
                for (size_t r = 0; r < padded; r += ROWS) {
                    const int32_t *a[3];
                    for (size_t k = 0; k < count; k++) a[k] = frames[k] + (p * padded + r) * units;
                    float *target = products + (p * padded + r) * channels + c;
                    switch (vectors) {
                    case 1: NAME(tile_frames)(kind, 1, a, units, b, count, units, target, channels); break;
#if VECTORS == 4
                    case 2: NAME(tile_frames)(kind, 2, a, units, b, count, units, target, channels); break;
                    case 3: NAME(tile_frames)(kind, 3, a, units, b, count, units, target, channels); break;
#endif
                    default: NAME(tile_frames)(kind, VECTORS, a, units, b, count, units, target, channels);
                    }
                }
            }
        NAME(transform_output)(products, rows, across, channels, padded, offsets, result);
        const size_t plane = w->out_height * w->out_width;
        for (size_t r = 0; r < 2 * rows && 2 * first + r < w->out_height; r++)
            NAME(transpose)(
                false, out + t * plane + (2 * first + r) * w->out_width, w->out_frames * plane, result + r * 2 * across * channels,
                channels, w->out_width, w->out_channels);
    }
}

TARGET static void NAME(winograd_run)(
    const us_winograd *w, const us_frame *x, const void *packed, const float *bias, float *out, size_t first, size_t rows,
    float *work) {
    if (w->bf16)
        NAME(convolve)(US_KIND_BF16, w, x, packed, bias, out, first, rows, work);
    else
        NAME(convolve)(US_KIND_F32, w, x, packed, bias, out, first, rows, work);
}
