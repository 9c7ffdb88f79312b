public import Tensors

/// CLIP's vision transformer (Radford et al., 2021), as `CLIPVisionModel` and `CLIPVisionModelWithProjection` are published.
public struct CLIPVision: Sendable {
    /// The `config.json`, or the `vision_config` of a whole CLIP.
    public struct Configuration: Decodable, Sendable {
        public var hiddenSize: Int
        public var intermediateSize: Int
        public var layers: Int
        public var heads: Int
        public var imageSize: Int
        public var patchSize: Int
        public var channels: Int
        public var activation: String
        public var eps: Float
        public var projectionDim: Int

        enum CodingKeys: String, CodingKey {
            case hiddenSize = "hidden_size"
            case intermediateSize = "intermediate_size"
            case layers = "num_hidden_layers"
            case heads = "num_attention_heads"
            case imageSize = "image_size"
            case patchSize = "patch_size"
            case channels = "num_channels"
            case activation = "hidden_act"
            case eps = "layer_norm_eps"
            case projectionDim = "projection_dim"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
            hiddenSize = try value(.hiddenSize, 768)
            intermediateSize = try value(.intermediateSize, 3072)
            layers = try value(.layers, 12)
            heads = try value(.heads, 12)
            imageSize = try value(.imageSize, 224)
            patchSize = try value(.patchSize, 32)
            channels = try value(.channels, 3)
            activation = try value(.activation, "quick_gelu")
            eps = try value(.eps, 1e-5)
            projectionDim = try value(.projectionDim, 512)
        }

        func check(path: String) throws {
            func refuse(_ message: String) -> WeightError { WeightError(path: path, "config.json: \(message)") }
            let sizes = [hiddenSize, intermediateSize, layers, heads, imageSize, patchSize, channels, projectionDim]
            guard sizes.allSatisfy({ (1...65_536).contains($0) }), layers <= 1000, imageSize <= 16_384, channels <= 64, patchSize <= 1024, hiddenSize % heads == 0, imageSize >= patchSize else {
                throw refuse("sizes must be within 1 … 65536, num_hidden_layers at most 1000, hidden_size a multiple of num_attention_heads, image_size at least patch_size")
            }
            guard eps > 0, eps.isFinite else { throw refuse("layer_norm_eps is \(eps), a number above 0 expected") }
        }
    }

    public let configuration: Configuration
    let classEmbedding: Tensor  // [1, hidden]
    let patches: Tensor  // [hidden, channels·p·p]
    let positions: Tensor  // [tokens, hidden]
    let preNorm, postNorm: LayerNorm
    let layers: LayerStack<Layer>
    let projection: Tensor?
    let activation: Activation

    struct Layer: Sendable {
        let attentionNorm, feedForwardNorm: LayerNorm
        let q, k, v, out, feedForwardIn, feedForwardOut: Linear
    }

    /// What the network says of a picture.
    public struct Output: Sendable {
        /// Tokens before the first layer and after each, `[tokens, hidden]`; the last but one is what Wan takes.
        public let hiddenStates: [Tensor]
        /// The normed class token, `[hidden]`.
        public let pooled: Tensor
        /// `[projection]`; nil without a projection.
        public let embedding: Tensor?
    }

    /// Builds the network from a checkpoint, with or without the prefix `vision_model.`, alone or inside a whole CLIP, in the names of
    /// transformers or of Wan's original. Without `config.json` its sizes are read off the tensors.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let weights = weights.translated(by: .clipVision)
        let root = weights.names.contains { $0.hasPrefix("vision_model.") } ? weights.scope("vision_model") : weights.root
        let c = try weights.configuration.isEmpty ? Configuration(readOff: root) : Self.configuration(weights)
        try c.check(path: weights.path)
        configuration = c
        activation = try Activation(c.activation, key: "hidden_act", path: weights.path)
        let d = c.hiddenSize
        let side = c.imageSize / c.patchSize
        classEmbedding = root.tensor("embeddings.class_embedding", shape: [d]).reshaped(1, d)
        patches = root.tensor("embeddings.patch_embedding.weight", shape: [d, c.channels, c.patchSize, c.patchSize]).reshaped(d, -1)
        positions = root.tensor("embeddings.position_embedding.weight", shape: [side * side + 1, d])
        preNorm = LayerNorm(root.scope("pre_layrnorm"), d, eps: c.eps)  // spelled so in published files
        postNorm = LayerNorm(root.scope("post_layernorm"), d, eps: c.eps)
        let stem = root.prefix.isEmpty ? "" : root.prefix + "."
        layers = LayerStack(weights, count: c.layers, prefixes: { ["\(stem)encoder.layers.\($0)"] }) { weights, index in
            let scope = weights.scope("\(stem)encoder.layers", index)
            return Layer(
                attentionNorm: LayerNorm(scope.scope("layer_norm1"), d, eps: c.eps),
                feedForwardNorm: LayerNorm(scope.scope("layer_norm2"), d, eps: c.eps),
                q: Linear(scope.scope("self_attn.q_proj"), d, d, isLarge: true), k: Linear(scope.scope("self_attn.k_proj"), d, d, isLarge: true),
                v: Linear(scope.scope("self_attn.v_proj"), d, d, isLarge: true), out: Linear(scope.scope("self_attn.out_proj"), d, d, isLarge: true),
                feedForwardIn: Linear(scope.scope("mlp.fc1"), d, c.intermediateSize, isLarge: true),
                feedForwardOut: Linear(scope.scope("mlp.fc2"), c.intermediateSize, d, isLarge: true))
        }
        let hasProjection = weights.contains("visual_projection.weight")
        projection = hasProjection ? weights.root.tensor("visual_projection.weight", shape: [c.projectionDim, d]) : nil
        weights.ignore { name in
            ["text_model.", "text_projection.", "logit_scale", "textual.", "log_scale"].contains { name.hasPrefix($0) }
                || name.hasSuffix("position_ids") || name == "head"  // the original's projection, which Wan does without
        }
        try weights.finish()
    }

    /// The configuration of the network alone, or in that of a whole CLIP.
    private static func configuration(_ weights: WeightStore) throws -> Configuration {
        struct Whole: Decodable {
            var vision_config: Configuration?
            var projection_dim: Int?
            var architectures: [String]?
        }
        let whole: Whole = try weights.configuration()
        guard var vision = whole.vision_config else { return try weights.configuration() }
        // Both halves of a whole CLIP are projected to one width, which stands at the top.
        if whole.architectures?.first == "CLIPModel" { vision.projectionDim = whole.projection_dim ?? 512 }
        return vision
    }

    /// - Parameter pixels: Normalised picture, `[channels, size, size]`.
    /// - Throws: `WeightError` when a layer that did not fit in memory cannot be read.
    public func callAsFunction(_ pixels: Tensor) throws -> Output {
        let c = configuration
        let (p, side) = (c.patchSize, c.imageSize / c.patchSize)
        precondition(pixels.shape == [c.channels, c.imageSize, c.imageSize], "a picture \(pixels.shape) for CLIP of size \(c.imageSize)")
        let cut = pixels.sliced(1, 0..<(side * p)).sliced(2, 0..<(side * p))
        let columns = cut.reshaped(c.channels, side, p, side, p).permuted(1, 3, 0, 2, 4).reshaped(side * side, -1)
        var x = preNorm(Tensor.concatenated([classEmbedding, columns.linear(patches)], 0) + positions)
        var states = [x]
        for index in 0..<layers.count {
            layers.prefetch(index + 1)
            let layer = try layers[index]
            let y = layer.attentionNorm(x)
            x += layer.out(attention(layer.q(y), layer.k(y), layer.v(y), heads: c.heads))
            x += layer.feedForwardOut(activation(layer.feedForwardIn(layer.feedForwardNorm(x))))
            states.append(x)
        }
        let pooled = postNorm(x.sliced(0, 0..<1))
        return Output(
            hiddenStates: states, pooled: pooled.squeezed(0), embedding: projection.map { pooled.linear($0).squeezed(0) })
    }
}
