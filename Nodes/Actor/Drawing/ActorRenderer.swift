import Drawing
import Foundation

/// Where the light comes from and how strong it is.
struct ActorLight: Sendable {
    /// Direction to the light on the picture plane, unit length.
    let direction: Point
    let contrast: Double
    let tint: Color
    let tintAmount: Double

    init(seed: UInt64) {
        var g = ActorRandom(seed: seed, stream: "light")
        let angle = g.uniform(-2.6, -0.5)
        direction = Point(cos(angle), sin(angle))
        contrast = g.uniform(0.55, 1.15)
        tint = .hsv(g.pick([0.08, 0.1, 0.55, 0.6, 0.75, 0.95]), g.uniform(0.2, 0.6), 1)
        tintAmount = g.chance(0.5) ? g.uniform(0, 0.16) : 0
    }

    func lit(_ color: Color) -> Color { color.lighter(0.16 * contrast) }
    func shaded(_ color: Color, _ amount: Double = 1) -> Color {
        color.mixed(with: Color(color.red * 0.45, color.green * 0.38, color.blue * 0.42, color.alpha), 0.62 * contrast * amount)
    }
}

/// Draws one frame of a person in front of a backdrop.
struct ActorRenderer {
    let person: ActorPerson
    let light: ActorLight
    let camera: ActorCamera
    let skeleton: ActorSkeleton
    let head: ActorHead
    let canvas: Canvas

    init(
        person: ActorPerson, light: ActorLight, camera: ActorCamera, skeleton: ActorSkeleton,
        expression: ActorExpression, canvas: Canvas
    ) {
        self.person = person
        self.light = light
        self.camera = camera
        self.skeleton = skeleton
        self.canvas = canvas
        head = ActorHead(person: person, center: skeleton.head, frame: skeleton.headFrame, expression: expression)
    }

    func p(_ v: Vec3) -> Point { camera.project(v) }
    func px(_ metres: Double, at v: Vec3) -> Double { metres * camera.zoom(v) }

    /// Draws the whole person, far parts first.
    func draw() {
        drawShadow()
        let chest = skeleton.neckBase.z + 0.02
        // An arm whose hand lies behind the body is drawn before it.
        let order = [0, 1].sorted { skeleton.wrists[$0].z > skeleton.wrists[$1].z }
        let behind = order.filter { skeleton.wrists[$0].z > chest + 0.08 }
        drawHairBehind()
        for side in behind { drawArm(side) }
        drawLegs()
        drawNeck()
        drawTorso()
        let low = order.filter { side in
            !behind.contains(side) && skeleton.hands[side].map(\.y).min() ?? 0 > skeleton.neckBase.y
        }
        for side in low { drawArm(side) }
        drawHead()
        for side in order where !behind.contains(side) && !low.contains(side) { drawArm(side) }
    }

    private func drawShadow() {
        let ground = Vec3(skeleton.root.x, 0, 0)
        let c = p(ground)
        canvas.fill(
            .ellipse(center: c, radiusX: px(0.34, at: ground), radiusY: px(0.07, at: ground)),
            Color(0, 0, 0, 0.25))
    }

    // MARK: Limbs

    /// A tapered limb with round ends, shaded across.
    func limb(_ a: Vec3, _ ra: Double, _ b: Vec3, _ rb: Double, _ color: Color) {
        let (pa, pb) = (p(a), p(b))
        let (wa, wb) = (px(ra, at: a), px(rb, at: b))
        let d = pb - pa
        let length = d.length
        let path = Path.capsule(from: pa, radius: wa, to: pb, radius: wb)
        var normal = length > 0.5 ? Point(-d.y / length, d.x / length) : light.direction
        if normal.x * light.direction.x + normal.y * light.direction.y < 0 { normal = normal * -1 }
        let w = max(wa, wb)
        let mid = pa.lerp(to: pb, 0.5)
        canvas.fill(
            path,
            .linear(
                from: mid + normal * w, to: mid - normal * w,
                stops: [
                    Paint.Stop(0, color), Paint.Stop(0.3, light.lit(color)), Paint.Stop(0.62, color),
                    Paint.Stop(1, light.shaded(color)),
                ]))
    }

    func drawArm(_ side: Int) {
        let r = person.armRadius
        let (s, e, w) = (skeleton.shoulders[side], skeleton.elbows[side], skeleton.wrists[side])
        let color = person.topColor
        let cloth = 1.16
        let away = w.z > s.z + 0.05
        func upperPart() {
            switch person.sleeves {
            case 0:
                limb(s, r * 1.12, e, r * 0.88, person.skin)
                if person.top == .tank {
                    // A narrow strap's edge: the shoulder's inner half is cloth.
                    limb(s.lerp(skeleton.neckBase, 0.35), r * 0.8, s.lerp(skeleton.neckBase, 0.2), r * 0.8, color)
                }
            case 1:
                limb(s, r * 1.12, e, r * 0.88, person.skin)
                limb(s, r * 1.28, s.lerp(e, 0.58), r * 1.24, color)
                bands(s, s.lerp(e, 0.58), r * 1.2, count: 3)
            default:
                limb(s, r * 1.24 * 1.02, e, r * cloth * 0.92, color)
                bands(s, e, r * cloth, count: 5)
            }
        }
        func lowerPart() {
            limb(e, r * 0.9, w, r * 0.66, person.skin)
            if person.sleeves == 2 {
                let cuff = e.lerp(w, 0.93)
                limb(e, r * cloth * 0.93, cuff, r * cloth * 0.76, color)
                bands(e, cuff, r * cloth * 0.8, count: 4)
                limb(e.lerp(w, 0.87), r * cloth * 0.79, cuff, r * cloth * 0.79, light.shaded(color, 0.5))
            }
        }
        if away {
            drawHand(side)
            lowerPart()
            upperPart()
        } else {
            upperPart()
            lowerPart()
            drawHand(side)
        }
    }

    /// The cloth's stripes or dots on a sleeve.
    private func bands(_ a: Vec3, _ b: Vec3, _ r: Double, count: Int) {
        guard person.pattern == .horizontal || person.pattern == .checks || person.pattern == .dots else { return }
        let (pa, pb) = (p(a), p(b))
        let d = pb - pa
        guard d.length > 2 else { return }
        let n = Point(-d.y, d.x) * (1 / d.length)
        let w = px(r, at: a) * 0.94
        for i in 0..<count {
            let c = pa.lerp(to: pb, (Double(i) + 0.6) / Double(count))
            if person.pattern == .dots {
                canvas.fill(.circle(center: c, radius: w * 0.24), person.patternColor.withAlpha(0.85))
            } else {
                canvas.stroke(
                    Path(points: [c + n * w, c - n * w], closed: false), person.patternColor.withAlpha(0.8),
                    width: w * 0.35, cap: .butt)
            }
        }
    }

    func drawHand(_ side: Int) {
        let joints = skeleton.hands[side]
        guard joints.count == 21 else { return }
        let skin = person.skin
        let length = person.hand
        let edge = light.shaded(skin, 0.75)
        let screen = joints.map(p)
        let k = px(length, at: joints[9])
        let palmAway = skeleton.palms[side].z > 0
        func palm() {
            limb(skeleton.wrists[side], person.armRadius * 0.68, joints[0].lerp(joints[9], 0.35), length * 0.15, skin)
            let outline = [
                screen[0].lerp(to: screen[1], 0.75), screen[1].lerp(to: screen[5], 0.45), screen[5], screen[9],
                screen[13], screen[17], screen[0].lerp(to: screen[17], 0.35),
            ]
            let hull = Path(smooth: outline, closed: true)
            canvas.stroke(hull, skin, width: k * 0.13)
            canvas.fill(hull, palmAway ? skin : skin.mixed(with: Color(rgb: 255, 170, 150), 0.12).lighter(0.05))
        }
        func finger(_ index: Int) {
            let first = 1 + 4 * index
            let points = (0..<4).map { screen[first + $0] }
            let width = k * [0.15, 0.125, 0.13, 0.122, 0.105][index]
            let path = Path(points: points, closed: false)
            canvas.stroke(path, edge, width: width + max(0.8, k * 0.028))
            canvas.stroke(path, index == 0 || !palmAway ? skin.lighter(0.04) : skin, width: width)
        }
        let order = (0..<5).sorted { joints[4 + 4 * $0].z > joints[4 + 4 * $1].z }
        let palmDepth = (joints[0].z + joints[9].z) / 2
        for index in order where joints[4 + 4 * index].z >= palmDepth { finger(index) }
        palm()
        for index in order where joints[4 + 4 * index].z < palmDepth { finger(index) }
    }

    // MARK: Legs

    func drawLegs() {
        let r = person.legRadius
        let order = [0, 1].sorted { skeleton.knees[$0].z > skeleton.knees[$1].z }
        let bottom = person.bottomColor
        for side in order {
            let (h, k, a) = (skeleton.hips[side], skeleton.knees[side], skeleton.ankles[side])
            drawFoot(side)
            let skin = person.skin
            switch person.bottom {
            case .trousers:
                limb(k, r * 0.86, a, r * 0.66, bottom)
                limb(h, r * 1.22, k, r * 0.9, bottom)
            case .shorts:
                limb(k, r * 0.70, a, r * 0.46, skin)
                limb(h, r * 1.1, k, r * 0.76, skin)
                limb(h, r * 1.24, h.lerp(k, 0.72), r * 1.12, bottom)
            case .skirt:
                limb(k, r * 0.66, a, r * 0.44, skin)
                limb(h, r * 1.05, k, r * 0.72, skin)
            }
        }
        let hipsColor = person.bottom == .skirt && person.top == .dress ? person.topColor : bottom
        drawPelvis(hipsColor)
        if person.bottom == .skirt { drawSkirt(hipsColor) }
    }

    private func drawFoot(_ side: Int) {
        let r = person.foot * 0.2
        let (ankle, heel, toe) = (skeleton.ankles[side], skeleton.heels[side], skeleton.toes[side])
        let color = person.shoeColor
        limb(ankle, person.legRadius * 0.5, heel, r * 1.02, color)
        limb(heel, r, toe, r * 0.92, color)
        limb(heel + Vec3(0, r * 0.75, 0), r * 0.3, toe + Vec3(0, r * 0.7, 0), r * 0.28, color.darker(0.5))
    }

    private func drawPelvis(_ color: Color) {
        let left = torsoLevel(0.0, person.hip)
        let up = torsoLevel(0.22, person.hip * 0.95)
        let hips = skeleton.hips.map(p)
        let crotch = hips[0].lerp(to: hips[1], 0.5) + Point(0, px(person.height * 0.055, at: skeleton.root))
        let path = Path(points: [up.left, left.left, crotch, left.right, up.right], closed: true)
        canvas.fill(path, color)
    }

    private func drawSkirt(_ color: Color) {
        let top = torsoLevel(0.25, person.hip * 0.92)
        let mid = torsoLevel(0.0, person.hip * 1.12)
        let knees = skeleton.knees
        let drop = 0.45 + person.hem * 0.75
        func hem(_ side: Int, _ out: Double) -> Point {
            let hip = skeleton.hips[side]
            let v = hip + (knees[side] - hip) * drop
            return p(v) + Point(out * px(person.hip * (0.62 + 0.3 * drop), at: v), 0)
        }
        let points = [
            top.left, mid.left, hem(1, -1), hem(1, 0.1).lerp(to: hem(0, -0.1), 0.5) + Point(0, px(0.015, at: skeleton.root)),
            hem(0, 1), mid.right, top.right,
        ]
        let a = points[2], b = points[4]
        canvas.fill(
            Path(points: points, closed: true),
            .linear(
                from: light.direction.x > 0 ? b : a, to: light.direction.x > 0 ? a : b, light.lit(color),
                light.shaded(color, 0.8)))
        for i in 1..<5 {
            let k = Double(i) / 5
            canvas.line(
                from: mid.left.lerp(to: mid.right, k), to: a.lerp(to: b, k), light.shaded(color, 0.45).withAlpha(0.5),
                width: max(1, px(0.008, at: skeleton.root)))
        }
    }
}
