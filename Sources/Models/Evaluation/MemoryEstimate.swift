import Foundation
public import Tensors

/// What a published network will take of memory, from its configuration and the shapes of its tensors alone.
public struct MemoryEstimate: Sendable {
    /// Bytes of all weights in single precision.
    public let weights: Int
    /// Bytes of weights that are in memory at once when layers are read from disk as needed: what belongs to no layer, and the largest
    /// layer. Nil for networks that are always kept as a whole.
    public let streamed: Int?
    /// Values between layers for one film or picture of the given size, with what that stands for; nil for networks that take none.
    public let activations: (bytes: Int, subject: String)?

    /// - Parameters:
    ///   - frames: Frames of the film, 1 + 4k.
    ///   - width: In pixels.
    ///   - height: In pixels.
    /// - Throws: `WeightError` when the configuration does not fit its class; ``SizeError`` when the network takes no film of that size.
    public init(_ weights: WeightStore, frames: Int, width: Int, height: Int) throws {
        let name = try weights.className()
        let store = weights.named(for: name)
        let sizes = Dictionary(uniqueKeysWithValues: store.names.map { ($0, 4 * (store.shape($0) ?? []).reduce(1, *)) })
        self.weights = sizes.values.reduce(0, +)
        let lists = [
            "WanTransformer3DModel": ["blocks", "condition_embedder"], "WanAnimateTransformer3DModel": ["blocks", "face_adapter", "condition_embedder"],
            "WanAnimate2Transformer3DModel": ["blocks"], "UMT5EncoderModel": ["encoder.block", "shared"], "CLIPVisionModel": ["encoder.layers"],
            "CLIPVisionModelWithProjection": ["encoder.layers"],
        ]
        streamed = lists[name].map { lists in
            var fixed = 0, groups: [String: Int] = [:]
            for (tensor, bytes) in sizes {
                let tensor = tensor.hasPrefix("vision_model.") ? String(tensor.dropFirst(13)) : tensor
                guard let list = lists.first(where: { tensor.hasPrefix($0 + ".") }) else {
                    fixed += bytes
                    continue
                }
                let index = tensor.dropFirst(list.count + 1).prefix { $0 != "." }
                groups[Int(index) == nil ? list : "\(list).\(index)", default: 0] += list == "shared" ? 0 : bytes
            }
            return fixed + (groups.values.max() ?? 0) + (lists.contains("face_adapter") ? groups.filter { $0.key.hasPrefix("face_adapter") }.values.max() ?? 0 : 0)
        }
        let latentFrames = 1 + max(0, frames - 1) / 4
        let subject = "\(frames) frames of \(width)×\(height)"
        switch name {
        case "WanTransformer3DModel", "WanAnimateTransformer3DModel", "WanAnimate2Transformer3DModel":
            let c = try WanConfiguration(store)
            try SizeError.check(width, height, multiples: (8 * c.patchSize[2], 8 * c.patchSize[1]))
            let tokens = (latentFrames + (name == "WanTransformer3DModel" ? 0 : 1)) * (width / 8 / c.patchSize[2]) * (height / 8 / c.patchSize[1])
            // Feed-forward: its hidden values before and after the activation, beside tokens, their normed form, gate and result.
            activations = (4 * tokens * (2 * c.ffnDim + 6 * c.dim), "\(subject), \(tokens) tokens")
        case "AutoencoderKLWan":
            let c = try store.configuration.isEmpty ? VAEConfiguration(readOff: store) : store.configuration()
            try SizeError.check(width, height, multiples: (8 * c.patchSize, 8 * c.patchSize))
            let area = width * height / (c.patchSize * c.patchSize)
            activations = (4 * area * Self.planes * (c.decoderChannels ?? c.channels) * c.channelMultipliers[0], subject)
        default: activations = nil
        }
    }

    /// A size in pixels whose sides are not multiples of what the network divides them by.
    public struct SizeError: Error, CustomStringConvertible {
        public let width: Int
        public let height: Int
        /// What each side must be a multiple of, in pixels.
        public let multiples: (width: Int, height: Int)

        public var description: String {
            let (x, y) = multiples
            let rule = x == y ? "multiples of \(x)" : "a width that is a multiple of \(x), a height that is one of \(y)"
            return "the network takes \(rule) pixels, not \(width)×\(height)"
        }

        static func check(_ width: Int, _ height: Int, multiples: (width: Int, height: Int)) throws {
            guard width.isMultiple(of: multiples.width), height.isMultiple(of: multiples.height) else {
                throw SizeError(width: width, height: height, multiples: multiples)
            }
        }
    }

    /// Planes of the decoder's widest level, per channel of its last one, that are in memory at once: values of several layers and two
    /// remembered frames of each (measured).
    private static let planes = 34
}
