// Portable C loops, compiled for several instruction sets and chosen at run time. Nothing here knows threads: callers split the work.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The instruction set in use: "avx512", "avx2" or "portable".
const char *us_instruction_set(void);

// Element by element. `a_step` and `b_step` are 0 (one value for the whole row) or 1.
void us_add(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_subtract(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_multiply(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
void us_divide(float *out, const float *a, const float *b, size_t n, size_t a_step, size_t b_step);
/// out = x·scale + offset.
void us_affine(float *out, const float *x, float scale, float offset, size_t n);
/// y += alpha·x.
void us_axpy(float *y, const float *x, float alpha, size_t n);
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
/// `stride` elements between channels, then SiLU if asked. `work` holds `positions` floats.
void us_channel_norm(
    float *out, const float *x, const float *gamma, float eps, size_t channels, size_t positions, size_t stride,
    bool silu, float *work);

/// One step of a streaming softmax. `scores` [rows × keys, `ld` apart] become weights, `maximum` and `sum` [rows] are
/// carried, and `acc` [rows × width, `acc_ld` apart] is rescaled to the new maximum.
void us_softmax_step(
    float *scores, size_t ld, size_t rows, size_t keys, float *maximum, float *sum, float *acc, size_t acc_ld,
    size_t width);

/// Rotates pairs of one row of `heads` × `width` by angles whose cosines and sines are `width / 2` each.
/// Pairs are (2i, 2i + 1) when `interleaved`, else (i, i + width / 2).
void us_rotary(
    float *out, const float *x, const float *cosine, const float *sine, size_t heads, size_t width, bool interleaved);

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
