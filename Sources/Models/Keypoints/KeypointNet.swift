public import Tensors

/// A picture of a generated actor → key points and head: a small U-Net with heat maps at a quarter of the size.
///
/// MediaPipe knows photographs; this network knows the bundled actors, and needs no Python.
public struct KeypointNet: Sendable {
    public struct Configuration: Decodable, Sendable {
        /// Side of the square input, in pixels.
        public var imageSize: Int
        public var channels: [Int]
        /// The key points' names, in order.
        public var names: [String]

        enum CodingKeys: String, CodingKey {
            case imageSize = "image_size"
            case channels, names
        }
    }

    struct Down: Sendable {
        let residual: ResidualConv2d
        let down: Conv2d
    }

    struct Up: Sendable {
        let up: Conv2d
        let residual: ResidualConv2d
    }

    public let configuration: Configuration
    let convIn: Conv2d
    let downs: [Down]
    let middle: ResidualConv2d
    let ups: [Up]
    let normOut: Tensor
    let toHeatmaps, toDepths: Conv2d
    let normPool: Tensor
    let poolIn, toVisibility, toHead: Linear

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: Configuration = try weights.configuration()
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        guard (3..<16).contains(c.channels.count), c.channels.allSatisfy({ $0 > 0 }), !c.names.isEmpty, c.imageSize > 0,
            c.imageSize % (1 << c.channels.count) == 0
        else {
            throw WeightError(
                path: weights.path,
                "config.json: key point names, at least three positive channels, and an image_size that is a multiple of 2^(number of channels) are needed"
            )
        }
        configuration = c
        let widths = c.channels
        let count = c.names.count
        convIn = Conv2d(root.scope("conv_in"), 3, widths[0], stride: 2)
        downs = zip(widths, widths.dropFirst()).enumerated().map { index, pair in
            let scope = root.scope("downs", index)
            return Down(
                residual: ResidualConv2d(scope.scope("residual"), pair.0),
                down: Conv2d(scope.scope("down"), pair.0, pair.1, stride: 2))
        }
        let bottom = widths[widths.count - 1]
        middle = ResidualConv2d(root.scope("middle"), bottom)
        let rising = Array(widths.dropFirst().reversed())
        ups = zip(rising, rising.dropFirst()).enumerated().map { index, pair in
            let scope = root.scope("ups", index)
            return Up(
                up: Conv2d(scope.scope("up"), pair.0, pair.1, kernel: 1),
                residual: ResidualConv2d(scope.scope("residual"), pair.1))
        }
        normOut = root.tensor("norm_out.gamma", shape: [widths[1]])
        toHeatmaps = Conv2d(root.scope("to_heatmaps"), widths[1], count, kernel: 1)
        toDepths = Conv2d(root.scope("to_depths"), widths[1], count, kernel: 1)
        normPool = root.tensor("norm_pool.gamma", shape: [bottom])
        let side = c.imageSize >> widths.count
        poolIn = Linear(root.scope("pool_in"), bottom * side * side, 128)
        toVisibility = Linear(root.scope("to_visibility"), 128, count)
        toHead = Linear(root.scope("to_head"), 128, 9)
        try weights.finish(under: prefix)
    }

    /// What the network says before it is read as key points.
    public struct Output: Sendable {
        /// Logits, `[K, S/4, S/4]`.
        public let heatmaps: Tensor
        /// Metres away from the camera, from the hips, `[K, S/4, S/4]`.
        public let depths: Tensor
        /// Logits, `[K]`.
        public let visibility: Tensor
        /// First two columns of the head's rotation, then centre x, y and radius over S: `[9]`.
        public let head: Tensor
    }

    /// Looks at one picture, `[3, S, S]` in −1 … 1.
    public func callAsFunction(_ image: Tensor) -> Output {
        let size = configuration.imageSize
        precondition(image.shape == [3, size, size], "a picture [3, \(size), \(size)] is needed, not \(image.shape)")
        var x = convIn(image)
        var skips: [Tensor] = []
        for stage in downs {
            x = stage.down(stage.residual(x))
            skips.append(x)
        }
        x = middle(x)
        let pooled = poolIn(x.channelNorm(normPool, silu: true).reshaped(1, -1)).silu()
        // The deepest skip is the path itself.
        for (stage, skip) in zip(ups, skips.dropLast().reversed()) {
            x = stage.residual(stage.up(x).upsampled2x() + skip)
        }
        x = x.channelNorm(normOut, silu: true)
        return Output(
            heatmaps: toHeatmaps(x), depths: toDepths(x), visibility: toVisibility(pooled).squeezed(0),
            head: toHead(pooled).squeezed(0))
    }
}
