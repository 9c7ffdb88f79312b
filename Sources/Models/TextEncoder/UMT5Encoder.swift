import Foundation
public import Tensors

/// The encoder of UMT5 (Chung et al., ICLR 2023): T5 v1.1 with a relative position bias in every layer.
public struct UMT5Encoder: Sendable {
    public struct Configuration: Decodable, Sendable {
        public var dim: Int
        public var keyDim: Int
        public var feedForwardDim: Int
        public var layers: Int
        public var heads: Int
        public var vocabulary: Int
        public var buckets: Int
        public var maximumDistance: Int
        public var eps: Float
        public var feedForward: String
        /// Of the gate.
        public var activation: String

        enum CodingKeys: String, CodingKey {
            case dim = "d_model"
            case keyDim = "d_kv"
            case feedForwardDim = "d_ff"
            case layers = "num_layers"
            case heads = "num_heads"
            case vocabulary = "vocab_size"
            case buckets = "relative_attention_num_buckets"
            case maximumDistance = "relative_attention_max_distance"
            case eps = "layer_norm_epsilon"
            case feedForward = "feed_forward_proj"
            case activation = "dense_act_fn"
        }

        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
            dim = try value(.dim, 512)
            keyDim = try value(.keyDim, 64)
            feedForwardDim = try value(.feedForwardDim, 1024)
            layers = try value(.layers, 8)
            heads = try value(.heads, 6)
            vocabulary = try value(.vocabulary, 250_112)
            buckets = try value(.buckets, 32)
            maximumDistance = try value(.maximumDistance, 128)
            eps = try value(.eps, 1e-6)
            feedForward = try value(.feedForward, "gated-gelu")
            activation = try value(.activation, "gelu_new")
        }

        func check(path: String) throws {
            func refuse(_ message: String) -> WeightError { WeightError(path: path, "config.json: \(message)") }
            let sizes = [dim, keyDim, feedForwardDim, heads, buckets]
            guard sizes.allSatisfy({ (1...65_536).contains($0) }), heads * keyDim <= 65_536, (1...1000).contains(layers),
                (1...10_000_000).contains(vocabulary), buckets >= 4, buckets % 4 == 0 else {
                throw refuse("sizes must be within 1 … 65536, num_layers at most 1000, relative_attention_num_buckets a multiple of 4")
            }
            guard maximumDistance > buckets / 4 else {
                throw refuse("relative_attention_max_distance is \(maximumDistance), more than a quarter of relative_attention_num_buckets, \(buckets / 4), expected")
            }
            guard eps > 0, eps.isFinite else { throw refuse("layer_norm_epsilon is \(eps), a number above 0 expected") }
            guard feedForward == "gated-gelu" else { throw refuse("feed_forward_proj is '\(feedForward)'; gated-gelu is known") }
        }
    }

    public let configuration: Configuration
    let embedding: WeightTable  // [vocabulary, dim]
    let layers: LayerStack<Layer>
    let norm: Tensor  // [dim]
    private let activation: Activation

    struct Layer: Sendable {
        let attentionNorm, feedForwardNorm: Tensor  // [dim]
        let q, k, v, o: LinearWeight
        let bias: Tensor  // [buckets, heads]
        let gate, up, down: LinearWeight
    }

    /// Builds the network from a checkpoint, in the names of transformers or of Wan's original; a decoder beside it is ignored. Without
    /// `config.json` its sizes are read off the tensors.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let weights = weights.translated(by: .umt5)
        let c = try weights.configuration.isEmpty ? Configuration(readOff: weights) : weights.configuration()
        try c.check(path: weights.path)
        configuration = c
        activation = try Activation(c.activation, key: "dense_act_fn", path: weights.path)
        let inner = c.heads * c.keyDim
        let shared = weights.contains("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight"
        embedding = WeightTable(weights, shared, shape: [c.vocabulary, c.dim])
        norm = weights.tensor("encoder.final_layer_norm.weight", shape: [c.dim])
        layers = LayerStack(weights, count: c.layers, prefixes: { ["encoder.block.\($0)"] }) { root, index in
            let a = root.scope("encoder.block.\(index).layer.0"), f = root.scope("encoder.block.\(index).layer.1")
            return Layer(
                attentionNorm: a.tensor("layer_norm.weight", shape: [c.dim]), feedForwardNorm: f.tensor("layer_norm.weight", shape: [c.dim]),
                q: a.linearWeight("SelfAttention.q.weight", shape: [inner, c.dim]), k: a.linearWeight("SelfAttention.k.weight", shape: [inner, c.dim]),
                v: a.linearWeight("SelfAttention.v.weight", shape: [inner, c.dim]), o: a.linearWeight("SelfAttention.o.weight", shape: [c.dim, inner]),
                bias: a.tensor("SelfAttention.relative_attention_bias.weight", shape: [c.buckets, c.heads]),
                gate: f.linearWeight("DenseReluDense.wi_0.weight", shape: [c.feedForwardDim, c.dim]),
                up: f.linearWeight("DenseReluDense.wi_1.weight", shape: [c.feedForwardDim, c.dim]),
                down: f.linearWeight("DenseReluDense.wo.weight", shape: [c.dim, c.feedForwardDim]))
        }
        weights.ignore { $0.hasPrefix("decoder.") || $0 == "lm_head.weight" || $0 == "encoder.embed_tokens.weight" }
        try weights.finish()
    }

    /// The bucket of a relative position, key minus query.
    func bucket(_ distance: Int) -> Int {
        let half = configuration.buckets / 2, exact = half / 2
        let offset = distance > 0 ? half : 0
        let magnitude = abs(distance)
        guard magnitude >= exact else { return offset + magnitude }
        // In single precision, as the reference: distances at a bucket's edge depend on it.
        let ratio = Foundation.log(Float(magnitude) / Float(exact)) / Float(Foundation.log(Double(configuration.maximumDistance) / Double(exact)))
        return offset + min(half - 1, exact + Int(ratio * Float(half - exact)))
    }

    /// - Parameters:
    ///   - tokens: Token numbers, below the vocabulary's size.
    ///   - isKept: Which tokens are attended to; padding is not. Where there is nothing but padding all of it is, evenly, as in the reference.
    /// - Returns: `[tokens, dim]`, padded positions included; pipelines set those to zero.
    /// - Throws: `WeightError` when a layer that did not fit in memory cannot be read.
    public func callAsFunction(_ tokens: [Int], isKept: [Bool]) throws -> Tensor {
        let c = configuration
        precondition(tokens.count == isKept.count && tokens.allSatisfy { $0 >= 0 && $0 < c.vocabulary }, "token numbers outside the vocabulary")
        let count = tokens.count
        var x = embedding.rows(tokens)
        let isAnyKept = isKept.contains(true)
        let buckets = (-(count - 1)...(count - 1)).map(bucket)
        for index in 0..<layers.count {
            layers.prefetch(index + 1)
            let layer = try layers[index]
            let table = layer.bias.array
            let bias = Tensor([c.heads, count, count]) { out in
                for head in 0..<c.heads {
                    for query in 0..<count {
                        for key in 0..<count {
                            let value = table[buckets[key - query + count - 1] * c.heads + head]
                            out[(head * count + query) * count + key] = isKept[key] ? value : isAnyKept ? -.infinity : 0
                        }
                    }
                }
            }
            let y = x.rmsNorm(layer.attentionNorm, eps: c.eps)
            // Beside the mask of the reference, a huge number, scores vanish: zero queries, no biases.
            let q = isAnyKept ? y.linear(layer.q) : Tensor(zeros: [count, c.heads * c.keyDim])
            let attended = attention(q, y.linear(layer.k), y.linear(layer.v), heads: c.heads, scale: 1, bias: bias)
            x += attended.linear(layer.o)
            let z = x.rmsNorm(layer.feedForwardNorm, eps: c.eps)
            x += (activation(z.linear(layer.gate)) * z.linear(layer.up)).linear(layer.down)
        }
        return x.rmsNorm(norm, eps: c.eps)
    }
}
