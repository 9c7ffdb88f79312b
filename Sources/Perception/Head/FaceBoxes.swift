/// Square boxes around a face over a clip.
public struct FaceSquare: Sendable, Equatable {
    /// Middle, pixels.
    public var x: Double
    public var y: Double
    /// Side, pixels.
    public var side: Double

    public init(x: Double, y: Double, side: Double) {
        self.x = x
        self.y = y
        self.side = side
    }
}

/// Turns face boxes into steady squares.
public struct FaceBoxes: Sendable {
    /// The square's side relative to the longer side of the face's box.
    public var margin: Double
    /// How far the square's middle lies above the box's, as a part of its side: there is more head above a face.
    public var rise: Double
    public var confidenceThreshold: Float
    /// How much of what follows a frame has a say in its square, seconds.
    public var lookAhead: Double
    /// nil takes every box as it is.
    public var filter: OneEuroFilter?

    public init(
        margin: Double = 1.3, rise: Double = 0.05, confidenceThreshold: Float = 0.5,
        lookAhead: Double = 0.2, filter: OneEuroFilter? = OneEuroFilter(minimumCutoff: 1, beta: 2)
    ) {
        self.margin = margin
        self.rise = rise
        self.confidenceThreshold = confidenceThreshold
        self.lookAhead = lookAhead
        self.filter = filter
    }

    /// One square per frame. Without a confident face it stays where it was, and moves to the next face when that comes into
    /// the look-ahead. Frames before the first face take its square.
    ///
    /// Otherwise a frame depends on the frames before it, and on those after it within the look-ahead only.
    ///
    /// - Parameters:
    ///   - boxes: `[frames, 4]` x, y, width, height in pixels.
    ///   - confidence: `[frames]`.
    ///   - times: `[frames]` seconds.
    /// - Returns: nil when no frame has a face.
    public func squares(boxes: [Float], confidence: [Float], times: [Double]) -> [FaceSquare]? {
        let frames = times.count
        guard boxes.count == frames * 4, confidence.count == frames else { return nil }
        var rows = [[Double]?](repeating: nil, count: frames)
        for f in 0..<frames where confidence[f] >= confidenceThreshold && confidence[f] > 0 {
            let box = boxes[(4 * f)..<(4 * f + 4)].map(Double.init)
            guard box.allSatisfy({ $0.isFinite && abs($0) < 1e6 }), box[2] > 1, box[3] > 1 else { continue }
            let side = max(box[2], box[3]) * margin
            rows[f] = [box[0] + box[2] / 2, box[1] + box[3] / 2 - rise * side, side]
        }
        guard let first = rows.first(where: { $0 != nil }) ?? nil else { return nil }
        let measured = rows.map { $0 != nil }
        let gaps = GapFilling(longestGap: .infinity, lookAhead: lookAhead).sources(measured: measured, times: times)
        var complete = rows.indices.map { f in
            rows[f] ?? gaps[f].map { gap in
                zip(rows[gap.before] ?? first, rows[gap.after] ?? first).map { $0 + ($1 - $0) * gap.position }
            } ?? first
        }
        if let filter, frames > 1 {
            let sides = MeasuringWindow().samples(of: frames) { rows[$0]?[2] }.sorted()
            let unit = sides[sides.count / 2]
            let columns = (0..<3).map { c in
                filter.smoothed(
                    complete.map { $0[c] }, times: times, scale: unit, lookAhead: lookAhead, measured: measured)
            }
            complete = (0..<frames).map { f in columns.map { $0[f] } }
        }
        return complete.map { FaceSquare(x: $0[0], y: $0[1], side: $0[2]) }
    }
}

/// Cuts a square out of a picture and scales it, averaging when it shrinks.
///
/// - Parameters:
///   - picture: RGB bytes `[height, width, 3]`; what lies outside repeats the edge.
///   - size: The result's side in pixels.
/// - Returns: RGB bytes `[size, size, 3]`.
public func cropSquare(
    _ picture: UnsafeRawBufferPointer, width: Int, height: Int, square: FaceSquare, size: Int
) -> [UInt8] {
    precondition(picture.count == width * height * 3, "A picture holds height · width · 3 bytes.")
    let columns = CropTaps(start: square.x - square.side / 2, length: square.side, size: size, limit: width)
    let rows = CropTaps(start: square.y - square.side / 2, length: square.side, size: size, limit: height)
    // Rows that some output row needs are scaled across once, then mixed down the column.
    let first = rows.taps.map(\.first).min() ?? 0
    let last = rows.taps.map { $0.first + $0.weights.count - 1 }.max() ?? 0
    var across = [Float](repeating: 0, count: (last - first + 1) * size * 3)
    for y in first...max(first, last) {
        for (x, tap) in columns.taps.enumerated() {
            var (r, g, b): (Float, Float, Float) = (0, 0, 0)
            for (i, weight) in tap.weights.enumerated() {
                let at = (y * width + tap.first + i) * 3
                r += weight * Float(picture[at])
                g += weight * Float(picture[at + 1])
                b += weight * Float(picture[at + 2])
            }
            let at = ((y - first) * size + x) * 3
            across[at] = r
            across[at + 1] = g
            across[at + 2] = b
        }
    }
    var out = [UInt8](repeating: 0, count: size * size * 3)
    for (y, tap) in rows.taps.enumerated() {
        for x in 0..<(size * 3) {
            var sum: Float = 0
            for (i, weight) in tap.weights.enumerated() {
                sum += weight * across[(tap.first - first + i) * size * 3 + x]
            }
            out[y * size * 3 + x] = UInt8(max(0, min(255, sum.rounded())))
        }
    }
    return out
}

/// The source pixels of each output pixel along one axis: a triangle as wide as the larger of the two pixels.
private struct CropTaps {
    struct Tap {
        var first: Int
        var weights: [Float]
    }

    var taps: [Tap] = []

    init(start: Double, length: Double, size: Int, limit: Int) {
        let step = length / Double(size)
        let reach = max(step, 1)
        for i in 0..<size {
            let center = start + (Double(i) + 0.5) * step - 0.5
            var weights: [Int: Double] = [:]
            for p in Int((center - reach).rounded(.up))...Int((center + reach).rounded(.down)) {
                let weight = 1 - abs(Double(p) - center) / reach
                if weight > 0 { weights[min(max(p, 0), limit - 1), default: 0] += weight }
            }
            let total = weights.values.reduce(0, +)
            let low = weights.keys.min() ?? min(max(Int(center.rounded()), 0), limit - 1)
            let high = weights.keys.max() ?? low
            let dense = (low...high).map { total > 0 ? Float((weights[$0] ?? 0) / total) : 1 }
            taps.append(Tap(first: low, weights: dense))
        }
    }
}
