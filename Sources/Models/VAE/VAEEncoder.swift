import Tensors

/// Frames to moments of the latent distribution, one causal chunk at a time.
struct VAEEncoder: Sendable {
    /// One level of the encoder, or a part of it: in Wan 2.1 the published file counts blocks one by one.
    private enum Step: Sendable {
        case residual(VAEResidualBlock)
        case attention(VAEAttentionBlock)
        case down(VAEDownsample)
        case level(VAEDownLevel)
    }

    let convIn: CausalConv3d
    private let steps: [Step]
    /// How many steps come before time is halved.
    private let flat: Int
    let mid: VAEMidBlock
    let normOut: Tensor
    let convOut: CausalConv3d

    init(_ weights: WeightScope, _ configuration: VAEConfiguration) {
        // Latents of single pictures would be farther from those of single precision than PyTorch's in bf16 are.
        var weights = weights
        weights.multipliesExactly = true
        let levels = configuration.encoderLevels
        convIn = CausalConv3d(weights.scope("conv_in"), configuration.inChannels, levels[0].0)
        var steps: [Step] = []
        var flat: Int?
        var scale = 1.0
        for (level, (inChannels, outChannels)) in levels.enumerated() {
            let isLast = level == levels.count - 1
            let halvesTime = !isLast && configuration.temporalDownsample[level]
            if configuration.isResidual {
                if halvesTime { flat = flat ?? steps.count }
                steps.append(.level(VAEDownLevel(
                    weights.scope("down_blocks", level), inChannels, outChannels, blocks: configuration.residualBlocks,
                    space: !isLast, time: halvesTime)))
                continue
            }
            for block in 0..<configuration.residualBlocks {
                let first = block == 0 ? inChannels : outChannels
                steps.append(.residual(VAEResidualBlock(weights.scope("down_blocks", steps.count), first, outChannels)))
                if configuration.attentionScales.contains(scale) {
                    steps.append(.attention(VAEAttentionBlock(weights.scope("down_blocks", steps.count), outChannels)))
                }
            }
            if !isLast {
                if halvesTime { flat = flat ?? steps.count }
                steps.append(.down(VAEDownsample(weights.scope("down_blocks", steps.count), outChannels, time: halvesTime)))
                scale /= 2
            }
        }
        self.steps = steps
        self.flat = flat ?? steps.count
        let channels = levels[levels.count - 1].1
        mid = VAEMidBlock(weights.scope("mid_block"), channels)
        normOut = weights.tensor("norm_out.gamma", shape: [channels, 1, 1, 1])
        convOut = CausalConv3d(weights.scope("conv_out"), channels, 2 * configuration.latentChannels)
    }

    /// - Parameter x: `[channels, T, H, W]`: the first frame alone, then four at a time.
    /// - Returns: `[2·z, 1, h, w]`.
    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        defer { memory.isFirstChunk = false }
        // Before time is halved, frames pass one by one: the largest pictures are never held four times.
        let frames = (0..<x.shape[1]).map { frame -> Tensor in
            var y = convIn(x.sliced(1, frame..<(frame + 1)), &memory)
            for step in steps[..<flat] { y = passed(y, through: step, &memory) }
            return y
        }
        var y = Tensor.concatenated(frames, 1)
        for step in steps[flat...] { y = passed(y, through: step, &memory) }
        return convOut(mid(y, &memory).channelNorm(normOut, silu: true), &memory)
    }

    private func passed(_ x: Tensor, through step: Step, _ memory: inout CausalMemory) -> Tensor {
        switch step {
        case .residual(let block): block(x, &memory)
        case .attention(let block): block(x)
        case .down(let down): down(x, &memory)
        case .level(let level): level(x, &memory)
        }
    }
}

/// One level of the Wan 2.2 encoder.
struct VAEDownLevel: Sendable {
    let shortcut: AverageDown3D
    let blocks: [VAEResidualBlock]
    let downsample: VAEDownsample?

    init(_ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, blocks count: Int, space: Bool, time: Bool) {
        shortcut = AverageDown3D(outChannels: outChannels, time: time ? 2 : 1, space: space ? 2 : 1)
        blocks = (0..<count).map {
            VAEResidualBlock(weights.scope("resnets", $0), $0 == 0 ? inChannels : outChannels, outChannels)
        }
        downsample = space ? VAEDownsample(weights.scope("downsampler"), outChannels, time: time) : nil
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        var y = x
        for block in blocks { y = block(y, &memory) }
        if let downsample { y = downsample(y, &memory) }
        return y + shortcut(x)
    }
}
