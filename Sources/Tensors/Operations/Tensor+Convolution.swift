import CKernels

/// Zeros added before and after one dimension.
public struct Padding: Sendable, Hashable, ExpressibleByIntegerLiteral {
    public var before: Int, after: Int

    public init(_ before: Int, _ after: Int) {
        self.before = before
        self.after = after
    }

    /// The same on both sides.
    public init(integerLiteral value: Int) { self.init(value, value) }
}

extension Tensor {
    /// A 3D convolution (cross-correlation, as in neural networks) over time, height and width.
    ///
    /// - Parameters:
    ///   - weight: `[out, in/groups, kt, kh, kw]`.
    ///   - bias: `[out]`.
    ///   - stride, padding, dilation: For time, height, width.
    /// - Returns: `[out, T', H', W']` for self `[in, T, H, W]`, with a batch dimension before if self has one.
    public func conv3d(
        _ weight: Tensor, _ bias: Tensor? = nil, stride: [Int] = [1, 1, 1], padding: [Padding] = [0, 0, 0],
        dilation: [Int] = [1, 1, 1], groups: Int = 1
    ) -> Tensor {
        convolved(weight, bias, stride: stride, padding: padding, dilation: dilation, groups: groups, over: 3)
    }

    /// A 2D convolution over height and width: weight `[out, in/groups, kh, kw]`, self `[in, H, W]` or with a batch.
    public func conv2d(
        _ weight: Tensor, _ bias: Tensor? = nil, stride: [Int] = [1, 1], padding: [Padding] = [0, 0],
        dilation: [Int] = [1, 1], groups: Int = 1
    ) -> Tensor {
        convolved(weight, bias, stride: stride, padding: padding, dilation: dilation, groups: groups, over: 2)
    }

    /// A 1D convolution: weight `[out, in/groups, k]`, self `[in, L]` or with a batch.
    public func conv1d(
        _ weight: Tensor, _ bias: Tensor? = nil, stride: Int = 1, padding: Padding = 0, dilation: Int = 1,
        groups: Int = 1
    ) -> Tensor {
        convolved(weight, bias, stride: [stride], padding: [padding], dilation: [dilation], groups: groups, over: 1)
    }

    private func convolved(
        _ weight: Tensor, _ bias: Tensor?, stride: [Int], padding: [Padding], dilation: [Int], groups: Int, over n: Int
    ) -> Tensor {
        precondition(
            rank == n + 1 || rank == n + 2, "a \(n)D convolution takes [channels, …] or [batch, channels, …], not \(shape)")
        precondition(
            weight.rank == n + 2 && stride.count == n && padding.count == n && dilation.count == n && groups > 0,
            "a \(n)D convolution cannot take weight \(weight.shape), stride \(stride), \(padding.count) paddings")
        let channels = shape[rank - n - 1]
        precondition(
            channels == weight.shape[1] * groups && weight.shape[0] % groups == 0,
            "a convolution with weight \(weight.shape) in \(groups) groups cannot take input \(shape)")
        precondition(
            bias.map { $0.shape == [weight.shape[0]] } ?? true,
            "a bias of shape [\(weight.shape[0])] is needed, not \(bias?.shape ?? [])")
        // Everything is three-dimensional inside; missing dimensions come first, with size 1.
        func full<T>(_ values: [T], _ filler: T) -> [T] { [T](repeating: filler, count: 3 - n) + values }
        let geometry = ConvolutionGeometry(
            batch: shape.dropLast(n + 1).reduce(1, *), groups: groups, inChannels: channels, outChannels: weight.shape[0],
            input: full(Array(shape.suffix(n)), 1), kernel: full(Array(weight.shape.suffix(n)), 1), step: full(stride, 1),
            dilation: full(dilation, 1), padding: full(padding, 0))
        let sizes = shape.dropLast(n + 1) + [weight.shape[0]] + geometry.output.suffix(n)
        precondition(
            sizes.allSatisfy { $0 > 0 }, "a convolution with weight \(weight.shape) over \(shape) leaves nothing: \(sizes)")
        return withExtendedLifetime((storage, weight, bias)) {
            Tensor.filled(Array(sizes)) { out in
                if geometry.isPointwise {
                    geometry.multiply(pointer, weight, bias, into: out.pointer)
                } else if let fast = geometry.winograd {
                    geometry.run(fast, pointer, weight, bias, into: out.pointer)
                } else {
                    geometry.run(pointer, weight, bias, into: out.pointer)
                }
            }
        }
    }
}

/// A whole convolution, and how it is cut into pieces: by its size alone.
private struct ConvolutionGeometry: Sendable {
    let batch: Int, groups: Int, inChannels: Int, outChannels: Int
    let input: [Int], kernel: [Int], step: [Int], dilation: [Int]
    let padding: [Padding]

    var output: [Int] {
        (0..<3).map { d in
            let reach = dilation[d] * (kernel[d] - 1) + 1
            let room = input[d] + padding[d].before + padding[d].after - reach
            return room < 0 ? 0 : room / step[d] + 1
        }
    }

    /// Whether this is a matrix product: kernel 1, stride 1, no border.
    var isPointwise: Bool {
        groups == 1 && kernel == [1, 1, 1] && step == [1, 1, 1] && padding.allSatisfy { $0 == 0 }
    }

    func multiply(
        _ x: UnsafePointer<Float>, _ weight: Tensor, _ bias: Tensor?, into out: UnsafeMutablePointer<Float>
    ) {
        let positions = input.reduce(1, *)
        let length = 2048
        let pieces = (positions + length - 1) / length
        let source = Shared((x: x, weight: weight.pointer, bias: bias?.pointer)), target = Shared(out)
        Parallel.forEach(count: batch * pieces) { index in
            let item = index / pieces, start = index % pieces * length
            let count = min(length, positions - start)
            let piece = target.pointer + item * outChannels * positions + start
            BLAS.multiply(
                m: outChannels, n: count, k: inChannels, source.pointer.weight, rowStride: inChannels,
                source.pointer.x + item * inChannels * positions + start, rowStride: positions, transposed: false,
                into: piece, rowStride: positions)
            guard let bias = source.pointer.bias else { return }
            for channel in 0..<outChannels {
                let line = piece + channel * positions
                us_affine(line, line, 1, bias[channel], count)
            }
        }
    }

    var winograd: WinogradConvolution? {
        WinogradConvolution(
            inChannels: inChannels, outChannels: outChannels, input: input, output: output, kernel: kernel, step: step,
            dilation: dilation, groups: groups, padding: padding)
    }

    func run(
        _ convolution: WinogradConvolution, _ x: UnsafePointer<Float>, _ weight: Tensor, _ bias: Tensor?,
        into out: UnsafeMutablePointer<Float>
    ) {
        let weights = convolution.packed(weight)
        let inSize = inChannels * input.reduce(1, *), outSize = outChannels * output.reduce(1, *)
        let items = (0..<batch).map { convolution.frames(x + $0 * inSize) }
        let offsets = Shared(bias?.pointer), target = Shared(out)
        Parallel.forEach(count: batch * convolution.taskCount) { index in
            let item = index / convolution.taskCount
            convolution.run(
                index % convolution.taskCount, items[item], weights, offsets.pointer, into: target.pointer + item * outSize)
        }
    }

    /// Cuts the output into bands along height (width if there is no height) and runs a plan on each.
    func run(_ x: UnsafePointer<Float>, _ weight: Tensor, _ bias: Tensor?, into out: UnsafeMutablePointer<Float>) {
        let output = self.output
        let axis = output[1] > 1 ? 1 : 2
        let bands = bandCount(output, axis)
        let length = (output[axis] + bands - 1) / bands
        let pieces = (output[axis] + length - 1) / length
        let inSize = input.reduce(1, *), outSize = output.reduce(1, *)
        let inputStrides = [inSize, input[1] * input[2], input[2]]
        let outputStrides = [outSize, output[1] * output[2], output[2]]
        let unit = axis == 1 ? (input: input[2], output: output[2]) : (input: 1, output: 1)
        let source = Shared((x: x, bias: bias?.pointer)), target = Shared(out)

        Parallel.forEach(count: batch * pieces) { index in
            let item = index / pieces
            let band = (index % pieces * length)..<min((index % pieces + 1) * length, output[axis])
            // The input rows this band reads; what lies outside is padding.
            let first = band.lowerBound * step[axis] - padding[axis].before
            let end = (band.upperBound - 1) * step[axis] - padding[axis].before + dilation[axis] * (kernel[axis] - 1) + 1
            let low = min(max(first, 0), input[axis] - 1), high = max(min(end, input[axis]), low + 1)
            var shape = ConvolutionShape(
                groups: groups, inChannels: inChannels, outChannels: outChannels, input: input, output: output,
                kernel: kernel, step: step, dilation: dilation, padLow: padding.map(\.before),
                padHigh: (0..<3).map {
                    (output[$0] - 1) * step[$0] + dilation[$0] * (kernel[$0] - 1) + 1 - input[$0] - padding[$0].before
                },
                inputStrides: inputStrides, outputStrides: outputStrides, hasBias: bias != nil)
            shape.input[axis] = high - low
            shape.output[axis] = band.count
            shape.padLow[axis] = low - first
            shape.padHigh[axis] = end - high
            let plan = ConvolutionPlan.plan(shape)
            plan.run(
                source.pointer.x + item * inChannels * inSize + low * unit.input, plan.packed(weight), source.pointer.bias,
                into: target.pointer + item * outChannels * outSize + band.lowerBound * unit.output)
        }
    }

    /// Pieces of a few megabytes of input, but at least four when there is work for them.
    private func bandCount(_ output: [Int], _ axis: Int) -> Int {
        let work = 2 * outChannels * (inChannels / groups) * kernel.reduce(1, *) * output.reduce(1, *)
        let memory = inChannels * input.reduce(1, *)
        let wanted = max(memory >> 20, min(work / 20_000_000, 4), 1)
        return min(wanted, output[axis])
    }
}
