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
public struct HeadTracking: Sendable {
    public var set: LandmarkSet
    /// Faces below this confidence are not used.
    public var confidenceThreshold: Double
    /// The longest gap that is filled, seconds.
    public var longestGap: Double
    /// nil leaves the fits as they are.
    public var filter: OneEuroFilter?

    public init(
        set: LandmarkSet, confidenceThreshold: Double = 0.5, longestGap: Double = 0.5,
        filter: OneEuroFilter? = OneEuroFilter()
    ) {
        self.set = set
        self.confidenceThreshold = confidenceThreshold
        self.longestGap = longestGap
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
        fill(&values, &sure, times: times)
        smooth(&values, times: times)
        return HeadMotion(
            rotations: values.map { $0.map { Matrix3.rotation(quaternion: Array($0[0..<4])) } ?? Matrix3.identity },
            centers: values.map { $0.map { SIMD2($0[4], $0[5]) } ?? .zero },
            radii: values.map { $0?[6] ?? 0 }, confidence: sure)
    }

    private func fill(_ values: inout [[Double]?], _ sure: inout [Double], times: [Double]) {
        let known = values.map { $0 != nil }
        var f = 0
        while f < known.count {
            guard !known[f] else {
                f += 1
                continue
            }
            let start = f
            while f < known.count, !known[f] { f += 1 }
            guard start > 0, f < known.count, let a = values[start - 1], let b = values[f],
                times[f] - times[start - 1] <= longestGap
            else { continue }
            for i in start..<f {
                let k = (times[i] - times[start - 1]) / (times[f] - times[start - 1])
                values[i] = zip(a, b).map { $0 + ($1 - $0) * k }
                // Marked as not measured: less sure than either end.
                sure[i] = min(sure[start - 1], sure[f]) / 2
            }
        }
    }

    private func smooth(_ values: inout [[Double]?], times: [Double]) {
        guard let filter else { return }
        for run in JointTrackSmoothing.runs(values.map { $0 != nil }) where run.count > 2 {
            let rows = run.compactMap { values[$0] }
            let runTimes = Array(times[run])
            let size = max(rows.map { $0[6] }.sorted()[rows.count / 2], 1e-6)
            let columns = (0..<7).map { c in
                // Quaternion parts move by half the angle; places are taken against three radii, about a shoulder width.
                filter.smoothed(rows.map { $0[c] }, times: runTimes, scale: c < 4 ? 0.5 : 3 * size)
            }
            for (i, f) in run.enumerated() { values[f] = columns.map { $0[i] } }
        }
    }
}
