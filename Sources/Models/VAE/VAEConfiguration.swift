import Foundation
import Tensors

/// The shape of a Wan video autoencoder; keys as in the published `config.json` of `AutoencoderKLWan`.
public struct VAEConfiguration: Decodable, Sendable {
    /// Channels of the encoder's first level, and of the decoder's last if `decoderChannels` is missing.
    public var channels: Int
    public var decoderChannels: Int?
    public var latentChannels: Int
    public var channelMultipliers: [Int]
    public var residualBlocks: Int
    /// Scales (1, 1/2, …) at which the encoder has attention blocks.
    public var attentionScales: [Double]
    /// Which downsampling steps halve time as well; one fewer than levels.
    public var temporalDownsample: [Bool]
    public var latentsMean: [Float]
    public var latentsStd: [Float]
    /// The layout of Wan 2.2, with averaging shortcuts around every level.
    public var isResidual: Bool
    public var inChannels: Int
    public var outChannels: Int
    /// Pixels folded into channels before the encoder, along each side.
    public var patchSize: Int
    public var temporalStride: Int
    public var spatialStride: Int

    enum CodingKeys: String, CodingKey {
        case channels = "base_dim"
        case decoderChannels = "decoder_base_dim"
        case latentChannels = "z_dim"
        case channelMultipliers = "dim_mult"
        case residualBlocks = "num_res_blocks"
        case attentionScales = "attn_scales"
        case temporalDownsample = "temperal_downsample"
        case latentsMean = "latents_mean"
        case latentsStd = "latents_std"
        case isResidual = "is_residual"
        case inChannels = "in_channels"
        case outChannels = "out_channels"
        case patchSize = "patch_size"
        case temporalStride = "scale_factor_temporal"
        case spatialStride = "scale_factor_spatial"
    }

    public init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T {
            try keys.decodeIfPresent(T.self, forKey: key) ?? standard
        }
        channels = try value(.channels, 96)
        decoderChannels = try keys.decodeIfPresent(Int.self, forKey: .decoderChannels)
        latentChannels = try value(.latentChannels, 16)
        channelMultipliers = try value(.channelMultipliers, [1, 2, 4, 4])
        residualBlocks = try value(.residualBlocks, 2)
        attentionScales = try value(.attentionScales, [])
        temporalDownsample = try value(.temporalDownsample, [false, true, true])
        latentsMean = try value(.latentsMean, Self.publishedMean)
        latentsStd = try value(.latentsStd, Self.publishedStd)
        isResidual = try value(.isResidual, false)
        inChannels = try value(.inChannels, 3)
        outChannels = try value(.outChannels, 3)
        patchSize = try value(.patchSize, 1)
        temporalStride = try value(.temporalStride, 4)
        spatialStride = try value(.spatialStride, 8)
        try check(decoder.codingPath)
    }

    /// Refuses what no network can be built from.
    private func check(_ path: [any CodingKey]) throws {
        func require(_ condition: Bool, _ text: String) throws {
            guard condition else {
                throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: text))
            }
        }
        let sizes = [channels, decoderChannels ?? 1, latentChannels, residualBlocks, inChannels, outChannels, patchSize]
        let widest = (channelMultipliers.max() ?? 1).multipliedReportingOverflow(by: max(channels, decoderChannels ?? 1))
        try require(
            (sizes + channelMultipliers).allSatisfy { (1...8192).contains($0) } && !widest.overflow && widest.partialValue <= 8192 && residualBlocks <= 100,
            "sizes must be between 1 and 8192, base_dim times any of dim_mult too, num_res_blocks at most 100")
        try require((1...16).contains(channelMultipliers.count), "dim_mult must have 1 to 16 entries")
        try require(
            temporalDownsample.count == channelMultipliers.count - 1,
            "temperal_downsample must have \(channelMultipliers.count - 1) entries, one fewer than dim_mult")
        try require(
            latentsMean.count == latentChannels && latentsStd.count == latentChannels && latentsStd.allSatisfy { $0 > 0 },
            "latents_mean and latents_std must have z_dim = \(latentChannels) entries, deviations positive")
        let halvings = temporalDownsample.filter { $0 }.count
        try require(
            temporalStride == 1 << halvings && temporalStride == 4,
            "scale_factor_temporal must be 4 and agree with temperal_downsample, which halves time \(halvings) times")
        try require(
            spatialStride == patchSize << temporalDownsample.count,
            "scale_factor_spatial must be patch_size · 2^(levels − 1) = \(patchSize << temporalDownsample.count)")
        let patched = patchSize * patchSize
        try require(
            inChannels == 3 * patched && outChannels == inChannels,
            "in_channels and out_channels must be 3 · patch_size² = \(3 * patched)")
        try require(
            isResidual || zip([channelMultipliers[channelMultipliers.count - 1]] + channelMultipliers.reversed(), 0...)
                .allSatisfy { $1 == 0 || $0 * (decoderChannels ?? channels) % 2 == 0 },
            "decoder channels must be even at every level")
    }

    /// Channels before and after each level of the encoder.
    var encoderLevels: [(Int, Int)] {
        let sizes = ([1] + channelMultipliers).map { $0 * channels }
        return Array(zip(sizes, sizes.dropFirst()))
    }

    /// Channels before and after each level of the decoder.
    var decoderLevels: [(Int, Int)] {
        let multipliers = Array(channelMultipliers.reversed())
        let sizes = (multipliers.prefix(1) + multipliers).map { $0 * (decoderChannels ?? channels) }
        return Array(zip(sizes, sizes.dropFirst()))
    }

    static let publishedMean: [Float] = [
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
        -0.9497, 0.2503, -0.2921,
    ]
    static let publishedStd: [Float] = [
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
        2.8251, 1.9160,
    ]
}
