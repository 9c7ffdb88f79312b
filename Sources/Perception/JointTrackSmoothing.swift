/// Fills short gaps of a pose track and smooths it.
///
/// Works on the whole sequence: a gap needs both its ends, and the filter runs in both directions.
public struct JointTrackSmoothing: Sendable {
    /// Joints below this confidence count as not seen.
    public var confidenceThreshold: Float
    /// The longest gap that is filled, seconds. Half of it is held at the ends of a sequence.
    public var longestGap: Double
    /// nil leaves measured values as they are.
    public var filter: OneEuroFilter?

    public init(confidenceThreshold: Float = 0.5, longestGap: Double = 0.5, filter: OneEuroFilter? = OneEuroFilter()) {
        self.confidenceThreshold = confidenceThreshold
        self.longestGap = longestGap
        self.filter = filter
    }

    /// The track with short gaps filled (and flagged) and values smoothed.
    ///
    /// A hand is carried by its arm: its joints are interpolated and filtered relative to the wrist, and its wrist is
    /// the arm's wrist afterwards.
    public func applied(to track: JointTrack) -> JointTrack {
        guard track.frameCount > 1 else { return joinWrists(track) }
        var result = track
        let unit = Double(bodyUnit(of: track))
        for joint in 0..<Skeleton.bodyCount {
            process(joint, anchor: nil, source: track, into: &result, unit: unit)
        }
        for (hand, wrist) in [
            (Skeleton.leftHand, Skeleton.Joint.leftWrist), (Skeleton.rightHand, Skeleton.Joint.rightWrist),
        ] {
            for joint in hand..<(hand + Skeleton.handCount) {
                process(joint, anchor: (hand, wrist), source: track, into: &result, unit: unit)
            }
        }
        return joinWrists(result)
    }

    private func process(
        _ joint: Int, anchor: (hand: Int, wrist: Int)?, source: JointTrack, into result: inout JointTrack, unit: Double
    ) {
        let frames = source.frameCount
        var values = [[Double]](repeating: [Double](repeating: 0, count: frames), count: 5)
        var seen = [Bool](repeating: false, count: frames)
        for f in 0..<frames {
            var (p, q) = (source.point(f, joint), source.position(f, joint))
            if let anchor {
                p -= source.point(f, anchor.hand)
                q -= source.position(f, anchor.hand)
            }
            let numbers = [p.x, p.y, q.x, q.y, q.z]
            seen[f] = source.confidence(f, joint) >= confidenceThreshold && numbers.allSatisfy(\.isFinite)
            for (c, number) in numbers.enumerated() { values[c][f] = seen[f] ? Double(number) : 0 }
        }
        let fills = gaps(seen: seen, times: source.times)
        for fill in fills { interpolate(fill, &values, times: source.times) }
        var known = seen
        for fill in fills { for f in fill.frames { known[f] = true } }
        if let filter { smooth(&values, runs: Self.runs(known), times: source.times, unit: unit, filter: filter) }
        for f in 0..<frames where known[f] {
            var p = SIMD2(Float(values[0][f]), Float(values[1][f]))
            var q = SIMD3(Float(values[2][f]), Float(values[3][f]), Float(values[4][f]))
            if let anchor {
                p += result.point(f, anchor.wrist)
                q += result.position(f, anchor.wrist)
            }
            result.setPoint(f, joint, p)
            result.setPosition(f, joint, q)
        }
        for fill in fills {
            for f in fill.frames {
                let i = f * Skeleton.jointCount + joint
                // As sure as the less sure end: a filled joint is drawn like its neighbours in time, and flagged.
                let ends = [fill.before, fill.after].compactMap { $0 }.map { source.confidence($0, joint) }
                result.confidence[i] = ends.min() ?? 0
                result.filled[i] = 1
            }
        }
    }

    private struct Gap {
        var frames: Range<Int>
        var before: Int?
        var after: Int?
    }

    private func gaps(seen: [Bool], times: [Double]) -> [Gap] {
        var result: [Gap] = []
        var f = 0
        while f < seen.count {
            guard !seen[f] else {
                f += 1
                continue
            }
            let start = f
            while f < seen.count, !seen[f] { f += 1 }
            let before = start > 0 ? start - 1 : nil
            let after = f < seen.count ? f : nil
            let span: Double
            switch (before, after) {
            case (let b?, let a?): span = times[a] - times[b]
            case (let b?, nil): span = 2 * (times[f - 1] - times[b])
            case (nil, let a?): span = 2 * (times[a] - times[start])
            case (nil, nil): continue
            }
            if span <= longestGap + 1e-9 { result.append(Gap(frames: start..<f, before: before, after: after)) }
        }
        return result
    }

    private func interpolate(_ gap: Gap, _ values: inout [[Double]], times: [Double]) {
        for c in values.indices {
            for f in gap.frames {
                switch (gap.before, gap.after) {
                case (let b?, let a?):
                    let k = (times[f] - times[b]) / max(times[a] - times[b], 1e-9)
                    values[c][f] = values[c][b] + (values[c][a] - values[c][b]) * k
                case (let b?, nil): values[c][f] = values[c][b]
                case (nil, let a?): values[c][f] = values[c][a]
                case (nil, nil): break
                }
            }
        }
    }

    private func smooth(
        _ values: inout [[Double]], runs: [Range<Int>], times: [Double], unit: Double, filter: OneEuroFilter
    ) {
        for run in runs where run.count > 2 {
            let runTimes = Array(times[run])
            for c in values.indices {
                // Metres are taken against a shoulder width of 0.35 m.
                let scale = c < 2 ? unit : 0.35
                values[c].replaceSubrange(
                    run, with: filter.smoothed(Array(values[c][run]), times: runTimes, scale: scale))
            }
        }
    }

    static func runs(_ flags: [Bool]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var start: Int?
        for (f, flag) in flags.enumerated() {
            if flag, start == nil { start = f }
            if !flag, let s = start {
                result.append(s..<f)
                start = nil
            }
        }
        if let s = start { result.append(s..<flags.count) }
        return result
    }

    /// The median shoulder width in pixels: the unit speeds are measured in.
    private func bodyUnit(of track: JointTrack) -> Float {
        let (left, right) = (Skeleton.Joint.leftShoulder, Skeleton.Joint.rightShoulder)
        let widths = (0..<track.frameCount).compactMap { f -> Float? in
            guard track.isMeasured(f, left, threshold: confidenceThreshold),
                track.isMeasured(f, right, threshold: confidenceThreshold)
            else { return nil }
            let d = track.point(f, left) - track.point(f, right)
            return (d * d).sum().squareRoot()
        }.sorted()
        let fallback = Float(max(track.width, track.height)) / 5
        return widths.isEmpty ? fallback : max(widths[widths.count / 2], fallback / 10)
    }

    /// Puts the wrist of each seen hand on the wrist of its arm.
    private func joinWrists(_ track: JointTrack) -> JointTrack {
        var track = track
        for (hand, wrist) in [
            (Skeleton.leftHand, Skeleton.Joint.leftWrist), (Skeleton.rightHand, Skeleton.Joint.rightWrist),
        ] {
            for f in 0..<track.frameCount where track.confidence(f, hand) > 0 {
                let (offset, offset3) = (
                    track.point(f, wrist) - track.point(f, hand), track.position(f, wrist) - track.position(f, hand)
                )
                for j in hand..<(hand + Skeleton.handCount) {
                    track.setPoint(f, j, track.point(f, j) + offset)
                    track.setPosition(f, j, track.position(f, j) + offset3)
                }
            }
        }
        return track
    }
}
