import Foundation

/// Joints of a motion in space, by `holistic75` index, before a camera looks at them.
struct SpatialMotion {
    /// Frame → joint → metres: x right, y down, z away, any origin.
    var frames: [[Int: SIMD3<Double>]]
    /// Joints that were put where the source has none.
    var estimated: Set<Int> = []
    var times: [Double]

    /// Seen by a weak-perspective camera that has the whole motion in view.
    func track(width: Int, height: Int) -> JointTrack {
        var track = JointTrack(times: times, width: width, height: height)
        var low = SIMD2(Double.infinity, Double.infinity)
        var high = -low
        for frame in frames {
            for p in frame.values {
                low = SIMD2(min(low.x, p.x), min(low.y, p.y))
                high = SIMD2(max(high.x, p.x), max(high.y, p.y))
            }
        }
        guard low.x <= high.x else { return track }
        // A tenth of the canvas stays free on every side.
        let scale = 0.8 * min(Double(width) / max(high.x - low.x, 0.1), Double(height) / max(high.y - low.y, 0.1))
        let middle = (low + high) / 2
        let center = SIMD2(Double(width), Double(height)) / 2
        for (f, frame) in frames.enumerated() {
            let hips = [frame[23], frame[24]].compactMap { $0 }
            let origin = hips.isEmpty ? SIMD3<Double>.zero : hips.reduce(.zero, +) / Double(hips.count)
            for (j, p) in frame {
                let screen = (SIMD2(p.x, p.y) - middle) * scale + center
                let q = p - origin
                track.setPoint(f, j, SIMD2(Float(screen.x), Float(screen.y)))
                track.setPosition(f, j, SIMD3(Float(q.x), Float(q.y), Float(q.z)))
                track.confidence[f * Skeleton.jointCount + j] = 1
                track.filled[f * Skeleton.jointCount + j] = estimated.contains(j) ? 1 : 0
            }
        }
        return track
    }
}
