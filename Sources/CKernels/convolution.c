// oneDNN behind a plan: one shape, one primitive, weights packed once. oneDNN's own threads stay unused (every call sets
// OpenMP to one thread for the calling thread), so that the split of the work, and with it every rounding, is the caller's.
#include <COneDNN.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "targets.h"

struct us_conv {
    dnnl_primitive_desc_t description;
    dnnl_primitive_t convolution, pack_source, unpack_target, pack_weights;
    dnnl_memory_desc_t user_source, user_target, user_weights, bias;
    dnnl_memory_desc_t source, target, weights, scratchpad;
    size_t source_bytes, target_bytes, scratch_bytes;
    bool has_bias;
    char implementation[64];
};

static dnnl_engine_t engine;
static dnnl_status_t engine_status;
static void (*set_threads)(int);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void) {
    engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    set_threads = (void (*)(int))conednn_symbol("omp_set_num_threads");
}

static void enter(void) {
    pthread_once(&once, start);
    if (set_threads) set_threads(1);
}

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

static dnnl_status_t reorder_create(
    dnnl_primitive_t *out, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to) {
    dnnl_primitive_desc_t description;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&description, from, engine, to, engine, NULL);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_create(out, description);
    dnnl_primitive_desc_destroy(description);
    return status;
}

void us_conv_destroy(us_conv *conv) {
    if (!conv) return;
    if (conv->convolution) dnnl_primitive_destroy(conv->convolution);
    if (conv->pack_source) dnnl_primitive_destroy(conv->pack_source);
    if (conv->unpack_target) dnnl_primitive_destroy(conv->unpack_target);
    if (conv->pack_weights) dnnl_primitive_destroy(conv->pack_weights);
    if (conv->description) dnnl_primitive_desc_destroy(conv->description);
    free(conv);
}

static dnnl_status_t plan(us_conv *conv, const us_conv_shape *shape, const char **step) {
    const dnnl_dims_t in = {1, shape->in_channels, shape->in[0], shape->in[1], shape->in[2]};
    const dnnl_dims_t out = {1, shape->out_channels, shape->out[0], shape->out[1], shape->out[2]};
    const dnnl_dims_t in_strides = {
        shape->in_channels * shape->in_strides[0], shape->in_strides[0], shape->in_strides[1], shape->in_strides[2], 1};
    const dnnl_dims_t out_strides = {
        shape->out_channels * shape->out_strides[0], shape->out_strides[0], shape->out_strides[1],
        shape->out_strides[2], 1};
    const dnnl_dim_t per_group_in = shape->in_channels / shape->groups, per_group_out = shape->out_channels / shape->groups;
    const dnnl_dims_t dense = {
        shape->out_channels, per_group_in, shape->kernel[0], shape->kernel[1], shape->kernel[2]};
    const dnnl_dims_t grouped = {
        shape->groups, per_group_out, per_group_in, shape->kernel[0], shape->kernel[1], shape->kernel[2]};
    const bool has_groups = shape->groups > 1;
    const dnnl_dims_t bias = {shape->out_channels};

#define TRY(name, call)                                                                                         \
    do {                                                                                                        \
        *step = name;                                                                                           \
        dnnl_status_t status = (call);                                                                          \
        if (status != dnnl_success) return status;                                                              \
    } while (0)

    TRY("source", dnnl_memory_desc_init_by_strides(&conv->user_source, 5, in, dnnl_f32, in_strides));
    TRY("target", dnnl_memory_desc_init_by_strides(&conv->user_target, 5, out, dnnl_f32, out_strides));
    TRY("weights", dnnl_memory_desc_init_by_tag(
        &conv->user_weights, has_groups ? 6 : 5, has_groups ? grouped : dense, dnnl_f32,
        has_groups ? dnnl_goidhw : dnnl_oidhw));
    TRY("bias", dnnl_memory_desc_init_by_tag(&conv->bias, 1, bias, dnnl_f32, dnnl_a));
    dnnl_memory_desc_t any_source, any_target, any_weights;
    TRY("source", dnnl_memory_desc_init_by_tag(&any_source, 5, in, dnnl_f32, dnnl_format_tag_any));
    TRY("target", dnnl_memory_desc_init_by_tag(&any_target, 5, out, dnnl_f32, dnnl_format_tag_any));
    TRY("weights", dnnl_memory_desc_init_by_tag(
        &any_weights, has_groups ? 6 : 5, has_groups ? grouped : dense, dnnl_f32, dnnl_format_tag_any));

    const dnnl_dims_t step_sizes = {shape->step[0], shape->step[1], shape->step[2]};
    const dnnl_dims_t gaps = {shape->dilation[0] - 1, shape->dilation[1] - 1, shape->dilation[2] - 1};
    const dnnl_dims_t low = {shape->pad_low[0], shape->pad_low[1], shape->pad_low[2]};
    const dnnl_dims_t high = {shape->pad_high[0], shape->pad_high[1], shape->pad_high[2]};
    dnnl_convolution_desc_t operation;
    TRY("convolution", dnnl_dilated_convolution_forward_desc_init(
        &operation, dnnl_forward_inference, dnnl_convolution_direct, &any_source, &any_weights,
        conv->has_bias ? &conv->bias : NULL, &any_target, step_sizes, gaps, low, high));
    dnnl_primitive_attr_t attributes;
    TRY("attributes", dnnl_primitive_attr_create(&attributes));
    dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    dnnl_status_t created = dnnl_primitive_desc_create(&conv->description, &operation, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    TRY("convolution", created);
    TRY("convolution", dnnl_primitive_create(&conv->convolution, conv->description));
    conv->source = *dnnl_primitive_desc_query_md(conv->description, dnnl_query_src_md, 0);
    conv->target = *dnnl_primitive_desc_query_md(conv->description, dnnl_query_dst_md, 0);
    conv->weights = *dnnl_primitive_desc_query_md(conv->description, dnnl_query_weights_md, 0);
    conv->scratchpad = *dnnl_primitive_desc_query_md(conv->description, dnnl_query_scratchpad_md, 0);
    if (!dnnl_memory_desc_equal(&conv->source, &conv->user_source)) {
        TRY("source layout", reorder_create(&conv->pack_source, &conv->user_source, &conv->source));
        conv->source_bytes = aligned(dnnl_memory_desc_get_size(&conv->source));
    }
    if (!dnnl_memory_desc_equal(&conv->target, &conv->user_target)) {
        TRY("target layout", reorder_create(&conv->unpack_target, &conv->target, &conv->user_target));
        conv->target_bytes = aligned(dnnl_memory_desc_get_size(&conv->target));
    }
    TRY("weight layout", reorder_create(&conv->pack_weights, &conv->user_weights, &conv->weights));
    conv->scratch_bytes = aligned(dnnl_memory_desc_get_size(&conv->scratchpad));
    const char *implementation = NULL;
    dnnl_primitive_desc_query(conv->description, dnnl_query_impl_info_str, 0, (void *)&implementation);
    snprintf(conv->implementation, sizeof conv->implementation, "%s", implementation ? implementation : "");
    return dnnl_success;
#undef TRY
}

us_conv *us_conv_create(const us_conv_shape *shape, char *message) {
    enter();
    if (engine_status != dnnl_success) {
        snprintf(message, 160, "oneDNN has no CPU engine (status %d)", (int)engine_status);
        return NULL;
    }
    us_conv *conv = calloc(1, sizeof *conv);
    if (!conv) return NULL;
    conv->has_bias = shape->has_bias != 0;
    const char *step = "";
    dnnl_status_t status = plan(conv, shape, &step);
    if (status == dnnl_success) return conv;
    snprintf(message, 160, "oneDNN refuses the %s (status %d)", step, (int)status);
    us_conv_destroy(conv);
    return NULL;
}

const char *us_conv_implementation(const us_conv *conv) { return conv->implementation; }
size_t us_conv_weight_bytes(const us_conv *conv) { return aligned(dnnl_memory_desc_get_size(&conv->weights)); }
size_t us_conv_workspace_bytes(const us_conv *conv) {
    return conv->source_bytes + conv->target_bytes + conv->scratch_bytes + 64;
}
bool us_conv_same_weights(const us_conv *a, const us_conv *b) {
    return dnnl_memory_desc_equal(&a->weights, &b->weights) != 0;
}

static dnnl_status_t run_reorder(
    dnnl_primitive_t primitive, dnnl_stream_t stream, const dnnl_memory_desc_t *from_layout, const void *from,
    const dnnl_memory_desc_t *to_layout, void *to) {
    dnnl_memory_t source = NULL, target = NULL;
    dnnl_status_t status = dnnl_memory_create(&source, from_layout, engine, (void *)from);
    if (status == dnnl_success) status = dnnl_memory_create(&target, to_layout, engine, to);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
        status = dnnl_primitive_execute(primitive, stream, 2, arguments);
    }
    if (source) dnnl_memory_destroy(source);
    if (target) dnnl_memory_destroy(target);
    return status;
}

int us_conv_pack(const us_conv *conv, const float *weights, void *packed) {
    enter();
    dnnl_stream_t stream;
    dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status != dnnl_success) return (int)status;
    status = run_reorder(conv->pack_weights, stream, &conv->user_weights, weights, &conv->weights, packed);
    dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    return (int)status;
}

int us_conv_run(
    const us_conv *conv, const float *src, const void *packed, const float *bias, float *dst, void *workspace) {
    enter();
    char *work = workspace;
    void *source = conv->pack_source ? work : (void *)src;
    void *target = conv->unpack_target ? work + conv->source_bytes : (void *)dst;
    void *scratch = work + conv->source_bytes + conv->target_bytes;
    dnnl_stream_t stream;
    dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status != dnnl_success) return (int)status;
    dnnl_memory_t memories[5] = {NULL};
    if (conv->pack_source)
        status = run_reorder(conv->pack_source, stream, &conv->user_source, src, &conv->source, source);
    if (status == dnnl_success) status = dnnl_memory_create(&memories[0], &conv->source, engine, source);
    if (status == dnnl_success) status = dnnl_memory_create(&memories[1], &conv->weights, engine, (void *)packed);
    if (status == dnnl_success) status = dnnl_memory_create(&memories[2], &conv->target, engine, target);
    if (status == dnnl_success) status = dnnl_memory_create(&memories[3], &conv->scratchpad, engine, scratch);
    if (status == dnnl_success && conv->has_bias)
        status = dnnl_memory_create(&memories[4], &conv->bias, engine, (void *)bias);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {
            {DNNL_ARG_SRC, memories[0]},        {DNNL_ARG_WEIGHTS, memories[1]}, {DNNL_ARG_DST, memories[2]},
            {DNNL_ARG_SCRATCHPAD, memories[3]}, {DNNL_ARG_BIAS, memories[4]},
        };
        status = dnnl_primitive_execute(conv->convolution, stream, conv->has_bias ? 5 : 4, arguments);
    }
    for (int i = 0; i < 5; i++)
        if (memories[i]) dnnl_memory_destroy(memories[i]);
    if (status == dnnl_success && conv->unpack_target)
        status = run_reorder(conv->unpack_target, stream, &conv->target, target, &conv->user_target, dst);
    dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    return (int)status;
}
