public import Tensors

/// Wan-Animate-2 (`WanAnimate2Transformer3DModel`): the driving clip itself steers the film, through keys and values that one pass over
/// it leaves behind.
public struct WanAnimate2Transformer: Sendable {
    public let configuration: WanConfiguration
    let patchEmbedding: WanTransformer.Patches
    let embedder: WanConditionEmbedder
    let blocks: [WanBlock]
    let headModulation: Tensor  // [2, dim]
    let head: Linear
    /// The block that the unconditional pass leaves out.
    private static let conditionalBlock = 9

    /// Keys and values of text and image: the same at every step.
    public struct Conditioning: Sendable {
        let contexts: [WanAttention.Context]
    }

    /// What the driving clip leaves behind: per block, keys (normed, without positions) and values, `[tokens, dim]`.
    public struct Reference: Sendable {
        let layers: [KeyValue]
        /// Latent frames, rows and columns of tokens.
        let grid: [Int]
    }

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let c: WanConfiguration = try weights.configuration()
        try c.check(path: weights.path)
        configuration = c
        let root = weights.root
        patchEmbedding = WanTransformer.Patches(root.scope("patch_embedding"), c.inChannels, c)
        embedder = WanConditionEmbedder(animate2: root, c)
        blocks = (0..<c.layers).map { WanBlock(root.scope("blocks", $0), c, names: .animate2) }
        headModulation = root.tensor("head.modulation", shape: [1, 2, c.dim]).squeezed(0)
        head = Linear(root.scope("head.head"), c.dim, c.outChannels * c.patchSize.reduce(1, *))
        try weights.finish()
    }

    /// - Parameters:
    ///   - text: `[n, textDim]`, n at most `textLength`; zeros fill the rest, and are attended to.
    ///   - image: CLIP's tokens `[m, 1280]`.
    public func conditioning(text: Tensor, image: Tensor?) -> Conditioning {
        let text = embedder.text(text.padded(0, after: configuration.textLength - text.shape[0]))
        let image = image.flatMap { tokens in embedder.image.map { $0(tokens) } }
        return Conditioning(contexts: blocks.map { $0.crossAttention.context(text: text, image: image) })
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
    public func reference(_ x: Tensor, _ context: Conditioning) -> (sample: Tensor, reference: Reference) {
        let c = configuration
        let grid = grid(x)
        let table = referenceTable(grid)
        let (embedding, modulation) = embedder.time([1])
        var tokens = patchEmbedding(x)
        var layers: [KeyValue] = []
        for (index, block) in blocks.enumerated() {
            tokens = block(tokens, time: modulation, context.contexts[index]) { y in
                let a = block.selfAttention
                let own = a.keyValue(y)
                layers.append(own)
                let placed = own.positioned(table, heads: c.heads)
                return a.toOut(attention(a.query(y, table), placed.k, placed.v, heads: c.heads))
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
    /// - Returns: `[out, T + 1, h, w]`.
    public func callAsFunction(
        _ x: Tensor, timestep: Float, _ context: Conditioning, _ reference: Reference, isUnconditional: Bool = false
    ) -> Tensor {
        let c = configuration
        let grid = grid(x)
        let plane = grid[1] * grid[2], referencePlane = reference.grid[1] * reference.grid[2]
        let table = RotaryTable(frames: Array(0..<grid[0]), grid: (grid[1], grid[2]), headDim: c.headDim, theta: 10000)
        let referenceTable = referenceTable(reference.grid)
        let (embedding, modulation) = embedder.time([timestep])
        var tokens = patchEmbedding(x)
        for (index, block) in blocks.enumerated() where !(isUnconditional && index == Self.conditionalBlock) {
            tokens = block(tokens, time: modulation, context.contexts[index]) { y in
                let a = block.selfAttention
                let q = a.query(y, table)
                let own = a.keyValue(y).positioned(table, heads: c.heads)
                let driving = reference.layers[index].positioned(referenceTable, heads: c.heads)
                let frames = (0..<grid[0]).map { frame -> Tensor in
                    let queries = q.sliced(0, (frame * plane)..<((frame + 1) * plane))
                    guard (1...reference.grid[0]).contains(frame) else { return attention(queries, own.k, own.v, heads: c.heads) }
                    let part = ((frame - 1) * referencePlane)..<(frame * referencePlane)
                    let seen = own.followed(by: KeyValue(k: driving.k.sliced(0, part), v: driving.v.sliced(0, part)))
                    return attention(queries, seen.k, seen.v, heads: c.heads)
                }
                return a.toOut(Tensor.concatenated(frames, 0))
            }
        }
        return WanTransformer.output(tokens, embedding, headModulation, head, c, grid: grid)
    }
}
