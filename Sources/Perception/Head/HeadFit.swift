import Foundation

/// A head in one frame under a weak-perspective camera.
public struct HeadPose: Sendable, Equatable {
    /// `[3, 3]` row-major, head to camera (camera x right, y down, z away).
    public var rotation: [Double]
    /// Pixels per metre.
    public var scale: Double
    /// Centre of the head's sphere in pixels.
    public var center: SIMD2<Double>
    /// Its radius in pixels.
    public var radius: Double
    /// Root mean square distance between landmarks and fit, relative to the radius.
    public var residual: Double
}

/// Fits a canonical 3D face to landmarks: Gauss–Newton over rotation, scale and translation.
public struct HeadFit: Sendable {
    public let set: LandmarkSet

    public init(_ set: LandmarkSet) { self.set = set }

    /// Finds the pose that explains the landmarks of one face best.
    ///
    /// - Parameters:
    ///   - landmarks: `[count, 3]` pixels, z away from the camera on the scale of x.
    ///   - start: The pose in the frame before: tried first, and kept as the start when it leads to a good fit.
    /// - Returns: nil when the landmarks are no face (not finite, or all in one place).
    public func pose(of landmarks: [Float], start: HeadPose? = nil) -> HeadPose? {
        guard landmarks.count == set.count * 3 else { return nil }
        let observed = set.indices.map {
            SIMD3(Double(landmarks[3 * $0]), Double(landmarks[3 * $0 + 1]), Double(landmarks[3 * $0 + 2]))
        }
        guard observed.allSatisfy({ $0.x.isFinite && $0.y.isFinite && $0.z.isFinite }) else { return nil }
        let spread = Self.spread(observed)
        guard spread > 1e-3 else { return nil }
        var best: HeadPose?
        if let start, let pose = refine(from: start.rotation, observed: observed, spread: spread) {
            best = pose
            if pose.residual < 0.1 { return pose }
        }
        // A fresh start: the direction of gradient descent depends on which way the face looks at first.
        for yaw in [0.0, 0.7, -0.7, 1.3, -1.3] {
            for roll in [0, Double.pi / 2, -Double.pi / 2, Double.pi] {
                let rotation = Matrix3.product(Matrix3.rotation([0, 0, roll]), Matrix3.rotation([0, yaw, 0]))
                guard let pose = refine(from: rotation, observed: observed, spread: spread) else { continue }
                if best.map({ pose.residual < $0.residual }) ?? true { best = pose }
            }
            // Upright and looking ahead explains most faces: no need to try lying ones.
            if let best, best.residual < 0.06 { return best }
        }
        return best
    }

    private static func spread(_ points: [SIMD3<Double>]) -> Double {
        let mean = points.reduce(SIMD3<Double>.zero, +) / Double(points.count)
        let sum = points.reduce(0.0) { $0 + ($1.x - mean.x) * ($1.x - mean.x) + ($1.y - mean.y) * ($1.y - mean.y) }
        return (sum / Double(points.count)).squareRoot()
    }

    /// Gauss–Newton with Huber weights. Unknowns: a small rotation (3), the logarithm of the scale, translation (3, the
    /// last of them only when depth counts).
    private func refine(from start: [Double], observed: [SIMD3<Double>], spread: Double) -> HeadPose? {
        let model = set.canonical.map { SIMD3<Double>(Double($0.x), Double($0.y), Double($0.z)) }
        let count = Double(model.count)
        let depthWeight = Double(set.depthWeight)
        var rotation = start
        // Both point sets are taken about their means, which solves the translation of the unweighted problem.
        let mean = observed.reduce(SIMD3<Double>.zero, +) / count
        let modelSpread = Self.spread(model.map { Matrix3.apply(rotation, $0) })
        guard modelSpread > 1e-6 else { return nil }
        var scale = spread / modelSpread
        var shift = mean - scale * Matrix3.apply(rotation, model.reduce(SIMD3<Double>.zero, +) / count)
        let radius = Double(set.sphereRadius)
        for _ in 0..<20 {
            var normal = [Double](repeating: 0, count: 49)
            var right = [Double](repeating: 0, count: 7)
            let huber = 0.05 * scale * radius
            for (x, y) in zip(model, observed) {
                let turned = scale * Matrix3.apply(rotation, x)
                let r = y - turned - shift
                let size = (r.x * r.x + r.y * r.y).squareRoot()
                let weight = size <= huber ? 1 : huber / size
                // d(turned)/d(omega) = −[turned]×, d/d(log s) = turned, d/d(shift) = identity.
                let rows: [([Double], Double, Double)] = [
                    ([0, turned.z, -turned.y, turned.x, 1, 0, 0], r.x, weight),
                    ([-turned.z, 0, turned.x, turned.y, 0, 1, 0], r.y, weight),
                    ([turned.y, -turned.x, 0, turned.z, 0, 0, 1], r.z, weight * depthWeight * depthWeight),
                ]
                for (row, residual, weight) in rows where weight > 0 {
                    for i in 0..<7 where row[i] != 0 {
                        right[i] += weight * row[i] * residual
                        for j in 0..<7 { normal[i * 7 + j] += weight * row[i] * row[j] }
                    }
                }
            }
            // A trace of damping keeps the unseen directions (depth without z) solvable.
            let trace = (0..<7).reduce(0) { $0 + normal[$1 * 8] }
            for i in 0..<7 { normal[i * 8] += 1e-9 * trace + 1e-12 }
            guard let step = Self.solve(normal, right) else { return nil }
            let omega = Array(step[0..<3])
            rotation = Matrix3.product(Matrix3.rotation(omega), rotation)
            scale *= exp(max(-0.5, min(0.5, step[3])))
            shift += SIMD3(step[4], step[5], step[6])
            guard scale.isFinite, rotation.allSatisfy(\.isFinite) else { return nil }
            if omega.allSatisfy({ abs($0) < 1e-7 }), abs(step[3]) < 1e-7 { break }
        }
        var squares = 0.0
        for (x, y) in zip(model, observed) {
            let r = y - scale * Matrix3.apply(rotation, x) - shift
            squares += r.x * r.x + r.y * r.y + depthWeight * depthWeight * r.z * r.z
        }
        let center = scale * Matrix3.apply(rotation, SIMD3<Double>(
            Double(set.sphereCenter.x), Double(set.sphereCenter.y), Double(set.sphereCenter.z))) + shift
        return HeadPose(
            rotation: rotation, scale: scale, center: SIMD2(center.x, center.y), radius: scale * radius,
            residual: (squares / count).squareRoot() / (scale * radius))
    }

    /// Solves a symmetric positive definite 7×7 system by Cholesky's factorisation.
    private static func solve(_ a: [Double], _ b: [Double]) -> [Double]? {
        let n = 7
        var l = [Double](repeating: 0, count: n * n)
        for i in 0..<n {
            for j in 0...i {
                var sum = a[i * n + j]
                for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
                if i == j {
                    guard sum > 0 else { return nil }
                    l[i * n + i] = sum.squareRoot()
                } else {
                    l[i * n + j] = sum / l[j * n + j]
                }
            }
        }
        var x = b
        for i in 0..<n {
            for k in 0..<i { x[i] -= l[i * n + k] * x[k] }
            x[i] /= l[i * n + i]
        }
        for i in (0..<n).reversed() {
            for k in (i + 1)..<n { x[i] -= l[k * n + i] * x[k] }
            x[i] /= l[i * n + i]
        }
        return x
    }
}
