public import Tensors

/// Wan-Animate-2 (`WanAnimate2Transformer3DModel`): the driving clip itself steers the film, through keys and values that one pass over
/// it leaves behind.
public struct WanAnimate2Transformer: Sendable {
    public let configuration: WanConfiguration
    let patchEmbedding: WanTransformer.Patches
    let embedder: LayerStack<WanConditionEmbedder>  // one
    let blocks: LayerStack<WanBlock>
    let headModulation: Tensor  // [2, dim]
    let head: Linear
    /// The block that the unconditional pass leaves out.
    private static let conditionalBlock = 9

    public typealias Conditioning = WanConditioning

    /// What the driving clip leaves behind: per block, keys (normed, without positions) and values, `[tokens, dim]`.
    public struct Reference: Sendable {
        let layers: [KeyValue]
        /// Latent frames, rows and columns of tokens.
        let grid: [Int]
    }

    /// Builds the network from a checkpoint, in the names of diffusers or of the original.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let weights = weights.translated(by: .wanAnimate2)
        let c = try WanConfiguration(weights)
        configuration = c
        let root = weights.root
        patchEmbedding = WanTransformer.Patches(root.scope("patch_embedding"), c.inChannels, c)
        headModulation = root.tensor("head.modulation", shape: [1, 2, c.dim]).squeezed(0)
        head = Linear(root.scope("head.head"), c.dim, c.outChannels * c.patchSize.reduce(1, *))
        let parts = ["text_embedding", "time_embedding", "time_projection", "img_emb"]
        embedder = LayerStack(weights, count: 1, prefixes: { _ in parts }) { root, _ in WanConditionEmbedder(animate2: root, c) }
        blocks = LayerStack(weights, count: c.layers, prefixes: { ["blocks.\($0)"] }) { WanBlock($0.scope("blocks", $1), c, names: .animate2) }
        try weights.finish()
    }

    /// - Parameters:
    ///   - text: `[n, textDim]`, n at most `textLength`; zeros fill the rest, and are attended to.
    ///   - image: CLIP's tokens `[m, 1280]`.
    /// - Throws: `WeightError`, as the passes do, when a layer that did not fit in memory cannot be read.
    public func conditioning(text: Tensor, image: Tensor?) throws -> WanConditioning {
        let embedder = try embedder[0]
        return WanConditioning(
            prompt: WanContext(
                text: embedder.text(text.padded(0, after: configuration.textLength - text.shape[0])),
                image: image.flatMap { tokens in embedder.image.map { $0(tokens) } }, layers: blocks.count, isKept: blocks.isResident))
    }

    private func grid(_ x: Tensor) -> [Int] { zip(x.shape.dropFirst(), configuration.patchSize).map { $0 / $1 } }

    /// The reference's positions: beside the film's own, so that no two tokens share one.
    private func referenceTable(_ grid: [Int]) -> RotaryTable {
        let c = configuration
        let offset = zip(c.referenceOffset, grid).map { $0 < 0 ? $1 : $0 }
        return RotaryTable(
            frames: (0..<grid[0]).map { offset[0] + $0 * c.referenceStride }, grid: (grid[1], grid[2]), origin: (offset[1], offset[2]),
            headDim: c.headDim, theta: 10000)
    }

    /// The pass over the driving clip, at timestep 1.
    ///
    /// - Parameter x: Latents and condition `[in, T, h, w]`.
    /// - Returns: What it predicts (not used in generation) and what it leaves behind.
    public func reference(_ x: Tensor, _ context: WanConditioning) throws -> (sample: Tensor, reference: Reference) {
        let c = configuration
        let grid = grid(x)
        let table = referenceTable(grid)
        let (embedding, modulation) = try embedder[0].time([1])
        var tokens = patchEmbedding(x)
        var layers: [KeyValue] = []
        for index in 0..<blocks.count {
            blocks.prefetch(index + 1)
            let block = try blocks[index]
            tokens = block(tokens, time: modulation, context.prompt[index, block.crossAttention]) { y in
                let a = block.selfAttention
                let own = a.keyValue(y)
                layers.append(own)
                let placed = own.positioned(table, heads: c.heads)
                return a.toOut(attention(a.query(y, table), placed.k, placed.v, heads: c.heads, precision: a.precision))
            }
        }
        return (
            WanTransformer.output(tokens, embedding, headModulation, head, c, grid: grid), Reference(layers: layers, grid: grid)
        )
    }

    /// The velocity of a generation pass: each frame sees all of the film's tokens, and of the reference the frame before its own
    /// number (frame 0, the slot of the picture, sees none).
    ///
    /// - Parameters:
    ///   - x: Noisy latents and condition `[in, T + 1, h, w]`.
    ///   - isUnconditional: Leaves one block out, as the published guidance does.
    ///   - extent: Latent frames of the driving clip, and tokens per frame, for which the attention mask is made: where the segment or the
    ///     reference is shorter or smaller, zeros stand in and are attended to. Nil: the reference's own.
    /// - Returns: `[out, T + 1, h, w]`.
    public func callAsFunction(
        _ x: Tensor, timestep: Float, _ context: WanConditioning, _ reference: Reference, isUnconditional: Bool = false,
        extent: (frames: Int, plane: Int)? = nil
    ) throws -> Tensor {
        let c = configuration
        let grid = grid(x)
        let plane = grid[1] * grid[2], referencePlane = reference.grid[1] * reference.grid[2]
        let extent = extent ?? (max(reference.grid[0], grid[0] - 1), max(plane, referencePlane))
        precondition(
            extent.frames >= max(reference.grid[0], grid[0] - 1) && extent.plane >= max(plane, referencePlane),
            "a mask of \(extent) for latents \(x.shape) and a reference of \(reference.grid)")
        let table = RotaryTable(frames: Array(0..<grid[0]), grid: (grid[1], grid[2]), headDim: c.headDim, theta: 10000)
        let referenceTable = referenceTable(reference.grid)
        let missing = (extent.frames + 1) * extent.plane - grid[0] * plane
        let (embedding, modulation) = try embedder[0].time([timestep])
        var tokens = patchEmbedding(x)
        for index in 0..<blocks.count where !(isUnconditional && index == Self.conditionalBlock) {
            blocks.prefetch(index + 1)
            let block = try blocks[index]
            tokens = block(tokens, time: modulation, context.prompt[index, block.crossAttention]) { y in
                let a = block.selfAttention
                let q = a.query(y, table)
                let own = a.keyValue(y).positioned(table, heads: c.heads).padded(missing)
                let driving = reference.layers[index].positioned(referenceTable, heads: c.heads)
                let frames = (0..<grid[0]).map { frame -> Tensor in
                    let queries = q.sliced(0, (frame * plane)..<((frame + 1) * plane))
                    guard frame > 0 else { return attention(queries, own.k, own.v, heads: c.heads, precision: a.precision) }
                    let part = frame <= reference.grid[0] ? ((frame - 1) * referencePlane)..<(frame * referencePlane) : 0..<0
                    let seen = own.followed(
                        by: KeyValue(k: driving.k.sliced(0, part), v: driving.v.sliced(0, part)).padded(extent.plane - part.count))
                    return attention(queries, seen.k, seen.v, heads: c.heads, precision: a.precision)
                }
                return a.toOut(Tensor.concatenated(frames, 0))
            }
        }
        return WanTransformer.output(tokens, embedding, headModulation, head, c, grid: grid)
    }
}

extension KeyValue {
    /// With so many keys and values of zeros at the end.
    fileprivate func padded(_ count: Int) -> KeyValue {
        count == 0 ? self : KeyValue(k: k.padded(0, after: count), v: v.padded(0, after: count))
    }
}
