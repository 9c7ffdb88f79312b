import Tensors

/// Motion vectors of the driving frames → face tokens of latent frames (Wan-Animate).
struct WanFaceEncoder: Sendable {
    let heads: Int
    let local, second, third: (weight: Tensor, bias: Tensor)
    let projection: Linear
    let padding: Tensor  // [1, dim]
    let eps: Float = 1e-6

    init(_ weights: WeightScope, _ c: WanConfiguration) {
        let (inputs, hidden) = (c.motionOutputDim, c.faceHiddenDim)
        heads = c.faceHeads
        func convolution(_ name: String, _ a: Int, _ b: Int) -> (Tensor, Tensor) {
            (weights.tensor("\(name).weight", shape: [b, a, 3]), weights.tensor("\(name).bias", shape: [b]))
        }
        local = convolution("conv1_local", inputs, hidden * c.faceHeads)
        second = convolution("conv2", hidden, hidden)
        third = convolution("conv3", hidden, hidden)
        projection = Linear(weights.scope("out_proj"), hidden, c.dim)
        padding = weights.tensor("padding_tokens", shape: [1, 1, 1, c.dim]).reshaped(1, c.dim)
    }

    /// Norm without weights over channels, then SiLU, of channel-first sequences `[heads, channels, T]`.
    private func normalized(_ x: Tensor) -> Tensor { x.transposed.layerNorm(eps: eps).silu() }

    /// Causal in time: the first value is repeated before the clip.
    private func causal(_ x: Tensor, _ c: (weight: Tensor, bias: Tensor), stride: Int) -> Tensor {
        x.padded(x.rank - 1, before: 2, .replicated).conv1d(c.weight, c.bias, stride: stride)
    }

    /// `[F, motion]` → `[T, heads + 1, dim]`, T = 1 + ⌈(F − 1)/4⌉ for F = 1 + 4k.
    func callAsFunction(_ motion: Tensor) -> Tensor {
        var x = causal(motion.transposed, local, stride: 1)
        x = normalized(x.reshaped(heads, -1, x.shape[1]))
        x = normalized(causal(x.transposed, second, stride: 2))
        x = normalized(causal(x.transposed, third, stride: 2))
        let tokens = projection(x).permuted(1, 0, 2)  // [T, heads, dim]
        let last = padding.unsqueezed(0).broadcast(to: [tokens.shape[0], 1, padding.shape[1]])
        return Tensor.concatenated([tokens, last], 1)
    }
}

/// Cross attention of each latent frame's tokens to that frame's face tokens.
struct WanFaceAdapter: Sendable {
    let heads: Int
    let toQ, toK, toV, toOut: Linear
    let normQ, normK: Tensor  // [head width]
    let eps: Float

    init(_ weights: WeightScope, _ c: WanConfiguration) {
        heads = c.heads
        eps = c.eps
        toQ = Linear(weights.scope("to_q"), c.dim, c.dim, isLarge: true)
        toK = Linear(weights.scope("to_k"), c.dim, c.dim, isLarge: true)
        toV = Linear(weights.scope("to_v"), c.dim, c.dim, isLarge: true)
        toOut = Linear(weights.scope("to_out"), c.dim, c.dim, isLarge: true)
        normQ = weights.tensor("norm_q.weight", shape: [c.headDim])
        normK = weights.tensor("norm_k.weight", shape: [c.headDim])
    }

    private func normalized(_ x: Tensor, _ weight: Tensor) -> Tensor {
        x.reshaped([-1, weight.count]).rmsNorm(weight, eps: eps).reshaped(x.shape)
    }

    /// Face tokens `[T, N, dim]` → keys and values: the same at every step.
    func context(_ tokens: Tensor) -> KeyValue {
        let x = tokens.layerNorm(eps: eps)
        return KeyValue(k: normalized(toK(x), normK), v: toV(x))
    }

    /// What is added to `x`, `[tokens, dim]`.
    func callAsFunction(_ x: Tensor, _ context: KeyValue) -> Tensor {
        let frames = context.k.shape[0]
        let q = normalized(toQ(x.layerNorm(eps: eps)), normQ)
        return toOut(attention(q.reshaped(frames, -1, x.shape[1]), context.k, context.v, heads: heads).reshaped(x.shape))
    }
}
