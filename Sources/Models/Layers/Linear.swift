import Tensors

/// y = x·Wᵀ + b.
struct Linear: Sendable {
    let weight: LinearWeight  // [out, in]
    let bias: Tensor  // [out]

    /// - Parameter isLarge: Whether the layer takes the precision that the weights were opened with; small ones at the ends of a
    ///   network, which cost little and spoil much, stay in single precision.
    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int, isLarge: Bool = false) {
        weight = weights.linearWeight("weight", shape: [outputs, inputs], isLarge: isLarge)
        bias = weights.tensor("bias", shape: [outputs])
    }

    init(weight: Tensor, bias: Tensor) {
        self.weight = LinearWeight(weight)
        self.bias = bias
    }

    /// `[…, in]` → `[…, out]`.
    func callAsFunction(_ x: Tensor, _ activation: LinearActivation = .none) -> Tensor { x.linear(weight, bias, activation) }

    /// residual + layer(x), the latter times a gate if there is one; see ``Tensor/linear(_:_:_:addedTo:gate:)``.
    func callAsFunction(_ x: Tensor, addedTo residual: Tensor, gate: Tensor? = nil) -> Tensor {
        x.linear(weight, bias, addedTo: residual, gate: gate)
    }
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
