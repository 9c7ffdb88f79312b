import Foundation
import Tensors

/// The `config.json` of a ``WanTransformer``, as diffusers writes it for `WanTransformer3DModel` and `WanAnimateTransformer3DModel`.
public struct WanConfiguration: Decodable, Sendable {
    public var className: String
    /// (time, height, width).
    public var patchSize: [Int]
    public var heads: Int
    public var headDim: Int
    public var inChannels: Int
    public var outChannels: Int
    public var textDim: Int
    public var freqDim: Int
    public var ffnDim: Int
    public var layers: Int
    public var crossAttentionNorm: Bool
    public var eps: Float
    /// Width of CLIP's image tokens; nil: no image branch.
    public var imageDim: Int?
    /// Width that image tokens have when they meet attention; nil: no keys and values of their own.
    public var addedKeyValueDim: Int?
    /// Image tokens that have learned positions (first and last frame of the film); nil: none.
    public var imagePositions: Int?

    // What Wan-Animate adds.
    public var latentChannels: Int?
    public var motionSize: Int
    public var motionStyleDim: Int
    public var motionDim: Int
    public var motionOutputDim: Int
    /// Channels by picture side.
    public var motionChannels: [String: Int]
    public var faceHiddenDim: Int
    public var faceHeads: Int
    /// A face adapter follows every so many blocks, beginning with the first.
    public var faceInterval: Int

    /// Whether pose and face steer the film (Wan-Animate).
    public var isAnimate: Bool { className == "WanAnimateTransformer3DModel" }
    public var dim: Int { heads * headDim }

    // What Wan-Animate-2 adds.
    /// Text tokens are padded with zeros to so many.
    public var textLength: Int
    /// Where the reference's tokens lie in time, rows and columns; −1: as far as its own grid reaches.
    public var referenceOffset: [Int]
    public var referenceStride: Int

    enum CodingKeys: String, CodingKey {
        case eps
        case width = "dim"
        case inDim = "in_dim"
        case outDim = "out_dim"
        case headCount = "num_heads"
        case usesImage = "use_img_emb"
        case textLength = "text_len"
        case referenceOffsetT = "refer_offset_t"
        case referenceOffsetH = "refer_offset_h"
        case referenceOffsetW = "refer_offset_w"
        case referenceStride = "refer_stride"
        case className = "_class_name"
        case patchSize = "patch_size"
        case heads = "num_attention_heads"
        case headDim = "attention_head_dim"
        case inChannels = "in_channels"
        case outChannels = "out_channels"
        case textDim = "text_dim"
        case freqDim = "freq_dim"
        case ffnDim = "ffn_dim"
        case layers = "num_layers"
        case crossAttentionNorm = "cross_attn_norm"
        case qkNorm = "qk_norm"
        case imageDim = "image_dim"
        case addedKeyValueDim = "added_kv_proj_dim"
        case imagePositions = "pos_embed_seq_len"
        case latentChannels = "latent_channels"
        case motionSize = "motion_encoder_size"
        case motionStyleDim = "motion_style_dim"
        case motionDim = "motion_dim"
        case motionOutputDim = "motion_encoder_dim"
        case motionChannels = "motion_encoder_channel_sizes"
        case faceHiddenDim = "face_encoder_hidden_dim"
        case faceHeads = "face_encoder_num_heads"
        case faceInterval = "inject_face_latents_blocks"
    }

    /// Missing keys have the defaults of the reference implementation.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
        className = try value(.className, "WanTransformer3DModel")
        patchSize = try value(.patchSize, [1, 2, 2])
        heads = try value(.heads, 40)
        headDim = try value(.headDim, 128)
        let isAnimate = className == "WanAnimateTransformer3DModel"
        // What is missing has a default; what is null, or 0 for the output, follows from the other channels.
        func channels(_ key: CodingKeys, _ standard: Int) throws -> Int? {
            guard c.contains(key) else { return standard }
            let count = try c.decodeIfPresent(Int.self, forKey: key)
            guard count.map({ (0...65_536).contains($0) }) ?? true else {
                throw DecodingError.dataCorruptedError(forKey: key, in: c, debugDescription: "\(count ?? 0) channels")
            }
            return count
        }
        let own = try channels(.inChannels, isAnimate ? 36 : 16), out = try channels(.outChannels, 16).flatMap { $0 == 0 ? nil : $0 }
        if isAnimate {
            let latent = try channels(.latentChannels, 16)
            guard own != nil || latent != nil else {
                throw DecodingError.dataCorruptedError(forKey: .inChannels, in: c, debugDescription: "in_channels and latent_channels are both null")
            }
            let known = latent ?? ((own ?? 0) - 4) / 2
            latentChannels = known
            inChannels = own ?? 2 * known + 4
            outChannels = out ?? known
        } else {
            latentChannels = try c.decodeIfPresent(Int.self, forKey: .latentChannels)
            inChannels = own ?? 16
            outChannels = out ?? inChannels
        }
        textDim = try value(.textDim, 4096)
        freqDim = try value(.freqDim, 256)
        ffnDim = try value(.ffnDim, 13824)
        layers = try value(.layers, 40)
        crossAttentionNorm = try value(.crossAttentionNorm, true)
        eps = try value(.eps, 1e-6)
        imageDim = c.contains(.imageDim) || !isAnimate ? try c.decodeIfPresent(Int.self, forKey: .imageDim) : 1280
        addedKeyValueDim = try c.decodeIfPresent(Int.self, forKey: .addedKeyValueDim)
        imagePositions = try c.decodeIfPresent(Int.self, forKey: .imagePositions)
        motionSize = try value(.motionSize, 512)
        motionStyleDim = try value(.motionStyleDim, 512)
        motionDim = try value(.motionDim, 20)
        motionOutputDim = try value(.motionOutputDim, 512)
        motionChannels = try c.decodeIfPresent([String: Int].self, forKey: .motionChannels)
            ?? ["4": 512, "8": 512, "16": 512, "32": 512, "64": 256, "128": 128, "256": 64, "512": 32, "1024": 16]
        faceHiddenDim = try value(.faceHiddenDim, 1024)
        faceHeads = try value(.faceHeads, 4)
        faceInterval = try value(.faceInterval, 5)
        textLength = try value(.textLength, 512)
        referenceOffset = [try value(.referenceOffsetT, 1), try value(.referenceOffsetH, 0), try value(.referenceOffsetW, -1)]
        referenceStride = try value(.referenceStride, 1)
        if className == "WanAnimate2Transformer3DModel" {
            // The same sizes under other names.
            heads = try value(.headCount, 40)
            let width = try value(.width, 5120)
            headDim = heads > 0 ? width / heads : 0
            inChannels = try value(.inDim, 36)
            outChannels = try value(.outDim, 16)
            imageDim = try value(.usesImage, true) ? 1280 : nil
            addedKeyValueDim = imageDim == nil ? nil : width
        }
        let norm = try value(.qkNorm, "rms_norm_across_heads")
        guard norm == "rms_norm_across_heads" else {
            throw DecodingError.dataCorruptedError(forKey: .qkNorm, in: c, debugDescription: "qk_norm is '\(norm)'; 'rms_norm_across_heads' is known")
        }
    }

    /// Classes of Wan's original `config.json`: other keys, and fewer sizes.
    static let originalClasses = ["WanModel", "WanAnimateModel"]

    /// The configuration of a checkpoint, which is read off its tensors where `config.json` is missing or the original's.
    ///
    /// - Parameter weights: Under the network's names.
    /// - Throws: `WeightError` when it does not fit its class.
    init(_ weights: WeightStore) throws {
        struct Original: Decodable {
            var _class_name: String?
            var num_heads: Int?
            var eps: Float?
        }
        let original = weights.configuration.isEmpty ? nil : try weights.configuration(Original.self)
        let isOriginal = original.map { Self.originalClasses.contains($0._class_name ?? "") } ?? true
        if isOriginal {
            try self.init(readOff: weights, heads: original?.num_heads)
            eps = original?.eps ?? eps
        } else {
            self = try weights.configuration()
        }
        try check(path: weights.path)
    }

    /// Refuses what no network can have.
    private func check(path: String) throws {
        func refuse(_ message: String) -> WeightError { WeightError(path: path, "config.json: \(message)") }
        let known = ["WanTransformer3DModel", "WanAnimateTransformer3DModel", "WanAnimate2Transformer3DModel"]
        guard known.contains(className) else { throw refuse("_class_name is '\(className)'; known are \(known.joined(separator: ", "))") }
        let sizes = patchSize + [heads, headDim, inChannels, outChannels, textDim, freqDim, ffnDim]
        guard patchSize.count == 3, sizes.allSatisfy({ (1...65_536).contains($0) }), dim <= 65_536, patchSize.allSatisfy({ $0 <= 64 }) else {
            throw refuse("patch_size needs three numbers, and all sizes must be within 1 … 65536")
        }
        guard (1...1000).contains(layers) else { throw refuse("num_layers is \(layers), 1 … 1000 expected") }
        guard eps > 0, eps.isFinite else { throw refuse("eps is \(eps), a number above 0 expected") }
        guard headDim % 2 == 0, headDim >= 6, freqDim % 2 == 0 else { throw refuse("attention_head_dim and freq_dim must be even") }
        guard (imageDim == nil) == (addedKeyValueDim == nil) else {
            throw refuse("image_dim and added_kv_proj_dim go together")
        }
        if let addedKeyValueDim, addedKeyValueDim != dim { throw refuse("added_kv_proj_dim \(addedKeyValueDim) is not the width \(dim)") }
        guard textLength > 0, referenceStride > 0, referenceOffset.allSatisfy({ (-1...100_000).contains($0) }) else {
            throw refuse("text_len and refer_stride must be positive, refer_offset_… at least −1")
        }
        guard isAnimate else { return }
        if let latentChannels, inChannels != 2 * latentChannels + 4 {
            throw refuse("in_channels is \(inChannels), 2 · latent_channels + 4 = \(2 * latentChannels + 4) expected")
        }
        let animate = [motionSize, motionStyleDim, motionDim, motionOutputDim, faceHiddenDim, faceHeads, faceInterval]
        guard animate.allSatisfy({ (1...65_536).contains($0) }), faceHeads * faceHiddenDim <= 65_536, motionSize >= 8, motionSize & (motionSize - 1) == 0,
            motionDim <= motionOutputDim
        else { throw refuse("motion_encoder_size must be a power of two, and motion_dim at most motion_encoder_dim") }
        var side = motionSize
        while side >= 4 {
            guard let width = motionChannels["\(side)"], width > 0 else { throw refuse("motion_encoder_channel_sizes has no entry for \(side)") }
            side /= 2
        }
        guard layers % faceInterval == 0 else { throw refuse("num_layers \(layers) is no multiple of inject_face_latents_blocks \(faceInterval)") }
    }
}

extension WanConfiguration {
    /// The sizes of a checkpoint, read off its tensors.
    ///
    /// - Parameter count: Heads, which no tensor tells; nil: heads are 128 wide, as in all that were published.
    /// - Throws: `WeightError` when a tensor that tells a size is missing.
    private init(readOff weights: WeightStore, heads count: Int?) throws {
        func shape(_ name: String, rank: Int) throws -> [Int] {
            guard let shape = weights.shape(name), shape.count == rank else {
                throw WeightError(path: weights.path, "has no config.json, and no tensor '\(name)' from which the sizes of a Wan transformer could be told")
            }
            return shape
        }
        let isAnimate = weights.contains("pose_patch_embedding.weight")
        // The defaults first: the decoder fills them in for an empty object.
        self = try JSONDecoder().decode(
            WanConfiguration.self, from: Data(#"{"_class_name": "\#(isAnimate ? "WanAnimateTransformer3DModel" : "WanTransformer3DModel")"}"#.utf8))
        let patch = try shape("patch_embedding.weight", rank: 5)
        patchSize = Array(patch[2...])
        inChannels = patch[1]
        let width = patch[0]
        if let count {
            guard count > 0, width % count == 0 else { throw WeightError(path: weights.path, "config.json: num_heads \(count) does not divide the width \(width)") }
        } else if width % 128 != 0 {
            throw WeightError(path: weights.path, "has no config.json, and is \(width) wide: heads are taken to be 128 wide then; give a folder with config.json")
        }
        heads = count ?? width / 128
        headDim = heads > 0 ? width / heads : 0
        outChannels = try shape("proj_out.weight", rank: 2)[0] / max(1, patchSize.reduce(1, *))
        textDim = try shape("condition_embedder.text_embedder.linear_1.weight", rank: 2)[1]
        freqDim = try shape("condition_embedder.time_embedder.linear_1.weight", rank: 2)[1]
        ffnDim = try shape("blocks.0.ffn.net.0.proj.weight", rank: 2)[0]
        func number(of list: String, with tensor: String) -> Int { (0..<10_000).prefix { weights.contains("\(list).\($0).\(tensor)") }.count }
        layers = number(of: "blocks", with: "ffn.net.0.proj.weight")
        crossAttentionNorm = weights.contains("blocks.0.norm2.weight")
        imageDim = weights.shape("condition_embedder.image_embedder.norm1.weight")?.first
        addedKeyValueDim = weights.shape("blocks.0.attn2.add_k_proj.weight")?.last
        imagePositions = weights.shape("condition_embedder.image_embedder.pos_embed").flatMap { $0.count == 3 ? $0[1] : nil }
        guard isAnimate else { return }
        latentChannels = try shape("pose_patch_embedding.weight", rank: 5)[1]
        let directions = try shape("motion_encoder.motion_synthesis_weight", rank: 2)
        (motionOutputDim, motionDim) = (directions[0], directions[1])
        motionStyleDim = try shape("motion_encoder.conv_out.weight", rank: 4)[0]
        faceHiddenDim = try shape("face_encoder.conv2.weight", rank: 3)[1]
        faceHeads = try shape("face_encoder.conv1_local.weight", rank: 3)[0] / max(1, faceHiddenDim)
        faceInterval = layers / max(1, number(of: "face_adapter", with: "to_q.weight"))
        // Channels of the motion encoder, from the picture's side down to 4.
        var side = 4, channels: [Int] = []
        while let width = weights.shape("motion_encoder.res_blocks.\(channels.count).conv1.weight")?.first {
            channels.append(width)
            side *= 2
        }
        motionSize = side
        channels.append(try shape("motion_encoder.conv_out.weight", rank: 4)[1])
        motionChannels = Dictionary(uniqueKeysWithValues: channels.enumerated().map { ("\(side >> $0)", $1) })
    }
}
