public import Tensors

/// The small causal video autoencoder of the bundled model (`BlockVAE` in `Nodes/Train`).
///
/// Stride 8 in space and 4 in time like Wan's, but all work is done on the latent grid: a block of 4 frames × 8 × 8 pixels is one
/// column of 768 channels, in the order colour, frame, row, column. A linear path stands beside the network.
public struct BlockVAE: VideoAutoencoder {
    public struct Configuration: Decodable, Sendable {
        public var latentChannels: Int
        public var encoderChannels: Int
        public var encoderBlocks: Int
        public var decoderChannels: Int
        public var decoderBlocks: Int
        public var latentsMean: [Float]
        public var latentsStd: [Float]

        enum CodingKeys: String, CodingKey {
            case latentChannels = "z_dim"
            case encoderChannels = "encoder_dim"
            case encoderBlocks = "encoder_blocks"
            case decoderChannels = "decoder_dim"
            case decoderBlocks = "decoder_blocks"
            case latentsMean = "latents_mean"
            case latentsStd = "latents_std"
        }
    }

    public let configuration: Configuration
    public var latentChannels: Int { configuration.latentChannels }
    public let spatialStride = 8
    let encoder: Branch
    let decoder: Branch
    let mean: Tensor  // [z, 1, 1, 1]
    let std: Tensor

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let c: Configuration = try weights.configuration()
        guard (1...1024).contains(c.latentChannels), (1...4096).contains(c.encoderChannels), (1...4096).contains(c.decoderChannels),
            (0...64).contains(c.encoderBlocks), (0...64).contains(c.decoderBlocks), c.latentsMean.count == c.latentChannels,
            c.latentsStd.count == c.latentChannels, c.latentsStd.allSatisfy({ $0 > 0 && $0.isFinite })
        else { throw WeightError(path: weights.path, "config.json: sizes of a BlockVAE out of range") }
        configuration = c
        encoder = Branch(
            weights.scope("encoder"), inputs: 768, channels: c.encoderChannels, outputs: c.latentChannels, blocks: c.encoderBlocks,
            kernel: [1, 1, 1])
        decoder = Branch(
            weights.scope("decoder"), inputs: c.latentChannels, channels: c.decoderChannels, outputs: 768, blocks: c.decoderBlocks,
            kernel: [3, 3, 3])
        mean = Tensor(c.latentsMean, [c.latentChannels, 1, 1, 1])
        std = Tensor(c.latentsStd, [c.latentChannels, 1, 1, 1])
        try weights.finish()
    }

    public func makeEncoder() -> any LatentEncoder { Encoder(model: self) }
    public func makeDecoder() -> any FrameDecoder { Decoder(model: self) }

    /// One half: direct(x) + out(silu(norm(blocks(embed(x))))).
    struct Branch: Sendable {
        let direct: CausalConv3d
        let embed: CausalConv3d
        let blocks: [ResidualConv]
        let norm: Tensor
        let out: CausalConv3d

        init(_ weights: WeightScope, inputs: Int, channels: Int, outputs: Int, blocks: Int, kernel: [Int]) {
            direct = CausalConv3d(weights.scope("direct"), inputs, outputs, kernel)
            embed = CausalConv3d(weights.scope("embed"), inputs, channels, kernel)
            self.blocks = (0..<blocks).map { ResidualConv(weights.scope("blocks", $0), channels) }
            norm = weights.tensor("norm_out.gamma", shape: [channels])
            out = CausalConv3d(weights.scope("out"), channels, outputs, [1, 1, 1])
        }

        /// - Parameter x: `[inputs, T, h, w]`.
        /// - Returns: `[outputs, T, h, w]`.
        func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
            var y = embed(x, &memory)
            for block in blocks { y = block(y, &memory) }
            return direct(x, &memory) + out(y.channelNorm(norm, silu: true), &memory)
        }
    }

    /// x + conv(silu(norm(x))), causal.
    struct ResidualConv: Sendable {
        let norm: Tensor
        let conv: CausalConv3d

        init(_ weights: WeightScope, _ channels: Int) {
            norm = weights.tensor("norm.gamma", shape: [channels])
            conv = CausalConv3d(weights.scope("conv"), channels, channels)
        }

        func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
            x + conv(x.channelNorm(norm, silu: true), &memory)
        }
    }

    private struct Encoder: LatentEncoder {
        let model: BlockVAE
        var memory = CausalMemory()
        /// Frames that do not fill a block yet, `[3, 0 ..< 4, H, W]`.
        var pending: Tensor?

        mutating func encode(_ frames: Tensor) -> Tensor? {
            precondition(
                frames.rank == 4 && frames.shape[0] == 3 && frames.shape[2] % 8 == 0 && frames.shape[3] % 8 == 0,
                "frames [3, T, H, W] with sides that are multiples of 8 are needed, not \(frames.shape)")
            var all = Tensor.concatenated((pending.map { [$0] } ?? []) + [frames], 1)
            if memory.isFirstChunk, all.shape[1] > 0 {
                // Frame 0 is coded as if the clip had stood still before it.
                let first = all.sliced(1, 0..<1)
                all = Tensor.concatenated([first, first, first, all], 1)
                memory.isFirstChunk = false
            }
            let whole = all.shape[1] / 4 * 4
            pending = whole < all.shape[1] ? all.sliced(1, whole..<all.shape[1]) : nil
            guard whole > 0 else { return nil }
            let blocks = BlockVAE.blocks(of: all.sliced(1, 0..<whole))
            return (model.encoder(blocks, &memory) - model.mean) / model.std
        }
    }

    private struct Decoder: FrameDecoder {
        let model: BlockVAE
        var memory = CausalMemory()

        mutating func decode(_ latent: Tensor) -> Tensor {
            precondition(
                latent.rank == 4 && latent.shape[0] == model.latentChannels && latent.shape[1] == 1,
                "one latent frame [\(model.latentChannels), 1, h, w] is needed, not \(latent.shape)")
            let frames = BlockVAE.frames(of: model.decoder(latent * model.std + model.mean, &memory)).clamped(-1...1)
            defer { memory.isFirstChunk = false }
            return memory.isFirstChunk ? frames.sliced(1, 3..<4) : frames
        }
    }

    /// `[3, 4T, H, W]` → `[768, T, H/8, W/8]`.
    static func blocks(of frames: Tensor) -> Tensor {
        let (T, H, W) = (frames.shape[1], frames.shape[2], frames.shape[3])
        return frames.reshaped(3, T / 4, 4, H / 8, 8, W / 8, 8)
            .permuted(0, 2, 4, 6, 1, 3, 5)  // [colour, frame, row, column, T, h, w]
            .reshaped(768, T / 4, H / 8, W / 8)
    }

    /// `[768, T, h, w]` → `[3, 4T, 8h, 8w]`.
    static func frames(of blocks: Tensor) -> Tensor {
        let (T, h, w) = (blocks.shape[1], blocks.shape[2], blocks.shape[3])
        return blocks.reshaped(3, 4, 8, 8, T, h, w)
            .permuted(0, 4, 1, 5, 2, 6, 3)  // [colour, T, frame, h, row, w, column]
            .reshaped(3, T * 4, h * 8, w * 8)
    }
}
