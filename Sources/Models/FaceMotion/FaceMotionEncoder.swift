public import Tensors

/// A face crop → implicit motion tokens (METHOD §1): expression, lips and eyes, without identity or head pose.
public struct FaceMotionEncoder: Sendable {
    public struct Configuration: Decodable, Sendable {
        /// Side of the square crop, in pixels.
        public var imageSize: Int
        public var channels: [Int]
        /// Width of the bottleneck: too narrow to carry a face's identity.
        public var motionDim: Int
        public var hiddenDim: Int
        public var faceTokens: Int
        public var faceDim: Int

        enum CodingKeys: String, CodingKey {
            case imageSize = "image_size"
            case channels
            case motionDim = "motion_dim"
            case hiddenDim = "hidden_dim"
            case faceTokens = "face_tokens"
            case faceDim = "face_dim"
        }
    }

    struct Stage: Sendable {
        let norm: Tensor
        let down: Conv2d
    }

    public let configuration: Configuration
    let convIn: Conv2d
    let stages: [Stage]
    let residual: ResidualConv2d
    let toMotion, mlpIn, mlpOut: Linear

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: Configuration = try weights.configuration()
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        let sizes = [c.imageSize, c.motionDim, c.hiddenDim, c.faceTokens, c.faceDim] + c.channels
        guard !c.channels.isEmpty, sizes.allSatisfy({ $0 > 0 }), c.channels.count < 16,
            c.imageSize % (1 << c.channels.count) == 0
        else {
            throw WeightError(
                path: weights.path,
                "config.json: sizes must be positive, and image_size a multiple of 2^(number of channels)")
        }
        configuration = c
        convIn = Conv2d(root.scope("conv_in"), 3, c.channels[0], stride: 2)
        stages = zip(c.channels, c.channels.dropFirst()).enumerated().map { index, widths in
            let scope = root.scope("stages", index)
            return Stage(
                norm: scope.tensor("norm.gamma", shape: [widths.0]),
                down: Conv2d(scope.scope("down"), widths.0, widths.1, stride: 2))
        }
        let width = c.channels[c.channels.count - 1]
        let grid = c.imageSize >> c.channels.count
        residual = ResidualConv2d(root.scope("residual"), width)
        toMotion = Linear(root.scope("to_motion"), width * grid * grid, c.motionDim)
        mlpIn = Linear(root.scope("mlp_in"), c.motionDim, c.hiddenDim)
        mlpOut = Linear(root.scope("mlp_out"), c.hiddenDim, c.faceTokens * c.faceDim)
        try weights.finish(under: prefix)
    }

    /// The bottleneck of one crop, `[3, S, S]` in −1 … 1 → `[motion]` in −1 … 1.
    public func motion(_ crop: Tensor) -> Tensor {
        var x = convIn(crop)
        for stage in stages { x = stage.down(x.channelNorm(stage.norm, silu: true)) }
        return toMotion(residual(x).silu().reshaped(1, -1)).tanh().squeezed(0)
    }

    /// The tokens of one crop, `[3, S, S]` in −1 … 1 (S = `imageSize`, RGB) → `[tokens, channels]`.
    public func callAsFunction(_ crop: Tensor) -> Tensor {
        let side = configuration.imageSize
        precondition(crop.shape == [3, side, side], "a crop [3, \(side), \(side)] is needed, not \(crop.shape)")
        return mlpOut(mlpIn(motion(crop).unsqueezed(0)).silu())
            .reshaped(configuration.faceTokens, configuration.faceDim)
    }
}
