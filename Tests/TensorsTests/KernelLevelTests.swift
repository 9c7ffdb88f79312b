import CKernels
import Foundation
import Testing

@testable import Tensors

/// Every instruction set's kernels against double precision; those that this processor lacks are reported as skipped.
struct KernelLevelTests {
    private static func has(_ level: us_level) -> Bool { us_best_level().rawValue >= level.rawValue }

    @Test func portable() { check(US_PORTABLE) }
    @Test(.enabled(if: has(US_AVX2), "this processor has no AVX2")) func avx2() { check(US_AVX2) }
    @Test(.enabled(if: has(US_AVX512), "this processor has no AVX-512")) func avx512() { check(US_AVX512) }
    @Test(.enabled(if: has(US_AVX512_VNNI), "this processor has no AVX-512 VNNI")) func avx512VNNI() { check(US_AVX512_VNNI) }
    @Test(.enabled(if: has(US_AVX512_BF16), "this processor has no AVX-512 BF16")) func avx512BF16() { check(US_AVX512_BF16) }

    private func check(_ level: us_level) {
        for (queries, keys, heads, width, valueWidth) in [
            (1, 1, 1, 1, 1), (97, 130, 2, 64, 64), (13, 300, 1, 33, 40), (30, 257, 1, 96, 17), (20, 128, 3, 80, 80),
        ] {
            for isMasked in [false, true] {
                attend(level, queries, keys, heads, width, valueWidth, isMasked: isMasked)
            }
        }
        for (rows, inputs, outputs) in [(1, 5, 3), (3, 300, 70), (97, 515, 130), (130, 1030, 33), (192, 256, 64)] {
            multiply(level, rows, inputs, outputs)
        }
        for (inputs, outputs, frames, height, width, time) in [(16, 20, 3, 7, 9, 3), (24, 70, 1, 8, 8, 1), (20, 33, 2, 6, 5, 3)] {
            convolve(level, inputs, outputs, frames, height, width, time)
            convolve(level, inputs, outputs, frames, height, width, time, multipliesBF16: true)
        }
        convolve(level, 19, 3, 3, 6, 10, 3, isRounded: true)
        convolve(level, 17, 24, 1, 8, 10, 1, isDoubled: true)
        convolve(level, 19, 70, 3, 6, 10, 3, isRounded: true, multipliesBF16: true)
    }

    /// Winograd's method against a sum over all taps; time is padded on the left alone. Frames are plain, rounded to bf16 or doubled in
    /// height and width on the way; products are of single precision or of bf16.
    private func convolve(
        _ level: us_level, _ inputs: Int, _ outputs: Int, _ frames: Int, _ height: Int, _ width: Int, _ time: Int,
        isRounded: Bool = false, isDoubled: Bool = false, multipliesBF16: Bool = false
    ) {
        var source = noise([inputs, frames, isDoubled ? height / 2 : height, isDoubled ? width / 2 : width])
        var w = noise([outputs, inputs, time, 3, 3], seed: 2)
        let b = noise([outputs], seed: 3)
        let halves = (LinearWeight.rounded(source), LinearWeight.rounded(w))
        if isRounded {
            source = LinearWeight(source.reshaped(1, -1), .bf16).tensor.reshaped(source.shape)
            w = LinearWeight(w.reshaped(1, -1), .bf16).tensor.reshaped(w.shape)
        }
        let x = isDoubled ? source.upsampled2x() : source
        var shape = us_winograd(
            in_channels: inputs, out_channels: outputs, frames: frames, height: height, width: width, out_frames: frames,
            out_height: height, out_width: width, time: time, pad_time: Int64(time - 1), pad_top: 1, pad_left: 1,
            doubled: isDoubled,
            bf16: multipliesBF16, level: Int32(level.rawValue))
        let plane = source.shape[2] * source.shape[3]
        let (pixels, weights) = isRounded ? (halves.0.base, halves.1.base) : (source.storage.base, w.storage.base)
        let clip = (0..<frames).map {
            us_frame(
                pixels: UnsafeRawPointer(pixels) + $0 * plane * (isRounded ? 2 : 4), stride: frames * plane, bf16: isRounded)
        }
        let packed = TensorStorage(uninitialized: us_winograd_weight_bytes(&shape) / 4)
        let work = TensorStorage(uninitialized: us_winograd_work_bytes(&shape, 2) / 4)
        let y = Tensor([outputs, frames, height, width]) { out in
            guard let out = out.baseAddress else { return }
            withExtendedLifetime((source, w, halves)) {
                for panel in 0..<us_winograd_panels(&shape) { us_winograd_pack(&shape, weights, isRounded, panel, packed.base) }
                for first in stride(from: 0, to: (height + 1) / 2, by: 2) {
                    us_winograd_run(&shape, clip, packed.base, b.pointer, out, first, min(2, (height + 1) / 2 - first), work.base)
                }
            }
        }
        let (xs, ws, bs) = (x.array, w.array, b.array)
        var expected: [Double] = []
        for f in 0..<outputs {
            for t in 0..<frames {
                for i in 0..<height {
                    for j in 0..<width {
                        var sum = Double(bs[f])
                        for a in max(0, time - 1 - t)..<time {
                            for p in max(0, 1 - i)..<min(3, height + 1 - i) {
                                for q in max(0, 1 - j)..<min(3, width + 1 - j) {
                                    for c in 0..<inputs {
                                        sum += Double(xs[((c * frames + t + a - time + 1) * height + i + p - 1) * width + j + q - 1])
                                            * Double(ws[(((f * inputs + c) * time + a) * 3 + p) * 3 + q])
                                    }
                                }
                            }
                        }
                        expected.append(sum)
                    }
                }
            }
        }
        // Rounding to 8 bits of mantissa, on both sides and before sums that cancel.
        #expect(relativeError(y, expected) < (multipliesBF16 ? 1e-2 : 1e-6), "\(inputs)→\(outputs) \(frames)×\(height)×\(width), \(time) in time")
    }

    private func attend(
        _ level: us_level, _ queries: Int, _ keys: Int, _ heads: Int, _ width: Int, _ valueWidth: Int, isMasked: Bool
    ) {
        let q = noise([queries, heads * width]) * 2, k = noise([keys, heads * width], seed: 2) * 2
        let v = noise([keys, heads * valueWidth], seed: 3)
        let bias = isMasked
            ? Tensor((0..<heads * queries * keys).map { $0 % keys < keys / 2 ? -.infinity : Float($0 % 7) / 7 }, [heads, queries, keys]) : nil
        var expected: [Double] = []
        let (qs, ks, vs, bs) = (q.array, k.array, v.array, bias?.array)
        for i in 0..<queries {
            for h in 0..<heads {
                let weights = (0..<keys).map { j -> Double in
                    var score = 0.0
                    for c in 0..<width {
                        score += Double(qs[(i * heads + h) * width + c]) * Double(ks[(j * heads + h) * width + c])
                    }
                    return exp(score / Double(width).squareRoot() + Double(bs?[(h * queries + i) * keys + j] ?? 0))
                }
                let sum = weights.reduce(0, +)
                for c in 0..<valueWidth {
                    var value = 0.0
                    for j in 0..<keys { value += weights[j] * Double(vs[(j * heads + h) * valueWidth + c]) }
                    expected.append(value / sum)
                }
            }
        }
        for (bf16, bound) in [(false, 2e-6), (true, 2e-2)] {
            let y = sameOnAllThreads { attention(q, k, v, heads: heads, bias: bias, bf16: bf16, level: level) }
            let error = relativeError(y, expected)
            #expect(error < bound, "\(queries)×\(keys), \(heads) heads of \(width), bf16 \(bf16), masked \(isMasked)")
        }
    }

    private func multiply(_ level: us_level, _ rows: Int, _ inputs: Int, _ outputs: Int) {
        let x = noise([rows, inputs]), weight = noise([outputs, inputs], seed: 2), bias = noise([outputs], seed: 3)
        let residual = noise([rows, outputs], seed: 4), gate = noise([outputs], seed: 5)
        for precision in Precision.allCases {
            let packed = LinearWeight(weight, precision)
            // What the kernel is to multiply: the rounded weights.
            let (xs, ws, bs) = (x.array, packed.tensor.array, bias.array)
            var plain: [Double] = [], gated: [Double] = []
            let (rs, gs) = (residual.array, gate.array)
            for i in 0..<rows {
                for j in 0..<outputs {
                    var sum = Double(bs[j])
                    for c in 0..<inputs { sum += Double(xs[i * inputs + c]) * Double(ws[j * inputs + c]) }
                    plain.append(sum)
                    let gelu = sum / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (sum + 0.044715 * sum * sum * sum)))
                    gated.append(Double(rs[i * outputs + j]) + gelu * Double(gs[j]))
                }
            }
            // Rounding x to bf16 or 8 bits is a part of these precisions.
            let bound = precision == .f32 ? 1e-6 : precision == .bf16 ? 6e-3 : 3e-2
            let y = sameOnAllThreads { x.linear(packed, bias, level: level) }
            #expect(relativeError(y, plain) < bound, "\(rows)×\(inputs)×\(outputs) \(precision)")
            let z = sameOnAllThreads { x.linear(packed, bias, .geluTanh, addedTo: residual, gate: gate, level: level) }
            #expect(relativeError(z, gated) < bound, "\(rows)×\(inputs)×\(outputs) \(precision) with all that follows")
        }
        // Sums of integers are exact: every instruction set gives the same bytes.
        let integers = LinearWeight(weight, .int8)
        #expect(
            x.linear(integers, level: level).array.map(\.bitPattern) == x.linear(integers, level: US_PORTABLE).array.map(\.bitPattern))
    }

    @Test func roundingToTheNearest() {
        let values: [Float] = [0, -0.0, 1, 1.00390625, 1.01171875, 3.4e38, .infinity, -.infinity]
        var halves = [UInt16](repeating: 0, count: values.count)
        us_f32_to_bf16(&halves, values, values.count)
        // Ties go to the even neighbour; what is beyond the largest number becomes infinite.
        #expect(halves == [0, 0x8000, 0x3f80, 0x3f80, 0x3f82, 0x7f80, 0x7f80, 0xff80])
        var nan: UInt16 = 0
        us_f32_to_bf16(&nan, [Float.nan], 1)
        #expect(nan & 0x7f80 == 0x7f80 && nan & 0x7f != 0)
        let row: [Float] = [0.5, -1, 0.25, 0]
        var bytes = [Int8](repeating: 0, count: 4), scale: Float = 0, sum: Int32 = 0
        us_quantize_rows(&bytes, &scale, &sum, row, 1, 4)
        #expect(bytes == [64, -127, 32, 0] && scale == 1 / 127 && sum == -31)
    }

    @Test func gatesAndNormsTakeOneRowPerStretch() {
        let x = noise([6, 8]), y = noise([6, 8], seed: 2), rows = noise([3, 8], seed: 3), shifts = noise([3, 8], seed: 4)
        let spread = rows.repeatedInterleaved(2, 0), spreadShifts = shifts.repeatedInterleaved(2, 0)
        #expect(relativeError(x.adding(y, times: rows), (x + y * spread).array.map(Double.init)) < 1e-6)
        #expect(
            relativeError(x.layerNorm(rows, shifts, eps: 1e-6), (x.layerNorm(eps: 1e-6) * spread + spreadShifts).array.map(Double.init))
                < 1e-6)
        let weight = LinearWeight(noise([8, 8], seed: 5))
        #expect(
            relativeError(x.linear(weight, addedTo: y, gate: rows), (y + x.linear(weight) * spread).array.map(Double.init)) < 1e-6)
    }
}
