public import Tensors

/// Between interleaved RGB bytes and the channel-first tensors that networks take.
public enum PixelConversion {
    /// What a byte becomes.
    public enum Range: Sendable {
        /// 0 … 255 → −1 … 1.
        case signed
        /// 0 … 255 → 0 … 1.
        case unit

        var scale: Float { self == .signed ? 1 / 127.5 : 1 / 255 }
        var offset: Float { self == .signed ? -1 : 0 }
    }

    /// Frames of equal size → `[3, frames, height, width]`.
    ///
    /// - Parameter frames: Interleaved RGB bytes, `[height, width, 3]` each.
    public static func tensor(_ frames: [[UInt8]], width: Int, height: Int, _ range: Range = .signed) -> Tensor {
        let plane = width * height
        precondition(frames.allSatisfy { $0.count == plane * 3 }, "frames have \(plane * 3) bytes")
        let table = (0..<256).map { Float($0) * range.scale + range.offset }
        return Tensor([3, frames.count, height, width]) { target in
            for (index, frame) in frames.enumerated() {
                frame.withUnsafeBufferPointer { source in
                    for channel in 0..<3 {
                        let start = (channel * frames.count + index) * plane
                        for pixel in 0..<plane {
                            target.initializeElement(at: start + pixel, to: table[Int(source[3 * pixel + channel])])
                        }
                    }
                }
            }
        }
    }

    /// One frame of `[3, frames, height, width]` in −1 … 1 as interleaved RGB bytes, rounded to nearest.
    public static func bytes(_ frames: Tensor, frame index: Int) -> [UInt8] {
        let count = frames.shape[1]
        let plane = frames.shape[2] * frames.shape[3]
        return frames.withUnsafeBuffer { source in
            [UInt8](unsafeUninitializedCapacity: plane * 3) { target, written in
                for channel in 0..<3 {
                    let start = (channel * count + index) * plane
                    for pixel in 0..<plane {
                        let value = (source[start + pixel] + 1) * 127.5
                        // A NaN fails both comparisons and becomes black.
                        target[3 * pixel + channel] = value >= 255 ? 255 : value > 0 ? UInt8(value + 0.5) : 0
                    }
                }
                written = plane * 3
            }
        }
    }

    /// A picture at another size, by a triangle filter as wide as the scale asks (so that shrinking does not alias).
    ///
    /// - Parameter x: `[channels, height, width]`.
    public static func resized(_ x: Tensor, height: Int, width: Int) -> Tensor {
        if x.shape[1] == height, x.shape[2] == width { return x }
        let rows = weights(from: x.shape[1], to: height)
        let columns = weights(from: x.shape[2], to: width)
        let wide = x.matmul(Tensor(columns, [width, x.shape[2]]), transposed: true)  // [C, H, width]
        return wide.transposed.matmul(Tensor(rows, [height, x.shape[1]]), transposed: true).transposed
    }

    /// `[to, from]`: how each output sample is mixed from the input samples; pixel centres at half-integers.
    private static func weights(from: Int, to: Int) -> [Float] {
        let scale = Double(from) / Double(to)
        let support = max(scale, 1)
        var result = [Float](repeating: 0, count: from * to)
        for target in 0..<to {
            let centre = (Double(target) + 0.5) * scale
            let mix = (0..<from).map { max(0, 1 - abs(Double($0) + 0.5 - centre) / support) }
            let sum = mix.reduce(0, +)
            for source in 0..<from { result[target * from + source] = Float(mix[source] / sum) }
        }
        return result
    }
}
