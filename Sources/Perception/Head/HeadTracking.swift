/// A head over a clip, as plain arrays.
public struct HeadMotion: Sendable, Equatable {
    /// `[frames]` of `[3, 3]` row-major, head to camera.
    public var rotations: [[Double]]
    /// `[frames]` pixels.
    public var centers: [SIMD2<Double>]
    /// `[frames]` pixels.
    public var radii: [Double]
    /// `[frames]` in 0…1; 0: no head.
    public var confidence: [Double]
}

/// Follows a head over a clip: a fit per frame, short gaps filled, smoothed without lag.
///
/// A frame depends on all frames before it, and on those after it within the look-ahead only.
public struct HeadTracking: Sendable {
    public var set: LandmarkSet
    /// Faces below this confidence are not used.
    public var confidenceThreshold: Double
    /// The longest gap that is filled, seconds. Of a longer one the beginning is: its length does not show there yet.
    public var longestGap: Double
    /// How much of what follows a frame has a say in it, seconds.
    public var lookAhead: Double
    /// nil leaves the fits as they are.
    public var filter: OneEuroFilter?

    public init(
        set: LandmarkSet, confidenceThreshold: Double = 0.5, longestGap: Double = 0.5,
        lookAhead: Double = 0.2, filter: OneEuroFilter? = OneEuroFilter()
    ) {
        self.set = set
        self.confidenceThreshold = confidenceThreshold
        self.longestGap = longestGap
        self.lookAhead = lookAhead
        self.filter = filter
    }

    /// - Parameters:
    ///   - landmarks: Frame → `[count, 3]` pixels.
    ///   - confidence: `[frames]`.
    ///   - times: `[frames]` seconds.
    public func motion(landmarks: (Int) -> [Float], confidence: [Float], times: [Double]) -> HeadMotion {
        let fit = HeadFit(set)
        var values: [[Double]?] = []
        var sure: [Double] = []
        var last: HeadPose?
        for f in times.indices {
            guard Double(confidence[f]) >= confidenceThreshold, let pose = fit.pose(of: landmarks(f), start: last)
            else {
                values.append(nil)
                sure.append(0)
                continue
            }
            last = pose
            var q = Matrix3.quaternion(pose.rotation)
            // q and −q are the same rotation: stay on the side of the frame before, or smoothing would cross zero.
            if let before = values.last(where: { $0 != nil }) ?? nil, zip(q, before).reduce(0, { $0 + $1.0 * $1.1 }) < 0 {
                q = q.map(-)
            }
            values.append(q + [pose.center.x, pose.center.y, pose.radius])
            // A fit that is off by a quarter of the radius explains nothing.
            sure.append(Double(confidence[f]) * max(0, 1 - 4 * pose.residual))
        }
        let radii = MeasuringWindow().samples(of: values.count) { values[$0]?[6] }.sorted()
        let measured = values.map { $0 != nil }
        fill(&values, &sure, times: times)
        smooth(&values, measured: measured, times: times, size: radii.isEmpty ? 1 : max(radii[radii.count / 2], 1e-6))
        return HeadMotion(
            rotations: values.map { $0.map { Matrix3.rotation(quaternion: Array($0[0..<4])) } ?? Matrix3.identity },
            centers: values.map { $0.map { SIMD2($0[4], $0[5]) } ?? .zero },
            radii: values.map { $0?[6] ?? 0 }, confidence: sure)
    }

    private func fill(_ values: inout [[Double]?], _ sure: inout [Double], times: [Double]) {
        let gaps = GapFilling(longestGap: longestGap, lookAhead: lookAhead)
        for (f, source) in gaps.sources(measured: values.map { $0 != nil }, times: times).enumerated() {
            guard let source, let a = values[source.before], let b = values[source.after] else { continue }
            values[f] = zip(a, b).map { $0 + ($1 - $0) * source.position }
            // Marked as not measured: less sure than either end.
            sure[f] = min(sure[source.before], sure[source.after]) / 2
        }
    }

    /// - Parameter size: The head's radius in pixels.
    private func smooth(_ values: inout [[Double]?], measured: [Bool], times: [Double], size: Double) {
        guard let filter else { return }
        for run in JointTrackSmoothing.runs(values.map { $0 != nil }) where run.count > 1 {
            let rows = run.compactMap { values[$0] }
            let (runTimes, runMeasured) = (Array(times[run]), Array(measured[run]))
            let columns = (0..<7).map { c in
                // Quaternion parts move by half the angle; places are taken against three radii, about a shoulder width.
                filter.smoothed(
                    rows.map { $0[c] }, times: runTimes, scale: c < 4 ? 0.5 : 3 * size, lookAhead: lookAhead,
                    measured: runMeasured)
            }
            for (i, f) in run.enumerated() { values[f] = columns.map { $0[i] } }
        }
    }
}
