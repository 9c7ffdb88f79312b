import Drawing
import Foundation

/// The head as a shape in space: places face points on it, in head radii, and finds its landmarks.
///
/// Head frame: x to the right of the picture when facing the camera (the person's left), y down, the face at −z.
struct ActorHead: Sendable {
    let person: ActorPerson
    let center: Vec3
    let frame: Mat3
    let expression: ActorExpression

    /// A point given in head radii, in world metres.
    func world(_ p: Vec3) -> Vec3 { center + frame * (p * person.headRadius) }

    /// Half width of the face at height y.
    func halfWidth(_ y: Double) -> Double {
        let k = clamp(y, 0, 1.1)
        return person.faceWidth * (1 - (1 - person.jaw) * k * k)
    }

    /// The point of the face's surface at (x, y), raised by `lift` head radii.
    func surface(_ x: Double, _ y: Double, lift: Double = 0) -> Vec3 {
        let w = person.faceWidth
        let inside = max(0.0, 1 - (x / w) * (x / w) * 0.92 - (y / 1.2) * (y / 1.2) * 0.8)
        return world(Vec3(x, y, -(0.94 * pow(inside, 0.46) + lift)))
    }

    /// How much the surface at (x, y) faces the camera: 1 straight on, negative turned away.
    func facing(_ x: Double, _ y: Double = 0) -> Double {
        let w = person.faceWidth
        let n = Vec3(x / w, y * 0.5, -(max(0, 1 - (x / w) * (x / w))).squareRoot()).unit
        return -(frame * n).z
    }

    /// Points over the whole skull, `faceOnly` leaves out none; hair uses them grown by `grow`.
    func skull(grow: Double = 1, where keep: (Vec3) -> Bool = { _ in true }) -> [Vec3] {
        var points: [Vec3] = []
        for i in 0...12 {
            let latitude = (Double(i) / 12 - 0.5) * Double.pi * 0.985
            for k in 0..<24 {
                let longitude = Double(k) / 24 * 2 * Double.pi
                let unit = Vec3(
                    cos(latitude) * sin(longitude), sin(latitude), -cos(latitude) * cos(longitude))
                guard keep(unit) else { continue }
                points.append(world(shape(unit, grow: grow)))
            }
        }
        return points
    }

    /// The skull's surface in the direction `unit`, in head radii.
    func shape(_ unit: Vec3, grow: Double = 1) -> Vec3 {
        let below = max(0, unit.y)
        let open = below * expression.jaw * 0.13
        // The jaw is narrow and lies in front; the back of the head is round.
        let front = unit.z < 0 ? 1.0 : 1 - 0.35 * below
        let width = person.faceWidth * (1 - (1 - person.jaw) * below * below)
        let y = unit.y * (unit.y > 0 ? person.chin * (unit.z > 0 ? 1 - 0.3 * unit.z : 1) : 1.04) + open
        return Vec3(unit.x * width * grow, y * grow, unit.z * 0.95 * front * grow)
    }

    /// The part of a cap on the skull that the camera sees, as one path of small cells that share their edges.
    ///
    /// - Parameters:
    ///   - grow: Size relative to the skull.
    ///   - rim: Height of the cap's edge (−1 crown … 1 chin) at a longitude, 0 over the nose, positive to the left (+x).
    ///   - back: Takes the cells turned away from the camera instead.
    func cap(grow: Double, back: Bool = false, project: (Vec3) -> Point, rim: (Double) -> Double) -> Path {
        let (columns, rows) = (28, 6)
        var grid: [[Point]] = []
        for i in 0...columns {
            let longitude = (Double(i) / Double(columns) - 0.5) * 2 * Double.pi
            let edge = asin(clamp(rim(longitude), -0.98, 0.98))
            grid.append(
                (0...rows).map { k in
                    let latitude = -Double.pi / 2 + (edge + Double.pi / 2) * Double(k) / Double(rows)
                    let unit = Vec3(
                        cos(latitude) * sin(longitude), sin(latitude), -cos(latitude) * cos(longitude))
                    return project(world(shape(unit, grow: grow)))
                })
        }
        var path = Path()
        for i in 0..<columns {
            for k in 0..<rows {
                let cell = [grid[i][k], grid[i + 1][k], grid[i + 1][k + 1], grid[i][k + 1]]
                let (a, b) = (cell[2] - cell[0], cell[3] - cell[1])
                let area = a.x * b.y - a.y * b.x
                if back ? area < 0 : area > 0 { path.append(Path(points: cell, closed: true)) }
            }
        }
        return path
    }

    // MARK: Features, in head radii on the face

    /// Eye centre for side 0 (left, +x) and 1.
    func eye(_ side: Int) -> (x: Double, y: Double) { (ActorSkeleton.sides[side] * person.eyeX, person.eyeY) }

    /// The lid contour around an eye: `upper` and `lower` from the nose outwards, five points each.
    func lids(_ side: Int) -> (upper: [Vec3], lower: [Vec3]) {
        let sign = ActorSkeleton.sides[side]
        let open = side == 0 ? expression.lidLeft : expression.lidRight
        let (cx, cy) = eye(side)
        let w = person.eyeSize
        let squint = max(0, expression.smile) * 0.25
        func contour(_ height: (Double) -> Double) -> [Vec3] {
            (0...6).map { i in
                let k = Double(i) / 3 - 1
                return surface(
                    cx + sign * k * w, cy - person.eyeSlant * k * w * 0.7 + height(k), lift: 0.0)
            }
        }
        let arch = { (k: Double) in pow(max(0, 1 - k * k), 0.75) }
        let rest = 0.10 * w
        let up = contour { rest - (rest + 0.62 * w * open) * arch($0) * (open > 0.02 ? 1 : 0.1) }
        let low = contour { rest + 0.40 * w * (1 - squint) * min(1, 0.35 + 0.65 * open) * arch($0) }
        return (up, low)
    }

    func brow(_ side: Int) -> [Vec3] {
        let sign = ActorSkeleton.sides[side]
        let raise = side == 0 ? expression.browLeft : expression.browRight
        let (cx, cy) = eye(side)
        return (0...4).map { i in
            let k = Double(i) / 2 - 1
            let frown = expression.frown * (k < 0 ? 0.10 : -0.03) * abs(k)
            let x = cx + sign * (k * 0.235 + (k < 0 ? -expression.frown * 0.04 : 0))
            let y =
                cy - person.browHeight - 0.10 * raise - 0.045 * (1 - k * k) - person.browTilt * k + frown
                + (k > 0 ? 0.03 * k : 0)
            return surface(x, y, lift: 0.01)
        }
    }

    /// The mouth's outer and inner contours: eight points above from the person's right to left, then seven back below.
    func mouth() -> (outer: [Vec3], inner: [Vec3], line: [Vec3]) {
        let e = expression
        let width = person.mouthWidth * (1 + 0.22 * e.smile + 0.22 * e.wide - 0.48 * e.pucker - 0.12 * e.jaw)
        let fullness = person.lipFullness * (1 - 0.65 * e.press)
        let round = 1 + 0.5 * e.pucker
        let gap = e.jaw * 0.34 + e.pucker * 0.03
        let lift = 0.02 + 0.08 * e.pucker
        func at(_ k: Double, _ y: Double, _ scale: Double) -> Vec3 {
            let corner = -0.115 * e.smile * k * k + 0.01 * k * k
            return surface(k * width * scale, person.mouthY + y + corner, lift: lift * (1 - k * k))
        }
        func arch(_ k: Double) -> Double { pow(max(0, 1 - k * k), 0.7) }
        let bite = e.bite * 0.035
        let upper = { (k: Double) in
            -(0.075 * fullness * round) * arch(k) * (1 - 0.18 * exp(-k * k * 40)) - gap * 0.22 * arch(k)
        }
        let upperIn = { (k: Double) in -gap * 0.22 * arch(k) }
        let lowerIn = { (k: Double) in (gap * 0.78 - bite) * arch(k) }
        let lower = { (k: Double) in (0.088 * fullness * round + gap * 0.78 - bite) * arch(k) }
        let ks = (0...8).map { Double($0) / 4 - 1 }
        let outer = ks.map { at($0, upper($0), 1) } + ks.dropFirst().dropLast().reversed().map { at($0, lower($0), 1) }
        let inner =
            ks.map { at($0, upperIn($0), 0.88) }
            + ks.dropFirst().dropLast().reversed().map { at($0, lowerIn($0), 0.88) }
        return (outer, inner, ks.map { at($0, lowerIn($0) * 0.5, 1) })
    }

    func noseTip() -> Vec3 { world(Vec3(0, person.eyeY + 0.40, -(0.97 + person.nose))) }

    // MARK: Landmarks

    /// Names of ``landmarks()``, in order.
    static let landmarkNames: [String] =
        (0..<17).map { "jaw_\($0)" } + (0..<5).map { "right_brow_\($0)" } + (0..<5).map { "left_brow_\($0)" }
        + (0..<4).map { "nose_bridge_\($0)" } + (0..<5).map { "nose_base_\($0)" }
        + (0..<6).map { "right_eye_\($0)" } + (0..<6).map { "left_eye_\($0)" }
        + (0..<16).map { "mouth_outer_\($0)" } + (0..<16).map { "mouth_inner_\($0)" }
        + ["right_pupil", "left_pupil"]

    /// Landmarks in world metres, in the order of ``landmarkNames``.
    func landmarks() -> [Vec3] {
        let jaw = (0..<17).map { i -> Vec3 in
            let a = Double(i) / 16 * Double.pi
            let unit = Vec3(-cos(a), sin(a) * 0.96, -0.25 - 0.3 * sin(a)).unit
            return world(shape(unit))
        }
        let (rightLids, leftLids) = (lids(1), lids(0))
        let bridge = (0..<4).map { i -> Vec3 in
            surface(0, person.eyeY + 0.04, lift: 0.02).lerp(noseTip(), Double(i) / 3)
        }
        let base = (0..<5).map { i -> Vec3 in
            let k = Double(i) / 2 - 1
            return world(Vec3(k * person.noseWidth, person.eyeY + 0.48, -(0.95 + person.nose * 0.4 * (1 - abs(k)))))
        }
        func contour(_ l: (upper: [Vec3], lower: [Vec3]), outerFirst: Bool) -> [Vec3] {
            let points = [l.upper[0], l.upper[2], l.upper[4], l.upper[6], l.lower[4], l.lower[2]]
            return outerFirst ? [points[3], points[2], points[1], points[0], points[5], points[4]] : points
        }
        let m = mouth()
        return jaw + brow(1).reversed() + brow(0) + bridge + base + contour(rightLids, outerFirst: true)
            + contour(leftLids, outerFirst: false) + m.outer + m.inner + [pupil(1), pupil(0)]
    }

    func pupil(_ side: Int) -> Vec3 {
        let (x, y) = eye(side)
        return surface(
            x + expression.gazeX * person.eyeSize * 0.36, y + 0.01 + expression.gazeY * person.eyeSize * 0.2)
    }
}
