import Tensors

/// A 2D convolution of one picture, `[in, H, W]` → `[out, H', W']`.
struct Conv2d: Sendable {
    let weight: Tensor  // [out, in, k, k]
    let bias: Tensor  // [out]
    let stride: Int

    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int, kernel: Int = 3, stride: Int = 1) {
        weight = weights.tensor("weight", shape: [outputs, inputs, kernel, kernel])
        bias = weights.tensor("bias", shape: [outputs])
        self.stride = stride
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let pad = Padding(weight.shape[2] / 2, weight.shape[2] / 2)
        return x.conv2d(weight, bias, stride: [stride, stride], padding: [pad, pad])
    }
}

/// A 1D convolution with odd kernel and zeros at both ends, `[in, L]` (or a batch of them) → `[out, L']`.
struct Conv1d: Sendable {
    let weight: Tensor  // [out, in, k]
    let bias: Tensor  // [out]
    let stride: Int

    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int, kernel: Int = 3, stride: Int = 1) {
        weight = weights.tensor("weight", shape: [outputs, inputs, kernel])
        bias = weights.tensor("bias", shape: [outputs])
        self.stride = stride
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        x.conv1d(weight, bias, stride: stride, padding: Padding(weight.shape[2] / 2, weight.shape[2] / 2))
    }
}

/// x + conv(silu(norm x)) on a picture.
struct ResidualConv2d: Sendable {
    let norm: Tensor  // [channels]
    let conv: Conv2d

    init(_ weights: WeightScope, _ channels: Int) {
        norm = weights.tensor("norm.gamma", shape: [channels])
        conv = Conv2d(weights.scope("conv"), channels, channels)
    }

    func callAsFunction(_ x: Tensor) -> Tensor { x + conv(x.channelNorm(norm, silu: true)) }
}
