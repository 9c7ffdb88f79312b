import CKernels
import Locking

/// Sizes and layout of one piece of a convolution, over (time, height, width).
struct ConvolutionShape: Hashable, Sendable {
    var groups: Int, inChannels: Int, outChannels: Int
    var input: [Int], output: [Int], kernel: [Int], step: [Int], dilation: [Int]
    var padLow: [Int], padHigh: [Int]
    /// Elements between channels, frames and rows.
    var inputStrides: [Int], outputStrides: [Int]
    var hasBias: Bool

    fileprivate var native: us_conv_shape {
        func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
        return us_conv_shape(
            groups: Int64(groups), in_channels: Int64(inChannels), out_channels: Int64(outChannels), in: triple(input),
            out: triple(output), kernel: triple(kernel), step: triple(step), dilation: triple(dilation),
            pad_low: triple(padLow), pad_high: triple(padHigh), in_strides: triple(inputStrides),
            out_strides: triple(outputStrides), has_bias: hasBias ? 1 : 0)
    }
}

/// A convolution of one shape, compiled by oneDNN.
///
/// `@unchecked Sendable`: the plan is immutable; every run brings its own work memory.
final class ConvolutionPlan: @unchecked Sendable {
    private let native: OpaquePointer
    private let workByteCount: Int
    fileprivate let weightByteCount: Int

    private static let plans = Locked<[ConvolutionShape: ConvolutionPlan]>([:])

    /// The plan of a shape, made on first use.
    static func plan(_ shape: ConvolutionShape) -> ConvolutionPlan {
        if let known = plans.withLock({ $0[shape] }) { return known }
        let made = ConvolutionPlan(shape)
        plans.withLock { plans in
            if plans.count >= 1024 { plans.removeAll() }
            plans[shape] = made
        }
        return made
    }

    private init(_ shape: ConvolutionShape) {
        var layout = shape.native
        var message = [CChar](repeating: 0, count: 160)
        guard let native = us_conv_create(&layout, &message) else {
            let text = message.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            fatalError("a convolution of \(shape) cannot be planned: \(text)")
        }
        self.native = native
        workByteCount = us_conv_workspace_bytes(native)
        weightByteCount = us_conv_weight_bytes(native)
    }

    deinit { us_conv_destroy(native) }

    /// The name that oneDNN gives to the code it chose.
    var implementation: String { String(cString: us_conv_implementation(native)) }

    /// Weights in the order this plan reads, kept with the tensor.
    func packed(_ weight: Tensor) -> PackedWeights {
        weight.storage.derived.withLock { forms in
            for case let form as PackedWeights in forms where us_conv_same_weights(form.plan.native, native) {
                return form
            }
            let memory = AlignedMemory.allocate(byteCount: weightByteCount)
            let status = us_conv_pack(native, weight.pointer, memory)
            precondition(status == 0, "oneDNN could not pack weights of shape \(weight.shape) (status \(status))")
            let form = PackedWeights(plan: self, memory: memory)
            forms.append(form)
            return form
        }
    }

    func run(
        _ source: UnsafePointer<Float>, _ weights: PackedWeights, _ bias: UnsafePointer<Float>?,
        into target: UnsafeMutablePointer<Float>
    ) {
        let status = WorkMemory.shared.lend(byteCount: workByteCount) {
            us_conv_run(native, source, weights.memory, bias, target, $0)
        }
        precondition(status == 0, "oneDNN could not run a convolution (status \(status))")
    }
}

/// Weights packed for a plan.
///
/// `@unchecked Sendable`: the memory is written before anyone else sees it, and read-only after that.
final class PackedWeights: DerivedForm, @unchecked Sendable {
    let plan: ConvolutionPlan
    let memory: UnsafeMutableRawPointer

    init(plan: ConvolutionPlan, memory: UnsafeMutableRawPointer) {
        self.plan = plan
        self.memory = memory
    }

    deinit { AlignedMemory.release(memory, byteCount: plan.weightByteCount) }
}
