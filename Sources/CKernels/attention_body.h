// Flash attention for one instruction set. Keys and values of a head are packed once; a task takes QUERIES rows of queries
// through all keys, BLOCK at a time, with a running maximum. `kind` is US_KIND_F32 or US_KIND_BF16 (keys, values, queries and
// weights rounded to bf16, sums in f32).
#define QUERIES US_ATTENTION_ROWS
#define BLOCK 128

// Packed keys: for every COLUMNS keys, [units of the width][columns]. Packed values: for every BLOCK keys and every panel of
// columns, [units of the block][columns].

TARGET US_INLINE void NAME(pack_keys)(
    const enum us_kind kind, const us_attention *a, const float *k, size_t block, int32_t *out) {
    const size_t start = block * BLOCK, end = start + BLOCK < a->keys ? start + BLOCK : a->keys;
    const size_t units = UNITS(kind, a->width);
    uint16_t rows[COLUMNS * 2 * US_ATTENTION_NARROW];
    for (size_t key = start; key < end; key += COLUMNS) {
        const size_t count = end - key < COLUMNS ? end - key : COLUMNS;
        const size_t columns = (size_t)NAME(panel_vectors)(0, count) * WIDTH;
        const float *source = k + key * a->k_stride;
        if (kind == US_KIND_F32) {
            NAME(pack_panel)(PACK_PLAIN, out, columns, (const char *)source, a->k_stride * 4, count, a->width * 4);
        } else {
            // A stretch of the width at a time, through rows of bf16.
            for (size_t d = 0; d < a->width; d += 2 * US_ATTENTION_NARROW) {
                const size_t length = a->width - d < 2 * US_ATTENTION_NARROW ? a->width - d : 2 * US_ATTENTION_NARROW;
                for (size_t i = 0; i < count; i++)
                    NAME(narrow)(rows + i * 2 * US_ATTENTION_NARROW, source + i * a->k_stride + d, length);
                NAME(pack_panel)(
                    PACK_PLAIN, out + d / 2 * columns, columns, (const char *)rows, 4 * US_ATTENTION_NARROW, count,
                    length * 2);
            }
        }
        out += units * COLUMNS;
    }
}

TARGET US_INLINE void NAME(pack_values)(
    const enum us_kind kind, const us_attention *a, const float *v, size_t block, int32_t *out) {
    const size_t start = block * BLOCK, count = a->keys - start < BLOCK ? a->keys - start : BLOCK;
    v += start * a->v_stride;
    for (size_t c = 0; c < a->value_width; c += COLUMNS) {
        const size_t columns = (size_t)NAME(panel_vectors)(c, a->value_width) * WIDTH;
        const size_t valid = a->value_width - c < columns ? a->value_width - c : columns;
        if (kind == US_KIND_F32) {
            for (size_t key = 0; key < count; key++, out += columns) {
                memcpy(out, v + key * a->v_stride + c, valid * 4);
                memset(out + valid, 0, (columns - valid) * 4);
            }
        } else {
            for (size_t key = 0; key < count; key += 2, out += columns) {
                const float *low = v + key * a->v_stride + c, *high = key + 1 < count ? low + a->v_stride : NULL;
                for (size_t i = 0; i < valid; i++)
                    out[i] = (int32_t)((uint32_t)us_bf16(low[i]) | (high ? (uint32_t)us_bf16(high[i]) << 16 : 0));
                memset(out + valid, 0, (columns - valid) * 4);
            }
        }
    }
}

/// Turns the first `count` of BLOCK scores of one row (in units of log 2) into weights, in place (f32) or as bf16 in the same memory;
/// `count` is a multiple of WIDTH. Adds them to `sum`, a sum for each lane, and gives the factor by which all before is to shrink.
TARGET US_INLINE float NAME(weigh_row)(const enum us_kind kind, const size_t count, float *scores, float *maximum, float *sum) {
    VF weight[BLOCK / WIDTH], peak[2];
    for (size_t j = 0; j < count / WIDTH; j++) weight[j] = NAME(load)(scores + j * WIDTH);
    peak[0] = peak[1] = weight[0];
    for (size_t j = 1; j < count / WIDTH; j++) peak[j % 2] = NAME(largest)(weight[j], peak[j % 2]);
    const float top = NAME(largest_lane)(NAME(largest)(peak[0], peak[1])), before = *maximum;
    const float decay = top > before ? exp2f(before - top) : 1;
    *maximum = top > before ? top : before;
    const VF shift = (VF){0} + *maximum;
    VF total[2] = {{0}, {0}};
    for (size_t j = 0; j < count / WIDTH; j++) {
        weight[j] = NAME(exp2)(kind == US_KIND_BF16, weight[j] - shift);
        total[j % 2] += weight[j];
    }
    NAME(store)(sum, NAME(load)(sum) * decay + (total[0] + total[1]));
    if (kind == US_KIND_BF16)
        NAME(narrow)((uint16_t *)(void *)scores, (const float *)weight, count);
    else
        for (size_t j = 0; j < count / WIDTH; j++) NAME(store)(scores + j * WIDTH, weight[j]);
    return decay;
}

TARGET US_INLINE void NAME(attend)(
    const enum us_kind kind, const us_attention *a, const us_attention_head *h, size_t first, size_t rows,
    void *workspace) {
    const size_t units = UNITS(kind, a->width), padded = (rows + ROWS - 1) / ROWS * ROWS;
    const size_t value_columns = (a->value_width + WIDTH - 1) / WIDTH * WIDTH;
    int32_t *query = workspace;                          // [QUERIES, units]
    float *scores = (float *)(query + QUERIES * units);  // [QUERIES, BLOCK]
    float *sums = scores + QUERIES * BLOCK;              // [QUERIES, value_columns]
    float *sum = sums + QUERIES * value_columns;         // [QUERIES, WIDTH]
    float *maximum = sum + QUERIES * WIDTH;              // [QUERIES]
    const float log2e = 1.44269504088896341f, scale = a->scale * log2e;

    memset(query, 0, padded * units * 4);
    for (size_t r = 0; r < rows; r++) {
        const float *source = h->q + (first + r) * a->q_stride;
        if (kind == US_KIND_F32) {
            float *target = (float *)(query + r * units);
            for (size_t d = 0; d < a->width; d++) target[d] = source[d] * scale;
        } else {
            uint16_t *target = (uint16_t *)(query + r * units);
            for (size_t d = 0; d < a->width; d++) target[d] = us_bf16(source[d] * scale);
        }
    }
    memset(sums, 0, padded * value_columns * 4);
    memset(sum, 0, QUERIES * WIDTH * 4);
    for (size_t r = 0; r < padded; r++) maximum[r] = -3.0e38f;

    const int32_t *keys = h->packed_keys, *values = h->packed_values;
    for (size_t start = 0; start < a->keys; start += BLOCK) {
        const size_t count = a->keys - start < BLOCK ? a->keys - start : BLOCK;
        for (size_t c = 0; c < count; c += COLUMNS, keys += units * COLUMNS)
            NAME(column)(
                kind, NAME(panel_vectors)(c, count), query, units, padded, keys, units, (int32_t *)scores + c, BLOCK, false);
        for (size_t r = 0; r < rows; r++) {
            float *line = scores + r * BLOCK;
            if (h->bias) {
                const float *bias = h->bias + (first + r) * a->keys + start;
                for (size_t j = 0; j < count; j++) line[j] += bias[j] * log2e;
            }
            const size_t whole = (count + WIDTH - 1) / WIDTH * WIDTH;
            for (size_t j = count; j < whole; j++) line[j] = -INFINITY;
            const float decay = whole == BLOCK ? NAME(weigh_row)(kind, BLOCK, line, maximum + r, sum + r * WIDTH)
                                               : NAME(weigh_row)(kind, whole, line, maximum + r, sum + r * WIDTH);
            if (decay != 1.0f)
                for (size_t j = 0; j < value_columns; j++) sums[r * value_columns + j] *= decay;
        }
        const size_t steps = UNITS(kind, count);
        for (size_t c = 0; c < a->value_width; c += COLUMNS) {
            const int panel = NAME(panel_vectors)(c, a->value_width);
            NAME(column)(
                kind, panel, (const int32_t *)scores, BLOCK, padded, values, steps, (int32_t *)sums + c, value_columns, true);
            values += steps * (size_t)panel * WIDTH;
        }
    }
    for (size_t r = 0; r < rows; r++) {
        // A query that sees nothing gets zeros.
        const float total = NAME(sum_lanes)(sum + r * WIDTH), inverse = total > 0 ? 1.0f / total : 0;
        float *target = h->out + (first + r) * a->out_stride;
        for (size_t j = 0; j < a->value_width; j++) target[j] = sums[r * value_columns + j] * inverse;
    }
}

TARGET static void NAME(attention_pack)(
    const us_attention *a, const float *k, const float *v, size_t block, int32_t *keys, int32_t *values) {
    const enum us_kind kind = a->bf16 ? US_KIND_BF16 : US_KIND_F32;
    const size_t units = UNITS(kind, a->width), value_columns = (a->value_width + WIDTH - 1) / WIDTH * WIDTH;
    int32_t *to_keys = keys + block * BLOCK * units;
    int32_t *to_values = values + block * UNITS(kind, (size_t)BLOCK) * value_columns;
    if (kind == US_KIND_F32) {
        NAME(pack_keys)(US_KIND_F32, a, k, block, to_keys);
        NAME(pack_values)(US_KIND_F32, a, v, block, to_values);
    } else {
        NAME(pack_keys)(US_KIND_BF16, a, k, block, to_keys);
        NAME(pack_values)(US_KIND_BF16, a, v, block, to_values);
    }
}

TARGET static void NAME(attention_run)(
    const us_attention *a, const us_attention_head *h, size_t first, size_t rows, void *workspace) {
    if (a->bf16)
        NAME(attend)(US_KIND_BF16, a, h, first, rows, workspace);
    else
        NAME(attend)(US_KIND_F32, a, h, first, rows, workspace);
}

#undef QUERIES
#undef BLOCK
