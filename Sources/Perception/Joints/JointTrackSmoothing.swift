/// Fills short gaps of a pose track and smooths it.
///
/// A frame depends on all frames before it, and on those after it within the look-ahead only.
public struct JointTrackSmoothing: Sendable {
    /// Joints below this confidence count as not seen.
    public var confidenceThreshold: Float
    /// The longest gap that is filled, seconds. Of a longer one the beginning is: its length does not show there yet.
    public var longestGap: Double
    /// How much of what follows a frame has a say in it, seconds.
    public var lookAhead: Double
    /// nil leaves measured values as they are.
    public var filter: OneEuroFilter?

    public init(
        confidenceThreshold: Float = 0.5, longestGap: Double = 0.5, lookAhead: Double = 0.2,
        filter: OneEuroFilter? = OneEuroFilter()
    ) {
        self.confidenceThreshold = confidenceThreshold
        self.longestGap = longestGap
        self.lookAhead = lookAhead
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
        let fills = GapFilling(longestGap: longestGap, lookAhead: lookAhead).sources(measured: seen, times: source.times)
        for (f, fill) in fills.enumerated() {
            if let fill { for c in values.indices { values[c][f] = fill.value(values[c]) } }
        }
        let known = zip(seen, fills).map { $0 || $1 != nil }
        if let filter {
            smooth(&values, runs: Self.runs(known), measured: seen, times: source.times, unit: unit, filter: filter)
        }
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
        for (f, fill) in fills.enumerated() {
            guard let fill else { continue }
            let i = f * Skeleton.jointCount + joint
            // As sure as the less sure end: a filled joint is drawn like its neighbours in time, and flagged.
            result.confidence[i] = min(source.confidence(fill.before, joint), source.confidence(fill.after, joint))
            result.filled[i] = 1
        }
    }

    private func smooth(
        _ values: inout [[Double]], runs: [Range<Int>], measured: [Bool], times: [Double], unit: Double,
        filter: OneEuroFilter
    ) {
        for run in runs where run.count > 1 {
            let (runTimes, runMeasured) = (Array(times[run]), Array(measured[run]))
            for c in values.indices {
                // Metres are taken against a shoulder width of 0.35 m.
                let scale = c < 2 ? unit : 0.35
                values[c].replaceSubrange(
                    run,
                    with: filter.smoothed(
                        Array(values[c][run]), times: runTimes, scale: scale, lookAhead: lookAhead, measured: runMeasured))
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

    /// The median shoulder width in pixels as the clip begins: the unit speeds are measured in.
    private func bodyUnit(of track: JointTrack) -> Float {
        let (left, right) = (Skeleton.Joint.leftShoulder, Skeleton.Joint.rightShoulder)
        let widths = MeasuringWindow().samples(of: track.frameCount) { f -> Float? in
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
