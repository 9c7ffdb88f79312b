import Tensors

/// The `config.json` of a ``Wav2Vec2``.
public struct Wav2Vec2Configuration: Decodable, Sendable {
    /// How the convolutions are normalised.
    public enum FeatureNorm: String, Decodable, Sendable {
        /// Each channel over time, after the first convolution only (the base family).
        case group
        /// The channels of each frame, after every convolution (the large family).
        case layer
    }

    public var hiddenSize: Int
    public var layers: Int
    public var heads: Int
    public var intermediateSize: Int
    public var convDim: [Int]
    public var convKernel: [Int]
    public var convStride: [Int]
    public var convBias: Bool
    public var featureNorm: FeatureNorm
    /// Whether norms stand before attention and feed-forward (the large family) or after them.
    public var isStable: Bool
    public var positionKernel: Int
    public var positionGroups: Int
    public var eps: Float
    /// Of the feed-forward layers.
    public var activation: String
    /// Of the convolutions, and of the positional one.
    public var featureActivation: String

    enum CodingKeys: String, CodingKey {
        case hiddenSize = "hidden_size"
        case layers = "num_hidden_layers"
        case heads = "num_attention_heads"
        case intermediateSize = "intermediate_size"
        case convDim = "conv_dim"
        case convKernel = "conv_kernel"
        case convStride = "conv_stride"
        case convBias = "conv_bias"
        case featureNorm = "feat_extract_norm"
        case isStable = "do_stable_layer_norm"
        case positionKernel = "num_conv_pos_embeddings"
        case positionGroups = "num_conv_pos_embedding_groups"
        case eps = "layer_norm_eps"
        case activation = "hidden_act"
        case featureActivation = "feat_extract_activation"
    }

    /// Missing keys have the defaults of the reference implementation.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
        hiddenSize = try value(.hiddenSize, 768)
        layers = try value(.layers, 12)
        heads = try value(.heads, 12)
        intermediateSize = try value(.intermediateSize, 3072)
        convDim = try value(.convDim, [512, 512, 512, 512, 512, 512, 512])
        convKernel = try value(.convKernel, [10, 3, 3, 3, 3, 2, 2])
        convStride = try value(.convStride, [5, 2, 2, 2, 2, 2, 2])
        convBias = try value(.convBias, false)
        let norm = try value(.featureNorm, "group")
        guard let featureNorm = FeatureNorm(rawValue: norm) else {
            throw DecodingError.dataCorruptedError(forKey: .featureNorm, in: c, debugDescription: "'\(norm)', where 'group' and 'layer' are known,")
        }
        self.featureNorm = featureNorm
        isStable = try value(.isStable, false)
        positionKernel = try value(.positionKernel, 128)
        positionGroups = try value(.positionGroups, 16)
        eps = try value(.eps, 1e-5)
        activation = try value(.activation, "gelu")
        featureActivation = try value(.featureActivation, "gelu")
    }

    /// Samples from one feature frame to the next.
    public var hop: Int { convStride.reduce(1, *) }
    /// Samples that one feature frame sees.
    public var receptiveField: Int {
        zip(convKernel, convStride).reversed().reduce(1) { ($0 - 1) * $1.1 + $1.0 }
    }

    /// Refuses sizes that no network can have.
    func check(path: String) throws {
        let sizes =
            [hiddenSize, layers, heads, intermediateSize, positionKernel, positionGroups] + convDim + convKernel
            + convStride
        guard sizes.allSatisfy({ (1...65_536).contains($0) }), !convDim.isEmpty, convDim.count == convKernel.count,
            convDim.count == convStride.count, convDim.count <= 16, layers <= 1000, hiddenSize % heads == 0,
            hiddenSize % positionGroups == 0,
            eps > 0, eps.isFinite
        else {
            throw WeightError(
                path: path,
                "config.json: sizes of a wav2vec 2.0 network must be positive, conv_dim, conv_kernel and conv_stride equally long, layer_norm_eps above 0, and hidden_size a multiple of heads and groups"
            )
        }
    }
}
