import Foundation

/// PSNR and SSIM of one RGB frame against another of the same size.
public enum ImageQuality {
    /// Peak signal-to-noise ratio in decibels, capped at 100.
    ///
    /// - Parameter region: Columns and rows to look at; nil for the whole frame.
    public static func psnr(_ a: [UInt8], _ b: [UInt8], width: Int, region: (x: Range<Int>, y: Range<Int>)? = nil) -> Double {
        let height = a.count / 3 / width
        let (columns, rows) = region ?? (0..<width, 0..<height)
        guard !columns.isEmpty, !rows.isEmpty else { return .nan }
        var sum = 0
        for y in rows {
            for i in ((y * width + columns.lowerBound) * 3)..<((y * width + columns.upperBound) * 3) {
                let d = Int(a[i]) - Int(b[i])
                sum += d * d
            }
        }
        let mse = Double(sum) / Double(columns.count * rows.count * 3) / (255 * 255)
        return min(100, -10 * log10(max(mse, 1e-30)))
    }

    /// Structural similarity (Wang et al., 2004) with an 11×11 Gaussian window of σ 1.5 over its valid region, mean over
    /// channels; NaN when the frame is smaller than the window.
    public static func ssim(_ a: [UInt8], _ b: [UInt8], width: Int) -> Double {
        let height = a.count / 3 / width
        guard width >= 11, height >= 11 else { return .nan }
        let (c1, c2): (Float, Float) = (0.0001, 0.0009)
        var total = 0.0
        for channel in 0..<3 {
            let x = stride(from: channel, to: a.count, by: 3).map { Float(a[$0]) / 255 }
            let y = stride(from: channel, to: b.count, by: 3).map { Float(b[$0]) / 255 }
            let mx = blur(x, width: width)
            let my = blur(y, width: width)
            let xx = blur(zip(x, x).map { $0 * $1 }, width: width)
            let yy = blur(zip(y, y).map { $0 * $1 }, width: width)
            let xy = blur(zip(x, y).map { $0 * $1 }, width: width)
            var sum = 0.0
            for i in mx.indices {
                let (m, n) = (mx[i], my[i])
                let (vx, vy, cov) = (xx[i] - m * m, yy[i] - n * n, xy[i] - m * n)
                sum += Double((2 * m * n + c1) * (2 * cov + c2) / ((m * m + n * n + c1) * (vx + vy + c2)))
            }
            total += sum / Double(mx.count)
        }
        return total / 3
    }

    private static let window: [Float] = {
        let weights = (-5...5).map { exp(-Float($0 * $0) / (2 * 1.5 * 1.5)) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }()

    /// The window's weighted mean at each place where it lies inside, `[height − 10, width − 10]`.
    private static func blur(_ x: [Float], width: Int) -> [Float] {
        let (height, w) = (x.count / width, width - 10)
        var rows = [Float](repeating: 0, count: height * w)
        for y in 0..<height {
            for i in 0..<w {
                var sum: Float = 0
                for k in 0..<11 { sum += window[k] * x[y * width + i + k] }
                rows[y * w + i] = sum
            }
        }
        var result = [Float](repeating: 0, count: (height - 10) * w)
        for y in 0..<(height - 10) {
            for k in 0..<11 {
                for i in 0..<w { result[y * w + i] += window[k] * rows[(y + k) * w + i] }
            }
        }
        return result
    }
}
