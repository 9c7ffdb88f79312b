public import Tensors

/// A causal 3D video autoencoder: stride 4 in time, latent frame 0 codes one video frame, every later one four (METHOD §2).
public protocol VideoAutoencoder: Sendable {
    /// Channels of a latent.
    var latentChannels: Int { get }
    /// Pixels per latent cell along each side.
    var spatialStride: Int { get }
    /// Starts encoding a clip of any length.
    func makeEncoder() -> any LatentEncoder
    /// Starts decoding a clip of any length.
    func makeDecoder() -> any FrameDecoder
}

/// Encodes frames as they come; memory does not grow with the clip.
public protocol LatentEncoder {
    /// Takes frames and returns the latents they complete: the first frame makes one alone, then every four.
    ///
    /// - Parameter frames: `[3, n, H, W]` in −1 … 1; the sides are multiples of the spatial stride.
    /// - Returns: Standardised latents `[z, k, h, w]`, or nil when none is complete yet.
    mutating func encode(_ frames: Tensor) -> Tensor?
}

/// Decodes latent frames as they come; memory does not grow with the clip.
public protocol FrameDecoder {
    /// Decodes the next latent frame.
    ///
    /// - Parameter latent: Standardised, `[z, 1, h, w]`.
    /// - Returns: One frame for the first latent frame, four for every later one: `[3, 1 or 4, H, W]` in −1 … 1.
    mutating func decode(_ latent: Tensor) -> Tensor
}

extension EncoderStream: LatentEncoder {}
extension DecoderStream: FrameDecoder {}

extension AutoencoderKLWan: VideoAutoencoder {
    public var latentChannels: Int { configuration.latentChannels }
    public var spatialStride: Int { configuration.spatialStride }
    public func makeEncoder() -> any LatentEncoder { encoderStream() }
    public func makeDecoder() -> any FrameDecoder { decoderStream() }
}

extension WeightStore {
    private struct ClassName: Decodable {
        let name: String
        enum CodingKeys: String, CodingKey { case name = "_class_name" }
    }

    /// Loads the video autoencoder that the configuration's `_class_name` says.
    ///
    /// - Throws: `WeightError` when it is no video autoencoder, or its configuration or a tensor does not fit.
    public func loadVideoAutoencoder() throws -> any VideoAutoencoder {
        switch try configuration(ClassName.self).name {
        case "AutoencoderKLWan": return try AutoencoderKLWan(self)
        case "BlockVAE": return try BlockVAE(self)
        case let other:
            throw WeightError(path: path, "is a '\(other)'; a video autoencoder is needed: AutoencoderKLWan or BlockVAE")
        }
    }
}
