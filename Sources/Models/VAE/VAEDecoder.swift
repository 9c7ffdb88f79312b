import Tensors

/// Latents to frames, one latent frame at a time: the first makes one frame, every later one four.
struct VAEDecoder: Sendable {
    let convIn: CausalConv3d
    let mid: VAEMidBlock
    let levels: [VAEUpLevel]
    let normOut: Tensor
    let convOut: CausalConv3d

    init(_ weights: WeightScope, _ configuration: VAEConfiguration) {
        let sizes = configuration.decoderLevels
        convIn = CausalConv3d(weights.scope("conv_in"), configuration.latentChannels, sizes[0].0)
        mid = VAEMidBlock(weights.scope("mid_block"), sizes[0].0)
        levels = sizes.enumerated().map { level, size in
            let isLast = level == sizes.count - 1
            return VAEUpLevel(
                weights.scope("up_blocks", level),
                // In Wan 2.1 upsampling halves the channels on the way to the next level.
                level > 0 && !configuration.isResidual ? size.0 / 2 : size.0, size.1, blocks: configuration.residualBlocks + 1,
                space: !isLast, time: !isLast && configuration.temporalDownsample[sizes.count - 2 - level],
                isResidual: configuration.isResidual)
        }
        let channels = sizes[sizes.count - 1].1
        normOut = weights.tensor("norm_out.gamma", shape: [channels, 1, 1, 1])
        convOut = CausalConv3d(weights.scope("conv_out"), channels, configuration.outChannels)
    }

    /// - Parameter z: `[z, 1, h, w]`.
    /// - Returns: `[channels, 1 or 4, H, W]`.
    func callAsFunction(_ z: Tensor, _ memory: inout CausalMemory) -> Tensor {
        defer { memory.isFirstChunk = false }
        var x = mid(convIn(z, &memory), &memory)
        let flat = levels.lastIndex { $0.upsample?.time != nil }.map { $0 + 1 } ?? 0
        for level in levels[..<flat] { x = level(x, &memory) }
        // Where time grows no more, frames pass one by one: the largest pictures are never held four times.
        let frames = (0..<x.shape[1]).map { frame -> Tensor in
            var y = x.sliced(1, frame..<(frame + 1))
            for level in levels[flat...] { y = level(y, &memory) }
            return convOut(y, norm: normOut, &memory)
        }
        return Tensor.concatenated(frames, 1)
    }
}

/// One level of the decoder.
struct VAEUpLevel: Sendable {
    let blocks: [VAEResidualBlock]
    let upsample: VAEUpsample?
    /// Only in Wan 2.2.
    let shortcut: DuplicateUp3D?

    init(
        _ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, blocks count: Int, space: Bool, time: Bool,
        isResidual: Bool
    ) {
        blocks = (0..<count).map {
            VAEResidualBlock(weights.scope("resnets", $0), $0 == 0 ? inChannels : outChannels, outChannels)
        }
        upsample = space
            ? VAEUpsample(
                weights.scope(isResidual ? "upsampler" : "upsamplers.0"), outChannels,
                isResidual ? outChannels : outChannels / 2, time: time)
            : nil
        shortcut = isResidual && space ? DuplicateUp3D(outChannels: outChannels, time: time ? 2 : 1, space: 2) : nil
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        var y = x
        for block in blocks { y = block(y, &memory) }
        if let upsample { y = upsample(y, &memory) }
        if let shortcut { y = y + shortcut(x, isFirstChunk: memory.isFirstChunk) }
        return y
    }
}
