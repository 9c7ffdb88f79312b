/// How long a person's bones are, measured over the frames of a track.
///
/// What one frame shows of a bone is its length in pixels, shortened by perspective. Three things make it comparable:
/// the frame's own scale (pixels per metre, by all bones of the frame) takes out distance; the slope of the bone in 3D takes
/// out foreshortening (the steeper, the more of the length comes from the 3D) and lessens the sample's weight; bones that
/// point at the camera, joints that were not seen and filled gaps are left out. The weighted median over frames and both
/// sides remains, so no single frame and no single joint decides. Without 3D a high quantile stands in for the correction:
/// foreshortening only shortens.
///
/// All is measured over the ``MeasuringWindow``; a kind of bone that it hardly shows is left out.
public struct BoneLengths: Sendable {
    /// Pixels at the track's median scale; nil where nothing could be measured.
    public let lengths: [BoneGroup: Double]
    /// Samples behind each length.
    public let samples: [BoneGroup: Int]
    /// Median pixels per metre; nil without 3D.
    public let pixelsPerMetre: Double?

    /// - Parameters:
    ///   - confidenceThreshold: Joints below it are not looked at.
    ///   - window: The frames that are measured.
    public init(of track: JointTrack, confidenceThreshold: Float = 0.5, window: MeasuringWindow = MeasuringWindow()) {
        let spans = BoneGroup.allCases.map { group in
            group.segments.map { segment in
                (0..<track.frameCount).map { Self.span(track, $0, segment, threshold: confidenceThreshold) }
            }
        }
        let frames = window.samples(of: track.frameCount) { f in
            zip(BoneGroup.allCases, spans).contains { $0.tellsSize && $1.contains { $0[f] != nil } } ? f : nil
        }
        let with3D = track.has3D
        let scales = with3D
            ? Self.scales3D(spans, frames: track.frameCount)
            : Self.scales2D(spans, frames: track.frameCount, measured: frames)
        let median = Self.weightedMedian(frames.compactMap { f in scales[f].map { ($0, 1) } }) ?? 1
        var lengths: [BoneGroup: Double] = [:]
        var samples: [BoneGroup: Int] = [:]
        for (group, segments) in zip(BoneGroup.allCases, spans) {
            // Segments of one group differ in length (fingers, heel): each is measured for itself, then they are added.
            let sides = Self.sides(of: group)
            var total = 0.0
            var complete = true
            var count = 0
            for segmentsOfKind in sides {
                let values = frames.flatMap { f in
                    segmentsOfKind.compactMap { index -> (Double, Double)? in
                        guard let span = segments[index][f], let scale = scales[f], scale > 0 else { return nil }
                        guard with3D else { return (span.length / scale * median, Double(span.confidence)) }
                        let slope = span.length3D > 1e-4 ? span.across3D / span.length3D : 0
                        guard slope > 0.35 else { return nil }
                        // What the picture shows of the bone counts for the part that lies across the view, the metres for the rest.
                        let share = slope * slope
                        let metres = share * span.length / (slope * scale) + (1 - share) * span.length3D
                        return (metres * median, share * Double(span.confidence))
                    }
                }
                count += values.count
                guard 2 * values.count >= min(frames.count, 24),
                    let length = with3D || values.count < 5 ? Self.weightedMedian(values) : Self.quantile(values, 0.8)
                else {
                    complete = false
                    continue
                }
                total += length
            }
            samples[group] = count
            if complete, total > 0.5 { lengths[group] = total }
        }
        self.lengths = lengths
        self.samples = samples
        pixelsPerMetre = with3D ? median : nil
    }

    /// Segments of a group that should be equally long: left and right of one kind.
    private static func sides(of group: BoneGroup) -> [[Int]] {
        switch group {
        case .hand: [[0, 4], [1, 5], [2, 6], [3, 7]]
        case .foot: [[0, 1], [2, 3]]
        case .head: [[0], [1]]
        default: [Array(group.segments.indices)]
        }
    }

    private struct Span {
        var length: Double
        /// Across the view, metres.
        var across3D: Double
        var length3D: Double
        var confidence: Float
    }

    private static func span(_ track: JointTrack, _ frame: Int, _ segment: (Int, Int), threshold: Float) -> Span? {
        let (a, b) = (track.joint(frame, segment.0), track.joint(frame, segment.1))
        let sure = min(a.confidence, b.confidence)
        guard sure > 0, sure >= threshold, !track.isFilled(frame, segment.0), !track.isFilled(frame, segment.1)
        else { return nil }
        let d = a.point - b.point
        let q = a.position - b.position
        let across = q.x * q.x + q.y * q.y
        return Span(
            length: (d * d).sum().squareRoot(), across3D: across.squareRoot(),
            length3D: (across + q.z * q.z).squareRoot(), confidence: sure)
    }

    /// Pixels per metre of each frame: the median over its bones, long ones with more weight.
    private static func scales3D(_ spans: [[[Span?]]], frames: Int) -> [Double?] {
        (0..<frames).map { f in
            var ratios: [(Double, Double)] = []
            for (group, segments) in zip(BoneGroup.allCases, spans) where group.tellsSize {
                for segment in segments {
                    guard let span = segment[f], span.across3D > 0.03 else { continue }
                    ratios.append((span.length / span.across3D, span.across3D * Double(span.confidence)))
                }
            }
            return weightedMedian(ratios)
        }
    }

    /// Without 3D: each bone against the same bone's long appearances.
    private static func scales2D(_ spans: [[[Span?]]], frames: Int, measured: [Int]) -> [Double?] {
        var ratios = [[(Double, Double)]](repeating: [], count: frames)
        for (group, segments) in zip(BoneGroup.allCases, spans) where group.tellsSize {
            for segment in segments {
                guard let long = quantile(measured.compactMap { segment[$0].map { ($0.length, 1) } }, 0.8), long > 1
                else { continue }
                for f in 0..<frames { if let span = segment[f] { ratios[f].append((span.length / long, long)) } }
            }
        }
        // The spine and the shoulders turn slowly: the median of what is long now is the camera's doing.
        return ratios.map { weightedMedian($0) }
    }

    /// The middle of weighted values: for two, their weighted mean, so that neither side wins outright.
    static func weightedMedian(_ values: [(value: Double, weight: Double)]) -> Double? {
        let usable = values.filter { $0.weight > 0 && $0.value.isFinite }
        guard !usable.isEmpty else { return nil }
        let total = usable.reduce(0) { $0 + $1.weight }
        if usable.count <= 2 { return usable.reduce(0) { $0 + $1.value * $1.weight } / total }
        let sorted = usable.sorted { $0.value < $1.value }
        var sum = 0.0
        for (i, item) in sorted.enumerated() {
            sum += item.weight
            if abs(sum - total / 2) < 1e-12 * total, i + 1 < sorted.count { return (item.value + sorted[i + 1].value) / 2 }
            if sum > total / 2 { return item.value }
        }
        return sorted[sorted.count - 1].value
    }

    private static func quantile(_ values: [(Double, Double)], _ q: Double) -> Double? {
        let sorted = values.map(\.0).filter(\.isFinite).sorted()
        guard !sorted.isEmpty else { return nil }
        return sorted[min(sorted.count - 1, Int((Double(sorted.count - 1) * q).rounded()))]
    }
}
