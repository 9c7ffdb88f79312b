import Tensors

/// Attention of the Wan transformers: RMS norm of queries and keys over all heads before they are split, scale 1/√width.
struct WanAttention: Sendable {
    let heads: Int
    let toQ, toK, toV, toOut: Linear
    let normQ, normK: Tensor  // [dim]
    let image: ImageBranch?
    let eps: Float

    /// Keys and values of image tokens; they share the text's queries, and their result is added before `toOut`.
    struct ImageBranch: Sendable {
        let toK, toV: Linear
        let normK: Tensor  // [dim]
    }

    init(_ weights: WeightScope, _ dim: Int, heads: Int, image: Int? = nil, eps: Float) {
        self.heads = heads
        self.eps = eps
        toQ = Linear(weights.scope("to_q"), dim, dim)
        toK = Linear(weights.scope("to_k"), dim, dim)
        toV = Linear(weights.scope("to_v"), dim, dim)
        toOut = Linear(weights.scope("to_out.0"), dim, dim)
        normQ = weights.tensor("norm_q.weight", shape: [dim])
        normK = weights.tensor("norm_k.weight", shape: [dim])
        self.image = image.map {
            ImageBranch(
                toK: Linear(weights.scope("add_k_proj"), $0, dim), toV: Linear(weights.scope("add_v_proj"), $0, dim),
                normK: weights.tensor("norm_added_k.weight", shape: [dim]))
        }
    }

    func selfAttention(_ x: Tensor, _ table: RotaryTable) -> Tensor {
        let q = toQ(x).rmsNorm(normQ, eps: eps).rotary(table.cosine, table.sine, heads: heads)
        let k = toK(x).rmsNorm(normK, eps: eps).rotary(table.cosine, table.sine, heads: heads)
        return toOut(attention(q, k, toV(x), heads: heads))
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
        return Context(text: KeyValue(k: toK(text).rmsNorm(normK, eps: eps), v: toV(text)), image: added)
    }

    func crossAttention(_ x: Tensor, _ context: Context) -> Tensor {
        let q = toQ(x).rmsNorm(normQ, eps: eps)
        var y = attention(q, context.text.k, context.text.v, heads: heads)
        if let image = context.image { y += attention(q, image.k, image.v, heads: heads) }
        return toOut(y)
    }
}

/// One block: self attention, cross attention to text and image, feed-forward; modulated by time.
struct WanBlock: Sendable {
    let selfAttention, crossAttention: WanAttention
    let crossNorm: LayerNorm?
    let feedForwardIn, feedForwardOut: Linear
    let modulation: Tensor  // [6, dim]: shift, scale, gate of attention; shift, scale, gate of feed-forward
    let eps: Float

    init(_ weights: WeightScope, _ c: WanConfiguration) {
        selfAttention = WanAttention(weights.scope("attn1"), c.dim, heads: c.heads, eps: c.eps)
        crossAttention = WanAttention(weights.scope("attn2"), c.dim, heads: c.heads, image: c.addedKeyValueDim, eps: c.eps)
        crossNorm = c.crossAttentionNorm ? LayerNorm(weights.scope("norm2"), c.dim, eps: c.eps) : nil
        feedForwardIn = Linear(weights.scope("ffn.net.0.proj"), c.dim, c.ffnDim)
        feedForwardOut = Linear(weights.scope("ffn.net.2"), c.ffnDim, c.dim)
        modulation = weights.tensor("scale_shift_table", shape: [1, 6, c.dim]).squeezed(0)
        eps = c.eps
    }

    /// - Parameters:
    ///   - x: `[tokens, dim]`.
    ///   - time: `[1, 6, dim]`, or one row per token.
    func callAsFunction(_ x: Tensor, time: Tensor, _ table: RotaryTable, _ context: WanAttention.Context) -> Tensor {
        let sum = time + modulation
        let e = (0..<6).map { sum.selected(1, $0) }
        var x = x + selfAttention.selfAttention(x.layerNorm(eps: eps) * (e[1] + 1) + e[0], table) * e[2]
        x += crossAttention.crossAttention(crossNorm.map { $0(x) } ?? x, context)
        return x + feedForwardOut(feedForwardIn(x.layerNorm(eps: eps) * (e[4] + 1) + e[3]).geluTanh()) * e[5]
    }
}
