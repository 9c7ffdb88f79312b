import Tensors

/// Multi-head attention with RMS norm of queries and keys per head, scale 1/√width.
struct DreamActorAttention: Sendable {
    let heads: Int
    let toQ, toK, toV, toOut: Linear
    let normQ, normK: Tensor  // [head width]
    let eps: Float
    let precision: Precision

    init(_ weights: WeightScope, _ dim: Int, heads: Int, context: Int? = nil, eps: Float) {
        self.heads = heads
        self.eps = eps
        precision = weights.store.precision
        toQ = Linear(weights.scope("to_q"), dim, dim, isLarge: true)
        toK = Linear(weights.scope("to_k"), context ?? dim, dim, isLarge: true)
        toV = Linear(weights.scope("to_v"), context ?? dim, dim, isLarge: true)
        normQ = weights.tensor("norm_q.weight", shape: [dim / heads])
        normK = weights.tensor("norm_k.weight", shape: [dim / heads])
        toOut = Linear(weights.scope("to_out"), dim, dim, isLarge: true)
    }

    private func normalized(_ x: Tensor, _ weight: Tensor) -> Tensor {
        x.reshaped([-1, weight.count]).rmsNorm(weight, eps: eps).reshaped(x.shape)
    }

    /// `[…, tokens, dim]` → queries of the same shape, heads next to each other.
    func query(_ x: Tensor, _ table: RotaryTable? = nil) -> Tensor {
        let q = normalized(toQ(x), normQ)
        return table.map { q.rotary($0.cosine, $0.sine, heads: heads) } ?? q
    }

    /// `[…, tokens, context]` → keys and values `[…, tokens, dim]`.
    func keyValue(_ x: Tensor, _ table: RotaryTable? = nil) -> KeyValue {
        let k = normalized(toK(x), normK)
        return KeyValue(k: table.map { k.rotary($0.cosine, $0.sine, heads: heads) } ?? k, v: toV(x))
    }

    /// residual + the attention of queries, the latter times a gate if there is one.
    func attend(_ q: Tensor, _ kv: KeyValue, addedTo residual: Tensor, gate: Tensor? = nil) -> Tensor {
        toOut(attention(q, kv.k, kv.v, heads: heads, precision: precision), addedTo: residual, gate: gate)
    }
}

/// Keys and values of some tokens, `[…, tokens, dim]` each.
struct KeyValue: Sendable {
    let k, v: Tensor

    /// These tokens, then the other's.
    func followed(by other: KeyValue) -> KeyValue {
        KeyValue(k: Tensor.concatenated([k, other.k], 0), v: Tensor.concatenated([v, other.v], 0))
    }
}
