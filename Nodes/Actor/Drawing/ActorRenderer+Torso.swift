import Drawing
import Foundation

extension ActorRenderer {
    /// The frame and axis point of the trunk at `v`: 0 at the hips, 1 at the neck's base.
    func spine(_ v: Double) -> (point: Vec3, across: Vec3, depth: Vec3) {
        let middle = skeleton.root + skeleton.hipFrame * Vec3(0, -person.torso * 0.4, 0)
        let point = v < 0.4
            ? skeleton.root.lerp(middle, v / 0.4) : middle.lerp(skeleton.neckBase, (v - 0.4) / 0.6)
        let k = smoothstep(v * 1.2)
        let across = (skeleton.hipFrame * Vec3(1, 0, 0)).lerp(skeleton.chestFrame * Vec3(1, 0, 0), k).unit
        let depth = (skeleton.hipFrame * Vec3(0, 0, 1)).lerp(skeleton.chestFrame * Vec3(0, 0, 1), k).unit
        return (point, across, depth)
    }

    /// The outline's two points at height `v`, for a trunk `half` metres wide to each side.
    func torsoLevel(_ v: Double, _ half: Double) -> (left: Point, right: Point) {
        let (point, across, depth) = spine(v)
        // An elliptic cylinder turned by the body's yaw: its silhouette is the root of both squares.
        let w = ((half * across.x) * (half * across.x) + (half * 0.66 * depth.x) * (half * 0.66 * depth.x)).squareRoot()
        let up = (spine(v + 0.1).point - spine(v - 0.1).point).unit
        let side = Vec3(-up.y, up.x, 0).unit * w
        return (p(point - side), p(point + side))
    }

    /// A point of the trunk's surface: `angle` around it (0 = front), height `v`.
    private func wrapped(_ angle: Double, _ v: Double) -> (point: Point, front: Double) {
        let (point, across, depth) = spine(v)
        let half = halfWidth(v)
        let out = across * (sin(angle) * half) + depth * (-cos(angle) * half * 0.66)
        return (p(point + out), -(across * sin(angle) - depth * cos(angle)).z)
    }

    private func halfWidth(_ v: Double) -> Double {
        let stops: [(Double, Double)] = [
            (0, person.hip), (0.12, person.hip * 0.98), (0.42, person.waist), (0.72, person.chest),
            (1, person.shoulder * 0.98),
        ]
        for (a, b) in zip(stops, stops.dropFirst()) where v <= b.0 {
            return a.1 + (b.1 - a.1) * smoothstep((v - a.0) / (b.0 - a.0))
        }
        return person.shoulder
    }

    private func outline() -> [Point] {
        let r = person.armRadius
        let bottom = person.top == .dress || person.top == .hoodie || person.top == .jacket ? -0.10 : -0.02
        var left: [Point] = []
        var right: [Point] = []
        for v in [bottom, 0.10, 0.26, 0.42, 0.58, 0.72] {
            let level = torsoLevel(v, halfWidth(v))
            left.append(level.left)
            right.append(level.right)
        }
        let up = skeleton.chestFrame * Vec3(0, -1, 0)
        // Left of the picture is the person's right side.
        for (side, sign) in [(1, -1.0), (0, 1.0)] {
            let shoulder = skeleton.shoulders[side]
            let out = skeleton.chestFrame * Vec3(sign, 0, 0)
            let points = [
                p(shoulder + out * (r * 0.95) + up * (-r * 1.2)), p(shoulder + out * (r * 0.9) + up * (r * 0.35)),
                p(shoulder + up * (r * 1.12)),
                p(shoulder.lerp(skeleton.neckBase, 0.55) + up * (r * 1.05 + person.neck * 0.22)),
                p(skeleton.neckBase.lerp(skeleton.neckTop, 0.25) + out * (person.headRadius * 0.42)),
            ]
            if side == 1 { left += points } else { right += points }
        }
        // The hem sags a little; doubled corners keep the curve from swinging out there.
        let hem = spine(bottom).point
        let middle = p(hem) + Point(0, px(person.height * 0.008, at: hem))
        return [middle, left[0]] + left + right.reversed() + [right[0]]
    }

    func drawNeck() {
        let r = person.headRadius
        let skin = light.shaded(person.skin, 0.35)
        limb(skeleton.neckBase + Vec3(0, r * 0.25, 0), r * 0.52, skeleton.neckTop, r * 0.46, skin)
        limb(skeleton.neckTop, r * 0.46, skeleton.head + skeleton.headFrame * Vec3(0, r * 0.3, r * 0.1), r * 0.46, skin)
        // The chin's shadow.
        canvas.fill(
            .ellipse(
                center: p(skeleton.neckTop + Vec3(0, r * 0.1, -r * 0.1)), radiusX: px(r * 0.42, at: skeleton.neckTop),
                radiusY: px(r * 0.28, at: skeleton.neckTop)), light.shaded(person.skin, 1).withAlpha(0.6))
    }

    func drawTorso() {
        let path = Path(smooth: outline(), closed: true)
        let color = person.topColor
        let (a, b) = torsoLevel(0.6, person.chest * 1.15)
        let lightOnRight = light.direction.x > 0
        canvas.fill(
            path,
            .linear(
                from: lightOnRight ? b : a, to: lightOnRight ? a : b,
                stops: [
                    Paint.Stop(0, color), Paint.Stop(0.25, light.lit(color)), Paint.Stop(0.6, color),
                    Paint.Stop(1, light.shaded(color, 0.9)),
                ]))
        canvas.saved {
            canvas.clip(to: path)
            drawPattern()
            drawFront()
        }
        drawCollar()
    }

    private func surfaceLine(_ points: [(point: Point, front: Double)], _ color: Color, _ width: Double) {
        var run: [Point] = []
        for q in points {
            if q.front > 0.04 {
                run.append(q.point)
            } else {
                if run.count > 1 { canvas.stroke(Path(points: run, closed: false), color, width: width, cap: .butt) }
                run = []
            }
        }
        if run.count > 1 { canvas.stroke(Path(points: run, closed: false), color, width: width, cap: .butt) }
    }

    private func drawPattern() {
        let color = person.patternColor.withAlpha(0.85)
        let n = person.patternCount
        let unit = px(person.torso, at: skeleton.root)
        let angles = stride(from: -1.6, through: 1.6, by: 0.2).map { $0 }
        let heights = stride(from: -0.12, through: 1.02, by: 0.1).map { $0 }
        switch person.pattern {
        case .plain: break
        case .horizontal, .checks:
            for i in 0..<n {
                let v = (Double(i) + 0.4) / Double(n)
                surfaceLine(
                    angles.map { wrapped($0, v) }, person.pattern == .checks ? color.withAlpha(0.55) : color,
                    unit * 0.42 / Double(n))
            }
            if person.pattern == .checks { fallthrough }
        case .vertical:
            for i in 0..<n {
                let angle = -1.5 + 3.0 * (Double(i) + 0.5) / Double(n)
                surfaceLine(heights.map { wrapped(angle, $0) }, color.withAlpha(0.6), unit * 0.26 / Double(n))
            }
        case .dots:
            for row in 0..<n {
                for column in 0..<7 {
                    let angle = -1.5 + 3.0 * (Double(column) + 0.25 + 0.5 * Double(row % 2)) / 7
                    let q = wrapped(angle, (Double(row) + 0.5) / Double(n))
                    if q.front > 0.1 { canvas.fill(.circle(center: q.point, radius: unit * 0.16 / Double(n)), color) }
                }
            }
        case .block:
            let points = [-1.7, -1.0, -0.5, 0, 0.5, 1.0, 1.7].map { wrapped($0, 0.55).point }
            let low = [1.7, 0, -1.7].map { wrapped($0, -0.4).point }
            canvas.fill(Path(points: points + low.map { $0 + Point(0, unit * 0.1) }, closed: true), person.patternColor)
        }
    }

    private func drawFront() {
        let dark = light.shaded(person.topColor, 0.9)
        let unit = px(person.torso, at: skeleton.root)
        func at(_ x: Double, _ v: Double) -> Point { wrapped(x, v).point }
        switch person.top {
        case .shirt:
            surfaceLine((0...8).map { wrapped(0, Double($0) / 8 - 0.05) }, dark, unit * 0.02)
            for i in 0..<5 { canvas.fill(.circle(center: at(0, 0.1 + 0.18 * Double(i)), radius: unit * 0.022), dark.darker(0.3)) }
        case .jacket:
            let shirt = Path(points: [at(-0.42, 1.02), at(0, 0.42), at(0.42, 1.02), at(0, 1.2)], closed: true)
            canvas.fill(shirt, person.innerColor)
            canvas.fill(
                Path(points: [at(-0.07, 0.95), at(0.07, 0.95), at(0.09, 0.6), at(0, 0.44), at(-0.09, 0.6)], closed: true),
                person.patternColor)
            canvas.stroke(
                Path(points: [at(-0.46, 1.04), at(0, 0.42), at(0.46, 1.04)], closed: false), dark, width: unit * 0.05)
            canvas.stroke(Path(points: [at(0, 0.42), at(0.02, -0.1)], closed: false), dark, width: unit * 0.022)
        case .hoodie:
            canvas.fill(
                Path(points: [at(-0.55, 0.05), at(-0.35, 0.3), at(0.35, 0.3), at(0.55, 0.05)], closed: true),
                light.shaded(person.topColor, 0.4))
            for x in [-0.14, 0.14] {
                canvas.stroke(Path(points: [at(x, 0.98), at(x, 0.72)], closed: false), .gray(0.9), width: unit * 0.02)
            }
        case .dress:
            canvas.stroke(
                Path(points: [-1.6, -0.8, 0, 0.8, 1.6].map { at($0, 0.36) }, closed: false), dark, width: unit * 0.05)
        default: break
        }
    }

    /// The neck opening: skin showing, with the cloth's edge around it.
    private func drawCollar() {
        let r = person.headRadius
        let base = skeleton.neckBase
        let side = skeleton.chestFrame * Vec3(1, 0, 0)
        let down = skeleton.chestFrame * Vec3(0, 1, 0)
        let out = skeleton.chestFrame * Vec3(0, 0, -1)
        guard person.top != .jacket else { return }
        let wide = person.top == .tank || person.top == .dress ? 0.72 : 0.52
        let deep = person.vNeck || person.top == .shirt ? 0.95 : person.top == .tank || person.top == .dress ? 0.8 : 0.36
        let up = base - down * (r * 0.12)
        func q(_ x: Double, _ y: Double) -> Point {
            p(up + side * (x * r * wide) + down * (y * r * deep) + out * (r * 0.45 * (1 - x * x) + r * 0.1))
        }
        let rim: [Point]
        if person.vNeck || person.top == .shirt {
            rim = [q(-1, -0.1), q(-0.5, 0.45), q(0, 1), q(0.5, 0.45), q(1, -0.1)]
        } else {
            rim = [q(-1, -0.1), q(-0.75, 0.55), q(0, 1), q(0.75, 0.55), q(1, -0.1)]
        }
        let back = [p(up + side * (r * 0.4) - down * (r * 0.35)), p(up - side * (r * 0.4) - down * (r * 0.35))]
        var path = Path(smooth: rim, closed: false)
        for point in back { path.line(to: point) }
        path.close()
        canvas.fill(path, person.skin.mixed(with: light.shaded(person.skin), 0.2))
        let edge = person.top == .shirt ? light.lit(person.topColor).lighter(0.15) : light.shaded(person.topColor, 0.6)
        canvas.stroke(
            Path(smooth: rim, closed: false), edge,
            width: px(r * (person.top == .shirt ? 0.2 : person.top == .hoodie ? 0.22 : 0.1), at: base))
    }
}
