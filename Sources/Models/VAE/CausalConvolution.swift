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
    let weight: ConvolutionWeight  // [out, in, kt, kh, kw]
    let bias: Tensor  // [out]

    init(_ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, _ kernel: [Int] = [3, 3, 3]) {
        name = weights.prefix
        weight = ConvolutionWeight(weights.tensor("weight", shape: [outChannels, inChannels] + kernel))
        bias = weights.tensor("bias", shape: [outChannels])
    }

    /// - Parameter x: `[in, T, H, W]`.
    /// - Returns: `[out, T, H, W]`.
    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        guard weight.shape[2] > 1 else { return convolved(x, known: 0, &memory) }
        let before = memory.frames.removeValue(forKey: name)
        return convolved(Tensor.concatenated((before.map { [$0] } ?? []) + [x], 1), known: before?.shape[1] ?? 0, &memory)
    }

    /// The convolution of silu(norm x), without a copy of its own for joining it to the frames before.
    func callAsFunction(_ x: Tensor, norm gamma: Tensor, _ memory: inout CausalMemory) -> Tensor {
        let before = memory.frames.removeValue(forKey: name)
        return convolved(x.channelNorm(gamma, silu: true, after: before), known: before?.shape[1] ?? 0, &memory)
    }

    /// - Parameter joined: The remembered frames, `known` of them, and then the new ones.
    private func convolved(_ joined: Tensor, known: Int, _ memory: inout CausalMemory) -> Tensor {
        let reach = weight.shape[2] - 1
        let length = joined.shape[1]
        if reach > 0 { memory.frames[name] = joined.sliced(1, max(0, length - reach)..<length) }
        let border = weight.shape[3] / 2, side = weight.shape[4] / 2
        return joined.conv3d(weight, bias, padding: [Padding(reach - known, 0), Padding(border, border), Padding(side, side)])
    }
}
