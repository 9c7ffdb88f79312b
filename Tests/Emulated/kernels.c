// The kernels of every level against double precision (linear layers, attention, Winograd) and against the portable level (the rest);
// the bounds are those of KernelLevelTests.swift. Runs without an operating system: see run.sh.
#include <stddef.h>

#include "CKernels.h"

// What a C library would give.

static void put(char c) { __asm__ volatile("outb %0, $0xe9" ::"a"(c)); }

void *memcpy(void *to, const void *from, size_t n) {
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    return start;
}

void *memset(void *to, int value, size_t n) {
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return start;
}

int __cpu_model[4], __cpu_features2[4];
int __cpu_indicator_init(void) { return 0; }

static double exponential(double x) {
    if (x < -700) return 0;
    long double y;
    __asm__("fldl2e; fmulp; fld %%st(0); frndint; fsubr %%st(0),%%st(1); fxch; f2xm1; fld1; faddp; fscale; fstp %%st(1)"
            : "=t"(y) : "0"((long double)x) : "st(1)", "st(2)", "st(3)");
    return (double)y;
}

static double hyperbolic_tangent(double x) {
    const double e = exponential(-2 * (x < 0 ? -x : x)), t = (1 - e) / (1 + e);
    return x < 0 ? -t : t;
}

float sqrtf(float x) { return __builtin_sqrtf(x); }
float tanhf(float x) { return (float)hyperbolic_tangent(x); }
float exp2f(float x) { return (float)exponential(x * 0.6931471805599453); }
float erff(float x) {
    if (x > 4 || x < -4) return x > 0 ? 1 : -1;
    double sum = x, term = x;
    for (int n = 1; n < 80; n++) {
        term *= -(double)x * x / n;
        sum += term / (2 * n + 1);
    }
    return (float)(sum * 1.1283791670955126);
}

/// The level that all kernels run at; takes the place of the one in elementwise.c.
static int level_now;
us_level us_best_level(void) { return (us_level)level_now; }

// Reports.

static int failures;

static void text(const char *s) {
    while (*s) put(*s++);
}

static void number(long n) {
    if (n >= 10) number(n / 10);
    put((char)('0' + n % 10));
}

static void scientific(double x) {
    int power = 0;
    if (!(x == x)) return text("NaN");
    while (x > 0 && x < 1) x *= 10, power++;
    number((long)x), put('.'), number((long)(x * 10) % 10), text("e-"), number(power);
}

static void judge(const char *what, long a, long b, long c, double error, double bound) {
    const int is_good = error < bound;
    failures += !is_good;
    text(is_good ? "  ok   " : "  FAIL "), text(what);
    put(' '), number(a), put(' '), number(b), put(' '), number(c), text("  error "), scientific(error), put('\n');
}

// Memory: everything taken is given back by used = 0.

static char arena[96 << 20] __attribute__((aligned(64)));
static size_t used;

static void *take(size_t bytes) {
    void *memory = arena + used;
    used += (bytes + 127) / 64 * 64;
    if (used > sizeof arena) {
        judge("memory", (long)used, 0, 0, 1, 0);
        used = 0;
    }
    return memory;
}

/// Numbers of −1 … 1.
static float *noise(long count, int seed) {
    float *x = take((size_t)count * 4);
    uint64_t state = (uint64_t)seed * 977 + 1;
    for (long i = -5; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (i >= 0) x[i] = (float)((double)(state >> 40) / 8388608 - 1);
    }
    return x;
}

static double relative(const float *a, const double *b, long count) {
    double difference = 0, size = 0;
    for (long i = 0; i < count; i++) difference += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    return __builtin_sqrt(difference / (size + 1e-300));
}

static long smaller(long a, long b) { return a < b ? a : b; }

static void round_to_bf16(float *x, uint16_t *halves, long count) {
    us_f32_to_bf16(halves, x, (size_t)count);
    us_bf16_to_f32(x, halves, (size_t)count);
}

static void check_linear(int level, long rows, long inputs, long outputs, us_weight_type type, bool all) {
    static const char *const names[] = {"linear f32", "linear bf16", "linear int8"};
    static const double bounds[] = {1e-6, 6e-3, 3e-2};
    used = 0;
    level_now = US_PORTABLE;
    const long results = rows * outputs;
    float *x = noise(rows * inputs, 1), *w = noise(outputs * inputs, 2), *bias = noise(outputs, 3), *gate = noise(outputs, 5);
    float *residual = noise(results, 4), *y = take((size_t)results * 4), *z = take((size_t)results * 4);
    us_linear layer = {
        .inputs = (size_t)inputs, .outputs = (size_t)outputs, .weight_type = type, .bf16 = type == US_WEIGHT_BF16,
        .activation = all ? US_GELU_TANH : US_LINEAR, .level = level, .weight = w, .bias = bias};
    us_linear_rows in = {.values = x, .out = y};
    if (all) in.residual = residual, in.gate = gate, in.gate_rows = (size_t)rows;
    if (type == US_WEIGHT_BF16) {
        uint16_t *halves = take((size_t)(outputs * inputs) * 2);
        round_to_bf16(w, halves, outputs * inputs);
        layer.weight = halves;
    } else if (type == US_WEIGHT_INT8) {
        int8_t *bytes = take((size_t)(outputs * inputs)), *x_bytes = take((size_t)(rows * inputs));
        float *scales = take((size_t)outputs * 4), *x_scales = take((size_t)rows * 4);
        int32_t *sums = take((size_t)outputs * 4);
        us_quantize_rows(bytes, scales, sums, w, (size_t)outputs, (size_t)inputs);
        us_quantize_rows(x_bytes, x_scales, 0, x, (size_t)rows, (size_t)inputs);
        for (long i = 0; i < outputs * inputs; i++) w[i] = (float)bytes[i] * scales[i / inputs];
        layer.weight = bytes, layer.weight_scales = scales, layer.weight_sums = sums, in.bytes = x_bytes, in.scales = x_scales;
    }
    double *expected = take((size_t)results * 8);
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < outputs; j++) {
            double sum = bias[j];
            for (long c = 0; c < inputs; c++) sum += (double)x[i * inputs + c] * w[j * inputs + c];
            if (all) {
                const double gelu = sum / 2 * (1 + hyperbolic_tangent(0.7978845608028654 * (sum + 0.044715 * sum * sum * sum)));
                sum = residual[i * outputs + j] + gelu * gate[j];
            }
            expected[i * outputs + j] = sum;
        }
    void *work = take(us_linear_work_bytes());
    level_now = level;
    for (long first = 0; first < rows; first += 96)
        for (long column = 0; column < outputs; column += 64)
            us_linear_run(
                &layer, &in, (size_t)first, (size_t)smaller(96, rows - first), (size_t)column, (size_t)smaller(64, outputs - column), work);
    judge(names[type], rows, inputs, outputs, relative(y, expected, results), bounds[type]);
    if (type != US_WEIGHT_INT8 || all) return;
    // Sums of integers are exact: every level gives the same bytes.
    long differing = 0;
    layer.level = US_PORTABLE, in.out = z;
    us_linear_run(&layer, &in, 0, (size_t)rows, 0, (size_t)outputs, work);
    for (long i = 0; i < results; i++) differing += y[i] != z[i];
    judge("linear int8, differing from portable:", rows, inputs, differing, (double)differing, 0.5);
}

static void check_attention(int level, long queries, long keys, long heads, long width, long value_width, bool bf16, bool masked) {
    used = 0;
    level_now = level;
    float *q = noise(queries * heads * width, 1), *k = noise(keys * heads * width, 2), *v = noise(keys * heads * value_width, 3);
    float *bias = take((size_t)(heads * queries * keys) * 4), *y = take((size_t)(queries * heads * value_width) * 4);
    for (long i = 0; i < queries * heads * width; i++) q[i] *= 2;
    for (long i = 0; i < keys * heads * width; i++) k[i] *= 2;
    for (long i = 0; i < heads * queries * keys; i++) bias[i] = i % keys < keys / 2 ? -__builtin_inff() : (float)(i % 7) / 7;
    double *expected = take((size_t)(queries * heads * value_width) * 8), *weights = take((size_t)keys * 8);
    const us_attention a = {
        .keys = (size_t)keys, .width = (size_t)width, .value_width = (size_t)value_width, .q_stride = (size_t)(heads * width),
        .k_stride = (size_t)(heads * width), .v_stride = (size_t)(heads * value_width),
        .out_stride = (size_t)(heads * value_width), .scale = (float)(1 / __builtin_sqrt((double)width)), .bf16 = bf16, .level = level};
    for (long h = 0; h < heads; h++) {
        const float *head_bias = masked ? bias + h * queries * keys : NULL;
        void *packed_keys = take(us_attention_key_bytes(&a)), *packed_values = take(us_attention_value_bytes(&a));
        void *work = take(us_attention_work_bytes(&a));
        const us_attention_head head = {
            .q = q + h * width, .bias = head_bias, .packed_keys = packed_keys, .packed_values = packed_values, .out = y + h * value_width};
        for (size_t block = 0; block < us_attention_blocks(&a); block++)
            us_attention_pack(&a, k + h * width, v + h * value_width, block, packed_keys, packed_values);
        for (long first = 0; first < queries; first += US_ATTENTION_ROWS)
            us_attention_run(&a, &head, (size_t)first, (size_t)smaller(US_ATTENTION_ROWS, queries - first), work);
        for (long i = 0; i < queries; i++) {
            double sum = 0;
            for (long j = 0; j < keys; j++) {
                double score = 0;
                for (long c = 0; c < width; c++)
                    score += (double)q[(i * heads + h) * width + c] * k[(j * heads + h) * width + c];
                score /= __builtin_sqrt((double)width);
                weights[j] = head_bias && j < keys / 2 ? 0 : exponential(score + (head_bias ? head_bias[i * keys + j] : 0));
                sum += weights[j];
            }
            for (long c = 0; c < value_width; c++) {
                double value = 0;
                for (long j = 0; j < keys; j++) value += weights[j] * v[(j * heads + h) * value_width + c];
                expected[(i * heads + h) * value_width + c] = value / sum;
            }
        }
    }
    judge(
        bf16 ? "attention bf16" : "attention f32", queries, keys, width, relative(y, expected, queries * heads * value_width),
        bf16 ? 2e-2 : 2e-6);
}

static void check_winograd(int level, long inputs, long outputs, long frames, long height, long width, long time, bool bf16, bool multiplies_bf16) {
    used = 0;
    level_now = level;
    const long plane = height * width;
    float *x = noise(inputs * frames * plane, 1), *w = noise(outputs * inputs * time * 9, 2), *b = noise(outputs, 3);
    const void *pixels = x, *weights = w;
    if (bf16) {
        uint16_t *halves = take((size_t)(inputs * frames * plane) * 2), *weight_halves = take((size_t)(outputs * inputs * time * 9) * 2);
        round_to_bf16(x, halves, inputs * frames * plane);
        round_to_bf16(w, weight_halves, outputs * inputs * time * 9);
        pixels = halves, weights = weight_halves;
    }
    float *y = take((size_t)(outputs * frames * plane) * 4);
    const us_winograd shape = {
        .in_channels = (size_t)inputs, .out_channels = (size_t)outputs, .frames = (size_t)frames, .height = (size_t)height,
        .width = (size_t)width, .out_frames = (size_t)frames, .out_height = (size_t)height, .out_width = (size_t)width,
        .time = (size_t)time, .pad_time = time - 1, .pad_top = 1, .pad_left = 1, .bf16 = multiplies_bf16, .level = level};
    us_frame *clip = take((size_t)frames * sizeof *clip);
    for (long t = 0; t < frames; t++)
        clip[t] = (us_frame){
            .pixels = (const char *)pixels + t * plane * (bf16 ? 2 : 4), .stride = (size_t)(frames * plane), .bf16 = bf16};
    float *packed = take(us_winograd_weight_bytes(&shape)), *work = take(us_winograd_work_bytes(&shape, 2));
    for (size_t panel = 0; panel < us_winograd_panels(&shape); panel++) us_winograd_pack(&shape, weights, bf16, panel, packed);
    for (long first = 0; first < (height + 1) / 2; first += 2)
        us_winograd_run(&shape, clip, packed, b, y, (size_t)first, (size_t)smaller(2, (height + 1) / 2 - first), work);
    double *expected = take((size_t)(outputs * frames * plane) * 8);
    for (long n = 0; n < outputs * frames * plane; n++) {
        const long f = n / (frames * plane), t = n / plane % frames, i = n / width % height, j = n % width;
        double sum = b[f];
        for (long tap = 0; tap < time * 9; tap++) {
            const long frame = t + tap / 9 - time + 1, row = i + tap / 3 % 3 - 1, column = j + tap % 3 - 1;
            if (frame < 0 || row < 0 || row >= height || column < 0 || column >= width) continue;
            for (long c = 0; c < inputs; c++)
                sum += (double)x[((c * frames + frame) * height + row) * width + column] * w[(f * inputs + c) * time * 9 + tap];
        }
        expected[n] = sum;
    }
    judge(
        multiplies_bf16 ? "Winograd in bf16" : bf16 ? "Winograd from bf16" : "Winograd", inputs, outputs, time,
        relative(y, expected, outputs * frames * plane), multiplies_bf16 ? 1e-2 : 1e-6);
}

/// The elementwise kernel of that number, or norm, of `n` numbers.
static void elementwise(int kernel, float *out, const float *a, const float *b, const float *c, size_t n) {
    switch (kernel) {
    case 0: us_add(out, a, b, n, 1, 1); break;
    case 1: us_subtract(out, a, b, n, 1, 0); break;
    case 2: us_multiply(out, a, b, n, 0, 1); break;
    case 3: us_divide(out, a, b, n, 1, 1); break;
    case 4: us_affine(out, a, 1.7f, -0.3f, n); break;
    case 5: us_axpy(out, a, 0.7f, n); break;
    case 6: us_add_product(out, a, b, c, n); break;
    case 7: us_clamp(out, a, -1, 2, n); break;
    case 8: us_silu(out, a, n); break;
    case 9: us_gelu_tanh(out, a, n); break;
    case 10: us_gelu_exact(out, a, n); break;
    case 11: us_exp(out, a, n); break;
    case 12: us_tanh(out, a, n); break;
    case 13: us_leaky_relu(out, a, 0.2f, n); break;
    case 14: us_layer_norm(out, a, b, c, 1e-6f, 1, n); break;
    case 15: us_rms_norm(out, a, b, 1e-6f, 1, n); break;
    case 16: us_softmax(out, a, 1, n); break;
    case 17: us_bf16_to_f32(out, (const uint16_t *)b, n); break;
    case 18: us_f16_to_f32(out, (const uint16_t *)b, n); break;
    default: us_f32_to_bf16((uint16_t *)out, a, n);
    }
}

/// All elementwise kernels at every length up to 40 and some beyond: the portable level's results, bit for bit where they are no numbers.
static void check_elementwise(int level) {
    double worst = 0;
    for (long n = 1; n <= 131; n += n < 40 ? 1 : 13)
        for (int kernel = 0; kernel < 20; kernel++) {
            used = 0;
            float *a = noise(n, 1), *b = noise(n, 2), *c = noise(n, 7);
            float *ours = take((size_t)n * 4), *portable = take((size_t)n * 4);
            for (long i = 0; i < n; i++) a[i] *= 6;
            memset(ours, 0, (size_t)n * 4), memset(portable, 0, (size_t)n * 4);
            level_now = level, elementwise(kernel, ours, a, b, c, (size_t)n);
            level_now = US_PORTABLE, elementwise(kernel, portable, a, b, c, (size_t)n);
            double difference = 0, size = 1e-300;
            for (long i = 0; i < n; i++) {
                uint32_t bits[2];
                memcpy(bits, ours + i, 4), memcpy(bits + 1, portable + i, 4);
                if (bits[0] == bits[1]) {
                    if (portable[i] - portable[i] == 0) size += (double)portable[i] * portable[i];
                    continue;
                }
                const double apart = (double)ours[i] - portable[i];
                difference += apart * apart, size += (double)portable[i] * portable[i];
            }
            const double error = __builtin_sqrt(difference / size);
            if (!(error < 1e-6)) judge("elementwise kernel, of", kernel, n, level, error, 1e-6);
            if (error > worst) worst = error;
        }
    judge("elementwise kernels and norms:", 20, 131, level, worst, 1e-6);
}

int main(void) {
    static const long layers[][3] = {{1, 5, 3}, {3, 300, 70}, {97, 515, 130}, {130, 1030, 33}, {192, 256, 64}};
    static const long attentions[][5] = {
        {1, 1, 1, 1, 1}, {97, 130, 2, 64, 64}, {13, 300, 1, 33, 40}, {30, 257, 1, 96, 17}, {20, 128, 3, 80, 80}};
    static const long convolutions[][6] = {{16, 20, 3, 7, 9, 3}, {24, 70, 1, 8, 8, 1}, {20, 33, 2, 6, 5, 3}};
    for (int level = US_AVX2; level <= LAST_LEVEL; level++) {
        text("== "), text(us_level_name((us_level)level)), put('\n');
        check_elementwise(level);
        for (int i = 0; i < 5; i++) {
            const long *l = layers[i], *a = attentions[i];
            for (int kind = 0; kind < 6; kind++) check_linear(level, l[0], l[1], l[2], (us_weight_type)(kind / 2), kind % 2);
            for (int kind = 0; kind < 4; kind++) check_attention(level, a[0], a[1], a[2], a[3], a[4], kind / 2, kind % 2);
        }
        for (int i = 0; i < 9; i++) {
            const long *c = convolutions[i / 3];
            check_winograd(level, c[0], c[1], c[2], c[3], c[4], c[5], i % 3 > 0, i % 3 > 1);
        }
    }
    if (failures)
        text("FAILED: "), number(failures), put('\n');
    else
        text("all passed\n");
    for (const char *s = "Shutdown"; *s; s++) __asm__ volatile("outb %0, %w1" ::"a"(*s), "Nd"(0x8900));
}
