/// The noise levels at which a flow-matching sampler evaluates its network, from pure noise (1) to clean (0).
///
/// Along the straight path `x_σ = (1 − σ)·x₀ + σ·ε` a larger `shift` spends more of the steps near the noise, which
/// longer token sequences need: `σ = shift·s / (1 + (shift − 1)·s)` for `s` evenly spaced from 1 to 0.
public struct FlowSchedule: Sendable, Equatable {
    /// `steps + 1` levels, strictly falling, the first 1 and the last 0.
    public let sigmas: [Double]

    /// The number of steps.
    public var steps: Int { sigmas.count - 1 }

    /// Makes the schedule.
    ///
    /// - Parameters:
    ///   - steps: At least 1.
    ///   - shift: Positive; 1 leaves the levels evenly spaced.
    public init(steps: Int, shift: Double) {
        precondition(steps >= 1, "A schedule has at least one step.")
        precondition(shift > 0 && shift.isFinite, "The shift of a schedule is positive.")
        sigmas = (0...steps).map { index in
            let level = Double(steps - index) / Double(steps)
            return shift * level / (1 + (shift - 1) * level)
        }
    }

    /// The levels of a published schedule.
    public init(_ published: PublishedSchedule) { sigmas = published.sigmas.map { Double($0) } }
}
