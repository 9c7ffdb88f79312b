import Foundation

/// The bones of one frame laid out in space, in metres, before the camera moves them into place.
struct ActorSkeleton: Sendable {
    /// Turns body coordinates to the camera: the camera looks down a little.
    var hipFrame: Mat3
    var chestFrame: Mat3
    var headFrame: Mat3
    var root = Vec3.zero
    var neckBase = Vec3.zero
    var neckTop = Vec3.zero
    var head = Vec3.zero
    // Left (+x) first.
    var shoulders = [Vec3](repeating: .zero, count: 2)
    var elbows = [Vec3](repeating: .zero, count: 2)
    var wrists = [Vec3](repeating: .zero, count: 2)
    var hips = [Vec3](repeating: .zero, count: 2)
    var knees = [Vec3](repeating: .zero, count: 2)
    var ankles = [Vec3](repeating: .zero, count: 2)
    var heels = [Vec3](repeating: .zero, count: 2)
    var toes = [Vec3](repeating: .zero, count: 2)
    /// 21 joints per hand in MediaPipe's order.
    var hands = [[Vec3]](repeating: [], count: 2)
    /// Direction from the palm outwards, per hand.
    var palms = [Vec3](repeating: .zero, count: 2)

    static let sides = [1.0, -1.0]
    static let cameraPitch = 0.10

    init(person: ActorPerson, state: ActorState) {
        let view = Mat3.pitch(Self.cameraPitch)
        hipFrame = view * Mat3.yaw(state.turn) * Mat3.roll(state.lean * 0.4 + state.sway * 0.03)
        chestFrame =
            view * Mat3.yaw(state.turn + state.twist) * Mat3.roll(state.lean - state.sway * 0.02)
            * Mat3.pitch(-state.bow)
        headFrame =
            view * Mat3.yaw(clamp(state.turn * 0.5 + state.headYaw, -1.15, 1.15))
            * Mat3.pitch(-state.headPitch) * Mat3.roll(state.headRoll + state.lean * 0.5)
        root = view * Vec3(state.rootX, 0, 0)
        // The spine leaves the hips upright and arrives at the chest's tilt.
        let lower = root + hipFrame * Vec3(0, -person.torso * 0.4, 0)
        neckBase = lower + chestFrame * Vec3(0, -person.torso * 0.6, 0)
        let neckAxis = (chestFrame * Vec3(0, -1, -0.12)).lerp(headFrame * Vec3(0, -1, -0.12), 0.4).unit
        neckTop = neckBase + neckAxis * (person.neck + person.headRadius * 0.25)
        head = neckTop + headFrame * Vec3(0, -person.headRadius * 0.78, -person.headRadius * 0.12)
        for side in 0..<2 {
            layOutArm(side, person, state)
            layOutLeg(side, person, state, view)
        }
        // Feet stand on the ground: what is lowest lies at the height the legs' length gives.
        let lowest = (heels + toes + ankles).map(\.y).max() ?? 0
        translate(Vec3(0, -lowest, 0))
    }

    private mutating func layOutArm(_ side: Int, _ person: ActorPerson, _ state: ActorState) {
        let sign = Self.sides[side]
        let upper = state.upper[side].unit
        // A raised arm lifts its shoulder.
        let raise = max(0, -upper.y) * 0.05 + state.shrug[side] * 0.05
        shoulders[side] =
            neckBase
            + chestFrame * Vec3(sign * person.shoulder, person.height * (0.022 - raise), 0)
        let u = (chestFrame * upper.mirrored(sign)).unit
        elbows[side] = shoulders[side] + u * person.upperArm
        // The elbow opens to a straight arm and closes to 30° between the bones.
        var fore = state.fore[side].unit
        if fore.dot(upper) < -0.8 { fore = (fore + upper * 0.35 + Vec3(0, 0, -0.3)).unit }
        let v = (chestFrame * fore.mirrored(sign)).unit
        wrists[side] = elbows[side] + v * person.forearm
        layOutHand(side, fore, person, state)
    }

    private mutating func layOutHand(_ side: Int, _ fore: Vec3, _ person: ActorPerson, _ state: ActorState) {
        let sign = Self.sides[side]
        // Where the thumb points: forward on a hanging arm, up on a level one, to the head on a raised one.
        var thumb =
            Vec3(0, 0, -1) * max(fore.y, 0) + Vec3(-1, 0, 0) * max(-fore.y, 0) + Vec3(0, -1, -0.2) * abs(fore.x)
            + Vec3(-0.4, -0.9, 0) * max(-fore.z, 0) + Vec3(-0.05, -0.03, -0.05)
        let axis = (fore + thumb.unit * (state.wristSide[side] * 0.5)).unit
        thumb = (thumb - axis * thumb.dot(axis)).unit
        var palm = axis.cross(thumb)
        let bend = state.wrist[side]
        let along = (axis * cos(bend) + palm * sin(bend)).unit
        palm = along.cross(thumb).unit
        let length = person.hand
        let wrist = wrists[side]
        let frame = chestFrame
        func place(_ a: Double, _ t: Double, _ p: Double) -> Vec3 {
            (along * a + thumb * t + palm * p) * length
        }
        var joints: [Vec3] = [.zero]
        let curls = state.curls[side]
        // Thumb: rises from the wrist's side and closes over the palm.
        let c = curls[0]
        let cmc = place(0.14, 0.13, 0.03)
        let tilt = 0.95 - 0.55 * c
        func ray(_ angle: Double, _ inward: Double) -> Vec3 {
            (along * cos(angle) + thumb * sin(angle) * (1 - inward) + palm * inward).unit
        }
        let mcp = cmc + ray(tilt, 0.1 + 0.2 * c) * (0.22 * length)
        let ip = mcp + ray(tilt * 0.75 - 0.2 * c, 0.12 + 0.35 * c) * (0.17 * length)
        let tip = ip + ray(tilt * 0.55 - 0.6 * c, 0.12 + 0.5 * c) * (0.14 * length)
        joints += [cmc, mcp, ip, tip]
        let base: [(Double, Double, Double, Double)] = [
            (0.48, 0.165, 0.42, 0.17), (0.50, 0.055, 0.47, 0.04), (0.47, -0.055, 0.43, -0.08),
            (0.43, -0.155, 0.34, -0.2),
        ]
        for finger in 0..<4 {
            let (a, t, fingerLength, fan) = base[finger]
            var point = place(a, t, 0)
            joints.append(point)
            let out = (along + thumb * (fan * (0.35 + state.spread[side]))).unit
            var angle = 0.0
            for (part, turn) in [(0.47, 1.25), (0.30, 1.65), (0.23, 1.0)] {
                angle += curls[finger + 1] * turn + 0.06
                point = point + (out * cos(angle) + palm * sin(angle)) * (fingerLength * part * length)
                joints.append(point)
            }
        }
        hands[side] = joints.map { wrist + frame * $0.mirrored(sign) }
        palms[side] = frame * palm.mirrored(sign)
    }

    private mutating func layOutLeg(_ side: Int, _ person: ActorPerson, _ state: ActorState, _ view: Mat3) {
        let sign = Self.sides[side]
        hips[side] = root + hipFrame * Vec3(sign * person.pelvis, 0, 0)
        let ground = view * Mat3.yaw(state.turn)
        let lift = state.lift[side]
        let swing = lift * 0.65
        let out = sign * (0.03 + state.stance)
        knees[side] = hips[side] + (ground * Vec3(out, cos(swing), -sin(swing) - 0.03)).unit * person.thigh
        let back = swing - lift * 1.15
        ankles[side] = knees[side] + (ground * Vec3(out * 0.6, cos(back), -sin(back) + 0.05)).unit * person.shin
        heels[side] = ankles[side] + ground * Vec3(0, person.foot * 0.22, person.foot * 0.25)
        toes[side] = ankles[side] + ground * Vec3(sign * person.foot * 0.32, person.foot * 0.26, -person.foot * 0.68)
    }

    private mutating func translate(_ d: Vec3) {
        root = root + d
        neckBase = neckBase + d
        neckTop = neckTop + d
        head = head + d
        for side in 0..<2 {
            shoulders[side] = shoulders[side] + d
            elbows[side] = elbows[side] + d
            wrists[side] = wrists[side] + d
            hips[side] = hips[side] + d
            knees[side] = knees[side] + d
            ankles[side] = ankles[side] + d
            heels[side] = heels[side] + d
            toes[side] = toes[side] + d
            hands[side] = hands[side].map { $0 + d }
        }
    }
}
