import Tensors

/// The `config.json` of a ``DreamActorTransformer``.
public struct DreamActorConfiguration: Decodable, Sendable {
    /// How noise tokens attend to reference tokens.
    public enum ReferenceAttention: String, Decodable, Sendable {
        /// Reference tokens attend among themselves only: keys and values are computed once per run.
        case cached
        /// Noise and reference tokens attend to each other at every step.
        case joint
    }

    /// What the network was trained to put out.
    public enum Prediction: String, Decodable, Sendable {
        /// ε − x₀.
        case velocity
        /// x₀ less the aligned reference.
        case sample
    }

    /// The cross attentions of a block.
    public enum CrossAttention: String, Decodable, Sendable { case reference, face }

    /// How a segment begins where the last one ended.
    public enum Handover: String, Decodable, Sendable { case latent, pixel }

    public var inChannels: Int
    public var poseChannels: Int
    public var fuseDim: Int
    public var dim: Int
    public var heads: Int
    public var layers: Int
    public var ffnDim: Int
    /// (time, height, width); time is 1, height and width equal.
    public var patchSize: [Int]
    public var freqDim: Int
    public var faceDim: Int
    public var faceTokens: Int
    public var faceAttention: Bool
    public var referenceAttention: ReferenceAttention
    public var attentionOrder: [CrossAttention]
    public var referenceTimestep: Double
    public var alignedReference: Bool
    public var prediction: Prediction
    public var minimumTime: Double
    public var eps: Float
    public var ropeTheta: Double
    /// Frames per segment in training.
    public var segmentFrames: Int
    public var handover: Handover
    /// The sampler's shift that the training distribution of times matches.
    public var shift: Double

    enum CodingKeys: String, CodingKey {
        case dim, prediction, eps, handover, shift
        case inChannels = "in_channels"
        case poseChannels = "pose_channels"
        case fuseDim = "fuse_dim"
        case heads = "num_heads"
        case layers = "num_layers"
        case ffnDim = "ffn_dim"
        case patchSize = "patch_size"
        case freqDim = "freq_dim"
        case faceDim = "face_dim"
        case faceTokens = "face_tokens"
        case faceAttention = "face_attention"
        case referenceAttention = "reference_attention"
        case attentionOrder = "attention_order"
        case referenceTimestep = "reference_timestep"
        case alignedReference = "aligned_reference"
        case minimumTime = "minimum_time"
        case ropeTheta = "rope_theta"
        case segmentFrames = "segment_frames"
    }

    /// The side of a patch, in latent pixels.
    public var patch: Int { patchSize[1] }
    var headDim: Int { dim / heads }

    /// Refuses sizes that no network can have.
    func check(path: String) throws {
        func refuse(_ message: String) -> WeightError { WeightError(path: path, "config.json: \(message)") }
        let sizes = [
            inChannels, poseChannels, fuseDim, dim, heads, layers, ffnDim, freqDim, faceDim, faceTokens, segmentFrames,
        ]
        guard sizes.allSatisfy({ (1...1_000_000).contains($0) }) else { throw refuse("all sizes must be positive") }
        guard patchSize.count == 3, patchSize[0] == 1, patchSize[1] == patchSize[2], (1...16).contains(patchSize[1])
        else {
            throw refuse("patch_size is \(patchSize); [1, p, p] expected")
        }
        guard dim % heads == 0, headDim % 2 == 0, freqDim % 2 == 0 else {
            throw refuse("dim \(dim) must split into \(heads) heads of even width, and freq_dim must be even")
        }
        guard Set(attentionOrder) == [.reference, .face], attentionOrder.count == 2 else {
            throw refuse("attention_order must name 'reference' and 'face', each once")
        }
        guard minimumTime > 0, shift > 0, ropeTheta > 0, eps > 0 else {
            throw refuse("minimum_time, shift, rope_theta and eps must be positive")
        }
    }
}
