import Foundation

/// Gives a driving track the reference person's proportions, size and place.
///
/// Every bone keeps its direction in every frame; children move with their parents, hands about their wrists. The track
/// is then placed: of the frames of the ``MeasuringWindow`` the one whose pose is most like the reference's is laid over it, and
/// the motion from there is scaled with the person. Where feet are seen in both, the height follows the lowest foot, so that what stood
/// on the ground stands on the reference's ground; else the hips, else the neck are what is laid over.
public struct BoneRetargeting: Sendable {
    public let ratios: BoneRatios
    public let confidenceThreshold: Float
    public let window: MeasuringWindow

    public init(
        ratios: BoneRatios, confidenceThreshold: Float = 0.5, window: MeasuringWindow = MeasuringWindow()
    ) {
        self.ratios = ratios
        self.confidenceThreshold = confidenceThreshold
        self.window = window
    }

    /// What of the body holds it in its place.
    enum Anchor: CaseIterable {
        case ground, hips, neck
    }

    /// The driving track on the reference's canvas.
    public func applied(to driving: JointTrack, reference: JointTrack) -> JointTrack {
        var result = driving
        result.width = reference.width
        result.height = reference.height
        for f in 0..<driving.frameCount { rebuild(f, driving, into: &result) }
        place(&result, driving: driving, reference: reference)
        return result
    }

    /// Lengthens the bones of one frame outwards from the neck (up to a shift, which ``place`` finds).
    private func rebuild(_ f: Int, _ source: JointTrack, into result: inout JointTrack) {
        var points = [SIMD2<Double>?](repeating: nil, count: BoneTree.count)
        var positions = [SIMD3<Double>?](repeating: nil, count: BoneTree.count)
        let root = source.joint(f, BoneTree.neck)
        if root.confidence > 0 {
            points[BoneTree.neck] = root.point * ratios.scale
            positions[BoneTree.neck] = root.position * ratios.metricScale
        }
        for edge in BoneTree.edges {
            let child = source.joint(f, edge.child)
            guard child.confidence > 0 else { continue }
            // A missing parent is skipped: the bone then starts at the nearest joint inwards that is there.
            var parent = edge.parent
            while points[parent] == nil, let next = BoneTree.parentEdge[parent]?.parent { parent = next }
            if let point = points[parent], let position = positions[parent] {
                let from = source.joint(f, parent)
                points[edge.child] = point + (child.point - from.point) * ratios.pixels(edge.group)
                positions[edge.child] = position + (child.position - from.position) * ratios.metres(edge.group)
            } else {
                points[edge.child] = child.point * ratios.scale
                positions[edge.child] = child.position * ratios.metricScale
            }
        }
        for j in 0..<Skeleton.bodyCount { set(f, j, points[j], positions[j], in: &result) }
        for (hand, wrist) in [(Skeleton.leftHand, 15), (Skeleton.rightHand, 16)] {
            let palm = source.joint(f, hand)
            let armPoint = points[wrist] ?? (palm.confidence > 0 ? palm.point * ratios.scale : nil)
            let armPosition = positions[wrist] ?? (palm.confidence > 0 ? palm.position * ratios.metricScale : nil)
            for j in hand..<(hand + Skeleton.handCount) {
                let finger = source.joint(f, j)
                guard finger.confidence > 0, palm.confidence > 0, let armPoint, let armPosition else {
                    set(f, j, armPoint, armPosition, in: &result)
                    continue
                }
                set(
                    f, j, armPoint + (finger.point - palm.point) * ratios.pixels(.hand),
                    armPosition + (finger.position - palm.position) * ratios.metres(.hand), in: &result)
            }
        }
        recenter(f, &result, positions[BoneTree.midHip])
    }

    /// Keeps metres centred on the hips.
    private func recenter(_ f: Int, _ track: inout JointTrack, _ hips: SIMD3<Double>?) {
        guard let hips else { return }
        let shift = SIMD3(Float(hips.x), Float(hips.y), Float(hips.z))
        for j in 0..<Skeleton.jointCount { track.setPosition(f, j, track.position(f, j) - shift) }
    }

    private func set(
        _ f: Int, _ j: Int, _ point: SIMD2<Double>?, _ position: SIMD3<Double>?, in track: inout JointTrack
    ) {
        let (p, q) = (point ?? .zero, position ?? .zero)
        track.setPoint(f, j, SIMD2(Float(p.x), Float(p.y)))
        track.setPosition(f, j, SIMD3(Float(q.x), Float(q.y), Float(q.z)))
    }

    // MARK: Placing

    private func place(_ result: inout JointTrack, driving: JointTrack, reference: JointTrack) {
        let canvas = Double(reference.height) / Double(max(driving.height, 1))
        let seen = window.samples(of: driving.frameCount) { f in
            Anchor.allCases.contains { self.anchor($0, driving, f) != nil } ? f : nil
        }
        let anchor = Anchor.allCases.first { anchor in
            2 * seen.filter { self.anchor(anchor, driving, $0) != nil }.count >= seen.count
                && (0..<reference.frameCount).contains { self.anchor(anchor, reference, $0) != nil }
        }
        guard let anchor, let (r, d) = match(result, reference, anchor, driving: driving, frames: seen),
            let target = self.anchor(anchor, reference, r), let start = self.anchor(anchor, driving, d)
        else {
            // Nothing is seen in both: keep the relative place on the canvas.
            let shift = (canvas - ratios.scale)
            for f in 0..<result.frameCount {
                guard driving.joint(f, BoneTree.neck).confidence > 0 else { continue }
                move(f, &result, by: driving.joint(f, BoneTree.neck).point * shift)
            }
            return
        }
        let shifts = (0..<result.frameCount).map { f -> SIMD2<Double>? in
            guard let old = self.anchor(anchor, driving, f), let now = moved(anchor, result, f, driving: driving)
            else { return nil }
            return target + (old - start) * ratios.scale - now
        }
        // Without an anchor the shift stays as it was.
        guard var shift = shifts.first(where: { $0 != nil }) ?? nil else { return }
        for f in 0..<result.frameCount {
            shift = shifts[f] ?? shift
            move(f, &result, by: shift)
        }
    }

    private func move(_ f: Int, _ track: inout JointTrack, by shift: SIMD2<Double>) {
        let s = SIMD2(Float(shift.x), Float(shift.y))
        for j in 0..<Skeleton.jointCount { track.setPoint(f, j, track.point(f, j) + s) }
    }

    private static let feet = [27, 28, 29, 30, 31, 32]

    /// Where the anchor is in a measured track.
    private func anchor(_ anchor: Anchor, _ track: JointTrack, _ f: Int) -> SIMD2<Double>? {
        moved(anchor, track, f, driving: track)
    }

    /// Where the anchor is in `track`, with the weights of the feet as they stand in `driving`.
    private func moved(_ anchor: Anchor, _ track: JointTrack, _ f: Int, driving: JointTrack) -> SIMD2<Double>? {
        let hips = driving.joint(f, BoneTree.midHip)
        let neck = driving.joint(f, BoneTree.neck)
        switch anchor {
        case .neck:
            return neck.confidence >= confidenceThreshold ? track.joint(f, BoneTree.neck).point : nil
        case .hips:
            // Hips below the edge of the picture are guessed by trackers.
            guard hips.confidence >= confidenceThreshold, hips.point.y < Double(driving.height) else { return nil }
            return track.joint(f, BoneTree.midHip).point
        case .ground:
            guard hips.confidence >= confidenceThreshold, neck.confidence >= confidenceThreshold else { return nil }
            let seen = Self.feet.filter {
                let foot = driving.joint(f, $0)
                return foot.confidence >= confidenceThreshold && foot.point.y < Double(driving.height)
            }
            guard seen.contains(27) || seen.contains(28) else { return nil }
            // A soft maximum: the height passes over smoothly from one foot to the other.
            let size = max((hips.point - neck.point).y.magnitude, 1)
            let lowest = seen.map { driving.joint(f, $0).point.y }.max() ?? 0
            var (sum, total) = (0.0, 0.0)
            for j in seen {
                let weight = exp((driving.joint(f, j).point.y - lowest) / (0.06 * size))
                sum += weight * track.joint(f, j).point.y
                total += weight
            }
            return SIMD2(track.joint(f, BoneTree.midHip).point.x, sum / total)
        }
    }

    private static let compared = [0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]

    /// The frame of the reference and the one of `frames` of the rebuilt track whose poses are most alike.
    private func match(
        _ track: JointTrack, _ reference: JointTrack, _ anchor: Anchor, driving: JointTrack, frames: [Int]
    ) -> (Int, Int)? {
        let stride = max(1, reference.frameCount / 32)
        var best: (distance: Double, r: Int, d: Int)?
        for r in Swift.stride(from: 0, to: reference.frameCount, by: stride) {
            guard let a = self.anchor(anchor, reference, r) else { continue }
            for d in frames {
                guard self.anchor(anchor, driving, d) != nil, let b = moved(anchor, track, d, driving: driving) else { continue }
                var (sum, weight) = (0.0, 0.0)
                for j in Self.compared {
                    let (p, q) = (reference.joint(r, j), track.joint(d, j))
                    let w = Double(min(p.confidence, q.confidence))
                    guard w >= Double(confidenceThreshold) else { continue }
                    let e = (p.point - a) - (q.point - b)
                    sum += w * (e * e).sum()
                    weight += w
                }
                guard weight > 0 else { continue }
                let distance = sum / weight
                if best.map({ distance < $0.distance - 1e-9 }) ?? true { best = (distance, r, d) }
            }
        }
        return best.map { ($0.r, $0.d) }
    }
}
