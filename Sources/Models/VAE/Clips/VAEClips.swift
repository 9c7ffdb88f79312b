import Safetensors
public import Tensors

extension VideoAutoencoder {
    /// Encodes a clip or a picture.
    ///
    /// - Parameters:
    ///   - count: Number of frames, 1 + 4k.
    ///   - tiling: Cuts frames larger than a tile into tiles, one at work at a time, each through all frames; where tiles meet, the result
    ///     differs a little.
    ///   - progress: Called after each piece of work with how many of how many are done.
    ///   - frames: Frames `[3, n, H, W]` in −1 … 1; the sides are multiples of the spatial stride. All but the first are asked for again for
    ///     every tile, each time in order.
    /// - Returns: Standardised latents `[z, 1 + k, h, w]`.
    /// - Throws: ``VAERoomError`` when there is too little memory for frames or tiles so large, and what the closures throw.
    public func encode(
        count: Int, tiling: VAETiling? = nil, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in },
        frames: (Range<Int>) throws -> Tensor
    ) throws -> Tensor {
        precondition(count % 4 == 1, "1 + 4k frames are encoded, not \(count)")
        let chunks = AutoencoderKLWan.chunks(count)
        switch self {
        case .wan(let vae):
            let first = vae.patchified(try frames(chunks[0]))
            let tiles = VAETiles(encoding: vae, tiling?.patchified(by: vae.configuration.patchSize) ?? .whole, height: first.shape[2], width: first.shape[3])
            try checkRoom(vae, tiles, pixels: vae.configuration.patchSize, encodes: true, isClip: chunks.count > 1)
            let mean = try tiles.joined { tile in
                var memory = CausalMemory(isKept: chunks.count > 1)
                var latents: [Tensor] = []
                for (index, chunk) in chunks.enumerated() {
                    let piece = tile.cut(from: index == 0 ? first : vae.patchified(try frames(chunk)))
                    latents.append(vae.moments(piece, &memory).chunked(2, 0)[0])
                    try progress(tile.number * chunks.count + latents.count, tiles.count * chunks.count)
                }
                return Tensor.concatenated(latents, 1)
            }
            return vae.standardized(mean)
        case .block:
            var encoder = encoder()
            var latents: [Tensor] = []
            for chunk in chunks {
                latents.append(encoder.encode(try frames(chunk)))
                try progress(latents.count, chunks.count)
            }
            return Tensor.concatenated(latents, 1)
        }
    }

    /// Decodes a clip or a picture.
    ///
    /// - Parameters:
    ///   - count: Number of latent frames.
    ///   - tiling: As in ``encode(count:tiling:progress:frames:)``.
    ///   - scratch: A folder where the tiles of a clip wait for their neighbours, as many bytes as the clip has in f32 and three quarters more.
    ///   - progress: Called after each piece of work with how many of how many are done.
    ///   - latent: A standardised latent frame `[z, 1, h, w]`.
    ///   - frames: Takes `[3, 1, H, W]` in −1 … 1 first, then `[3, 4, H, W]` for every further latent frame.
    /// - Throws: ``VAERoomError`` when there is too little memory for frames or tiles so large, `SafetensorsError` when the disk is full, and
    ///   what the closures throw.
    public func decode(
        count: Int, tiling: VAETiling? = nil, scratch: @autoclosure () -> String, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in },
        latent: (Int) throws -> Tensor, frames: (Tensor) throws -> Void
    ) throws {
        guard count > 0 else { return }
        switch self {
        case .wan(let vae):
            let first = try latent(0)
            let tiles = VAETiles(decoding: vae, tiling ?? .whole, height: first.shape[2], width: first.shape[3])
            try checkRoom(vae, tiles, pixels: vae.configuration.spatialStride, encodes: false, isClip: count > 1)
            func decoded(_ tile: VAETiles.Tile, _ index: Int, _ memory: inout CausalMemory) throws -> Tensor {
                vae.frames(tile.cut(from: vae.destandardized(index == 0 ? first : try latent(index))), &memory)
            }
            func hand(_ joined: Tensor) throws { try frames(vae.unpatchified(joined).clamped(-1...1)) }
            guard count > 1 else {
                return try hand(tiles.joined { tile in
                    var memory = CausalMemory(isKept: false)
                    let piece = try decoded(tile, 0, &memory)
                    try progress(tile.number + 1, tiles.count)
                    return piece
                })
            }
            guard tiles.areMany else {
                var memory = CausalMemory()
                for index in 0..<count {
                    try hand(decoded(tiles.rows[0][0], index, &memory))
                    try progress(index + 1, count)
                }
                return
            }
            let pieces = try ScratchTensors(folder: scratch())
            for tile in tiles.rows.joined() {
                var memory = CausalMemory()
                for index in 0..<count {
                    try pieces.append(decoded(tile, index, &memory))
                    try progress(tile.number * count + index + 1, tiles.count * count)
                }
            }
            for index in 0..<count {
                try hand(tiles.joined { try pieces.tensor($0.number * count + index) })
            }
        case .block:
            var decoder = decoder()
            for index in 0..<count {
                try frames(decoder.decode(try latent(index)))
                try progress(index + 1, count)
            }
        }
    }
}

/// - Parameter pixels: Of a frame, along a side of an element of the tiles' input.
private func checkRoom(_ vae: AutoencoderKLWan, _ tiles: VAETiles, pixels: Int, encodes: Bool, isClip: Bool) throws {
    let largest = tiles.rows[0][0]
    try vae.checkRoom(
        encodes: encodes, width: largest.columns.count * pixels, height: largest.rows.count * pixels, isTile: tiles.areMany, isClip: isClip)
}

extension AutoencoderKLWan {
    /// The frames that make one latent frame each: the first, then four at a time; what is left over makes none.
    static func chunks(_ count: Int) -> [Range<Int>] { [0..<1] + (0..<((count - 1) / 4)).map { (1 + 4 * $0)..<(5 + 4 * $0) } }
}

/// Tensors put aside on disk.
private final class ScratchTensors {
    private let file: ScratchFile
    private var entries: [(offset: Int, shape: [Int])] = []

    init(folder: String) throws { file = try ScratchFile(folder: folder) }

    func append(_ tensor: Tensor) throws {
        entries.append((file.byteCount, tensor.shape))
        try tensor.withUnsafeBuffer { try file.append(UnsafeRawBufferPointer($0)) }
    }

    /// The tensor that was put aside as the number says.
    func tensor(_ number: Int) throws -> Tensor {
        try Tensor(entries[number].shape) { try file.read(at: entries[number].offset, into: UnsafeMutableRawBufferPointer($0)) }
    }
}
