import CKernels

/// A 3×3 convolution (1 or 3 in time, all steps 1) of one clip by Winograd's method, and how it is cut into tasks: by its size alone.
struct WinogradConvolution: Sendable {
    let native: Shared<us_winograd>
    /// Rows of 2×2 tiles in all, and of one task.
    private let rows: Int, rowsPerTask: Int
    private let workByteCount: Int
    let weightByteCount: Int

    /// Whether the method applies to so many channels and such a kernel.
    static func applies(inChannels: Int, kernel: [Int]) -> Bool {
        kernel[1] == 3 && kernel[2] == 3 && (kernel[0] == 1 || kernel[0] == 3) && inChannels >= 16
    }

    /// Nil where the method does not apply or does not pay.
    init?(
        inChannels: Int, outChannels: Int, input: [Int], output: [Int], kernel: [Int], step: [Int], dilation: [Int], groups: Int,
        padding: [Padding]
    ) {
        guard Self.applies(inChannels: inChannels, kernel: kernel), outChannels >= 16, step == [1, 1, 1], dilation == [1, 1, 1],
            groups == 1, output[1] >= 4 && output[1] * output[2] >= 64, padding[1].before <= 2, padding[2].before <= 2
        else { return nil }
        self.init(
            inChannels: inChannels, outChannels: outChannels, input: input, output: output, time: kernel[0], padding: padding,
            isDoubled: false, isRounded: false)
    }

    /// Where the method applies; borders before height and width are at most 2. `input` counts doubled rows and columns.
    ///
    /// - Parameter isRounded: Whether transformed pixels and weights may be rounded to bf16; they are where the processor multiplies those.
    init(
        inChannels: Int, outChannels: Int, input: [Int], output: [Int], time: Int, padding: [Padding], isDoubled: Bool, isRounded: Bool
    ) {
        var shape = us_winograd(
            in_channels: inChannels, out_channels: outChannels, frames: input[0], height: input[1], width: input[2],
            out_frames: output[0], out_height: output[1], out_width: output[2], time: time, pad_time: Int64(padding[0].before),
            pad_top: Int64(padding[1].before), pad_left: Int64(padding[2].before), doubled: isDoubled,
            bf16: isRounded && us_multiplies_bf16(), level: -1)
        rows = (output[1] + 1) / 2
        // About 128 tiles, whose numbers stay in the second-level cache, but at least four tasks.
        rowsPerTask = max(1, min(128 / ((output[2] + 1) / 2), (rows + 3) / 4))
        workByteCount = us_winograd_work_bytes(&shape, rowsPerTask)
        weightByteCount = us_winograd_weight_bytes(&shape)
        native = Shared(shape)
    }

    var taskCount: Int { (rows + rowsPerTask - 1) / rowsPerTask }

    /// Transformed weights, made on first use and kept with the tensor.
    func packed(_ weight: Tensor) -> WinogradWeights {
        weight.storage.derived.withLock { forms in
            for case let form as WinogradWeights in forms { return form }
            let form = transformed(weight.storage, isRounded: false)
            forms.append(form)
            return form
        }
    }

    /// The weights transformed; the storage holds them in bf16 or single precision.
    func transformed(_ weight: TensorStorage, isRounded: Bool) -> WinogradWeights {
        var shape = native.pointer
        let form = WinogradWeights(byteCount: weightByteCount)
        withExtendedLifetime(weight) {
            Parallel.forEach(count: us_winograd_panels(&shape)) { panel in
                var shape = native.pointer
                us_winograd_pack(&shape, weight.base, isRounded, panel, form.storage.base)
            }
        }
        return form
    }

    /// The frames of one clip, `[channels, frames, height, width]`.
    func frames(_ x: UnsafePointer<Float>) -> Shared<[us_frame]> {
        let plane = native.pointer.height * native.pointer.width
        return Shared((0..<native.pointer.frames).map {
            us_frame(pixels: UnsafeRawPointer(x + $0 * plane), stride: native.pointer.frames * plane, bf16: false)
        })
    }

    func run(
        _ task: Int, _ x: Shared<[us_frame]>, _ weights: WinogradWeights, _ bias: UnsafePointer<Float>?,
        into out: UnsafeMutablePointer<Float>
    ) {
        let first = task * rowsPerTask
        var shape = native.pointer
        WorkMemory.shared.lend(byteCount: workByteCount) {
            us_winograd_run(
                &shape, x.pointer, weights.storage.base, bias, out, first, min(rowsPerTask, rows - first),
                $0.assumingMemoryBound(to: Float.self))
        }
    }
}

/// Weights transformed for Winograd's method, written before anyone else sees them.
final class WinogradWeights: DerivedForm {
    let storage: TensorStorage

    init(byteCount: Int) { storage = TensorStorage(uninitialized: byteCount / 4) }
}
