import Tensors

/// x + conv(silu(norm(conv(silu(norm x))))), with a 1×1×1 convolution on the way round if the channels change.
struct VAEResidualBlock: Sendable {
    let norm1, norm2: Tensor  // [channels, 1, 1, 1]
    let conv1, conv2: CausalConv3d
    let shortcut: CausalConv3d?

    init(_ weights: WeightScope, _ inChannels: Int, _ outChannels: Int) {
        norm1 = weights.tensor("norm1.gamma", shape: [inChannels, 1, 1, 1])
        conv1 = CausalConv3d(weights.scope("conv1"), inChannels, outChannels)
        norm2 = weights.tensor("norm2.gamma", shape: [outChannels, 1, 1, 1])
        conv2 = CausalConv3d(weights.scope("conv2"), outChannels, outChannels)
        shortcut = inChannels == outChannels
            ? nil : CausalConv3d(weights.scope("conv_shortcut"), inChannels, outChannels, [1, 1, 1])
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {  // [channels, T, H, W]
        let identity = shortcut?(x, &memory) ?? x
        var y = conv2(conv1(x, norm: norm1, &memory), norm: norm2, &memory)
        y += identity
        return y
    }
}

/// Self attention with a single head among the positions of each frame.
struct VAEAttentionBlock: Sendable {
    let norm: Tensor  // [channels, 1, 1]
    let qkvWeight, qkvBias: Tensor
    let outWeight, outBias: Tensor

    init(_ weights: WeightScope, _ channels: Int) {
        norm = weights.tensor("norm.gamma", shape: [channels, 1, 1])
        qkvWeight = weights.tensor("to_qkv.weight", shape: [3 * channels, channels, 1, 1]).reshaped(3 * channels, channels)
        qkvBias = weights.tensor("to_qkv.bias", shape: [3 * channels])
        outWeight = weights.tensor("proj.weight", shape: [channels, channels, 1, 1]).reshaped(channels, channels)
        outBias = weights.tensor("proj.bias", shape: [channels])
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let (C, T, H, W) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let tokens = x.channelNorm(norm).permuted(1, 2, 3, 0).reshaped(T, H * W, C)
        let qkv = tokens.linear(qkvWeight, qkvBias).chunked(3, 2)  // three times [T, H·W, C]
        let attended = attention(qkv[0], qkv[1], qkv[2]).linear(outWeight, outBias)
        return x + attended.permuted(2, 0, 1).reshaped(C, T, H, W)
    }
}

/// Residual block, attention, residual block: the bottom of encoder and decoder.
struct VAEMidBlock: Sendable {
    let first: VAEResidualBlock
    let attention: VAEAttentionBlock
    let second: VAEResidualBlock

    init(_ weights: WeightScope, _ channels: Int) {
        first = VAEResidualBlock(weights.scope("resnets", 0), channels, channels)
        attention = VAEAttentionBlock(weights.scope("attentions", 0), channels)
        second = VAEResidualBlock(weights.scope("resnets", 1), channels, channels)
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        second(attention(first(x, &memory)), &memory)
    }
}
