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
}

extension AutoencoderKLWan {
    /// Encodes a clip tile by tile, each through all its frames; see ``encode(_:)``.
    public func encode(_ video: Tensor, tiling: VAETiling) -> Posterior {
        let x = patchified(video)
        let ratio = configuration.spatialStride / configuration.patchSize
        let latent = VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio)
        guard max(x.shape[2], x.shape[3]) > tiling.size else { return encode(video) }
        let moments = tiled(
            x, tiling, into: latent, blend: latent.size - latent.stride, height: x.shape[2] / ratio, width: x.shape[3] / ratio
        ) { tile in
            var memory = CausalMemory()
            let chunks = [0..<1] + (0..<((tile.shape[1] - 1) / 4)).map { (1 + 4 * $0)..<(5 + 4 * $0) }
            return Tensor.concatenated(
                chunks.map { encoder(tile.sliced(1, $0), &memory).conv3d(quantize.weight, quantize.bias) }, 1)
        }
        return Posterior(moments: moments)
    }

    /// Decodes latents tile by tile, each through all its frames; see ``decode(_:)``.
    public func decode(_ latents: Tensor, tiling: VAETiling) -> Tensor {
        let ratio = configuration.spatialStride, patch = configuration.patchSize
        let tiles = VAETiling(size: tiling.size / ratio, stride: tiling.stride / ratio)
        guard max(latents.shape[2], latents.shape[3]) > tiles.size else { return decode(latents) }
        let target = VAETiling(size: tiling.size / patch, stride: tiling.stride / patch)
        let frames = tiled(
            latents, tiles, into: target, blend: target.size - target.stride, height: latents.shape[2] * ratio / patch,
            width: latents.shape[3] * ratio / patch
        ) { tile in
            var memory = CausalMemory()
            let z = tile.conv3d(dequantize.weight, dequantize.bias)
            return Tensor.concatenated((0..<z.shape[1]).map { decoder(z.sliced(1, $0..<($0 + 1)), &memory) }, 1)
        }
        return unpatchified(frames).clamped(-1...1)
    }

    /// Runs `body` on tiles of `[C, T, H, W]` and joins the results, of which each keeps `target.stride` rows and columns.
    private func tiled(
        _ x: Tensor, _ source: VAETiling, into target: VAETiling, blend: Int, height: Int, width: Int,
        _ body: (Tensor) -> Tensor
    ) -> Tensor {
        var above: [Tensor] = []
        var rows: [Tensor] = []
        for top in stride(from: 0, to: x.shape[2], by: source.stride) {
            let band = x.sliced(2, top..<min(top + source.size, x.shape[2]))
            var row: [Tensor] = []
            for (column, left) in stride(from: 0, to: x.shape[3], by: source.stride).enumerated() {
                var tile = body(band.sliced(3, left..<min(left + source.size, x.shape[3])))
                if !above.isEmpty { tile = blended(above[column], tile, 2, blend) }
                if let before = row.last { tile = blended(before, tile, 3, blend) }
                row.append(tile)
            }
            rows.append(Tensor.concatenated(row.map {
                $0.sliced(2, 0..<min(target.stride, $0.shape[2])).sliced(3, 0..<min(target.stride, $0.shape[3]))
            }, 3))
            above = row
        }
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
