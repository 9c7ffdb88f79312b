import NodeKit
import Perception
import PerceptionValues

/// Where on the canvas, and how large, a head is drawn.
struct HeadPlacement {
    private let head: HeadTrack
    private let normalized: JointTrack?
    private let driving: JointTrack?
    /// From driving pixels to the canvas.
    private let drivingFit: CanvasFit
    /// From the normalised skeleton's pixels to the canvas.
    private let normalizedFit: CanvasFit
    /// Radius on the canvas per pixel of driving radius.
    private let sizeRatio: Float

    /// - Throws: ``NodeError`` when the tracks have different lengths or no head is confident anywhere.
    init(
        head: HeadTrack, reference: HeadTrack?, normalized: JointTrack?, driving: JointTrack?, width: Int, height: Int,
        window: MeasuringWindow
    ) throws {
        for (track, name) in [(normalized, "pose"), (driving, "drivingPose")] {
            guard let track, track.frameCount != head.count else { continue }
            throw NodeError(
                "'head' has \(head.count) frames and '\(name)' has \(track.frameCount): wire both from the same clip")
        }
        self.head = head
        self.normalized = normalized
        self.driving = driving
        drivingFit = CanvasFit(from: head.width, head.height, to: width, height)
        normalizedFit = CanvasFit(
            from: normalized?.width ?? head.width, normalized?.height ?? head.height, to: width, height)
        guard let reference else {
            sizeRatio = drivingFit.scale
            return
        }
        guard let wanted = Self.medianRadius(reference, window) else {
            throw NodeError("no head is seen in 'reference': the sphere has no size; leave it unwired to take the driving head's")
        }
        let fit = CanvasFit(from: reference.width, reference.height, to: width, height)
        // No driving head at all: nothing is drawn, whatever the ratio.
        let own = Self.medianRadius(head, window) ?? wanted
        sizeRatio = wanted * fit.scale / own
    }

    /// Centre and radius in pixels of the canvas. The radius follows the driving head as it comes nearer.
    func place(_ f: Int) -> (x: Float, y: Float, radius: Float) {
        let radius = head.radius[f] * sizeRatio
        let center = SIMD2(head.center[2 * f], head.center[2 * f + 1])
        if let normalized, let driving, let before = Self.anchor(driving, f), let after = Self.anchor(normalized, f) {
            // The head's centre keeps its place in the head: the offset from the ears grows with the head.
            let offset = (center - before) * sizeRatio
            return (normalizedFit.x(after.x) + offset.x, normalizedFit.y(after.y) + offset.y, radius)
        }
        return (drivingFit.x(center.x), drivingFit.y(center.y), radius)
    }

    /// The middle between the ears, or the nose, or between the shoulders.
    private static func anchor(_ track: JointTrack, _ f: Int) -> SIMD2<Float>? {
        for (a, b) in [(7, 8), (0, 0), (11, 12)] {
            let points = [track.point(f, a), track.point(f, b)]
            if min(track.confidence(f, a), track.confidence(f, b)) >= 0.3, points.allSatisfy({ $0.x.isFinite && $0.y.isFinite }) {
                return (points[0] + points[1]) / 2
            }
        }
        return nil
    }

    private static func medianRadius(_ head: HeadTrack, _ window: MeasuringWindow) -> Float? {
        let radii = window.samples(of: head.count) {
            head.confidence[$0] > 0.2 && head.radius[$0] > 0 ? head.radius[$0] : nil
        }.sorted()
        return radii.isEmpty ? nil : radii[radii.count / 2]
    }
}
