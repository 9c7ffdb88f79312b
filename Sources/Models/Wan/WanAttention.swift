import Tensors

/// Attention of the Wan transformers: RMS norm of queries and keys over all heads before they are split, scale 1/√width.
struct WanAttention: Sendable {
    let heads: Int
    let toQ, toK, toV, toOut: Linear
    let normQ, normK: Tensor  // [dim]
    let image: ImageBranch?
    let eps: Float
    let precision: Precision

    /// Keys and values of image tokens; they share the text's queries, and their result is added before `toOut`.
    struct ImageBranch: Sendable {
        let toK, toV: Linear
        let normK: Tensor  // [dim]
    }

    init(_ weights: WeightScope, _ dim: Int, heads: Int, image: Int? = nil, eps: Float) {
        self.heads = heads
        self.eps = eps
        precision = weights.store.precision
        toQ = Linear(weights.scope("to_q"), dim, dim, isLarge: true)
        toK = Linear(weights.scope("to_k"), dim, dim, isLarge: true)
        toV = Linear(weights.scope("to_v"), dim, dim, isLarge: true)
        toOut = Linear(weights.scope("to_out.0"), dim, dim, isLarge: true)
        normQ = weights.tensor("norm_q.weight", shape: [dim])
        normK = weights.tensor("norm_k.weight", shape: [dim])
        self.image = image.map {
            ImageBranch(
                toK: Linear(weights.scope("add_k_proj"), $0, dim, isLarge: true),
                toV: Linear(weights.scope("add_v_proj"), $0, dim, isLarge: true),
                normK: weights.tensor("norm_added_k.weight", shape: [dim]))
        }
    }

    /// Queries with their positions.
    func query(_ x: Tensor, _ table: RotaryTable) -> Tensor {
        toQ(x).rmsNorm(normQ, eps: eps).rotary(table.cosine, table.sine, heads: heads)
    }

    /// Keys, normed but without positions, and values.
    func keyValue(_ x: Tensor) -> KeyValue { KeyValue(k: toK(x).rmsNorm(normK, eps: eps), v: toV(x)) }

    func selfAttention(_ x: Tensor, _ table: RotaryTable) -> Tensor {
        let own = keyValue(x).positioned(table, heads: heads)
        return toOut(attention(query(x, table), own.k, own.v, heads: heads, precision: precision))
    }

    /// Keys and values of the context: the same at every step.
    struct Context: Sendable {
        let text: KeyValue
        let image: KeyValue?
    }

    func context(text: Tensor, image tokens: Tensor?) -> Context {
        let added = image.flatMap { branch in
            tokens.map { KeyValue(k: branch.toK($0).rmsNorm(branch.normK, eps: eps), v: branch.toV($0)) }
        }
        return Context(text: keyValue(text), image: added)
    }

    /// residual + the attention of x to the context.
    func crossAttention(_ x: Tensor, _ context: Context, addedTo residual: Tensor) -> Tensor {
        let q = toQ(x).rmsNorm(normQ, eps: eps)
        var y = attention(q, context.text.k, context.text.v, heads: heads, precision: precision)
        if let image = context.image { y += attention(q, image.k, image.v, heads: heads, precision: precision) }
        return toOut(y, addedTo: residual)
    }
}

extension KeyValue {
    /// With positions on the keys.
    func positioned(_ table: RotaryTable, heads: Int) -> KeyValue {
        KeyValue(k: k.rotary(table.cosine, table.sine, heads: heads), v: v)
    }
}

/// One block: self attention, cross attention to text and image, feed-forward; modulated by time.
struct WanBlock: Sendable {
    let selfAttention, crossAttention: WanAttention
    let crossNorm: LayerNorm?
    let feedForwardIn, feedForwardOut: Linear
    let modulation: Tensor  // [6, dim]: shift, scale, gate of attention; shift, scale, gate of feed-forward
    let eps: Float

    /// - Parameter names: What the two generations of checkpoints call the parts.
    init(_ weights: WeightScope, _ c: WanConfiguration, names: Names = .wan) {
        selfAttention = WanAttention(weights.scope(names.selfAttention), c.dim, heads: c.heads, eps: c.eps)
        crossAttention = WanAttention(weights.scope(names.crossAttention), c.dim, heads: c.heads, image: c.addedKeyValueDim, eps: c.eps)
        crossNorm = c.crossAttentionNorm ? LayerNorm(weights.scope(names.crossNorm), c.dim, eps: c.eps) : nil
        feedForwardIn = Linear(weights.scope(names.feedForwardIn), c.dim, c.ffnDim, isLarge: true)
        feedForwardOut = Linear(weights.scope(names.feedForwardOut), c.ffnDim, c.dim, isLarge: true)
        modulation = weights.tensor(names.modulation, shape: [1, 6, c.dim]).squeezed(0)
        eps = c.eps
    }

    struct Names: Sendable {
        let selfAttention, crossAttention, crossNorm, feedForwardIn, feedForwardOut, modulation: String

        static let wan = Names(
            selfAttention: "attn1", crossAttention: "attn2", crossNorm: "norm2", feedForwardIn: "ffn.net.0.proj",
            feedForwardOut: "ffn.net.2", modulation: "scale_shift_table")
        /// norm3 is the affine one of cross attention here.
        static let animate2 = Names(
            selfAttention: "self_attn", crossAttention: "cross_attn", crossNorm: "norm3", feedForwardIn: "ffn.0", feedForwardOut: "ffn.2",
            modulation: "modulation")
    }

    /// - Parameters:
    ///   - x: `[tokens, dim]`.
    ///   - time: `[1, 6, dim]`, or one row per token.
    ///   - attend: Self attention of the normed and modulated tokens.
    func callAsFunction(_ x: Tensor, time: Tensor, _ context: WanAttention.Context, attend: (Tensor) -> Tensor) -> Tensor {
        let sum = time + modulation
        let e = (0..<6).map { sum.selected(1, $0) }
        var x = x.adding(attend(x.layerNorm(e[1] + 1, e[0], eps: eps)), times: e[2])
        x = crossAttention.crossAttention(crossNorm.map { $0(x) } ?? x, context, addedTo: x)
        return feedForwardOut(feedForwardIn(x.layerNorm(e[4] + 1, e[3], eps: eps), .geluTanh), addedTo: x, gate: e[5])
    }
}
