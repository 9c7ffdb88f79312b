import Foundation

/// Operations on 3×3 matrices, row-major.
public enum Matrix3 {
    public static let identity: [Double] = [1, 0, 0, 0, 1, 0, 0, 0, 1]

    public static func product(_ a: [Double], _ b: [Double]) -> [Double] {
        var out = [Double](repeating: 0, count: 9)
        for i in 0..<3 {
            for j in 0..<3 { out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j] }
        }
        return out
    }

    public static func transpose(_ a: [Double]) -> [Double] {
        [a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]]
    }

    public static func apply(_ a: [Double], _ v: SIMD3<Double>) -> SIMD3<Double> {
        SIMD3(
            a[0] * v.x + a[1] * v.y + a[2] * v.z, a[3] * v.x + a[4] * v.y + a[5] * v.z,
            a[6] * v.x + a[7] * v.y + a[8] * v.z)
    }

    /// The rotation about the vector `w` by its length in radians (Rodrigues).
    public static func rotation(_ w: [Double]) -> [Double] {
        let angle = (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]).squareRoot()
        guard angle > 1e-12 else { return identity }
        let (x, y, z) = (w[0] / angle, w[1] / angle, w[2] / angle)
        let (c, s) = (cos(angle), sin(angle))
        let k = 1 - c
        return [
            c + x * x * k, x * y * k - z * s, x * z * k + y * s,
            y * x * k + z * s, c + y * y * k, y * z * k - x * s,
            z * x * k - y * s, z * y * k + x * s, c + z * z * k,
        ]
    }

    /// The unit quaternion (w, x, y, z) of a rotation.
    public static func quaternion(_ m: [Double]) -> [Double] {
        let trace = m[0] + m[4] + m[8]
        var q: [Double]
        if trace > 0 {
            let s = 2 * (1 + trace).squareRoot()
            q = [s / 4, (m[7] - m[5]) / s, (m[2] - m[6]) / s, (m[3] - m[1]) / s]
        } else if m[0] > m[4], m[0] > m[8] {
            let s = 2 * max(1 + m[0] - m[4] - m[8], 1e-12).squareRoot()
            q = [(m[7] - m[5]) / s, s / 4, (m[1] + m[3]) / s, (m[2] + m[6]) / s]
        } else if m[4] > m[8] {
            let s = 2 * max(1 + m[4] - m[0] - m[8], 1e-12).squareRoot()
            q = [(m[2] - m[6]) / s, (m[1] + m[3]) / s, s / 4, (m[5] + m[7]) / s]
        } else {
            let s = 2 * max(1 + m[8] - m[0] - m[4], 1e-12).squareRoot()
            q = [(m[3] - m[1]) / s, (m[2] + m[6]) / s, (m[5] + m[7]) / s, s / 4]
        }
        let length = q.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for i in 0..<4 { q[i] /= max(length, 1e-12) }
        return q
    }

    /// The rotation of a quaternion (w, x, y, z), which need not be a unit one.
    public static func rotation(quaternion: [Double]) -> [Double] {
        let length = quaternion.reduce(0) { $0 + $1 * $1 }.squareRoot()
        guard length > 1e-12 else { return identity }
        let (w, x, y, z) = (quaternion[0] / length, quaternion[1] / length, quaternion[2] / length, quaternion[3] / length)
        return [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ]
    }
}
