// Linear layers for one instruction set: out = epilogue(x·Wᵀ). A task takes a rectangle of the output. For STEPS units of the
// inputs at a time it packs its columns of the weights, then DEPTH rows of x at a time, and runs the tiles.
#define DEPTH 96
#define STEPS US_LINEAR_STEPS
#define WIDEST US_LINEAR_COLUMNS
#define FETCHING 24 // rows of tiles between two requests to memory; a multiple of ROWS

#ifdef HAS_VNNI
#define INT_PER_UNIT 4
#define INT_PACKING PACK_PLAIN
#else
#define INT_PER_UNIT 2
#define INT_PACKING PACK_INT8_TO_INT16
#endif

/// Rows of x from input `from` on as units, [padded rows][STEPS]; rows and inputs that are missing are zero.
TARGET US_INLINE void NAME(pack_rows)(
    const enum us_kind kind, const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t padded,
    size_t from, size_t count, int32_t *out) {
    memset(out + rows * STEPS, 0, (padded - rows) * STEPS * 4);
    for (size_t r = 0; r < rows; r++, out += STEPS) {
        const size_t start = (first + r) * l->inputs + from;
        if (kind == US_KIND_F32) {
            memcpy(out, x->values + start, count * 4);
        } else if (kind == US_KIND_BF16) {
            if (count % 2) out[count / 2] = 0;
            NAME(narrow)((uint16_t *)out, x->values + start, count);
        } else {
            if (count % INT_PER_UNIT) out[count / INT_PER_UNIT] = 0;
            const int8_t *source = x->bytes + start;
#ifdef HAS_VNNI
            uint8_t *target = (uint8_t *)out;
            for (size_t i = 0; i < count; i++) target[i] = (uint8_t)source[i] ^ 0x80;
#else
            int16_t *target = (int16_t *)out;
            for (size_t i = 0; i < count; i++) target[i] = source[i];
#endif
        }
    }
}

/// Fetches part `index` of `parts` of rows of x into the second-level cache, while tiles are computed: packing would wait for memory.
US_INLINE void NAME(fetch_rows)(
    const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t from, size_t count, size_t index, size_t parts) {
    const size_t element = l->weight_type == US_WEIGHT_INT8 ? 1 : 4;
    const char *start = l->weight_type == US_WEIGHT_INT8 ? (const char *)x->bytes : (const char *)x->values;
    for (size_t r = rows * index / parts; r < rows * (index + 1) / parts; r++) {
        const char *row = start + ((first + r) * l->inputs + from) * element;
        for (size_t byte = 0; byte < count * element; byte += 64) __builtin_prefetch(row + byte, 0, 2);
    }
}

/// Scales, bias, activation, gate and residual on a stretch of one row of the output.
TARGET US_INLINE void NAME(finish_row)(
    const us_linear *l, const us_linear_rows *x, size_t row, size_t column, size_t count, const bool offset) {
    float *out = x->out + row * l->outputs + column;
    if (l->weight_type == US_WEIGHT_INT8) {
        const float scale = x->scales[row];
        const int32_t *sums = l->weight_sums + column;
        for (size_t j = 0; j < count; j++) {
            int32_t sum;
            memcpy(&sum, out + j, 4);
            if (offset) sum -= 128 * sums[j];
            out[j] = (float)sum * (scale * l->weight_scales[column + j]);
        }
    }
    if (l->bias)
        for (size_t j = 0; j < count; j++) out[j] += l->bias[column + j];
    if (l->activation == US_GELU_TANH)
        for (size_t j = 0; j < count; j++) out[j] = us_gelu_tanhf(out[j]);
    else if (l->activation == US_SILU)
        for (size_t j = 0; j < count; j++) out[j] = out[j] / (1.0f + us_expf(-out[j]));
    if (x->residual) {
        const float *residual = x->residual + row * l->outputs + column;
        if (x->gate) {
            const float *gate = x->gate + row / x->gate_rows * l->outputs + column;
            for (size_t j = 0; j < count; j++) out[j] = residual[j] + out[j] * gate[j];
        } else {
            for (size_t j = 0; j < count; j++) out[j] += residual[j];
        }
    }
}

TARGET US_INLINE void NAME(multiply)(
    const enum us_kind kind, const int mode, const us_linear *l, const us_linear_rows *x, size_t first, size_t rows,
    size_t column, size_t columns, void *workspace) {
    int32_t *panels = workspace;                    // [WIDEST / COLUMNS][STEPS][COLUMNS]
    int32_t *left = panels + STEPS * WIDEST;        // [DEPTH][STEPS]
    int32_t *corner = left + STEPS * DEPTH;         // [DEPTH][COLUMNS]: results that stick out
    const size_t per_unit = kind == US_KIND_F32 ? 1 : kind == US_KIND_BF16 ? 2 : INT_PER_UNIT;
    const size_t element = l->weight_type == US_WEIGHT_F32 ? 4 : l->weight_type == US_WEIGHT_BF16 ? 2 : 1;
    for (size_t from = 0; from < l->inputs; from += STEPS * per_unit) {
        const size_t count = l->inputs - from < STEPS * per_unit ? l->inputs - from : STEPS * per_unit;
        const size_t steps = (count + per_unit - 1) / per_unit;
        const bool more = from > 0, last = from + count == l->inputs;
        for (size_t c = 0; c < columns; c += COLUMNS) {
            const size_t width = (size_t)NAME(panel_vectors)(c, columns) * WIDTH;
            NAME(pack_panel)(
                mode, panels + c * STEPS, width,
                (const char *)l->weight + ((column + c) * l->inputs + from) * element, l->inputs * element,
                columns - c < width ? columns - c : width, count * element);
        }
        for (size_t r = 0; r < rows; r += DEPTH) {
            const size_t height = rows - r < DEPTH ? rows - r : DEPTH, padded = (height + ROWS - 1) / ROWS * ROWS;
            NAME(pack_rows)(kind, l, x, first + r, height, padded, from, count, left);
            // What is packed next: rows below with the same inputs, or the first rows with the inputs that follow.
            const bool below = r + DEPTH < rows;
            const size_t next = below ? r + DEPTH : 0, next_from = below ? from : from + STEPS * per_unit;
            const size_t next_rows = rows - next < DEPTH ? rows - next : DEPTH;
            const size_t ahead = next_from < l->inputs ? l->inputs - next_from : 0;
            const size_t next_count = ahead < STEPS * per_unit ? ahead : STEPS * per_unit;
            const size_t parts = (columns + COLUMNS - 1) / COLUMNS * (DEPTH / FETCHING);
            for (size_t c = 0; c < columns; c += COLUMNS) {
                const int vectors = NAME(panel_vectors)(c, columns);
                const size_t width = (size_t)vectors * WIDTH, valid = columns - c < width ? columns - c : width;
                int32_t *target = (int32_t *)x->out + (first + r) * l->outputs + column + c;
                if (padded == height && valid == width) {
                    for (size_t i = 0; i < height; i += FETCHING) {
                        NAME(fetch_rows)(
                            l, x, first + next, next_rows, next_from, next_count,
                            c / COLUMNS * (DEPTH / FETCHING) + i / FETCHING, parts);
                        NAME(column)(
                            kind, vectors, left + i * STEPS, STEPS, height - i < FETCHING ? height - i : FETCHING,
                            panels + c * STEPS, steps, target + i * l->outputs, l->outputs, more);
                    }
                    continue;
                }
                if (more)
                    for (size_t i = 0; i < height; i++) memcpy(corner + i * COLUMNS, target + i * l->outputs, valid * 4);
                NAME(column)(kind, vectors, left, STEPS, padded, panels + c * STEPS, steps, corner, COLUMNS, more);
                for (size_t i = 0; i < height; i++) memcpy(target + i * l->outputs, corner + i * COLUMNS, valid * 4);
            }
            if (last)
                for (size_t i = 0; i < height; i++)
                    NAME(finish_row)(l, x, first + r + i, column, columns, kind == US_KIND_INT && INT_PER_UNIT == 4);
        }
    }
}

typedef uint16_t NAME(half) __attribute__((vector_size(2 * WIDTH), aligned(1), may_alias));

/// A few rows: products of vectors, since packing the weights would cost more than it saves. Always in f32 (or integers).
TARGET US_INLINE void NAME(multiply_few)(
    const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t column, size_t columns) {
    const size_t n = l->inputs;
    for (size_t c = column; c < column + columns; c++)
        for (size_t r = first; r < first + rows; r++) {
            float *out = x->out + r * l->outputs + c;
            if (l->weight_type == US_WEIGHT_INT8) {
                const int8_t *a = x->bytes + r * n, *b = (const int8_t *)l->weight + c * n;
                int32_t sum = 0;
                for (size_t i = 0; i < n; i++) sum += (int32_t)a[i] * b[i];
                memcpy(out, &sum, 4);
                continue;
            }
            const float *a = x->values + r * n;
            VF sum[4] = {{0}, {0}, {0}, {0}};
            float total = 0, lanes[WIDTH];
            size_t i = 0;
            if (l->weight_type == US_WEIGHT_F32) {
                const float *b = (const float *)l->weight + c * n;
                for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)
                    for (size_t k = 0; k < 4; k++)
                        sum[k] += NAME(load)(a + i + k * WIDTH) * NAME(load)(b + i + k * WIDTH);
                for (; i < n; i++) total += a[i] * b[i];
            } else {
                const uint16_t *b = (const uint16_t *)l->weight + c * n;
                for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)
                    for (size_t k = 0; k < 4; k++) {
                        const NAME(half) packed = *(const NAME(half) *)(b + i + k * WIDTH);
                        sum[k] += NAME(load)(a + i + k * WIDTH) * (VF)(__builtin_convertvector(packed, VI) << 16);
                    }
                for (; i < n; i++) {
                    const uint32_t bits = (uint32_t)b[i] << 16;
                    float value;
                    memcpy(&value, &bits, 4);
                    total += a[i] * value;
                }
            }
            NAME(store)(lanes, (sum[0] + sum[1]) + (sum[2] + sum[3]));
            *out = NAME(sum_lanes)(lanes) + total;
        }
    for (size_t r = first; r < first + rows; r++) NAME(finish_row)(l, x, r, column, columns, false);
}

TARGET static void NAME(linear_run)(
    const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t column, size_t columns, void *work) {
    if (rows <= US_LINEAR_FEW)
        NAME(multiply_few)(l, x, first, rows, column, columns);
    else if (l->weight_type == US_WEIGHT_INT8)
        NAME(multiply)(US_KIND_INT, INT_PACKING, l, x, first, rows, column, columns, work);
    else if (l->weight_type == US_WEIGHT_F32)
        NAME(multiply)(US_KIND_F32, PACK_PLAIN, l, x, first, rows, column, columns, work);
    else if (l->bf16)
        NAME(multiply)(US_KIND_BF16, PACK_PLAIN, l, x, first, rows, column, columns, work);
    else
        NAME(multiply)(US_KIND_F32, PACK_BF16_TO_F32, l, x, first, rows, column, columns, work);
}

#undef DEPTH
#undef STEPS
#undef WIDEST
#undef FETCHING
#undef INT_PER_UNIT
#undef INT_PACKING
