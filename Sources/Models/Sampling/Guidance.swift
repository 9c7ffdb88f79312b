/// Classifier-free guidance with a weight of its own for each of the two groups of signals (METHOD §2).
///
/// Written as one linear combination of what the network predicts with nothing, with the reference alone, and with
/// everything:
///
///     v = v(∅) + r·(v(reference) − v(∅)) + m·(v(reference, motion) − v(reference))
///
/// Passes whose coefficient is zero are never run: with both weights 1 there is one pass, with equal weights two.
public struct Guidance: Sendable, Equatable {
    /// Which signals the network sees in one pass.
    public enum Pass: Int, Sendable, CaseIterable, Comparable {
        case nothing, reference, everything

        public static func < (a: Pass, b: Pass) -> Bool { a.rawValue < b.rawValue }

        /// Whether the reference tokens are seen.
        public var seesReference: Bool { self != .nothing }
        /// Whether pose features and face motion tokens are seen.
        public var seesMotion: Bool { self == .everything }
    }

    public let reference: Double
    public let motion: Double

    public init(reference: Double, motion: Double) {
        self.reference = reference
        self.motion = motion
    }

    /// The passes to run, in a fixed order, and the weight of each; the weights sum to 1.
    public var passes: [(pass: Pass, weight: Double)] {
        let all: [(Pass, Double)] = [
            (.nothing, 1 - reference), (.reference, reference - motion), (.everything, motion),
        ]
        let needed = all.filter { $0.1 != 0 }
        return needed.map { (pass: $0.0, weight: $0.1) }
    }

    /// Runs the passes that are needed and combines them.
    public func velocity(_ predict: (Pass) throws -> [Float]) rethrows -> [Float] {
        var sum: [Float] = []
        let passes = passes
        if passes.count == 1, passes[0].weight == 1 { return try predict(passes[0].pass) }
        for (pass, weight) in passes {
            let velocity = try predict(pass)
            if sum.isEmpty { sum = [Float](repeating: 0, count: velocity.count) }
            precondition(velocity.count == sum.count, "Guidance passes have one shape.")
            let factor = Float(weight)
            for index in sum.indices { sum[index] += factor * velocity[index] }
        }
        return sum
    }
}
