import Foundation
import NodeKit

/// Measures colour and contrast steps at the joins of segments.
public struct MetricsDrift: Node {
    public static let type: NodeType = "metrics.drift"
    public static let version = 1
    public static let summary = "Measures the colour and contrast step at every join of segments, against steps inside segments."

    @Input("The film.") var video: Video
    @Input("Where its segments lie.") var segments: Segments
    @Output("One row per join, then the mean step inside segments and from the first to the last segment.") var table: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        var looks: [Look] = []
        for frame in 0..<video.count {
            try context.checkCancelled()
            looks.append(Look(video.frame(frame)))
            context.progress(frame + 1, of: video.count)
        }
        // A segment's first frames are the last of the one before: the step to see is the one after them.
        let joins = segments.ranges.dropLast().map { $0.upperBound - 1 }.filter { $0 + 1 < looks.count }
        var rows: [(label: String, values: [Double])] = joins.enumerated().map { index, frame in
            ("join \(index + 1)", step(looks[frame], looks[frame + 1], at: frame + 1))
        }
        let inside = (1..<max(looks.count, 1)).filter { !joins.contains($0 - 1) }.map { step(looks[$0 - 1], looks[$0], at: $0) }
        if !inside.isEmpty {
            rows.append(("mean inside", [.nan] + [1, 2].map { k in inside.map { $0[k] }.reduce(0, +) / Double(inside.count) }))
        }
        let means = segments.ranges.compactMap { range -> Look? in
            let part = range.clamped(to: 0..<looks.count)
            return part.isEmpty ? nil : Look(mean: looks[part])
        }
        if let first = means.first, let last = means.last, means.count > 1 {
            rows.append(("first to last segment", step(first, last, at: looks.count - 1)))
        }
        try $table.set(
            Table(columns: [.init("frame"), .init("delta_e", unit: "ΔE76"), .init("contrast_step", unit: "L*")], rows: rows))
    }

    private func step(_ a: Look, _ b: Look, at frame: Int) -> [Double] {
        let d = zip(a.lab, b.lab).map { ($0 - $1) * ($0 - $1) }.reduce(0, +)
        return [Double(frame), d.squareRoot(), b.contrast - a.contrast]
    }

    /// The mean colour of a frame in CIE Lab (D65) and its contrast, the standard deviation of L*.
    private struct Look {
        var lab: [Double]
        var contrast: Double

        init(_ rgb: [UInt8]) {
            var (sum, squares) = ([0.0, 0.0, 0.0], 0.0)
            for i in stride(from: 0, to: rgb.count, by: 3) {
                let lab = Self.lab(rgb[i], rgb[i + 1], rgb[i + 2])
                sum[0] += lab.0
                sum[1] += lab.1
                sum[2] += lab.2
                squares += lab.0 * lab.0
            }
            let n = Double(max(rgb.count / 3, 1))
            lab = sum.map { $0 / n }
            contrast = max(0, squares / n - lab[0] * lab[0]).squareRoot()
        }

        init(mean looks: ArraySlice<Look>) {
            let n = Double(looks.count)
            lab = (0..<3).map { k in looks.map { $0.lab[k] }.reduce(0, +) / n }
            contrast = looks.map(\.contrast).reduce(0, +) / n
        }

        private static let linear: [Double] = (0...255).map {
            let v = Double($0) / 255
            return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4)
        }

        private static func lab(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> (Double, Double, Double) {
            let (r, g, b) = (linear[Int(red)], linear[Int(green)], linear[Int(blue)])
            func f(_ t: Double) -> Double { t > 216.0 / 24389 ? cbrt(t) : (24389.0 / 27 * t + 16) / 116 }
            let x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047)
            let y = f(0.2126729 * r + 0.7151522 * g + 0.0721750 * b)
            let z = f((0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883)
            return (116 * y - 16, 500 * (x - y), 200 * (y - z))
        }
    }
}
