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

    /// One tile, however large the frames are.
    static let whole = VAETiling(size: 1 << 40, stride: 1 << 40)

    /// Tiles of so many pixels that overlap by a quarter; nil for 0.
    ///
    /// - Throws: ``Misfit`` when they do not lie on the latent grid.
    public static func of(tile: Int, spatialStride: Int) throws -> VAETiling? {
        guard tile > 0 else { return nil }
        guard tile % (4 * spatialStride) == 0 else { throw Misfit(tile: tile, unit: 4 * spatialStride) }
        return VAETiling(size: tile, stride: tile / 4 * 3)
    }

    /// The same tiles in patches instead of pixels.
    func patchified(by patchSize: Int) -> VAETiling { VAETiling(size: size / patchSize, stride: stride / patchSize) }

    /// A tile that does not lie on the latent grid.
    public struct Misfit: Error, CustomStringConvertible {
        let tile, unit: Int

        public var description: String { "tile: \(tile) does not fit the latent grid; a multiple of \(unit), such as 256, is needed" }
    }
}

extension AutoencoderKLWan {
    /// Encodes a clip tile by tile, each through all its frames; see ``encode(_:)``. As diffusers has it, a tile counts patches where the
    /// network folds pixels into such.
    public func encode(_ video: Tensor, tiling: VAETiling) -> Posterior {
        let x = patchified(video)
        let tiles = VAETiles(encoding: self, tiling, height: x.shape[2], width: x.shape[3])
        guard tiles.areMany else { return encode(video) }
        let moments = tiles.joined { tile in
            var memory = CausalMemory(isKept: x.shape[1] > 1)
            let piece = tile.cut(from: x)
            return Tensor.concatenated(Self.chunks(x.shape[1]).map { self.moments(piece.sliced(1, $0), &memory) }, 1)
        }
        return Posterior(moments: moments)
    }

    /// Decodes latents tile by tile, each through all its frames; see ``decode(_:)``.
    public func decode(_ latents: Tensor, tiling: VAETiling) -> Tensor {
        let tiles = VAETiles(decoding: self, tiling, height: latents.shape[2], width: latents.shape[3])
        guard tiles.areMany else { return decode(latents) }
        let joined = tiles.joined { tile in
            var memory = CausalMemory(isKept: latents.shape[1] > 1)
            let piece = tile.cut(from: latents)
            return Tensor.concatenated((0..<piece.shape[1]).map { self.frames(piece.sliced(1, $0..<($0 + 1)), &memory) }, 1)
        }
        return unpatchified(joined).clamped(-1...1)
    }
}

/// Tiles on both sides of the network, in elements of its input and of its output.
struct VAETiles: Sendable {
    private let source, target: VAETiling
    /// Of the output.
    private let height, width: Int
    /// Row by row; not empty.
    let rows: [[Tile]]

    /// One tile of the input.
    struct Tile: Sendable {
        let number: Int
        let rows, columns: Range<Int>

        /// Its part of `[C, T, H, W]`.
        func cut(from x: Tensor) -> Tensor { x.sliced(2, rows).sliced(3, columns) }
    }

    /// - Parameters:
    ///   - height: Of the patchified frames.
    ///   - width: Of the patchified frames.
    init(encoding vae: AutoencoderKLWan, _ tiling: VAETiling, height: Int, width: Int) {
        let ratio = vae.configuration.spatialStride / vae.configuration.patchSize
        self.init(
            source: tiling, target: VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio), inputHeight: height, inputWidth: width,
            height: height / ratio, width: width / ratio)
    }

    /// - Parameters:
    ///   - height: Of the latents.
    ///   - width: Of the latents.
    init(decoding vae: AutoencoderKLWan, _ tiling: VAETiling, height: Int, width: Int) {
        let ratio = vae.configuration.spatialStride, patch = vae.configuration.patchSize
        self.init(
            source: VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio),
            target: VAETiling(size: tiling.size / patch, stride: tiling.stride / patch), inputHeight: height, inputWidth: width,
            height: height * (ratio / patch), width: width * (ratio / patch))
    }

    private init(source: VAETiling, target: VAETiling, inputHeight: Int, inputWidth: Int, height: Int, width: Int) {
        self.source = source
        self.target = target
        self.height = height
        self.width = width
        var number = 0
        // Frames no larger than a tile are one, whatever the stride.
        let isOne = max(inputHeight, inputWidth) <= source.size
        rows = stride(from: 0, to: isOne ? 1 : inputHeight, by: source.stride).map { top in
            stride(from: 0, to: isOne ? 1 : inputWidth, by: source.stride).map { left in
                defer { number += 1 }
                return Tile(number: number, rows: top..<min(top + source.size, inputHeight), columns: left..<min(left + source.size, inputWidth))
            }
        }
    }

    var count: Int { rows.count * rows[0].count }
    var areMany: Bool { count > 1 }

    /// Joins the tiles' results, `[C, T, H, W]`, of which each keeps `target.stride` rows and columns.
    func joined(_ result: (Tile) throws -> Tensor) rethrows -> Tensor {
        guard areMany else { return try result(rows[0][0]) }
        let blend = target.size - target.stride
        var above: [Tensor] = []
        var bands: [Tensor] = []
        for tiles in rows {
            var row: [Tensor] = []
            for (column, tile) in tiles.enumerated() {
                var piece = try result(tile)
                if !above.isEmpty { piece = Self.blended(above[column], piece, 2, blend) }
                if let before = row.last { piece = Self.blended(before, piece, 3, blend) }
                row.append(piece)
            }
            bands.append(Tensor.concatenated(row.map {
                $0.sliced(2, 0..<min(target.stride, $0.shape[2])).sliced(3, 0..<min(target.stride, $0.shape[3]))
            }, 3))
            above = row
        }
        return Tensor.concatenated(bands, 2).sliced(2, 0..<height).sliced(3, 0..<width)
    }

    /// `b`, whose first elements along a dimension fade in from the last of `a`.
    private static func blended(_ a: Tensor, _ b: Tensor, _ dimension: Int, _ extent: Int) -> Tensor {
        let (aSize, bSize) = (a.shape[dimension], b.shape[dimension])
        let n = min(aSize, bSize, extent)
        guard n > 0 else { return b }
        let ramp = Tensor((0..<n).map { Float($0) / Float(n) }, dimension == 2 ? [n, 1] : [n])
        let mixed = a.sliced(dimension, (aSize - n)..<aSize) * (-ramp + 1) + b.sliced(dimension, 0..<n) * ramp
        return Tensor.concatenated([mixed, b.sliced(dimension, n..<bSize)], dimension)
    }
}
