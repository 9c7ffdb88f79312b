import Tensors

/// What the causal layers remember from one chunk of frames to the next, under the name of each layer.
struct CausalMemory: Sendable {
    /// Whether no chunk has passed yet.
    var isFirstChunk = true
    var frames: [String: Tensor] = [:]
}

/// A 3D convolution that sees no frame after its own: time is padded on the left alone, with the last two input frames of
/// the chunk before (zeros for the first).
struct CausalConv3d: Sendable {
    let name: String
    let weight: Tensor  // [out, in, kt, kh, kw]
    let bias: Tensor  // [out]

    init(_ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, _ kernel: [Int] = [3, 3, 3]) {
        name = weights.prefix
        weight = weights.tensor("weight", shape: [outChannels, inChannels] + kernel)
        bias = weights.tensor("bias", shape: [outChannels])
    }

    /// - Parameter x: `[in, T, H, W]`.
    /// - Returns: `[out, T, H, W]`.
    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        let reach = weight.shape[2] - 1
        let (kh, kw) = (weight.shape[3] / 2, weight.shape[4] / 2)
        guard reach > 0 else { return x.conv3d(weight, bias, padding: [0, Padding(kh, kh), Padding(kw, kw)]) }
        let before = memory.frames[name]
        let joined = Tensor.concatenated((before.map { [$0] } ?? []) + [x], 1)
        let length = joined.shape[1]
        memory.frames[name] = joined.sliced(1, max(0, length - reach)..<length)
        let missing = reach - (before?.shape[1] ?? 0)
        return joined.conv3d(weight, bias, padding: [Padding(missing, 0), Padding(kh, kh), Padding(kw, kw)])
    }
}
