import CKernels

/// A 3×3 convolution (1 or 3 in time, all steps 1) of one clip by Winograd's method, and how it is cut into tasks: by its size alone.
struct WinogradConvolution: Sendable {
    let native: Shared<us_winograd>
    /// Rows of 2×2 tiles in all, and of one task.
    private let rows: Int, rowsPerTask: Int
    private let workByteCount: Int

    /// Nil where the method does not apply or does not pay.
    init?(
        inChannels: Int, outChannels: Int, input: [Int], output: [Int], kernel: [Int], step: [Int], dilation: [Int], groups: Int,
        padding: [Padding]
    ) {
        guard kernel[1] == 3, kernel[2] == 3, kernel[0] == 1 || kernel[0] == 3, step == [1, 1, 1], dilation == [1, 1, 1], groups == 1,
            inChannels >= 16, outChannels >= 16, output[1] >= 4, output[1] * output[2] >= 64,
            padding[1].before <= 2, padding[2].before <= 2
        else { return nil }
        var shape = us_winograd(
            in_channels: inChannels, out_channels: outChannels, frames: input[0], height: input[1], width: input[2],
            out_frames: output[0], out_height: output[1], out_width: output[2], time: kernel[0], pad_time: Int64(padding[0].before),
            pad_top: Int64(padding[1].before), pad_left: Int64(padding[2].before), level: -1)
        rows = (output[1] + 1) / 2
        // About 128 tiles, whose numbers stay in the second-level cache, but at least four tasks.
        rowsPerTask = max(1, min(128 / ((output[2] + 1) / 2), (rows + 3) / 4))
        workByteCount = us_winograd_work_bytes(&shape, rowsPerTask)
        native = Shared(shape)
    }

    var taskCount: Int { (rows + rowsPerTask - 1) / rowsPerTask }

    /// Transformed weights, made on first use and kept with the tensor.
    func packed(_ weight: Tensor) -> WinogradWeights {
        weight.storage.derived.withLock { forms in
            for case let form as WinogradWeights in forms { return form }
            var shape = native.pointer
            let form = WinogradWeights(byteCount: us_winograd_weight_bytes(&shape))
            let source = Shared(weight.pointer)
            Parallel.forEach(count: us_winograd_panels(&shape)) { panel in
                var shape = native.pointer
                us_winograd_pack(&shape, source.pointer, panel, form.memory)
            }
            forms.append(form)
            return form
        }
    }

    func run(
        _ task: Int, _ x: UnsafePointer<Float>, _ weights: WinogradWeights, _ bias: UnsafePointer<Float>?,
        into out: UnsafeMutablePointer<Float>
    ) {
        let first = task * rowsPerTask
        var shape = native.pointer
        WorkMemory.shared.lend(byteCount: workByteCount) {
            us_winograd_run(
                &shape, x, weights.memory, bias, out, first, min(rowsPerTask, rows - first),
                $0.assumingMemoryBound(to: Float.self))
        }
    }
}

/// Weights transformed for Winograd's method.
///
/// `@unchecked Sendable`: the memory is written before anyone else sees it, and read-only after that.
final class WinogradWeights: DerivedForm, @unchecked Sendable {
    let memory: UnsafeMutablePointer<Float>

    init(byteCount: Int) {
        memory = AlignedMemory.allocate(byteCount: byteCount).bindMemory(to: Float.self, capacity: byteCount / 4)
    }

    deinit { AlignedMemory.release(memory) }
}
