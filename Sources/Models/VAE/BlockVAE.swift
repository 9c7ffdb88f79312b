public import Tensors

/// The small causal video autoencoder of the bundled actor model.
///
/// Stride 8 in space and 4 in time as ``AutoencoderKLWan``, but all work is done on the latent grid: a block of 4 frames × 8 × 8
/// pixels becomes one column of 768 channels at once. A linear path stands beside the network. Frame 0 is coded as if the clip
/// had stood still before it, and decoded from the last of the four time slots.
public struct BlockVAE: Sendable {
    public struct Configuration: Decodable, Sendable {
        public var latentChannels: Int
        public var encoderDim: Int
        public var encoderBlocks: Int
        public var decoderDim: Int
        public var decoderBlocks: Int
        public var latentsMean: [Float]
        public var latentsStd: [Float]

        enum CodingKeys: String, CodingKey {
            case latentChannels = "z_dim"
            case encoderDim = "encoder_dim"
            case encoderBlocks = "encoder_blocks"
            case decoderDim = "decoder_dim"
            case decoderBlocks = "decoder_blocks"
            case latentsMean = "latents_mean"
            case latentsStd = "latents_std"
        }
    }

    static let side = 8
    static let time = 4
    static let column = 3 * time * side * side

    public let configuration: Configuration
    let encoder, decoder: Half
    let mean, std: Tensor  // [z, 1, 1, 1]

    /// The linear path and the network beside it.
    struct Half: Sendable {
        let direct, embed: CausalConv3d
        let blocks: [ResidualCausalConv]
        let normOut: Tensor
        let out: CausalConv3d

        init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int, width: Int, blocks count: Int, kernel: Int) {
            let size = [kernel, kernel, kernel]
            direct = CausalConv3d(weights.scope("direct"), inputs, outputs, size)
            embed = CausalConv3d(weights.scope("embed"), inputs, width, size)
            blocks = (0..<count).map { ResidualCausalConv(weights.scope("blocks", $0), width) }
            normOut = weights.tensor("norm_out.gamma", shape: [width])
            out = CausalConv3d(weights.scope("out"), width, outputs, [1, 1, 1])
        }

        func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {  // [inputs, 1, h, w]
            var y = embed(x, &memory)
            for block in blocks { y = block(y, &memory) }
            let network = out(y.channelNorm(normOut, silu: true), &memory)
            return direct(x, &memory) + network
        }
    }

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: Configuration = try weights.configuration()
        let z = c.latentChannels
        guard [z, c.encoderDim, c.decoderDim].allSatisfy({ $0 > 0 }), (0...256).contains(c.encoderBlocks),
            (0...256).contains(c.decoderBlocks), c.latentsMean.count == z, c.latentsStd.count == z,
            c.latentsStd.allSatisfy({ $0 > 0 })
        else {
            throw WeightError(
                path: weights.path,
                "config.json: sizes must be positive, and latents_mean and latents_std have z_dim values, the latter positive"
            )
        }
        configuration = c
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        encoder = Half(
            root.scope("encoder"), Self.column, z, width: c.encoderDim, blocks: c.encoderBlocks, kernel: 1)
        decoder = Half(
            root.scope("decoder"), z, Self.column, width: c.decoderDim, blocks: c.decoderBlocks, kernel: 3)
        mean = Tensor(c.latentsMean, [z, 1, 1, 1])
        std = Tensor(c.latentsStd, [z, 1, 1, 1])
        try weights.finish(under: prefix)
    }

    /// `[3, 1 or 4, H, W]` → a standardised latent frame `[z, 1, H/8, W/8]`.
    func encode(_ frames: Tensor, _ memory: inout CausalMemory) -> Tensor {
        let x = frames.shape[1] == 1 ? Tensor.concatenated([frames, frames, frames, frames], 1) : frames
        let (h, w) = (x.shape[2] / Self.side, x.shape[3] / Self.side)
        // Channel order of a column: colour, frame, row, column.
        let blocks = x.reshaped(3, Self.time, h, Self.side, w, Self.side).permuted(0, 1, 3, 5, 2, 4)
        let latent = encoder(blocks.reshaped(Self.column, 1, h, w), &memory)
        memory.isFirstChunk = false
        return (latent - mean) / std
    }

    /// A standardised latent frame `[z, 1, h, w]` → `[3, 1 or 4, 8·h, 8·w]` in −1 … 1.
    func decode(_ latent: Tensor, _ memory: inout CausalMemory) -> Tensor {
        let (h, w) = (latent.shape[2], latent.shape[3])
        let blocks = decoder(latent * std + mean, &memory)
        let frames = blocks.reshaped(3, Self.time, Self.side, Self.side, h, w).permuted(0, 1, 4, 2, 5, 3)
            .reshaped(3, Self.time, h * Self.side, w * Self.side).clamped(-1...1)
        defer { memory.isFirstChunk = false }
        return memory.isFirstChunk ? frames.sliced(1, (Self.time - 1)..<Self.time) : frames
    }
}
