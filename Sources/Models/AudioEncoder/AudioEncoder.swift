public import Tensors

/// Speech features on video frames → the same face motion tokens that ``FaceMotionEncoder`` makes (METHOD §1), so that no
/// driving face is needed.
public struct AudioEncoder: Sendable {
    public struct Configuration: Decodable, Sendable {
        public var mels: Int
        /// Mel frames of 20 ms per video frame.
        public var window: Int
        public var channels: [Int]
        public var dim: Int
        public var layers: Int
        public var kernel: Int
        public var faceTokens: Int
        public var faceDim: Int
        public var sampleRate: Int
        public var hop: Int

        enum CodingKeys: String, CodingKey {
            case mels, window, channels, dim, kernel, hop
            case layers = "num_layers"
            case faceTokens = "face_tokens"
            case faceDim = "face_dim"
            case sampleRate = "sample_rate"
        }
    }

    struct Layer: Sendable {
        let norm: Tensor
        let conv: Conv1d
    }

    public let configuration: Configuration
    let conv1, conv2: Conv1d
    let projIn: Linear
    let layers: [Layer]
    let projOut: Linear

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: Configuration = try weights.configuration()
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        let sizes = [c.mels, c.window, c.dim, c.kernel, c.faceTokens, c.faceDim] + c.channels
        guard c.channels.count == 2, sizes.allSatisfy({ $0 > 0 }), c.window % 2 == 0, c.kernel % 2 == 1,
            (0...64).contains(c.layers)
        else {
            throw WeightError(
                path: weights.path,
                "config.json: an audio encoder has two channels, an even window, an odd kernel and positive sizes")
        }
        guard c.sampleRate == LogMel.sampleRate, c.hop == LogMel.hop, c.mels == LogMel.bands else {
            throw WeightError(
                path: weights.path,
                "config.json: features of \(c.mels) bands every \(c.hop) samples at \(c.sampleRate) Hz; \(LogMel.bands) bands every \(LogMel.hop) at \(LogMel.sampleRate) Hz are what audio.features makes"
            )
        }
        configuration = c
        conv1 = Conv1d(root.scope("conv1"), c.mels, c.channels[0])
        conv2 = Conv1d(root.scope("conv2"), c.channels[0], c.channels[1], stride: 2)
        projIn = Linear(root.scope("proj_in"), c.channels[1] * (c.window / 2), c.dim)
        layers = (0..<c.layers).map { index in
            let scope = root.scope("layers", index)
            return Layer(
                norm: scope.tensor("norm.gamma", shape: [c.dim]),
                conv: Conv1d(scope.scope("conv"), c.dim, c.dim, kernel: c.kernel))
        }
        projOut = Linear(root.scope("proj_out"), c.dim, c.faceTokens * c.faceDim)
        try weights.finish(under: prefix)
    }

    /// The tokens of a whole clip.
    ///
    /// - Parameter features: `[frames, window·mels]`, oldest mel frame first (see ``LogMel``).
    /// - Returns: `[frames, tokens, channels]`.
    public func callAsFunction(_ features: Tensor) -> Tensor {
        let c = configuration
        let frames = features.shape[0]
        precondition(
            features.shape == [frames, c.window * c.mels],
            "features [frames, \(c.window * c.mels)] are needed, not \(features.shape)")
        let windows = features.reshaped(frames, c.window, c.mels).transposed  // [F, mels, window]
        var x = conv2(conv1(windows).silu()).silu()  // [F, channels, window/2]
        x = projIn(x.reshaped(frames, -1)).transposed  // [dim, F]
        for layer in layers { x = x + layer.conv(x.channelNorm(layer.norm, silu: true)) }
        return projOut(x.silu().transposed).reshaped(frames, c.faceTokens, c.faceDim)
    }
}
