public import Tensors

/// Overlapping tiles in which large pictures are encoded and decoded; the overlap is blended linearly.
public struct VAETiling: Sendable {
    /// Side of a tile, in pixels.
    public var size: Int
    /// From one tile to the next, in pixels; at most `size`.
    public var stride: Int

    public init(size: Int = 256, stride: Int = 192) {
        precondition(0 < stride && stride <= size, "tiles of \(size) pixels cannot lie \(stride) apart")
        self.size = size
        self.stride = stride
    }

    /// Tiles of so many pixels that overlap by a quarter; nil for 0.
    ///
    /// - Throws: ``Misfit`` when they do not lie on the latent grid.
    public static func of(tile: Int, spatialStride: Int) throws -> VAETiling? {
        guard tile > 0 else { return nil }
        guard tile % (4 * spatialStride) == 0 else { throw Misfit(tile: tile, unit: 4 * spatialStride) }
        return VAETiling(size: tile, stride: tile / 4 * 3)
    }

    /// A tile that does not lie on the latent grid.
    public struct Misfit: Error, CustomStringConvertible {
        let tile, unit: Int

        public var description: String { "tile: \(tile) does not fit the latent grid; a multiple of \(unit), such as 256, is needed" }
    }
}

extension AutoencoderKLWan {
    /// Encodes a clip tile by tile, each through all its frames; see ``encode(_:)``.
    public func encode(_ video: Tensor, tiling: VAETiling) -> Posterior {
        let x = patchified(video)
        guard max(x.shape[2], x.shape[3]) > tiling.size else { return encode(video) }
        let moments = tiled(x, VAETiles(encoding: self, tiling)) { _, tile in
            var memory = CausalMemory(isKept: tile.shape[1] > 1)
            let chunks = [0..<1] + (0..<((tile.shape[1] - 1) / 4)).map { (1 + 4 * $0)..<(5 + 4 * $0) }
            return Tensor.concatenated(chunks.map { self.moments(tile.sliced(1, $0), &memory) }, 1)
        }
        return Posterior(moments: moments)
    }

    /// Decodes latents tile by tile, each through all its frames; see ``decode(_:)``.
    public func decode(_ latents: Tensor, tiling: VAETiling) -> Tensor {
        let tiles = VAETiles(decoding: self, tiling)
        guard max(latents.shape[2], latents.shape[3]) > tiles.source.size else { return decode(latents) }
        let frames = tiled(latents, tiles) { _, tile in
            var memory = CausalMemory(isKept: tile.shape[1] > 1)
            return Tensor.concatenated((0..<tile.shape[1]).map { self.frames(tile.sliced(1, $0..<($0 + 1)), &memory) }, 1)
        }
        return unpatchified(frames).clamped(-1...1)
    }

    /// Runs `body` on the numbered tiles of `[C, T, H, W]` and joins the results, of which each keeps `target.stride` rows and columns.
    fileprivate func tiled(_ x: Tensor, _ tiles: VAETiles, _ body: (Int, Tensor) -> Tensor) -> Tensor {
        let (source, target) = (tiles.source, tiles.target)
        let blend = target.size - target.stride
        var above: [Tensor] = []
        var rows: [Tensor] = []
        var number = 0
        for top in stride(from: 0, to: x.shape[2], by: source.stride) {
            let band = x.sliced(2, top..<min(top + source.size, x.shape[2]))
            var row: [Tensor] = []
            for (column, left) in stride(from: 0, to: x.shape[3], by: source.stride).enumerated() {
                var tile = body(number, band.sliced(3, left..<min(left + source.size, x.shape[3])))
                number += 1
                if !above.isEmpty { tile = blended(above[column], tile, 2, blend) }
                if let before = row.last { tile = blended(before, tile, 3, blend) }
                row.append(tile)
            }
            rows.append(Tensor.concatenated(row.map {
                $0.sliced(2, 0..<min(target.stride, $0.shape[2])).sliced(3, 0..<min(target.stride, $0.shape[3]))
            }, 3))
            above = row
        }
        let (height, width) = (tiles.length(x.shape[2]), tiles.length(x.shape[3]))
        return Tensor.concatenated(rows, 2).sliced(2, 0..<height).sliced(3, 0..<width)
    }

    /// `b`, whose first elements along a dimension fade in from the last of `a`.
    private func blended(_ a: Tensor, _ b: Tensor, _ dimension: Int, _ extent: Int) -> Tensor {
        let (aSize, bSize) = (a.shape[dimension], b.shape[dimension])
        let n = min(aSize, bSize, extent)
        guard n > 0 else { return b }
        let ramp = Tensor((0..<n).map { Float($0) / Float(n) }, dimension == 2 ? [n, 1] : [n])
        let mixed = a.sliced(dimension, (aSize - n)..<aSize) * (-ramp + 1) + b.sliced(dimension, 0..<n) * ramp
        return Tensor.concatenated([mixed, b.sliced(dimension, n..<bSize)], dimension)
    }
}

/// Tiles on both sides of the network, in elements of its input and of its output.
private struct VAETiles: Sendable {
    let source, target: VAETiling
    /// Elements of the output per element of the input, as numerator and denominator.
    private let scale: (Int, Int)

    init(encoding vae: AutoencoderKLWan, _ tiling: VAETiling) {
        let ratio = vae.configuration.spatialStride / vae.configuration.patchSize
        source = tiling
        target = VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio)
        scale = (1, ratio)
    }

    init(decoding vae: AutoencoderKLWan, _ tiling: VAETiling) {
        let ratio = vae.configuration.spatialStride, patch = vae.configuration.patchSize
        source = VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio)
        target = VAETiling(size: tiling.size / patch, stride: tiling.stride / patch)
        scale = (ratio / patch, 1)
    }

    func length(_ length: Int) -> Int { length * scale.0 / scale.1 }
}

/// Encodes and decodes chunks of frames as they come, in tiles: one tile is at work at a time, and each remembers the frames before.
///
/// The same values, but for rounding, as ``AutoencoderKLWan/encode(_:tiling:)`` and ``AutoencoderKLWan/decode(_:tiling:)`` give for the whole clip.
struct TiledStream: Sendable {
    private let model: AutoencoderKLWan
    private let tiling: VAETiling
    private let isOneChunk: Bool
    private var memories: [CausalMemory] = []

    init(model: AutoencoderKLWan, tiling: VAETiling, isOneChunk: Bool) {
        self.model = model
        self.tiling = tiling
        self.isOneChunk = isOneChunk
    }

    private mutating func run(_ x: Tensor, _ tiles: VAETiles, _ body: (Tensor, inout CausalMemory) -> Tensor) -> Tensor {
        var memories = memories
        self.memories = []  // not held twice
        let isWhole = max(x.shape[2], x.shape[3]) <= tiles.source.size
        func remembering(_ number: Int, _ tile: Tensor) -> Tensor {
            if isOneChunk {
                var memory = CausalMemory(isKept: false)
                return body(tile, &memory)
            }
            if number >= memories.count { memories.append(CausalMemory()) }
            return body(tile, &memories[number])
        }
        let result = isWhole ? remembering(0, x) : model.tiled(x, tiles, remembering)
        self.memories = memories
        return result
    }

    /// A chunk of frames, `[3, 1 or 4, H, W]`, → a standardised latent frame.
    mutating func encode(_ frames: Tensor) -> Tensor {
        let model = model
        let moments = run(model.patchified(frames), VAETiles(encoding: model, tiling)) { model.moments($0, &$1) }
        return model.standardized(moments.chunked(2, 0)[0])
    }

    /// A standardised latent frame → `[3, 1 or 4, H, W]`.
    mutating func decode(_ latent: Tensor) -> Tensor {
        let model = model
        let frames = run(model.destandardized(latent), VAETiles(decoding: model, tiling)) {
            model.frames($0, &$1)
        }
        return model.unpatchified(frames).clamped(-1...1)
    }
}
