import Tensors

/// y = x·Wᵀ + b.
struct Linear: Sendable {
    let weight: Tensor  // [out, in]
    let bias: Tensor  // [out]

    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int) {
        weight = weights.tensor("weight", shape: [outputs, inputs])
        bias = weights.tensor("bias", shape: [outputs])
    }

    init(weight: Tensor, bias: Tensor) {
        self.weight = weight
        self.bias = bias
    }

    /// `[…, in]` → `[…, out]`.
    func callAsFunction(_ x: Tensor) -> Tensor { x.linear(weight, bias) }
}

/// Layer norm over the last dimension with scale and shift.
struct LayerNorm: Sendable {
    let weight, bias: Tensor  // [width]
    let eps: Float

    init(_ weights: WeightScope, _ width: Int, eps: Float) {
        weight = weights.tensor("weight", shape: [width])
        bias = weights.tensor("bias", shape: [width])
        self.eps = eps
    }

    func callAsFunction(_ x: Tensor) -> Tensor { x.layerNorm(weight, bias, eps: eps) }
}
