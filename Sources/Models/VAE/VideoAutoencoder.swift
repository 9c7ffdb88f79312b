public import Tensors

/// Any of the causal video autoencoders, chosen by the `_class_name` of its `config.json`.
public enum VideoAutoencoder: Sendable {
    case wan(AutoencoderKLWan)
    case block(BlockVAE)

    /// Builds the network that a checkpoint names.
    ///
    /// - Parameter half: The only half that is used; see ``AutoencoderKLWan/init(_:only:)``.
    /// - Throws: `WeightError` when the class is unknown, or configuration or tensors do not fit.
    public init(_ weights: WeightStore, only half: AutoencoderKLWan.Half? = nil) throws {
        switch try weights.className() {
        case "AutoencoderKLWan": self = .wan(try AutoencoderKLWan(weights, only: half))
        case "BlockVAE": self = .block(try BlockVAE(weights))
        case let other:
            throw WeightError(
                path: weights.path, "is a '\(other)'; the autoencoders AutoencoderKLWan and BlockVAE are known")
        }
    }

    public var latentChannels: Int {
        switch self {
        case .wan(let vae): vae.configuration.latentChannels
        case .block(let vae): vae.configuration.latentChannels
        }
    }

    /// Pixels per latent pixel.
    public var spatialStride: Int {
        switch self {
        case .wan(let vae): vae.configuration.spatialStride
        case .block: BlockVAE.side
        }
    }

    /// Encodes chunk by chunk; see ``encode(count:tiling:progress:frames:)`` for tiles.
    public func encoder() -> Encoder {
        switch self {
        case .wan(let vae): Encoder(state: .wan(vae.encoderStream()))
        case .block(let vae): Encoder(state: .block(vae, CausalMemory()))
        }
    }

    /// Decodes chunk by chunk; see ``decode(count:tiling:scratch:progress:latent:frames:)`` for tiles.
    public func decoder() -> Decoder {
        switch self {
        case .wan(let vae): Decoder(state: .wan(vae.decoderStream()))
        case .block(let vae): Decoder(state: .block(vae, CausalMemory()))
        }
    }

    /// Encodes a clip chunk by chunk: one frame first, then four at a time.
    public struct Encoder: Sendable {
        enum State: Sendable {
            case wan(EncoderStream)
            /// While a chunk is at work: its memory must not be held twice.
            case busy
            case block(BlockVAE, CausalMemory)
        }

        var state: State
        /// The number of frames that the next chunk has.
        public private(set) var chunkLength = 1

        init(state: State) { self.state = state }

        /// Encodes the next chunk.
        ///
        /// - Parameter frames: `[3, chunkLength, H, W]` in −1 … 1; the sides are multiples of the spatial stride.
        /// - Returns: One standardised latent frame `[z, 1, h, w]`.
        public mutating func encode(_ frames: Tensor) -> Tensor {
            precondition(
                frames.shape[1] == chunkLength, "a chunk of \(chunkLength) frames is needed, not \(frames.shape)")
            chunkLength = 4
            switch state {
            case .busy: preconditionFailure("one chunk at a time")
            case .wan(var stream):
                state = .busy
                let latent = stream.encode(frames)
                state = .wan(stream)
                guard let latent else { preconditionFailure("a whole chunk gives a latent frame") }
                return latent
            case .block(let vae, var memory):
                state = .busy
                let latent = vae.encode(frames, &memory)
                state = .block(vae, memory)
                return latent
            }
        }
    }

    /// Decodes latent frames one by one.
    public struct Decoder: Sendable {
        enum State: Sendable {
            case wan(DecoderStream)
            /// While a chunk is at work: its memory must not be held twice.
            case busy
            case block(BlockVAE, CausalMemory)
        }

        var state: State

        init(state: State) { self.state = state }

        /// Decodes the next standardised latent frame, `[z, 1, h, w]`.
        ///
        /// - Returns: `[3, 1, H, W]` for the first, `[3, 4, H, W]` for every later one, in −1 … 1.
        public mutating func decode(_ latent: Tensor) -> Tensor {
            switch state {
            case .busy: preconditionFailure("one chunk at a time")
            case .wan(var stream):
                state = .busy
                let frames = stream.decode(latent)
                state = .wan(stream)
                return frames
            case .block(let vae, var memory):
                state = .busy
                let frames = vae.decode(latent, &memory)
                state = .block(vae, memory)
                return frames
            }
        }
    }
}
