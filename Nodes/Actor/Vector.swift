import Drawing
import Foundation

/// A vector in metres: x right, y down, z away from the camera.
struct Vec3: Sendable, Hashable {
    var x: Double
    var y: Double
    var z: Double

    init(_ x: Double, _ y: Double, _ z: Double) {
        self.x = x
        self.y = y
        self.z = z
    }

    static let zero = Vec3(0, 0, 0)
    static func + (a: Vec3, b: Vec3) -> Vec3 { Vec3(a.x + b.x, a.y + b.y, a.z + b.z) }
    static func - (a: Vec3, b: Vec3) -> Vec3 { Vec3(a.x - b.x, a.y - b.y, a.z - b.z) }
    static func * (a: Vec3, k: Double) -> Vec3 { Vec3(a.x * k, a.y * k, a.z * k) }
    func dot(_ o: Vec3) -> Double { x * o.x + y * o.y + z * o.z }
    func cross(_ o: Vec3) -> Vec3 { Vec3(y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x) }
    var length: Double { dot(self).squareRoot() }
    var unit: Vec3 {
        let l = length
        return l > 1e-9 ? self * (1 / l) : Vec3(0, 1, 0)
    }
    func lerp(_ o: Vec3, _ k: Double) -> Vec3 { self + (o - self) * k }
    /// The vector with x mirrored when `sign` is −1: written for the left (+x) side, used for both.
    func mirrored(_ sign: Double) -> Vec3 { Vec3(x * sign, y, z) }
}

/// A 3×3 matrix, by rows.
struct Mat3: Sendable, Hashable {
    var r0: Vec3
    var r1: Vec3
    var r2: Vec3

    static let identity = Mat3(r0: Vec3(1, 0, 0), r1: Vec3(0, 1, 0), r2: Vec3(0, 0, 1))
    static func * (m: Mat3, v: Vec3) -> Vec3 { Vec3(m.r0.dot(v), m.r1.dot(v), m.r2.dot(v)) }
    static func * (a: Mat3, b: Mat3) -> Mat3 {
        let t = b.transposed
        func row(_ r: Vec3) -> Vec3 { Vec3(r.dot(t.r0), r.dot(t.r1), r.dot(t.r2)) }
        return Mat3(r0: row(a.r0), r1: row(a.r1), r2: row(a.r2))
    }
    var transposed: Mat3 {
        Mat3(r0: Vec3(r0.x, r1.x, r2.x), r1: Vec3(r0.y, r1.y, r2.y), r2: Vec3(r0.z, r1.z, r2.z))
    }
    var rows: [Float] { [r0, r1, r2].flatMap { [Float($0.x), Float($0.y), Float($0.z)] } }

    static func yaw(_ a: Double) -> Mat3 {
        Mat3(r0: Vec3(cos(a), 0, sin(a)), r1: Vec3(0, 1, 0), r2: Vec3(-sin(a), 0, cos(a)))
    }
    static func pitch(_ a: Double) -> Mat3 {
        Mat3(r0: Vec3(1, 0, 0), r1: Vec3(0, cos(a), -sin(a)), r2: Vec3(0, sin(a), cos(a)))
    }
    static func roll(_ a: Double) -> Mat3 {
        Mat3(r0: Vec3(cos(a), -sin(a), 0), r1: Vec3(sin(a), cos(a), 0), r2: Vec3(0, 0, 1))
    }
}

func smoothstep(_ x: Double) -> Double {
    let k = min(max(x, 0), 1)
    return k * k * (3 - 2 * k)
}

func clamp(_ x: Double, _ low: Double, _ high: Double) -> Double { min(max(x, low), high) }

/// The convex hull of points, in order around it.
func convexHull(_ points: [Point]) -> [Point] {
    let sorted = points.sorted { ($0.x, $0.y) < ($1.x, $1.y) }
    guard sorted.count > 2 else { return sorted }
    func half(_ points: some Sequence<Point>) -> [Point] {
        var out: [Point] = []
        for p in points {
            while out.count > 1 {
                let (a, b) = (out[out.count - 2], out[out.count - 1])
                if (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x) > 0 { break }
                out.removeLast()
            }
            out.append(p)
        }
        return out.dropLast()
    }
    return half(sorted) + half(sorted.reversed())
}
