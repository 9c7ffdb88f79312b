public import Tensors

/// Encodes frames as they come; memory does not grow with the clip.
public struct EncoderStream: Sendable {
    private let model: AutoencoderKLWan
    private var memory: CausalMemory
    /// Frames that do not fill a chunk yet, `[3, 0 ..< 4, H, W]`.
    private var pending: Tensor?

    init(model: AutoencoderKLWan, isOneChunk: Bool) {
        self.model = model
        memory = CausalMemory(isKept: !isOneChunk)
    }

    /// Takes frames and returns the latents they complete.
    ///
    /// The first frame makes a latent frame alone, then every four make one; what is left over waits for the next call.
    ///
    /// - Parameter frames: `[3, n, H, W]` in −1 … 1; H and W are multiples of the spatial stride and stay the same.
    /// - Returns: Standardised latent means `[z, k, h, w]`, or nil when no chunk is full yet.
    public mutating func encode(_ frames: Tensor) -> Tensor? {
        let chunks = moments(frames)
        guard !chunks.isEmpty else { return nil }
        let mean = Tensor.concatenated(chunks, 1).chunked(2, 0)[0]
        return model.standardized(mean)
    }

    /// The moments `[2·z, 1, h, w]` of every chunk that the frames complete.
    mutating func moments(_ frames: Tensor) -> [Tensor] {
        precondition(
            frames.rank == 4 && frames.shape[0] == 3 && model.accepts(width: frames.shape[3], height: frames.shape[2]),
            "frames [3, T, H, W] with sides that are multiples of \(model.configuration.spatialStride) are needed, not \(frames.shape)")
        let all = Tensor.concatenated((pending.map { [$0] } ?? []) + [frames], 1)
        var start = 0
        var results: [Tensor] = []
        while true {
            let length = memory.isFirstChunk ? 1 : 4
            guard start + length <= all.shape[1] else { break }
            let chunk = model.patchified(all.sliced(1, start..<(start + length)))
            results.append(model.moments(chunk, &memory))
            start += length
        }
        pending = start < all.shape[1] ? all.sliced(1, start..<all.shape[1]) : nil
        return results
    }
}

/// Decodes latent frames as they come; memory does not grow with the clip.
public struct DecoderStream: Sendable {
    private let model: AutoencoderKLWan
    private var memory: CausalMemory

    init(model: AutoencoderKLWan, isOneChunk: Bool) {
        self.model = model
        memory = CausalMemory(isKept: !isOneChunk)
    }

    /// Decodes the next latent frame.
    ///
    /// - Parameter latent: Standardised, `[z, 1, h, w]`.
    /// - Returns: One frame for the first latent frame, four for every later one: `[3, 1 or 4, H, W]` in −1 … 1.
    public mutating func decode(_ latent: Tensor) -> Tensor { decodeRaw(model.destandardized(latent)) }

    /// As ``decode(_:)`` for a latent that is not standardised.
    public mutating func decodeRaw(_ latent: Tensor) -> Tensor {
        precondition(
            latent.rank == 4 && latent.shape[0] == model.configuration.latentChannels && latent.shape[1] == 1,
            "one latent frame [\(model.configuration.latentChannels), 1, h, w] is needed, not \(latent.shape)")
        return model.unpatchified(model.frames(latent, &memory)).clamped(-1...1)
    }
}
