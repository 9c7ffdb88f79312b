// Portable C loops, compiled for several instruction sets and chosen at run time. Nothing here knows threads: callers split the work.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Instruction sets; each includes those before it.
typedef enum { US_PORTABLE, US_AVX2, US_AVX512, US_AVX512_VNNI, US_AVX512_BF16 } us_level;
/// The best set that this machine has.
us_level us_best_level(void);
const char *us_level_name(us_level level);

// Element by element. `a_step` and `b_step` are 0 (one value for the whole row) or 1.
void us_add(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_subtract(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_multiply(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_divide(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
/// out = x·scale + offset.
void us_affine(float *out, const float *x, float scale, float offset, size_t n);
/// y += alpha·x.
void us_axpy(float *y, const float *x, float alpha, size_t n);
/// out = x + y·factor.
void us_add_product(float *out, const float *x, const float *y, const float *factor, size_t n);
void us_clamp(float *out, const float *x, float low, float high, size_t n);

void us_silu(float *out, const float *x, size_t n);
void us_gelu_tanh(float *out, const float *x, size_t n);
void us_gelu_exact(float *out, const float *x, size_t n);
void us_exp(float *out, const float *x, size_t n);
void us_tanh(float *out, const float *x, size_t n);
void us_leaky_relu(float *out, const float *x, float slope, size_t n);

/// Normalises each row of `n`; `weight` and `bias` may be null.
void us_layer_norm(float *out, const float *x, const float *weight, const float *bias, float eps, size_t rows, size_t n);
void us_rms_norm(float *out, const float *x, const float *weight, float eps, size_t rows, size_t n);
void us_softmax(float *out, const float *x, size_t rows, size_t n);

/// `x / max(‖x‖, eps) · √channels · gamma` over the channels of `positions` neighbours in a channel-first layout with
/// `stride` (`out_stride`) elements between channels, then SiLU if asked. `work` holds `positions` floats.
void us_channel_norm(
    float *out, size_t out_stride, const float *x, size_t stride, const float *gamma, float eps, size_t channels,
    size_t positions, bool silu, float *work);

// Attention, softmax(q·kᵀ·scale + bias)·v of one head at a time: keys and values are packed in blocks of 128 keys, then
// stretches of queries are worked on in any order.

/// Queries of one task, at most.
#define US_ATTENTION_ROWS 96

/// What all heads of an attention share; strides are in elements between rows.
typedef struct {
    size_t keys, width, value_width;
    size_t q_stride, k_stride, v_stride, out_stride;
    float scale;
    /// Rounds queries, keys, values and weights to bf16; sums stay in f32.
    bool bf16;
    /// An instruction set of `us_level` (a lower one than the machine's, for comparison), or −1 for the best.
    int32_t level;
} us_attention;

/// One head; `bias` [queries, keys] may be null.
typedef struct {
    const float *q, *bias;
    const void *packed_keys, *packed_values;
    float *out;
} us_attention_head;

size_t us_attention_blocks(const us_attention *a);
/// Bytes of one head's packed keys and values, and of the work memory of one task.
size_t us_attention_key_bytes(const us_attention *a);
size_t us_attention_value_bytes(const us_attention *a);
size_t us_attention_work_bytes(const us_attention *a);
/// Packs one block of 128 keys of a head; `k` and `v` are the head's first row.
void us_attention_pack(
    const us_attention *a, const float *k, const float *v, size_t block, void *packed_keys, void *packed_values);
/// Queries `first` and following, at most US_ATTENTION_ROWS; `work` is 64-byte aligned.
void us_attention_run(const us_attention *a, const us_attention_head *h, size_t first, size_t rows, void *work);

/// Rotates pairs of one row of `heads` × `width` by angles whose cosines and sines are `width / 2` each.
/// Pairs are (2i, 2i + 1) when `interleaved`, else (i, i + width / 2).
void us_rotary(
    float *out, const float *x, const float *cosine, const float *sine, size_t heads, size_t width, bool interleaved);

// Linear layers, out = epilogue(x·Wᵀ), a rectangle of the output at a time: tasks of any size give the same bytes when the
// rows are cut at multiples of 96 and the columns at multiples of 64.

typedef enum { US_WEIGHT_F32, US_WEIGHT_BF16, US_WEIGHT_INT8 } us_weight_type;
typedef enum { US_LINEAR, US_GELU_TANH, US_SILU } us_activation;

/// Columns of one task, at most; up to so many rows take another way (products of vectors).
#define US_LINEAR_COLUMNS 256
#define US_LINEAR_FEW 4

/// A layer.
typedef struct {
    size_t inputs, outputs;
    us_weight_type weight_type;
    us_activation activation;
    /// With bf16 weights: rounds x to bf16 as well. Without, the weights are widened and all is done in f32.
    bool bf16;
    /// An instruction set of `us_level` (a lower one than the machine's, for comparison), or −1 for the best.
    int32_t level;
    /// [outputs, inputs]; 8-bit weights with one scale and the sum of the integers per output.
    const void *weight;
    const float *weight_scales;
    const int32_t *weight_sums;
    /// [outputs], or null.
    const float *bias;
} us_linear;

/// What goes through it: `values`, or for 8-bit weights `bytes` with one scale per row. With a residual [rows, outputs] the
/// result is residual + y, or residual + y·gate; `gate_rows` rows share one row of the gate.
typedef struct {
    const float *values;
    const int8_t *bytes;
    const float *scales;
    const float *residual, *gate;
    size_t gate_rows;
    float *out;
} us_linear_rows;

/// Whether products of bf16 are done by the hardware.
bool us_multiplies_bf16(void);
size_t us_linear_work_bytes(void);
/// Rows `first` and following, columns `column` and following (at most US_LINEAR_COLUMNS); `work` is 64-byte aligned.
void us_linear_run(
    const us_linear *l, const us_linear_rows *x, size_t first, size_t rows, size_t column, size_t columns, void *work);
/// Rounds rows to −127 … 127 with one scale each: x ≈ out·scale. `sums` of the integers may be null.
void us_quantize_rows(int8_t *out, float *scales, int32_t *sums, const float *x, size_t rows, size_t n);

// 3×3 convolutions by Winograd's method: a task takes some rows of 2×2 output tiles through all frames.

/// One frame of a clip, [channels, height, width]: channels lie `stride` elements apart; bf16 or f32.
typedef struct {
    const void *pixels;
    size_t stride;
    bool bf16;
} us_frame;

/// One picture or clip: [in, frames, height, width] → [out, out_frames, out_height, out_width]; kernel [time, 3, 3], all strides 1.
typedef struct {
    /// At least 16 input channels.
    size_t in_channels, out_channels;
    size_t frames, height, width, out_frames, out_height, out_width;
    /// 1 or 3.
    size_t time;
    /// Zeros before the first frame, row (at most 2) and column (at most 2).
    int64_t pad_time, pad_top, pad_left;
    /// The frames have half of `height` and `width`, and are read as if each of their pixels were four.
    bool doubled;
    /// Rounds transformed pixels and weights to bf16; sums stay in f32.
    bool bf16;
    int32_t level;
} us_winograd;

/// Panels of packed weights, each packed by a call of its own, and the bytes of all.
size_t us_winograd_panels(const us_winograd *w);
size_t us_winograd_weight_bytes(const us_winograd *w);
/// Bytes of work memory for a task of `rows` rows of tiles.
size_t us_winograd_work_bytes(const us_winograd *w, size_t rows);
/// Packs weights [out, in, time, 3, 3], of bf16 or f32.
void us_winograd_pack(const us_winograd *w, const void *weights, bool bf16, size_t panel, void *packed);
/// `x` has one entry for each frame.
void us_winograd_run(
    const us_winograd *w, const us_frame *x, const void *packed, const float *bias, float *out, size_t first, size_t rows,
    float *work);

void us_f32_to_bf16(uint16_t *out, const float *x, size_t n);
void us_bf16_to_f32(float *out, const uint16_t *x, size_t n);
void us_f16_to_f32(float *out, const uint16_t *x, size_t n);
bool us_all_finite(const float *x, size_t n);
/// The sum in double precision, in an order that depends on `n` alone.
double us_sum(const float *x, size_t n);

/// Gathers `out[i0, i1, …] = x[Σ i·strides]` for up to 8 dimensions.
void us_gather(float *out, const float *x, int rank, const size_t *shape, const size_t *strides);
/// Doubles height and width of `planes` pictures, nearest neighbour.
void us_upsample2x(float *out, const float *x, size_t planes, size_t height, size_t width);

// Convolutions through oneDNN, single-threaded: callers run several pieces side by side.

/// One piece of a convolution: sizes are (time, height, width), strides are in elements between channels, frames and rows.
typedef struct {
    int64_t groups, in_channels, out_channels;
    int64_t in[3], out[3], kernel[3], step[3], dilation[3], pad_low[3], pad_high[3];
    int64_t in_strides[3], out_strides[3];
    int32_t has_bias;
} us_conv_shape;

typedef struct us_conv us_conv;

/// Plans a convolution; null with a text in `message` (at least 160 bytes) if oneDNN cannot.
us_conv *us_conv_create(const us_conv_shape *shape, char *message);
void us_conv_destroy(us_conv *conv);
const char *us_conv_implementation(const us_conv *conv);
/// Bytes of the packed weights, and of the workspace one run needs.
size_t us_conv_weight_bytes(const us_conv *conv);
size_t us_conv_workspace_bytes(const us_conv *conv);
/// Whether two plans read the same packing of weights.
bool us_conv_same_weights(const us_conv *a, const us_conv *b);
/// Packs weights [out, in / groups, kernel…]; 0 on success.
int us_conv_pack(const us_conv *conv, const float *weights, void *packed);
/// Runs; `workspace` is 64-byte aligned and belongs to this call alone. 0 on success.
int us_conv_run(
    const us_conv *conv, const float *src, const void *packed, const float *bias, float *dst, void *workspace);

#ifdef __cplusplus
}
#endif
