import Tensors

/// What the causal layers remember from one chunk of frames to the next, under the name of each layer.
struct CausalMemory: Sendable {
    /// Whether more chunks may follow; if not, such as with a picture, nothing is remembered.
    let isKept: Bool
    /// Whether no chunk has passed yet.
    var isFirstChunk = true
    /// `[channels, frames, H, W]`.
    var frames: [String: Tensor] = [:]
    /// What layers remember that take frames one by one.
    var clips: [String: [ClipFrame]] = [:]

    init(isKept: Bool = true) { self.isKept = isKept }
}

/// A 3D convolution that sees no frame after its own: time is padded on the left alone, with the last two input frames of
/// the chunk before (zeros for the first).
struct CausalConv3d: Sendable {
    let name: String
    let weight: ConvolutionWeight  // [out, in, kt, kh, kw]
    let bias: Tensor  // [out]

    /// Whether what the layer reads and remembers is rounded to bf16.
    private let isRounded: Bool

    init(_ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, _ kernel: [Int] = [3, 3, 3]) {
        name = weights.prefix
        weight = ConvolutionWeight(
            weights.tensor("weight", shape: [outChannels, inChannels] + kernel), weights.store.precision,
            multipliesExactly: weights.multipliesExactly)
        bias = weights.tensor("bias", shape: [outChannels])
        isRounded = weights.store.precision != .f32
    }

    /// - Parameter x: `[in, T, H, W]`.
    /// - Returns: `[out, T, H, W]`.
    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        if weight.takesFrames { return convolved(x.clipFrames, &memory) }
        let reach = weight.shape[2] - 1
        guard reach > 0 else { return x.conv3d(weight, bias, padding: padding(known: 0)) }
        let before = memory.frames.removeValue(forKey: name)
        let joined = before.map { Tensor.concatenated([$0, x], 1) } ?? x
        if memory.isKept { memory.frames[name] = joined.sliced(1, max(0, joined.shape[1] - reach)..<joined.shape[1]) }
        return joined.conv3d(weight, bias, padding: padding(known: before?.shape[1] ?? 0))
    }

    /// The convolution of silu(norm x).
    func callAsFunction(_ x: consuming Tensor, norm gamma: Tensor, _ memory: inout CausalMemory) -> Tensor {
        guard weight.takesFrames else { return self(x.channelNorm(gamma, silu: true), &memory) }
        let frames = x.channelNormFrames(gamma, silu: true, isRounded: isRounded)
        _ = consume x  // may be freed before the result takes memory
        return convolved(frames, &memory)
    }

    /// The convolution of the frames that the layer remembers and those given; none of them is copied.
    private func convolved(_ frames: [ClipFrame], _ memory: inout CausalMemory) -> Tensor {
        let reach = weight.shape[2] - 1
        let before = memory.clips.removeValue(forKey: name) ?? []
        let all = before + frames
        if reach > 0, memory.isKept { memory.clips[name] = all.last(reach) }
        return Tensor.conv3d(all, weight, bias, padding: padding(known: before.count))
    }

    private func padding(known: Int) -> [Padding] {
        let (time, border, side) = (weight.shape[2] - 1, weight.shape[3] / 2, weight.shape[4] / 2)
        return [Padding(time - known, 0), Padding(border, border), Padding(side, side)]
    }
}
