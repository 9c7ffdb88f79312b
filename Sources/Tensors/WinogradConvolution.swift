import CKernels
import Synchronization

/// A 3×3 convolution (1 or 3 in time, all steps 1) of one clip by Winograd's method, and how it is cut into tasks: by its size alone.
struct WinogradConvolution: Sendable {
    let native: Shared<us_winograd>
    /// Rows of 2×2 tiles in all, and of one task.
    private let rows: Int, rowsPerTask: Int
    private let workByteCount: Int

    /// Whether the method applies to so many channels and such a kernel.
    static func applies(inChannels: Int, outChannels: Int, kernel: [Int]) -> Bool {
        kernel[1] == 3 && kernel[2] == 3 && (kernel[0] == 1 || kernel[0] == 3) && inChannels >= 16 && outChannels >= 16
    }

    /// Nil where the method does not apply, or, unless `isForced`, does not pay.
    init?(
        inChannels: Int, outChannels: Int, input: [Int], output: [Int], kernel: [Int], step: [Int] = [1, 1, 1],
        dilation: [Int] = [1, 1, 1], groups: Int = 1, padding: [Padding], isForced: Bool = false
    ) {
        guard Self.applies(inChannels: inChannels, outChannels: outChannels, kernel: kernel), step == [1, 1, 1], dilation == [1, 1, 1],
            groups == 1, isForced || output[1] >= 4 && output[1] * output[2] >= 64, padding[1].before <= 2, padding[2].before <= 2
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
            let form = transformed(weight)
            forms.append(form)
            return form
        }
    }

    /// The weights transformed.
    func transformed(_ weight: Tensor) -> WinogradWeights {
        var shape = native.pointer
        let form = WinogradWeights(byteCount: us_winograd_weight_bytes(&shape))
        let source = Shared(weight.pointer)
        withExtendedLifetime(weight) {
            Parallel.forEach(count: us_winograd_panels(&shape)) { panel in
                var shape = native.pointer
                us_winograd_pack(&shape, source.pointer, panel, form.memory)
            }
        }
        return form
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

/// The weight of a 3D convolution with steps of 1. Where Winograd's method applies, the plain numbers make way for the transformed ones on
/// first use, so that a large network is not held twice.
public final class ConvolutionWeight: Sendable {
    /// `[out, in, kt, kh, kw]`.
    public let shape: [Int]
    private enum Form: Sendable {
        case plain(Tensor)
        case transformed(WinogradWeights)
    }
    private let form: Mutex<Form>

    public init(_ tensor: Tensor) {
        precondition(tensor.rank == 5, "the weight of a 3D convolution has five dimensions, not \(tensor.shape)")
        shape = tensor.shape
        form = Mutex(.plain(tensor))
    }

    /// The plain numbers, if the weight is not for Winograd's method.
    fileprivate var plain: Tensor? {
        WinogradConvolution.applies(inChannels: shape[1], outChannels: shape[0], kernel: Array(shape[2...]))
            ? nil : form.withLock { if case .plain(let tensor) = $0 { tensor } else { nil } }
    }

    fileprivate func transformed(for convolution: WinogradConvolution) -> WinogradWeights {
        form.withLock { form in
            switch form {
            case .transformed(let weights): return weights
            case .plain(let tensor):
                let weights = convolution.transformed(tensor)
                form = .transformed(weights)
                return weights
            }
        }
    }
}

extension Tensor {
    /// A 3D convolution of one clip with steps of 1.
    ///
    /// - Returns: `[out, T', H', W']` for self `[in, T, H, W]`.
    public func conv3d(_ weight: ConvolutionWeight, _ bias: Tensor, padding: [Padding]) -> Tensor {
        if let plain = weight.plain { return conv3d(plain, bias, padding: padding) }
        let kernel = Array(weight.shape[2...])
        precondition(
            rank == 4 && shape[0] == weight.shape[1] && bias.count == weight.shape[0] && padding.count == 3,
            "a convolution with weight \(weight.shape) and a bias of \(bias.shape) cannot take input \(shape)")
        let output = (0..<3).map { shape[$0 + 1] + padding[$0].before + padding[$0].after - kernel[$0] + 1 }
        precondition(output.allSatisfy { $0 > 0 }, "a convolution with weight \(weight.shape) over \(shape) leaves nothing")
        guard
            let convolution = WinogradConvolution(
                inChannels: shape[0], outChannels: weight.shape[0], input: Array(shape[1...]), output: output, kernel: kernel,
                padding: padding, isForced: true)
        else { preconditionFailure("a border of \(padding) is wider than two") }
        let weights = weight.transformed(for: convolution)
        let source = Shared((x: pointer, bias: bias.pointer))
        return withExtendedLifetime((storage, bias)) {
            Tensor.filled([weight.shape[0]] + output) { out in
                Parallel.forEach(count: convolution.taskCount) {
                    convolution.run($0, source.pointer.x, weights, source.pointer.bias, into: out.pointer)
                }
            }
        }
    }
}
