#include "targets.h"

#define US_ATTENTION_NARROW 64
#define BODY "attention_body.h"
#include "each_isa.h"

// Sizes that hold for every instruction set: blocks of 128 keys, rows of values padded to 16.

static size_t blocks(const us_attention *a) { return (a->keys + 127) / 128; }
static size_t key_units(const us_attention *a) { return a->bf16 ? (a->width + 1) / 2 : a->width; }
static size_t padded_values(const us_attention *a) { return (a->value_width + 15) / 16 * 16; }

size_t us_attention_blocks(const us_attention *a) { return blocks(a); }
size_t us_attention_key_bytes(const us_attention *a) { return blocks(a) * 128 * key_units(a) * 4; }
size_t us_attention_value_bytes(const us_attention *a) {
    return blocks(a) * (a->bf16 ? 64 : 128) * padded_values(a) * 4;
}
size_t us_attention_work_bytes(const us_attention *a) {
    return US_ATTENTION_ROWS * (key_units(a) + 128 + padded_values(a) + 16 + 1) * 4;
}

void us_attention_pack(
    const us_attention *a, const float *k, const float *v, size_t block, void *packed_keys, void *packed_values) {
    DISPATCH(a->level, attention_pack, (a, k, v, block, packed_keys, packed_values));
}

void us_attention_run(const us_attention *a, const us_attention_head *h, size_t first, size_t rows, void *work) {
    DISPATCH(a->level, attention_run, (a, h, first, rows, work));
}
