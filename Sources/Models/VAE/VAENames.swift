import Foundation
import Tensors

extension WeightNames {
    /// The names of Wan's original autoencoders for ``AutoencoderKLWan``, which has those of diffusers. The original of 2.2 counts the parts of
    /// each level; that of 2.1 counts the parts of all levels through.
    ///
    /// - Parameter stored: All names of the checkpoint: they tell how many parts a level of the decoder has.
    static func wanAutoencoder(in stored: [String]) -> WeightNames {
        // Every level of the decoder but the last ends with an upsampling.
        let ends = stored.compactMap { name -> Int? in
            let parts = name.split(separator: ".")
            return name.hasPrefix("decoder.upsamples.") && parts.count > 3 && parts[3] == "resample" ? Int(parts[2]) : nil
        }
        let length = ends.filter { (0..<10_000).contains($0) }.min().map { $0 + 1 } ?? .max
        return WeightNames(names: { [autoencoderName($0, partsPerLevel: length)] }, aliases: { _ in [] })
    }

    private static func autoencoderName(_ name: String, partsPerLevel length: Int) -> String {
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count >= 2 else { return name }
        func joined(_ head: String, from start: Int) -> String { ([head] + parts.dropFirst(start)).joined(separator: ".") }
        let half = parts[0]
        switch half {
        case "conv1": return joined("quant_conv", from: 1)
        case "conv2": return joined("post_quant_conv", from: 1)
        case "encoder", "decoder": break
        default: return name
        }
        switch (parts[1], parts.count > 2 ? parts[2] : "") {
        case ("conv1", _): return joined("\(half).conv_in", from: 2)
        case ("head", "0"): return joined("\(half).norm_out", from: 3)
        case ("head", "2"): return joined("\(half).conv_out", from: 3)
        case ("middle", "1"): return joined("\(half).mid_block.attentions.0", from: 3)
        case ("middle", "0"): return "\(half).mid_block.resnets.0." + inBlock(parts.dropFirst(3))
        case ("middle", "2"): return "\(half).mid_block.resnets.1." + inBlock(parts.dropFirst(3))
        case ("downsamples", _), ("upsamples", _): break
        default: return name
        }
        let isEncoder = parts[1] == "downsamples"
        let levels = "\(half).\(isEncoder ? "down_blocks" : "up_blocks")"
        guard parts.count > 3, let index = Int(parts[2]), index >= 0 else { return name }
        if parts.count > 5, parts[3] == parts[1] {
            let rest = parts.dropFirst(5), isResampling = ["resample", "time_conv"].contains(parts[5])
            let part = isResampling ? (isEncoder ? "downsampler" : "upsampler") : "resnets.\(parts[4])"
            return "\(levels).\(index).\(part)." + inBlock(rest)
        }
        let rest = parts.dropFirst(3)
        if isEncoder { return "\(levels).\(index)." + inBlock(rest) }
        let part = ["resample", "time_conv"].contains(parts[3]) ? "upsamplers.0" : "resnets.\(index % length)"
        return "\(levels).\(index / length).\(part)." + inBlock(rest)
    }

    /// Names inside a residual block; others stay.
    private static func inBlock(_ parts: ArraySlice<String>) -> String {
        let name = parts.joined(separator: ".")
        for (original, own) in [
            ("residual.0.", "norm1."), ("residual.2.", "conv1."), ("residual.3.", "norm2."), ("residual.6.", "conv2."), ("shortcut.", "conv_shortcut."),
        ] where name.hasPrefix(original) {
            return own + name.dropFirst(original.count)
        }
        return name
    }
}

extension VAEConfiguration {
    /// The sizes of a checkpoint without `config.json`, read off its tensors; levels widen and halve time as in all that were published.
    ///
    /// - Parameter weights: Under the network's names.
    /// - Throws: `WeightError` when a tensor that tells a size is missing, or nothing is known of so many latent channels.
    init(readOff weights: WeightStore) throws {
        func shape(_ name: String) throws -> [Int] {
            guard let shape = weights.shape(name), shape.count == 5 else {
                throw WeightError(path: weights.path, "has no config.json, and no tensor '\(name)' from which the sizes of a Wan autoencoder could be told")
            }
            return shape
        }
        let first = try shape("encoder.conv_in.weight"), decoding = try shape("decoder.conv_in.weight")
        let patch = Int((Double(first[1]) / 3).squareRoot().rounded()), channels = decoding[1]
        let blocks = (0..<1000).prefix { weights.contains("decoder.up_blocks.0.resnets.\($0).conv1.weight") }.count - 1
        var object: [String: Any] = [
            "base_dim": first[0], "decoder_base_dim": decoding[0] / 4, "z_dim": channels, "num_res_blocks": blocks, "patch_size": patch, "in_channels": first[1],
            "out_channels": first[1], "scale_factor_spatial": 8 * patch,
            "is_residual": weights.contains("decoder.up_blocks.0.upsampler.resample.1.weight"),
        ]
        switch channels {
        case Self.publishedMean.count: break
        case Self.residualMean.count: (object["latents_mean"], object["latents_std"]) = (Self.residualMean, Self.residualStd)
        default:
            throw WeightError(
                path: weights.path,
                "has no config.json, and latents of \(channels) channels, of which mean and deviation are not known; give a folder with config.json")
        }
        do {
            self = try JSONDecoder().decode(VAEConfiguration.self, from: JSONSerialization.data(withJSONObject: object))
        } catch DecodingError.dataCorrupted(let context) {
            throw WeightError(path: weights.path, "has no config.json, and tensors of no Wan autoencoder: \(context.debugDescription)")
        }
    }

    /// Per channel, of the autoencoder of Wan 2.2 TI2V.
    private static let residualMean = [
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825,
        -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230,
        -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
    ]
    private static let residualStd = [
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759,
        0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065,
        0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
    ]
}
