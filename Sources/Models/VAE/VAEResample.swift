import Tensors

/// Halves height and width, and time as well if it has a time convolution.
struct VAEDownsample: Sendable {
    let name: String
    let weight, bias: Tensor  // [channels, channels, 1, 3, 3]
    let timeWeight, timeBias: Tensor?  // [channels, channels, 3, 1, 1]

    init(_ weights: WeightScope, _ channels: Int, time: Bool) {
        name = weights.prefix
        weight = weights.tensor("resample.1.weight", shape: [channels, channels, 3, 3]).unsqueezed(2)
        bias = weights.tensor("resample.1.bias", shape: [channels])
        timeWeight = time ? weights.tensor("time_conv.weight", shape: [channels, channels, 3, 1, 1]) : nil
        timeBias = time ? weights.tensor("time_conv.bias", shape: [channels]) : nil
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        // Padding is on the right and at the bottom alone.
        let y = x.conv3d(weight, bias, stride: [1, 2, 2], padding: [0, Padding(0, 1), Padding(0, 1)])  // [C, T, H/2, W/2]
        guard let timeWeight else { return y }
        // The first frame passes as it is; every later chunk sees the last frame of the one before, already downsampled.
        let before = memory.frames.removeValue(forKey: name)
        if memory.isKept { memory.frames[name] = y.sliced(1, (y.shape[1] - 1)..<y.shape[1]) }
        guard let before else { return y }
        return Tensor.concatenated([before, y], 1).conv3d(timeWeight, timeBias, stride: [2, 1, 1])  // [C, T/2, H/2, W/2]
    }
}

/// Doubles height and width, and time as well if it has a time convolution.
struct VAEUpsample: Sendable {
    let weight: ConvolutionWeight  // [out, channels, 1, 3, 3]
    let bias: Tensor
    let time: CausalConv3d?  // [2·channels, channels, 3, 1, 1]

    init(_ weights: WeightScope, _ channels: Int, _ outChannels: Int, time hasTime: Bool) {
        weight = ConvolutionWeight(
            weights.tensor("resample.1.weight", shape: [outChannels, channels, 3, 3]).unsqueezed(2), weights.store.precision)
        bias = weights.tensor("resample.1.bias", shape: [outChannels])
        time = hasTime ? CausalConv3d(weights.scope("time_conv"), channels, 2 * channels, [3, 1, 1]) : nil
    }

    func callAsFunction(_ x: Tensor, _ memory: inout CausalMemory) -> Tensor {
        var x = x
        if let time {
            let (C, T, H, W) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
            if memory.isFirstChunk {
                // The first frame stays single, and what follows sees zeros in its place.
                if memory.isKept { memory.frames[time.name] = Tensor(zeros: [C, 2, H, W]) }
            } else {
                // The 2C channels are two frames for each one: [2, C, T, H, W] → [C, T, 2, H, W].
                x = time(x, &memory).reshaped(2, C, T, H, W).permuted(1, 2, 0, 3, 4).reshaped(C, 2 * T, H, W)
            }
        }
        return weight.takesFrames
            ? Tensor.conv3d(x.clipFrames, weight, bias, padding: [0, 1, 1], isDoubled: true)
            : x.upsampled2x().conv3d(weight, bias, padding: [0, 1, 1])  // [out, T or 2T, 2H, 2W]
    }
}

/// Shortcut around a downsampling level of Wan 2.2: folds space and time into channels and averages groups of them.
struct AverageDown3D: Sendable {
    let outChannels: Int, time: Int, space: Int

    func callAsFunction(_ x: Tensor) -> Tensor {
        let x = x.padded(1, before: (time - x.shape[1] % time) % time)
        let (C, T, H, W) = (x.shape[0], x.shape[1] / time, x.shape[2] / space, x.shape[3] / space)
        let folded = x.reshaped(C, T, time, H, space, W, space).permuted(0, 2, 4, 6, 1, 3, 5)  // [C, t, s, s, T, H, W]
        return folded.reshaped(outChannels, -1, T, H, W).mean(1)
    }
}

/// Shortcut around an upsampling level of Wan 2.2: repeats channels and unfolds them into space and time.
struct DuplicateUp3D: Sendable {
    let outChannels: Int, time: Int, space: Int

    func callAsFunction(_ x: Tensor, isFirstChunk: Bool) -> Tensor {
        let (C, T, H, W) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let unfolded = x.repeatedInterleaved(outChannels * time * space * space / C, 0)
            .reshaped(outChannels, time, space, space, T, H, W)
            .permuted(0, 4, 1, 5, 2, 6, 3)  // [out, T, t, H, s, W, s]
            .reshaped(outChannels, T * time, H * space, W * space)
        return isFirstChunk ? unfolded.sliced(1, (time - 1)..<(T * time)) : unfolded
    }
}
