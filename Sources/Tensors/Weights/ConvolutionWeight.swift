import CKernels
import Locking

/// The weight of a 3D convolution with steps of 1, `[out, in, kt, kh, kw]`.
///
/// Where Winograd's method applies the numbers are transformed: small weights once, and the plain ones make way; large ones (a transformed
/// weight takes 16/9 of its memory) anew for each use, which costs little beside the convolution.
public final class ConvolutionWeight: Sendable {
    public let shape: [Int]
    /// Whether convolutions with this weight take ``ClipFrame``s.
    public let takesFrames: Bool
    /// Whether what is multiplied may be rounded to bf16.
    fileprivate let multipliesRounded: Bool
    private enum Form: Sendable {
        case plain(Tensor)
        case rounded(TensorStorage)
        case transformed(WinogradWeights)
    }
    private let form: Locked<Form>
    /// Transformed weights of more bytes are not kept.
    private static let kept = 8 << 20

    /// - Parameters:
    ///   - precision: With any but f32, a weight that Winograd's method takes is rounded to bf16, in half the memory.
    ///   - multipliesExactly: Whether products are of single precision then, too. Otherwise what is multiplied is rounded after the transforms,
    ///     where the processor multiplies bf16: twice as fast.
    public init(_ tensor: Tensor, _ precision: Precision = .f32, multipliesExactly: Bool = false) {
        precondition(tensor.rank == 5, "the weight of a 3D convolution has five dimensions, not \(tensor.shape)")
        shape = tensor.shape
        takesFrames = WinogradConvolution.applies(inChannels: shape[1], kernel: Array(shape[2...]))
        multipliesRounded = takesFrames && precision != .f32 && !multipliesExactly
        form = Locked(takesFrames && precision != .f32 ? .rounded(LinearWeight.rounded(tensor)) : .plain(tensor))
    }

    /// The plain numbers, if the weight is not for Winograd's method.
    var plain: Tensor? { takesFrames ? nil : form.withLock { if case .plain(let tensor) = $0 { tensor } else { nil } } }

    func transformed(for convolution: WinogradConvolution) -> WinogradWeights {
        let isKept = convolution.weightByteCount <= Self.kept
        func made(_ form: Form) -> WinogradWeights {
            switch form {
            case .plain(let tensor): convolution.transformed(tensor.storage, isRounded: false)
            case .rounded(let storage): convolution.transformed(storage, isRounded: true)
            case .transformed(let weights): weights
            }
        }
        guard isKept else { return made(form.withLock { $0 }) }
        return form.withLock { form in
            let weights = made(form)
            form = .transformed(weights)
            return weights
        }
    }
}

/// One frame that a convolution reads, `[channels, height, width]`, in single precision or rounded to bf16.
public struct ClipFrame: Sendable {
    /// `[channels, height, width]`.
    public let shape: [Int]
    fileprivate let storage: TensorStorage
    /// Numbers before the first pixel, and from one channel to the next.
    fileprivate let offset: Int, stride: Int
    fileprivate let isRounded: Bool

    /// Bytes that the numbers take.
    package var byteCount: Int { shape.reduce(isRounded ? 2 : 4, *) }

    fileprivate var native: us_frame {
        let pixels = isRounded
            ? UnsafeRawPointer(UnsafeRawPointer(storage.base).assumingMemoryBound(to: UInt16.self) + offset)
            : UnsafeRawPointer(storage.base + offset)
        return us_frame(pixels: pixels, stride: stride, bf16: isRounded)
    }
}

extension Tensor {
    /// The frames of a clip `[C, T, H, W]`; they share its memory.
    public var clipFrames: [ClipFrame] {
        precondition(rank == 4, "a clip [C, T, H, W] is needed, not \(shape)")
        let plane = shape[2] * shape[3]
        return (0..<shape[1]).map {
            ClipFrame(
                shape: [shape[0], shape[2], shape[3]], storage: storage, offset: $0 * plane, stride: shape[1] * plane, isRounded: false)
        }
    }

    /// ``channelNorm(_:silu:)`` of a clip `[C, T, H, W]`, each frame in memory of its own.
    ///
    /// - Parameter isRounded: Whether the results are rounded to bf16, in half the memory.
    public func channelNormFrames(_ gamma: Tensor, silu: Bool, isRounded: Bool) -> [ClipFrame] {
        precondition(
            rank == 4 && gamma.count == shape[0], "a channel norm of shape \(shape) cannot take a gamma of \(gamma.shape)")
        let (channels, count, plane) = (shape[0], shape[1], shape[2] * shape[3])
        let frames = (0..<count).map { _ in
            ClipFrame(
                shape: [channels, shape[2], shape[3]],
                storage: TensorStorage(uninitialized: isRounded ? (channels * plane + 1) / 2 : channels * plane), offset: 0, stride: plane,
                isRounded: isRounded)
        }
        // Rounded numbers pass through work memory, which is to stay in the cache.
        let length = isRounded ? 256 : 1024, pieces = (plane + length - 1) / length
        let source = Shared((x: pointer, gamma: gamma.pointer))
        withExtendedLifetime((storage, gamma)) {
            Parallel.forEach(count: count * pieces) { index in
                let frame = index / pieces, start = index % pieces * length, positions = min(length, plane - start)
                let x = source.pointer.x + frame * plane + start, target = frames[frame].storage.base
                WorkMemory.shared.lendFloats(isRounded ? (channels + 1) * length : length) { work in
                    guard isRounded else {
                        return us_channel_norm(
                            target + start, plane, x, count * plane, source.pointer.gamma, 1e-12, channels, positions, silu, work)
                    }
                    let values = work + length
                    us_channel_norm(values, length, x, count * plane, source.pointer.gamma, 1e-12, channels, positions, silu, work)
                    let halves = UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt16.self)
                    for channel in 0..<channels {
                        us_f32_to_bf16(halves + channel * plane + start, values + channel * length, positions)
                    }
                }
            }
        }
        return frames
    }

    /// A 3D convolution of one clip with steps of 1.
    ///
    /// - Returns: `[out, T', H', W']` for self `[in, T, H, W]`.
    public func conv3d(_ weight: ConvolutionWeight, _ bias: Tensor, padding: [Padding]) -> Tensor {
        if let plain = weight.plain { return conv3d(plain, bias, padding: padding) }
        precondition(rank == 4 && shape[1] > 0, "a clip [C, T, H, W] is needed, not \(shape)")
        return Tensor.conv3d(clipFrames, weight, bias, padding: padding)
    }

    /// A 3D convolution of frames with steps of 1; the weight takes frames.
    ///
    /// - Parameters:
    ///   - padding: For time, height and width; at most two zeros before height and width.
    ///   - isDoubled: Whether height and width of the frames are doubled first, nearest neighbour.
    /// - Returns: `[out, T', H', W']`.
    public static func conv3d(
        _ frames: [ClipFrame], _ weight: ConvolutionWeight, _ bias: Tensor, padding: [Padding], isDoubled: Bool = false
    ) -> Tensor {
        let kernel = Array(weight.shape[2...]), first = frames.first?.shape ?? []
        precondition(
            weight.takesFrames && first.first == weight.shape[1] && frames.allSatisfy { $0.shape == first }
                && bias.count == weight.shape[0] && padding.count == 3 && padding[1].before <= 2 && padding[2].before <= 2,
            "a convolution with weight \(weight.shape), a bias of \(bias.shape) and a border of \(padding) cannot take frames \(first)")
        let scale = isDoubled ? 2 : 1
        let input = [frames.count, first[1] * scale, first[2] * scale]
        let output = (0..<3).map { input[$0] + padding[$0].before + padding[$0].after - kernel[$0] + 1 }
        precondition(output.allSatisfy { $0 > 0 }, "a convolution with weight \(weight.shape) over \(input) leaves nothing")
        let convolution = WinogradConvolution(
            inChannels: first[0], outChannels: weight.shape[0], input: input, output: output, time: kernel[0], padding: padding,
            isDoubled: isDoubled, isRounded: weight.multipliesRounded)
        let weights = weight.transformed(for: convolution)
        let source = Shared(frames.map(\.native)), offsets = Shared(bias.pointer)
        return withExtendedLifetime((frames, bias)) {
            Tensor.filled([weight.shape[0]] + output) { out in
                Parallel.forEach(count: convolution.taskCount) {
                    convolution.run($0, source, weights, offsets.pointer, into: out.pointer)
                }
            }
        }
    }
}

extension [ClipFrame] {
    /// The last frames, to be remembered; memory that holds more than twice as much is not kept for them.
    public func last(_ count: Int) -> [ClipFrame] {
        suffix(count).map { frame in
            let size = frame.shape.reduce(1, *)
            guard !frame.isRounded, frame.storage.count > 2 * size else { return frame }
            let plane = frame.shape[1] * frame.shape[2]
            let copy = TensorStorage(uninitialized: size)
            for channel in 0..<frame.shape[0] {
                (copy.base + channel * plane).update(from: frame.storage.base + frame.offset + channel * frame.stride, count: plane)
            }
            return ClipFrame(shape: frame.shape, storage: copy, offset: 0, stride: plane, isRounded: false)
        }
    }
}
