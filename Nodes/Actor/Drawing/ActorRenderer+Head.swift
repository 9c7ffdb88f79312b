import Drawing
import Foundation

extension ActorRenderer {
    private var r: Double { px(person.headRadius, at: skeleton.head) }
    private var wearsHat: Bool { person.style == .beanie || person.style == .cap }

    /// What of the hair hangs behind the body.
    func drawHairBehind() {
        let dark = light.shaded(person.hair, 0.6)
        let o = p(skeleton.head)
        func back(_ grow: Double, _ keep: @escaping (Vec3) -> Bool) -> [Point] {
            head.skull(grow: grow, where: keep).map(p)
        }
        switch person.style {
        case .long, .bob, .ponytail:
            if person.style == .ponytail {
                let root = head.world(Vec3(0, -0.3, 1.0))
                let tail = head.world(Vec3(0, 0.2, 1.25)) + Vec3(0, person.headRadius * person.hairLength, 0)
                limb(root, person.headRadius * 0.28, tail, person.headRadius * 0.16, dark)
                limb(head.world(Vec3(0, -0.6, 0.9)), person.headRadius * 0.3, root, person.headRadius * 0.3, dark)
                return
            }
            var points = back(person.hairVolume * 1.03) { $0.z > -0.25 && $0.y < 0.8 }
            let length = (person.style == .bob ? 0.35 : 0.6 + person.hairLength) * r
            let low = points.filter { $0.y > o.y }
            points += low.map { Point(o.x + ($0.x - o.x) * 0.98, $0.y + length) }
            canvas.fill(Path(smooth: convexHull(points), closed: true), dark)
        case .afro:
            canvas.fill(.circle(center: p(head.world(Vec3(0, -0.25, 0.2))), radius: r * (1.25 + 0.3 * person.hairLength)), dark)
        case .curly:
            for (i, q) in back(1.12, { $0.z > -0.2 && $0.y < 0.5 }).enumerated() where i % 2 == 0 {
                canvas.fill(.circle(center: q, radius: r * 0.24), dark)
            }
        case .bun:
            canvas.fill(.circle(center: p(head.world(Vec3(0, -1.12, 0.45))), radius: r * 0.42), .radial(
                center: p(head.world(Vec3(0, -1.2, 0.4))), radius: r * 0.5, light.lit(person.hair), dark))
        default: break
        }
    }

    func drawHead() {
        let skin = person.skin
        let o = p(skeleton.head)
        if person.style != .bald { drawHairCapBack() }
        for side in 0..<2 where head.facing(ActorSkeleton.sides[side] * person.faceWidth * 0.98) > -0.75 {
            drawEar(side)
        }
        let outline = convexHull(head.skull().map(p))
        let path = Path(smooth: outline, closed: true)
        let glow = o + light.direction * (r * 0.45)
        canvas.fill(
            path,
            .radial(
                center: glow, innerRadius: 0, outerRadius: r * 1.75,
                stops: [
                    Paint.Stop(0, light.lit(skin)), Paint.Stop(0.45, skin), Paint.Stop(1, light.shaded(skin, 1.1)),
                ]))
        canvas.saved {
            canvas.clip(to: path)
            drawCheeks()
            drawBeard()
            drawMouth()
            for side in 0..<2 { drawEye(side) }
        }
        drawNose()
        drawHairFront()
        for side in 0..<2 { drawBrow(side) }
        if person.glasses { drawGlasses() }
    }

    private func drawEar(_ side: Int) {
        let sign = ActorSkeleton.sides[side]
        let c = p(head.world(Vec3(sign * person.faceWidth * 1.01, 0.08, 0.05)))
        canvas.fill(
            .ellipse(center: c, radiusX: r * 0.15, radiusY: r * 0.24), light.shaded(person.skin, 0.45))
        canvas.fill(
            .ellipse(center: c, radiusX: r * 0.08, radiusY: r * 0.14), light.shaded(person.skin, 0.85))
        if person.earrings {
            canvas.fill(.circle(center: c + Point(0, r * 0.28), radius: r * 0.07), Color(rgb: 236, 200, 90))
        }
    }

    private func drawCheeks() {
        let blush = Color(rgb: 220, 70, 60, alpha: 0.06 + 0.12 * person.cheek * (person.makeup ? 1.3 : 0.8))
        for sign in [-1.0, 1.0] where head.facing(sign * 0.45) > 0.1 {
            let c = p(head.surface(sign * 0.45, 0.34))
            canvas.fill(
                .circle(center: c, radius: r * 0.26),
                .radial(center: c, radius: r * 0.26, blush, blush.withAlpha(0)))
            if person.freckles {
                for i in 0..<5 {
                    let q = p(head.surface(sign * (0.3 + 0.07 * Double(i % 3)), 0.27 + 0.06 * Double(i / 2)))
                    canvas.fill(.circle(center: q, radius: r * 0.018), light.shaded(person.skin, 0.9).withAlpha(0.7))
                }
            }
        }
    }

    private func face(_ points: [(Double, Double)], lift: Double = 0) -> [Point] {
        points.map { p(head.surface($0.0, $0.1, lift: lift)) }
    }

    private func drawBeard() {
        guard person.beard != .none else { return }
        let m = person.mouthY
        let jaw = head.expression.jaw * 0.2
        var color = person.hair.mixed(with: person.skin, 0.18)
        if person.beard == .stubble { color = person.hair.mixed(with: person.skin, 0.35).withAlpha(0.4) }
        if person.beard == .full || person.beard == .stubble {
            // Ear to ear along the jaw, upper lip included.
            let half: [(Double, Double)] = [
                (0.80, 0.12), (0.66, 0.30), (0.46, m - 0.14), (0.20, m - 0.17), (0, m - 0.14),
            ]
            let upper = half + half.reversed().dropFirst().map { (-$0.0, $0.1) }
            let lower = (0...8).map { i -> Point in
                let a = Double(i) / 8 * Double.pi
                return p(head.world(head.shape(Vec3(-cos(a), 0.15 + sin(a) * 0.95, -0.55).unit, grow: 1.02)))
            }
            canvas.fill(Path(points: face(upper) + lower, closed: true), color)
        }
        if person.beard == .goatee {
            canvas.fill(
                Path(
                    smooth: face([
                        (-0.24, m - 0.02), (0.24, m - 0.02), (0.2, m + 0.26 + jaw), (0, m + 0.40 + jaw), (-0.2, m + 0.26 + jaw),
                    ]), closed: true), color)
        }
        if person.beard == .moustache || person.beard == .goatee {
            canvas.fill(
                Path(
                    smooth: face([
                        (-0.34, m + 0.0), (-0.2, m - 0.13), (0, m - 0.15), (0.2, m - 0.13), (0.34, m + 0.0), (0.15, m - 0.045),
                        (0, m - 0.06), (-0.15, m - 0.045),
                    ], lift: 0.03), closed: true), color)
        }
    }

    private func drawMouth() {
        guard head.facing(0, person.mouthY) > -0.15 else { return }
        let (outer, inner, line) = head.mouth()
        let e = head.expression
        let lips = person.lips
        // The lower lip catches the light, the upper one lies in its own shade.
        let outline = outer.map(p)
        canvas.fill(Path(smooth: outline, closed: true), light.shaded(lips, 0.35))
        let lower = [outer[0]] + outer[8...] + [outer[0]]
        let lowerLip = lower.map(p) + line.dropFirst().dropLast().map(p)
        canvas.fill(Path(points: lowerLip, closed: true), lips.lighter(0.08))
        let hole = inner.map(p)
        let opening = (inner[4] - inner[12]).length / person.headRadius
        if opening > 0.02 {
            let path = Path(smooth: hole, closed: true)
            canvas.fill(path, Color(rgb: 52, 12, 18))
            canvas.saved {
                canvas.clip(to: path)
                if opening > 0.05 {
                    let tongue = p(inner[12].lerp(inner[4], 0.12 + 0.25 * e.tongue))
                    canvas.fill(
                        .ellipse(center: tongue, radiusX: r * 0.2, radiusY: r * (0.09 + 0.07 * e.tongue)),
                        Color(rgb: 196, 84, 88))
                }
                let teeth = Path(
                    points: inner[0...8].map(p)
                        + inner[0...8].reversed().map { p($0 + skeleton.headFrame * Vec3(0, person.headRadius * 0.075, 0)) },
                    closed: true)
                canvas.fill(teeth, Color(rgb: 244, 240, 232))
                if e.wide > 0.3 && opening > 0.08 {
                    let low = inner[8...].map(p) + [p(inner[0])]
                    canvas.stroke(Path(points: low, closed: false), Color(rgb: 232, 226, 216), width: r * 0.07)
                }
            }
        } else {
            canvas.stroke(
                Path(smooth: line.map(p), closed: false), light.shaded(lips, 1).darker(0.35),
                width: max(1, r * 0.035))
        }
        // Folds beside a smile.
        if e.smile > 0.35 {
            for k in [0, 8] {
                let c = outer[k]
                let sign = k == 0 ? -1.0 : 1.0
                let f = skeleton.headFrame
                let d = person.headRadius
                let fold = [Vec3(sign * 0.05, -0.13, 0), Vec3(sign * 0.09, -0.02, 0), Vec3(sign * 0.06, 0.08, 0)]
                canvas.stroke(
                    Path(smooth: fold.map { p(c + f * ($0 * d)) }, closed: false),
                    light.shaded(person.skin, 0.9).withAlpha(0.5 * e.smile), width: max(0.8, r * 0.03))
            }
        }
    }

    private func drawEye(_ side: Int) {
        let (x, y) = head.eye(side)
        guard head.facing(x, y) > 0.02 else { return }
        let e = head.expression
        let open = side == 0 ? e.lidLeft : e.lidRight
        let lids = head.lids(side)
        let (up, low) = (lids.upper.map(p), lids.lower.map(p))
        let contour = up + low.reversed().dropFirst().dropLast()
        let socket = p(head.surface(x, y - 0.04))
        canvas.fill(
            .ellipse(center: socket, radiusX: r * person.eyeSize * 1.3, radiusY: r * person.eyeSize * 0.95),
            light.shaded(person.skin, 0.8).withAlpha(person.makeup ? 0.35 : 0.2))
        if open > 0.08 {
            let white = Path(smooth: Array(contour), closed: true)
            canvas.fill(white, Color(rgb: 248, 246, 243))
            canvas.saved {
                canvas.clip(to: white)
                let c = p(head.pupil(side))
                let squeeze = max(0.35, head.facing(x, y))
                let q = person.iris * r
                canvas.fill(.ellipse(center: c, radiusX: q * squeeze * 1.06, radiusY: q * 1.06), person.eyeColor.darker(0.5))
                canvas.fill(.ellipse(center: c, radiusX: q * squeeze * 0.86, radiusY: q * 0.86), person.eyeColor.lighter(0.1))
                canvas.fill(.ellipse(center: c, radiusX: q * squeeze * 0.5, radiusY: q * 0.5), .gray(0.03))
                canvas.fill(
                    .circle(center: c + Point(light.direction.x * q * 0.35, -q * 0.35), radius: q * 0.24), .white)
                canvas.stroke(
                    Path(smooth: up, closed: false), Color(0.2, 0.1, 0.1, 0.35), width: r * 0.09)
            }
        } else {
            canvas.fill(Path(smooth: Array(contour), closed: true), light.shaded(person.skin, 0.35))
        }
        canvas.stroke(
            Path(smooth: open > 0.08 ? up : low, closed: false), Color(rgb: 32, 20, 18),
            width: max(1, r * (person.makeup ? 0.062 : 0.042)))
        canvas.stroke(
            Path(smooth: low, closed: false), light.shaded(person.skin, 1).withAlpha(0.6), width: max(0.6, r * 0.02))
    }

    private func drawBrow(_ side: Int) {
        let (x, y) = head.eye(side)
        guard head.facing(x, y - person.browHeight) > 0.0 else { return }
        let color = person.hair.mixed(with: Color(rgb: 50, 36, 30), 0.4).darker(0.15)
        canvas.stroke(
            Path(smooth: head.brow(side).map(p), closed: false), color,
            width: max(1, r * (0.04 + person.browWeight)))
    }

    private func drawNose() {
        guard head.facing(0, 0.3) > -0.35 else { return }
        let skin = person.skin
        let y = person.eyeY
        let tip = head.noseTip()
        let w = person.noseWidth
        let left = head.world(Vec3(-w, y + 0.44, -0.93))
        let right = head.world(Vec3(w, y + 0.44, -0.93))
        let base = head.world(Vec3(0, y + 0.50, -(0.95 + person.nose * 0.5)))
        let bridge = head.surface(0, y + 0.05, lift: 0.03)
        let hull = convexHull([bridge, tip, left, right, base].map(p))
        let side = light.direction.x > 0 ? right : left
        let far = light.direction.x > 0 ? left : right
        canvas.fill(
            Path(smooth: hull, closed: true),
            .linear(from: p(side), to: p(far), light.lit(skin), skin.mixed(with: light.shaded(skin), 0.55)))
        canvas.stroke(
            Path(smooth: [bridge, bridge.lerp(tip, 0.6), tip].map(p), closed: false),
            light.lit(skin).lighter(0.12).withAlpha(0.7), width: r * 0.055)
        canvas.stroke(
            Path(smooth: [left, left.lerp(base, 0.5) + skeleton.headFrame * Vec3(0, person.headRadius * 0.02, 0), base, right].map(p), closed: false),
            light.shaded(skin, 1).darker(0.15).withAlpha(0.75), width: max(0.8, r * 0.04))
    }

    private func drawGlasses() {
        let color = person.glassesColor
        let width = max(1, r * 0.05)
        for side in 0..<2 {
            let (x, y) = head.eye(side)
            guard head.facing(x, y) > -0.1 else { continue }
            let ring = (0..<14).map { i -> Point in
                let a = Double(i) / 14 * 2 * Double.pi
                return p(head.surface(x + 0.25 * cos(a), y + 0.02 + 0.21 * sin(a), lift: 0.1))
            }
            let path = Path(smooth: ring, closed: true)
            canvas.fill(path, Color(0.8, 0.9, 1, 0.12))
            canvas.stroke(path, color, width: width)
            let sign = ActorSkeleton.sides[side]
            canvas.line(
                from: p(head.surface(x + sign * 0.25, y, lift: 0.1)),
                to: p(head.world(Vec3(sign * person.faceWidth, y + 0.02, -0.15))), color, width: width)
        }
        if head.facing(0, 0) > 0 {
            canvas.line(
                from: p(head.surface(-person.eyeX + 0.25, person.eyeY, lift: 0.12)),
                to: p(head.surface(person.eyeX - 0.25, person.eyeY, lift: 0.12)), color, width: width)
        }
    }

    // MARK: Hair on the head

    /// Height of the hair's or hat's rim at a longitude (0 over the nose): fringe, temples, round the ears, nape.
    private func rim(_ longitude: Double) -> Double {
        let a = abs(longitude)
        if wearsHat { return -0.46 + 0.42 * smoothstep((a - 0.5) / 2.2) }
        // A parting lifts the fringe on one side and lets it fall on the other.
        let parted = person.style == .side || person.style == .long || person.style == .bob
        let skew = parted ? person.parting * 0.16 * longitude / 0.8 : 0
        let front = person.fringe + clamp(skew, -0.16, 0.16)
        let (temple, nape): (Double, Double) =
            switch person.style {
            case .buzz, .short, .side: (-0.02, 0.45)
            case .long, .bob: (0.35, 0.8)
            case .afro, .curly: (0.1, 0.6)
            default: (-0.05, 0.55)
            }
        if a < 1.75 { return front + (temple - front) * smoothstep((a - 0.62) / 0.8) }
        return temple + (nape - temple) * smoothstep((a - 1.75) / 0.6)
    }

    private var hairGrowth: Double {
        switch person.style {
        case .buzz: 1.035
        case .afro: 1.2
        case .beanie, .cap: 1.13
        default: person.hairVolume
        }
    }

    private func drawHairCapBack() {
        let color = wearsHat ? person.hatColor : person.hair
        canvas.fill(head.cap(grow: hairGrowth, back: true, project: p, rim: rim), light.shaded(color, 0.9))
    }

    private func drawHairFront() {
        guard person.style != .bald else { return }
        let fringe = wearsHat ? -0.46 : person.fringe
        let color = wearsHat ? person.hatColor : person.style == .buzz ? person.hair.mixed(with: person.skin, 0.25) : person.hair
        let path = head.cap(grow: hairGrowth, project: p, rim: rim)
        let hull = person.style == .afro || person.style == .curly
            ? convexHull(head.skull(grow: hairGrowth) { $0.y < self.rim(atan2($0.x, -$0.z)) }.map(p)) : []
        let o = p(head.world(Vec3(0, -0.7, -0.2))) + light.direction * (r * 0.4)
        canvas.fill(path, .radial(center: o, radius: r * 1.5, light.lit(color).lighter(0.06), light.shaded(color, 0.7)))
        switch person.style {
        case .curly, .afro:
            let low = p(head.world(Vec3(0, -0.25, 0))).y
            for (i, q) in hull.enumerated() where i % 2 == 0 && q.y < low {
                canvas.fill(.circle(center: q, radius: r * (person.style == .afro ? 0.2 : 0.22)), i % 4 == 0 ? color : light.shaded(color, 0.35))
            }
        case .long, .bob: drawCurtains(color)
        case .side, .short:
            let from = face([(person.parting, fringe - 0.2)], lift: 0.1)[0]
            for k in 0..<4 {
                let to = face([(-person.parting * 0.4 + 0.3 * (Double(k) - 1.5), fringe + 0.02)], lift: 0.12)[0]
                canvas.line(from: from, to: to, light.shaded(color, 0.6).withAlpha(0.4), width: max(0.8, r * 0.03))
            }
        case .beanie:
            let rim = stride(from: -0.95, through: 0.95, by: 0.19).map { p(head.surface($0 * person.faceWidth * 1.1, fringe + 0.1 * abs($0), lift: 0.12)) }
            canvas.stroke(Path(smooth: rim, closed: false), color.darker(0.2), width: r * 0.24)
        case .cap:
            let brim = [(-0.62, fringe), (-0.4, fringe + 0.1), (0, fringe + 0.16), (0.4, fringe + 0.1), (0.62, fringe)]
            let near = face(brim.map { ($0.0, $0.1) }, lift: 0.5)
            let rim = face(brim.map { ($0.0, $0.1 - 0.05) }, lift: 0.1)
            canvas.fill(Path(points: near + rim.reversed(), closed: true), color.darker(0.3))
        default: break
        }
    }

    /// Locks that frame the face.
    private func drawCurtains(_ color: Color) {
        let length = person.style == .bob ? 0.85 : 1.1 + person.hairLength * 0.5
        for side in 0..<2 {
            let sign = ActorSkeleton.sides[side]
            guard head.facing(sign * person.faceWidth * 0.9) > -0.45 else { continue }
            let w = person.faceWidth
            let top = head.world(Vec3(sign * w * 0.75, person.fringe - 0.1, -0.6))
            let mid = head.world(Vec3(sign * w * 1.1, -0.05, -0.15))
            let end = head.world(Vec3(sign * w * 1.05, 0.3, -0.05)) + Vec3(0, person.headRadius * (length - 0.3), 0)
            limb(top, person.headRadius * 0.16, mid, person.headRadius * 0.2, color)
            limb(mid, person.headRadius * 0.2, end, person.headRadius * 0.14, color)
        }
    }
}
