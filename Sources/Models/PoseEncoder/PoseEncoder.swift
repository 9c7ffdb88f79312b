public import Tensors

/// Skeleton and head sphere maps → pose features on the latent grid (METHOD §2, «Pose encoder»).
///
/// A causal stack of 3D convolutions, stride 8 in space and 4 in time: feature frame 0 codes map frame 0, every later one four.
/// ``stream()`` takes maps as they come; memory does not grow with the clip.
public struct PoseEncoder: Sendable {
    public struct Configuration: Decodable, Sendable {
        public var inChannels: Int
        public var channels: [Int]
        public var outChannels: Int

        enum CodingKeys: String, CodingKey {
            case inChannels = "in_channels"
            case channels
            case outChannels = "out_channels"
        }
    }

    struct Stage: Sendable {
        let residual: ResidualCausalConv
        let down: HalvingCausalConv
    }

    public let configuration: Configuration
    let inWeight, inBias: Tensor
    let stages: [Stage]
    let residual: ResidualCausalConv
    let normOut: Tensor
    let convOut: CausalConv3d

    /// Builds the network from a checkpoint.
    ///
    /// - Parameter prefix: Where its tensors stand in the checkpoint; the rest of the checkpoint is not this network's.
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: Configuration = try weights.configuration()
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        guard c.inChannels == 6, c.channels.count == 3, (c.channels + [c.outChannels]).allSatisfy({ $0 > 0 }) else {
            throw WeightError(
                path: weights.path,
                "config.json: a pose encoder has in_channels 6, three channels (stride 8 = 2·2·2) and out_channels, all positive"
            )
        }
        configuration = c
        var width = c.channels[0]
        inWeight = root.tensor("conv_in.weight", shape: [width, c.inChannels, 1, 3, 3])
        inBias = root.tensor("conv_in.bias", shape: [width])
        var stages: [Stage] = []
        for (index, next) in c.channels.dropFirst().enumerated() {
            let scope = root.scope("stages", index)
            stages.append(
                Stage(
                    residual: ResidualCausalConv(scope.scope("residual"), width),
                    down: HalvingCausalConv(scope.scope("down"), width, next)))
            width = next
        }
        self.stages = stages
        residual = ResidualCausalConv(root.scope("residual"), width)
        normOut = root.tensor("norm_out.gamma", shape: [width])
        convOut = CausalConv3d(root.scope("conv_out"), width, c.outChannels, [1, 1, 1])
        try weights.finish(under: prefix)
    }

    /// One chunk of maps, `[6, 1 or 4, H, W]` in 0 … 1 → `[out, 1, H/8, W/8]`.
    func encode(_ maps: Tensor, _ memory: inout CausalMemory) -> Tensor {
        var x = maps.conv3d(inWeight, inBias, stride: [1, 2, 2], padding: [0, 1, 1])
        for stage in stages { x = stage.down(stage.residual(x, &memory), &memory) }
        x = residual(x, &memory).channelNorm(normOut, silu: true)
        memory.isFirstChunk = false
        return convOut(x, &memory)
    }

    /// Starts encoding a clip of any length.
    public func stream() -> Stream { Stream(model: self) }

    /// Encodes maps as they come.
    public struct Stream: Sendable {
        let model: PoseEncoder
        private var memory = CausalMemory()

        init(model: PoseEncoder) { self.model = model }

        /// The number of map frames that the next chunk has: 1 at first, then 4.
        public var chunkLength: Int { memory.isFirstChunk ? 1 : 4 }

        /// Encodes the next chunk.
        ///
        /// - Parameter maps: `[6, chunkLength, H, W]` in 0 … 1, skeleton first; H and W are multiples of 8.
        /// - Returns: One feature frame `[out, 1, H/8, W/8]`.
        public mutating func encode(_ maps: Tensor) -> Tensor {
            precondition(
                maps.rank == 4 && maps.shape[0] == 6 && maps.shape[1] == chunkLength && maps.shape[2] % 8 == 0
                    && maps.shape[3] % 8 == 0,
                "maps [6, \(chunkLength), H, W] with sides that are multiples of 8 are needed, not \(maps.shape)")
            return model.encode(maps, &memory)
        }
    }
}

/// x + conv(silu(norm x)), 3×3×3 and causal.
struct ResidualCausalConv: Sendable {
    let norm: Tensor  // [channels]
    let conv: CausalConv3d

    init(_ weights: WeightScope, _ channels: Int) {
        norm = weights.tensor("norm.gamma", shape: [channels])
        conv = CausalConv3d(weights.scope("conv"), channels, channels)
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        x + conv(x.channelNorm(norm, silu: true), &memory)
    }
}

/// A causal 3×3×3 convolution that halves time and space: output frame i sees input frames 2i − 2, 2i − 1 and 2i.
struct HalvingCausalConv: Sendable {
    let name: String
    let weight: Tensor  // [out, in, 3, 3, 3]
    let bias: Tensor  // [out]

    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int) {
        name = weights.prefix
        weight = weights.tensor("weight", shape: [outputs, inputs, 3, 3, 3])
        bias = weights.tensor("bias", shape: [outputs])
    }

    /// `[in, T, H, W]` → `[out, T', H/2, W/2]`: T' is 1 + (T − 1)/2 for the first chunk, T/2 for later ones.
    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        let last = x.sliced(1, (x.shape[1] - 1)..<x.shape[1])
        defer { memory.frames[name] = last }
        // After the first chunk the window overlaps the one before by a single frame.
        let joined = memory.frames[name].map { Tensor.concatenated([$0, x], 1) } ?? x
        let missing = memory.frames[name] == nil ? 2 : 0
        return joined.conv3d(weight, bias, stride: [2, 2, 2], padding: [Padding(missing, 0), 1, 1])
    }
}
