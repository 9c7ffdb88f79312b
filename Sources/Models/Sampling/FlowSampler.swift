import Foundation

/// How the flow is integrated from noise to clean.
public enum FlowSolver: String, Sendable, CaseIterable {
    /// First order, one network evaluation per step.
    case euler
    /// Second order, two evaluations per step but the last, no memory.
    case heun
    /// DPM-Solver++ (2M) on the flow's noise levels: second order, one evaluation per step, remembers one.
    case dpmpp2m
}

/// Integrates `dx/dσ = v(x, σ)` over a ``FlowSchedule``, one step at a time.
///
/// The state is a value: stored after a step and given back later, it goes on to the same bits.
public struct FlowSampler: Sendable {
    /// All that the sampler carries from step to step.
    public struct State: Sendable, Equatable {
        /// The number of steps done.
        public var step: Int
        /// The sample at the current noise level, in any fixed layout.
        public var sample: [Float]
        /// The clean sample predicted in the step before; empty where the solver does not need it.
        public var previousClean: [Float]

        public init(step: Int = 0, sample: [Float], previousClean: [Float] = []) {
            self.step = step
            self.sample = sample
            self.previousClean = previousClean
        }
    }

    public let schedule: FlowSchedule
    public let solver: FlowSolver

    public init(schedule: FlowSchedule, solver: FlowSolver) {
        self.schedule = schedule
        self.solver = solver
    }

    /// Whether all steps are done.
    public func isFinished(_ state: State) -> Bool { state.step >= schedule.steps }

    /// Does one step.
    ///
    /// - Parameter velocity: The network: `(sample, σ) → dx/dσ`, as long as the sample.
    public func advance(
        _ state: inout State, velocity: (_ sample: [Float], _ sigma: Double) throws -> [Float]
    ) rethrows {
        precondition(!isFinished(state), "The schedule has no further step.")
        let sigma = schedule.sigmas[state.step]
        let next = schedule.sigmas[state.step + 1]
        let v = try velocity(state.sample, sigma)
        precondition(v.count == state.sample.count, "A velocity is as long as its sample.")
        switch solver {
        case .euler:
            Self.add(&state.sample, v, Float(next - sigma))
        case .heun:
            try heun(&state, v, from: sigma, to: next, velocity: velocity)
        case .dpmpp2m:
            multistep(&state, v, from: sigma, to: next)
        }
        state.step += 1
    }

    private func heun(
        _ state: inout State, _ v: [Float], from sigma: Double, to next: Double,
        velocity: (_ sample: [Float], _ sigma: Double) throws -> [Float]
    ) rethrows {
        // The last step ends at σ = 0, where the network was never trained: Euler there, as is customary.
        guard next > 0 else { return Self.add(&state.sample, v, Float(next - sigma)) }
        var probe = state.sample
        Self.add(&probe, v, Float(next - sigma))
        let slope = try velocity(probe, next)
        let half = Float((next - sigma) / 2)
        Self.add(&state.sample, v, half)
        Self.add(&state.sample, slope, half)
    }

    private func multistep(_ state: inout State, _ v: [Float], from sigma: Double, to next: Double) {
        // x₀ = x − σ·v on the straight path.
        var clean = state.sample
        Self.add(&clean, v, Float(-sigma))
        // α = 1 − σ; λ = log(α/σ) is infinite at both ends, so the steps that touch an end are of first order.
        var extrapolation = 0.0
        if state.step >= 1, schedule.sigmas[state.step - 1] < 1, next > 0, state.previousClean.count == clean.count {
            let lambda = { (s: Double) in log((1 - s) / s) }
            let before = schedule.sigmas[state.step - 1]
            let ratio = (lambda(sigma) - lambda(before)) / (lambda(next) - lambda(sigma))
            extrapolation = 1 / (2 * ratio)
        }
        // x' = (σ'/σ)·x + (1 − σ'/σ)·D, which equals the exponential form with α = 1 − σ:
        // α' − σ'·α/σ = 1 − σ'/σ.
        let keep = Float(next / sigma)
        let now = Float((1 - next / sigma) * (1 + extrapolation))
        let past = Float(-(1 - next / sigma) * extrapolation)
        for index in state.sample.indices {
            var value = keep * state.sample[index] + now * clean[index]
            if past != 0 { value += past * state.previousClean[index] }
            state.sample[index] = value
        }
        state.previousClean = clean
    }

    private static func add(_ x: inout [Float], _ v: [Float], _ factor: Float) {
        for index in x.indices { x[index] += factor * v[index] }
    }
}
