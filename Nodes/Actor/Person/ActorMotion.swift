import Foundation

/// A smooth random function of time: eased steps between random values, with a rest on each.
struct Wander: Sendable {
    let random: ActorRandom
    let period: Double
    let hold: Double
    let mean: Double
    let amplitude: Double

    init(_ random: ActorRandom, period: Double, hold: Double = 0.2, mean: Double = 0, amplitude: Double) {
        self.random = random
        self.period = period
        self.hold = hold
        self.mean = mean
        self.amplitude = amplitude
    }

    /// The index of the step at `time`, and how far (0…1, eased) it has gone on to the next.
    func step(at time: Double) -> (index: Int, blend: Double) {
        let u = time / period + random.at(-1)
        let k = u.rounded(.down)
        return (Int(k), smoothstep((u - k - hold) / (1 - hold)))
    }

    func value(at time: Double) -> Double {
        let (k, blend) = step(at: time)
        let a = random.at(k) * 2 - 1
        let b = random.at(k + 1) * 2 - 1
        return mean + amplitude * (a + (b - a) * blend)
    }
}

/// An arm position to rest in: directions of upper arm and forearm in the chest's frame, x outward.
struct Gesture: Sendable {
    let upper: Vec3
    let fore: Vec3
    let weight: Double

    static let all: [Gesture] = [
        Gesture(upper: Vec3(0.16, 1, 0), fore: Vec3(0.06, 1, -0.25), weight: 3),
        Gesture(upper: Vec3(0.72, 0.8, 0.15), fore: Vec3(-0.72, 0.55, -0.4), weight: 1),
        Gesture(upper: Vec3(0.25, 1, -0.1), fore: Vec3(0.55, 0.1, -0.7), weight: 1.5),
        Gesture(upper: Vec3(0.4, 1, -0.1), fore: Vec3(0.9, -0.3, -0.4), weight: 1.5),
        Gesture(upper: Vec3(0.6, 0.75, -0.2), fore: Vec3(0.3, -1, -0.2), weight: 2),
        Gesture(upper: Vec3(0.95, -0.05, -0.2), fore: Vec3(0.2, -1, 0), weight: 1.2),
        Gesture(upper: Vec3(0.45, -1, -0.1), fore: Vec3(0.0, -1, -0.1), weight: 0.6),
        Gesture(upper: Vec3(1, 0, -0.1), fore: Vec3(1, 0.05, -0.15), weight: 0.6),
        Gesture(upper: Vec3(0.12, 1, -0.1), fore: Vec3(-0.75, 0.15, -0.65), weight: 1.5),
        Gesture(upper: Vec3(0.3, 0.95, -0.25), fore: Vec3(-0.8, -0.3, -0.5), weight: 1.2),
        Gesture(upper: Vec3(0.2, 1, -0.4), fore: Vec3(0.1, -0.95, -0.3), weight: 1.2),
        Gesture(upper: Vec3(0.35, 0.8, -0.4), fore: Vec3(0.3, -0.2, -0.9), weight: 0.8),
        Gesture(upper: Vec3(0.9, 0.35, -0.2), fore: Vec3(1, -0.2, -0.2), weight: 0.7),
        Gesture(upper: Vec3(1, 0.05, 0), fore: Vec3(-0.15, -1, -0.1), weight: 0.6),
        Gesture(upper: Vec3(0.25, 1, 0.3), fore: Vec3(-0.35, 0.9, 0.35), weight: 0.5),
    ]
}

/// Finger curls (thumb … little finger, 0 straight … 1 closed) and spread of a hand shape.
struct HandShape: Sendable {
    let curls: [Double]
    let spread: Double
    let weight: Double

    static let all: [HandShape] = [
        HandShape(curls: [0.1, 0.05, 0.05, 0.05, 0.05], spread: 1, weight: 2),
        HandShape(curls: [0.3, 0.3, 0.35, 0.4, 0.45], spread: 0.4, weight: 3),
        HandShape(curls: [0.8, 0.95, 0.95, 0.95, 0.95], spread: 0.1, weight: 1),
        HandShape(curls: [0.7, 0, 0.9, 0.95, 0.95], spread: 0.2, weight: 1),
        HandShape(curls: [0.8, 0, 0.02, 0.9, 0.95], spread: 1, weight: 0.6),
        HandShape(curls: [0, 0.95, 0.95, 0.95, 0.95], spread: 0.2, weight: 0.6),
        HandShape(curls: [0.6, 0.6, 0.15, 0.1, 0.1], spread: 0.6, weight: 0.4),
    ]
}

/// The state of the whole body in one frame, before bones are laid out.
struct ActorState: Sendable {
    var turn = 0.0, lean = 0.0, bow = 0.0, twist = 0.0
    var rootX = 0.0, bounce = 0.0
    var headYaw = 0.0, headPitch = 0.0, headRoll = 0.0
    /// Per side, left (+x) first.
    var upper = [Vec3(0.2, 1, 0), Vec3(0.2, 1, 0)]
    var fore = [Vec3(0.1, 1, -0.2), Vec3(0.1, 1, -0.2)]
    var shrug = [0.0, 0.0]
    var wrist = [0.0, 0.0]
    var wristSide = [0.0, 0.0]
    var curls = [[Double]](repeating: [Double](repeating: 0.3, count: 5), count: 2)
    var spread = [0.4, 0.4]
    var lift = [0.0, 0.0]
    var stance = 0.0
    var expression = ActorExpression()
    var sway = 0.0
}

/// A smooth random performance: the state at any time, from a seed.
struct ActorMotion: Sendable {
    private let signals: [Wander]
    private let arms: [Wander]
    private let hands: [Wander]
    private let noise: [Wander]
    private let talk: Wander
    private let random: ActorRandom
    private let walking: Bool
    private let walkSpeed: Double
    private let energy: Double
    private let expressiveness: Double
    private let stance: Double
    private let speaking: Bool

    private enum S: Int, CaseIterable {
        case turn, lean, bow, twist, rootX, headYaw, headPitch, headRoll, gazeX, gazeY, smile, browUp, browSkew, frown
        case wide, lids, shrug, jaw
    }

    /// - Parameter speaking: Whether a made-up babble moves the mouth; pass false when sound decides it.
    init(seed: UInt64, speaking: Bool = true) {
        var g = ActorRandom(seed: seed, stream: "motion")
        random = g.fork(0)
        energy = g.uniform(0.5, 1.2)
        expressiveness = g.uniform(0.5, 1.15)
        walking = g.chance(0.3)
        walkSpeed = g.uniform(0.7, 1.3)
        stance = g.uniform(-0.02, 0.12)
        self.speaking = speaking
        let tempo = g.uniform(0.7, 1.3)
        func table(_ s: S) -> (Double, Double, Double) {
            switch s {
            case .turn: (2.6, 0, 0.55)
            case .lean: (1.7, 0, 0.10)
            case .bow: (2.2, 0.02, 0.10)
            case .twist: (1.5, 0, 0.22)
            case .rootX: (2.4, 0, 0.10)
            case .headYaw: (1.1, 0, 0.75)
            case .headPitch: (0.9, 0, 0.32)
            case .headRoll: (1.2, 0, 0.24)
            case .gazeX: (0.8, 0, 1)
            case .gazeY: (0.9, 0, 0.7)
            case .smile: (1.4, 0.15, 0.85)
            case .browUp: (0.9, 0.05, 0.95)
            case .browSkew: (1.6, 0, 0.35)
            case .frown: (1.5, -0.2, 0.9)
            case .wide: (0.7, 0, 0.35)
            case .lids: (1.9, 1.0, 0.22)
            case .shrug: (1.6, 0, 1)
            case .jaw: (1.8, -0.6, 1.1)
            }
        }
        signals = S.allCases.map { s in
            let (period, mean, amplitude) = table(s)
            return Wander(
                g.fork(100 + s.rawValue), period: period / tempo, hold: 0.25, mean: mean, amplitude: amplitude)
        }
        let symmetric = g.chance(0.3)
        let gesturePeriod = g.uniform(0.8, 1.7) / tempo
        arms = (0..<2).map {
            Wander(g.fork(symmetric ? 200 : 200 + $0), period: gesturePeriod, hold: 0.3, amplitude: 1)
        }
        hands = (0..<2).map { Wander(g.fork(210 + $0), period: gesturePeriod * 0.8, hold: 0.3, amplitude: 1) }
        noise = (0..<16).map { Wander(g.fork(300 + $0), period: 0.55 / tempo, hold: 0, amplitude: 1) }
        talk = Wander(g.fork(400), period: 1 / g.uniform(6.5, 9), hold: 0.1, amplitude: 1)
    }

    private func pick<T>(_ items: [T], _ weight: (T) -> Double, _ u: Double) -> T {
        var x = u * items.reduce(0) { $0 + weight($1) }
        for item in items {
            x -= weight(item)
            if x < 0 { return item }
        }
        return items[items.count - 1]
    }

    /// The state at `time` seconds.
    func state(at time: Double) -> ActorState {
        func s(_ signal: S) -> Double { signals[signal.rawValue].value(at: time) }
        var state = ActorState()
        let e = energy
        state.turn = s(.turn) * min(e, 1)
        state.lean = s(.lean) * e
        state.bow = s(.bow) * e
        state.twist = s(.twist) * e
        state.rootX = s(.rootX) * e
        state.headYaw = s(.headYaw) * min(e, 1)
        state.headPitch = s(.headPitch) * e
        state.headRoll = s(.headRoll) * e
        state.stance = stance
        for side in 0..<2 {
            let (k, blend) = arms[side].step(at: time)
            let other = Double(side) * 0.31
            func gesture(_ index: Int) -> Gesture {
                let u = (arms[side].random.at(index) + (arms[0].random.key == arms[1].random.key ? 0 : other))
                return pick(Gesture.all, \.weight, u.truncatingRemainder(dividingBy: 1))
            }
            let (a, b) = (gesture(k), gesture(k + 1))
            func jitter(_ i: Int, _ size: Double) -> Double { noise[i + side * 8].value(at: time) * size * e }
            state.upper[side] =
                (a.upper.unit.lerp(b.upper.unit, blend) + Vec3(jitter(0, 0.12), jitter(1, 0.08), jitter(2, 0.08))).unit
            state.fore[side] =
                (a.fore.unit.lerp(b.fore.unit, blend) + Vec3(jitter(3, 0.2), jitter(4, 0.15), jitter(5, 0.12))).unit
            let (hk, hb) = hands[side].step(at: time)
            let ha = pick(HandShape.all, \.weight, hands[side].random.at(hk))
            let hc = pick(HandShape.all, \.weight, hands[side].random.at(hk + 1))
            state.curls[side] = (0..<5).map { ha.curls[$0] + (hc.curls[$0] - ha.curls[$0]) * hb }
            state.spread[side] = ha.spread + (hc.spread - ha.spread) * hb
            state.wrist[side] = jitter(6, 0.35)
            state.wristSide[side] = jitter(7, 0.25)
            state.shrug[side] = max(0, s(.shrug) - 0.5)
        }
        if walking {
            let phase = 2 * Double.pi * walkSpeed * time
            state.lift = [max(0, sin(phase)), max(0, -sin(phase))]
            state.bounce = abs(sin(phase))
            state.sway = sin(phase)
        }
        state.expression = expression(at: time)
        return state
    }

    private func expression(at time: Double) -> ActorExpression {
        func s(_ signal: S) -> Double { signals[signal.rawValue].value(at: time) * expressiveness }
        var x = ActorExpression()
        let skew = s(.browSkew)
        x.browLeft = clamp(s(.browUp) + skew, -1, 1)
        x.browRight = clamp(s(.browUp) - skew, -1, 1)
        x.frown = clamp(s(.frown), 0, 1)
        x.gazeX = clamp(s(.gazeX), -1, 1)
        x.gazeY = clamp(s(.gazeY), -1, 1)
        x.smile = clamp(s(.smile), -1, 1)
        let wince = max(0, x.smile - 0.5) * 0.4 + x.frown * 0.15
        let lids = clamp(1 + (signals[S.lids.rawValue].value(at: time) - 1) * expressiveness - wince, 0.45, 1.25)
        let blink = blinkAmount(at: time)
        let wink = random.at(5000 + Int((time / 3).rounded(.down))) > 0.9 ? 1.0 : 0
        let winking = wink * smoothstep(1 - abs((time / 3).truncatingRemainder(dividingBy: 1) - 0.5) * 8)
        x.lidLeft = lids * (1 - blink) * (1 - winking)
        x.lidRight = lids * (1 - blink)
        if speaking {
            let pause = random.at(7000 + Int((time / 0.9).rounded(.down))) < 0.3
            let (k, blend) = talk.step(at: time)
            func viseme(_ index: Int) -> Int { 1 + Int(random.at(9000 + index) * Double(Viseme.allCases.count - 1)) }
            let loud = pause ? 0.0 : 1.0
            x.visemes[viseme(k)] += (1 - blend) * loud
            x.visemes[viseme(k + 1)] += blend * loud
            x.jaw = clamp(s(.jaw), 0, 0.8) * (pause ? 1 : 0.3)
            x.applyVisemes()
        }
        return x
    }

    /// Blinks of about a fifth of a second, one in each stretch of 2.4 s, sometimes two.
    private func blinkAmount(at time: Double) -> Double {
        let slot = Int((time / 1.7).rounded(.down))
        let start = Double(slot) * 1.7 + 0.15 + random.at(3000 + slot) * 1.2
        let u = (time - start) / 0.24
        guard u > 0, u < 1 else { return 0 }
        return u < 0.4 ? smoothstep(u / 0.3) : smoothstep((1 - u) / 0.5)
    }
}
