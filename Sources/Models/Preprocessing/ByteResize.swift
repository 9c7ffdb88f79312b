import Tensors

/// Resizes byte pictures to the same bytes as Pillow 13: kernels widened when shrinking, fixed-point weights of 22 bits, rounding after
/// each pass; rows before columns, unless the height shrinks by more than twice what the width does.
public enum ByteResize {
    /// - Parameters:
    ///   - pixels: Interleaved bytes, `[height, width, channels]`.
    ///   - target: Width and height of the result.
    /// - Returns: `[target.height, target.width, channels]`.
    public static func resized(
        _ pixels: [UInt8], width: Int, height: Int, channels: Int = 3, to target: (width: Int, height: Int), _ filter: PictureFilter
    ) -> [UInt8] {
        precondition(pixels.count == width * height * channels && target.width > 0 && target.height > 0, "a picture of \(width)×\(height)")
        func narrowed(_ source: [UInt8], lines: Int) -> [UInt8] {
            guard target.width != width else { return source }
            return rows(source, lines: lines, width: width, channels: channels, Taps(from: width, to: target.width, filter))
        }
        func shortened(_ source: [UInt8], width: Int) -> [UInt8] {
            guard target.height != height else { return source }
            return columns(source, row: width * channels, Taps(from: height, to: target.height, filter))
        }
        let isColumnsFirst = target.height < height && height - target.height > 2 * (width - target.width)
        return isColumnsFirst
            ? narrowed(shortened(pixels, width: width), lines: target.height) : shortened(narrowed(pixels, lines: height), width: target.width)
    }

    private static let precision = 22

    /// Which source samples make each target sample.
    private struct Taps: Sendable {
        var starts: [Int] = []
        var weights: [[Int32]] = []

        init(from: Int, to: Int, _ filter: PictureFilter) {
            let scale = Double(from) / Double(to)
            let widening = max(scale, 1)
            let support = filter.support * widening
            for target in 0..<to {
                let centre = (Double(target) + 0.5) * scale
                let first = max(0, Int(centre - support + 0.5)), last = min(from, Int(centre + support + 0.5))
                let kernel = (first..<max(first, last)).map { filter((Double($0) - centre + 0.5) / widening) }
                let sum = kernel.reduce(0, +)
                starts.append(first)
                weights.append(
                    kernel.map { value in
                        let scaled = (sum == 0 ? value : value / sum) * Double(1 << precision)
                        return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
                    })
            }
        }
    }

    private static func rounded(_ sum: Int32) -> UInt8 { UInt8(max(0, min(255, sum >> Int32(precision)))) }

    /// Resizes along rows.
    private static func rows(_ source: [UInt8], lines: Int, width from: Int, channels: Int, _ taps: Taps) -> [UInt8] {
        let width = taps.starts.count
        return [UInt8](unsafeUninitializedCapacity: lines * width * channels) { target, count in
            // Safe: every range of lines writes its own part of the target.
            nonisolated(unsafe) let out = target
            Parallel.forEachRange(count: lines, length: 16) { range in
                for line in range {
                    for x in 0..<width {
                        let start = (line * from + taps.starts[x]) * channels
                        for channel in 0..<channels {
                            var sum = Int32(1) << Int32(precision - 1)
                            for (k, weight) in taps.weights[x].enumerated() {
                                sum &+= Int32(source[start + k * channels + channel]) &* weight
                            }
                            out[(line * width + x) * channels + channel] = rounded(sum)
                        }
                    }
                }
            }
            count = lines * width * channels
        }
    }

    /// Resizes along columns of rows with `row` bytes.
    private static func columns(_ source: [UInt8], row: Int, _ taps: Taps) -> [UInt8] {
        let height = taps.starts.count
        return [UInt8](unsafeUninitializedCapacity: height * row) { target, count in
            // Safe: every range of rows writes its own part of the target.
            nonisolated(unsafe) let out = target
            Parallel.forEachRange(count: height, length: 16) { range in
                var sums = [Int32](repeating: 0, count: row)
                for y in range {
                    for x in 0..<row { sums[x] = Int32(1) << Int32(precision - 1) }
                    for (k, weight) in taps.weights[y].enumerated() {
                        let start = (taps.starts[y] + k) * row
                        for x in 0..<row { sums[x] &+= Int32(source[start + x]) &* weight }
                    }
                    for x in 0..<row { out[y * row + x] = rounded(sums[x]) }
                }
            }
            count = height * row
        }
    }
}
