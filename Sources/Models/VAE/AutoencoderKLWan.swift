public import Tensors

/// The causal video autoencoder of Wan 2.1 and 2.2 (`AutoencoderKLWan`).
///
/// Frames are `[3, T, H, W]` in −1 … 1, latents `[z, t, H/s, W/s]` with T = 4·(t − 1) + 1. «Standardised» latents have
/// roughly mean 0 and deviation 1 per channel: the space of the diffusion model. A clip of any length fits in memory through
/// ``encoderStream()`` and ``decoderStream()``:
///
///     var decoder = vae.decoderStream()
///     for t in 0..<latents.shape[1] { write(decoder.decode(latents.sliced(1, t..<(t + 1)))) }
public struct AutoencoderKLWan: Sendable {
    public let configuration: VAEConfiguration
    private let encoder: VAEEncoder?
    private let decoder: VAEDecoder?
    private let quantize, dequantize: (weight: Tensor, bias: Tensor)  // 1×1×1 convolutions around the latents
    let mean, std: Tensor  // [z, 1, 1, 1]

    /// What a program does with the network.
    public enum Half: Sendable { case encoder, decoder }

    /// Builds the network from a checkpoint, in the names of diffusers or of the original; without `config.json` its sizes are read off
    /// the tensors.
    ///
    /// - Parameter half: The only half that is used: the weights of the other one are not read.
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, only half: Half? = nil) throws {
        let weights = weights.translated(by: .wanAutoencoder(in: weights.names))
        configuration = try weights.configuration.isEmpty ? VAEConfiguration(readOff: weights) : weights.configuration()
        let z = configuration.latentChannels
        encoder = half == .decoder ? nil : VAEEncoder(weights.scope("encoder"), configuration)
        quantize = (
            weights.tensor("quant_conv.weight", shape: [2 * z, 2 * z, 1, 1, 1]),
            weights.tensor("quant_conv.bias", shape: [2 * z])
        )
        dequantize = (
            weights.tensor("post_quant_conv.weight", shape: [z, z, 1, 1, 1]),
            weights.tensor("post_quant_conv.bias", shape: [z])
        )
        decoder = half == .encoder ? nil : VAEDecoder(weights.scope("decoder"), configuration)
        if let half { weights.ignore { $0.hasPrefix(half == .encoder ? "decoder." : "encoder.") } }
        mean = Tensor(configuration.latentsMean, [z, 1, 1, 1])
        std = Tensor(configuration.latentsStd, [z, 1, 1, 1])
        try weights.finish()
    }

    /// A diagonal Gaussian over latents, `[z, t, h, w]` each.
    public struct Posterior: Sendable {
        public let mean: Tensor
        /// Clamped to −30 … 20.
        public let logVariance: Tensor

        init(moments: Tensor) {
            let halves = moments.chunked(2, 0)
            mean = halves[0]
            logVariance = halves[1].clamped(-30...20)
        }
    }

    /// (latents − mean) / deviation, per channel.
    public func standardized(_ latents: Tensor) -> Tensor { (latents - mean) / std }
    /// latents·deviation + mean, per channel.
    public func destandardized(_ latents: Tensor) -> Tensor { latents * std + mean }

    /// Whether frames of this size can be encoded: both sides are multiples of the spatial stride.
    public func accepts(width: Int, height: Int) -> Bool {
        let stride = configuration.spatialStride
        return width > 0 && height > 0 && width % stride == 0 && height % stride == 0
    }

    /// Encodes a clip.
    ///
    /// - Parameter video: `[3, T, H, W]` in −1 … 1; frames beyond the last 4k + 1 are dropped.
    /// - Returns: The distribution of the latents (not standardised), `[z, 1 + (T − 1) / 4, H/s, W/s]`.
    public func encode(_ video: Tensor) -> Posterior {
        precondition(video.rank == 4 && video.shape[1] > 0, "frames [3, T, H, W] are needed, not \(video.shape)")
        var stream = encoderStream(isOneChunk: video.shape[1] == 1)
        return Posterior(moments: Tensor.concatenated(stream.moments(video), 1))
    }

    /// Decodes latents (not standardised).
    ///
    /// - Parameter latents: `[z, t, h, w]`.
    /// - Returns: `[3, 4·(t − 1) + 1, H, W]`, clamped to −1 … 1.
    public func decode(_ latents: Tensor) -> Tensor {
        precondition(latents.rank == 4 && latents.shape[1] > 0, "latents [z, t, h, w] are needed, not \(latents.shape)")
        var stream = decoderStream(isOneChunk: latents.shape[1] == 1)
        return Tensor.concatenated((0..<latents.shape[1]).map { stream.decodeRaw(latents.sliced(1, $0..<($0 + 1))) }, 1)
    }

    /// Starts encoding a clip of any length.
    ///
    /// - Parameter isOneChunk: Whether one frame is all there is: nothing is remembered for others then.
    public func encoderStream(isOneChunk: Bool = false) -> EncoderStream { EncoderStream(model: self, isOneChunk: isOneChunk) }
    /// Starts decoding a clip of any length.
    ///
    /// - Parameter isOneChunk: Whether one latent frame is all there is: nothing is remembered for others then.
    public func decoderStream(isOneChunk: Bool = false) -> DecoderStream { DecoderStream(model: self, isOneChunk: isOneChunk) }

    /// A chunk of patchified frames → moments `[2·z, 1, h, w]`.
    func moments(_ chunk: Tensor, _ memory: inout CausalMemory) -> Tensor {
        guard let encoder else { preconditionFailure("the autoencoder was built to decode only") }
        return encoder(chunk, &memory).conv3d(quantize.weight, quantize.bias)
    }

    /// A latent frame `[z, 1, h, w]` (not standardised) → patchified frames.
    func frames(_ latent: Tensor, _ memory: inout CausalMemory) -> Tensor {
        guard let decoder else { preconditionFailure("the autoencoder was built to encode only") }
        return decoder(latent.conv3d(dequantize.weight, dequantize.bias), &memory)
    }

    /// Folds patches of pixels into channels: channel c·p² + column·p + row.
    func patchified(_ x: Tensor) -> Tensor {
        let p = configuration.patchSize
        if p == 1 { return x }
        let (C, T, H, W) = (x.shape[0], x.shape[1], x.shape[2] / p, x.shape[3] / p)
        return x.reshaped(C, T, H, p, W, p).permuted(0, 5, 3, 1, 2, 4).reshaped(C * p * p, T, H, W)
    }

    /// Undoes ``patchified(_:)``.
    func unpatchified(_ x: Tensor) -> Tensor {
        let p = configuration.patchSize
        if p == 1 { return x }
        let (C, T, H, W) = (x.shape[0] / (p * p), x.shape[1], x.shape[2], x.shape[3])
        return x.reshaped(C, p, p, T, H, W).permuted(0, 3, 4, 2, 5, 1).reshaped(C, T, H * p, W * p)
    }
}
