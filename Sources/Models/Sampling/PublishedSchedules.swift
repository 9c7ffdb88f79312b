import Foundation

/// The noise levels and timesteps of the published flow-matching schedulers, number for number.
public struct PublishedSchedule: Sendable, Equatable {
    /// `steps + 1` levels; the last is 0. In single precision, as the reference keeps them.
    public let sigmas: [Float]
    /// What the network is told at each step, in 0 … 1000.
    public let timesteps: [Float]

    public var steps: Int { timesteps.count }

    private static func shifted(_ sigma: Double, _ shift: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }

    /// Evenly spaced numbers, first and last included, to numpy's very bits: timesteps are truncated, so the last bit may be a whole step.
    private static func evenlySpaced(from first: Double, to last: Double, count: Int) -> [Double] {
        guard count > 1 else { return [first] }
        let step = (last - first) / Double(count - 1)
        return (0..<(count - 1)).map { Double($0) * step + first } + [last]
    }

    /// diffusers' `UniPCMultistepScheduler` with `use_flow_sigmas`: the first level stays 1e-6 below 1, timesteps are truncated.
    public static func unipc(steps: Int, shift: Double, trainingSteps: Int = 1000) -> PublishedSchedule {
        precondition(steps >= 1, "A schedule has at least one step.")
        let n = Double(trainingSteps)
        var sigmas = evenlySpaced(from: 1, to: 1 / n, count: steps + 1).dropLast().map { shifted($0, shift) }
        if abs(sigmas[0] - 1) < 1e-6 { sigmas[0] -= 1e-6 }
        return PublishedSchedule(sigmas: sigmas.map { Float($0) } + [0], timesteps: sigmas.map { Float(($0 * n).rounded(.towardZero)) })
    }

    /// diffusers' `DPMSolverMultistepScheduler` with `use_flow_sigmas`: UniPC's levels, except that the first stays below 1 by itself.
    public static func dpmSolver(steps: Int, shift: Double, trainingSteps: Int = 1000) -> PublishedSchedule {
        precondition(steps >= 1, "A schedule has at least one step.")
        let n = Double(trainingSteps)
        let sigmas = evenlySpaced(from: 1, to: 1 / n, count: steps + 1).dropFirst().reversed().map { shifted(1 - $0, shift) }
        return PublishedSchedule(sigmas: sigmas.map { Float($0) } + [0], timesteps: sigmas.map { Float(($0 * n).rounded(.towardZero)) })
    }

    /// diffusers' `FlowMatchEulerDiscreteScheduler`: its end points are shifted already when the shift is applied.
    public static func flowMatchEuler(steps: Int, shift: Double, trainingSteps: Int = 1000) -> PublishedSchedule {
        precondition(steps >= 1, "A schedule has at least one step.")
        let n = Float(trainingSteps)
        /// In single precision, but for the product at the end.
        func own(_ t: Float) -> Double {
            let sigma = t / n
            return Double(Float(shift) * sigma / (1 + Float(shift - 1) * sigma)) * Double(n)
        }
        let sigmas = evenlySpaced(from: own(n), to: own(1), count: steps).map { Float(shifted($0 / Double(n), shift)) }
        return PublishedSchedule(sigmas: sigmas + [0], timesteps: sigmas.map { $0 * n })
    }
}

/// UniPC (Zhao et al., 2023) on the straight path, predicting x₀, B(h) variant: predictor and corrector of the same order, one network
/// evaluation per step. The first and the last step are of first order.
public struct UniPCSampler: Sendable {
    /// All that is carried from step to step: stored and given back, it goes on to the same bits.
    public struct State: Sendable, Equatable {
        /// The number of steps done.
        public var step = 0
        public var sample: [Float]
        /// Predicted clean samples of the last steps, latest last; at most `order`.
        public var clean: [[Float]] = []
        /// The corrected sample before the last step; empty at first.
        public var lastSample: [Float] = []
        /// The order of the last step.
        public var lastOrder = 0

        public init(sample: [Float]) { self.sample = sample }
    }

    public let schedule: PublishedSchedule
    /// 1 … 3.
    public let order: Int

    public init(schedule: PublishedSchedule, order: Int = 2) {
        precondition((1...3).contains(order), "UniPC of order 1 to 3")
        self.schedule = schedule
        self.order = order
    }

    public func isFinished(_ state: State) -> Bool { state.step >= schedule.steps }

    /// Does one step.
    ///
    /// - Parameter velocity: The network: `(sample, timestep) → dx/dσ`, as long as the sample.
    public func advance(
        _ state: inout State, velocity: (_ sample: [Float], _ timestep: Float) throws -> [Float]
    ) rethrows {
        precondition(!isFinished(state), "The schedule has no further step.")
        let step = state.step
        let v = try velocity(state.sample, schedule.timesteps[step])
        precondition(v.count == state.sample.count, "A velocity is as long as its sample.")
        let sigma = schedule.sigmas[step]
        let clean = zip(state.sample, v).map { $0 - sigma * $1 }
        if !state.lastSample.isEmpty { state.sample = correct(state, clean) }
        state.clean.append(clean)
        if state.clean.count > order { state.clean.removeFirst() }
        let next = min(order, schedule.steps - step, step + 1)
        state.lastSample = state.sample
        state.sample = predict(state, order: next)
        state.lastOrder = next
        state.step += 1
    }

    /// log(α/σ) with α = 1 − σ.
    private func lambda(_ index: Int) -> Double {
        let sigma = schedule.sigmas[index]
        return log(Double(1 - sigma)) - log(Double(sigma))
    }

    /// Coefficients of one step from level `from` to `to`: kept sample, clean prediction, and α·B(h) for differences.
    private struct Step {
        let keep, clean, difference: Double
        /// Positions of earlier levels in units of the step, then 1.
        let ratios: [Double]
        let right: [Double]
    }

    private func coefficients(from: Int, to: Int, order: Int) -> Step {
        let (sigmaTo, sigmaFrom) = (Double(schedule.sigmas[to]), Double(schedule.sigmas[from]))
        let alpha = Double(1 - schedule.sigmas[to])
        // At σ = 0, h is infinite: e^−h − 1 is −1 there, and of first order only.
        let h = lambda(to) - lambda(from)
        let hh = -h
        let phi1 = expm1(hh)
        var ratios = (1..<max(order, 1)).map { (lambda(from - $0) - lambda(from)) / h }
        ratios.append(1)
        var right: [Double] = []
        var phi = phi1 / hh - 1
        var factorial = 1.0
        for i in 1...order {
            right.append(phi * factorial / phi1)
            factorial *= Double(i + 1)
            phi = phi / hh - 1 / factorial
        }
        return Step(keep: sigmaTo / sigmaFrom, clean: -alpha * phi1, difference: -alpha * phi1, ratios: ratios, right: right)
    }

    private func predict(_ state: State, order: Int) -> [Float] {
        let c = coefficients(from: state.step, to: state.step + 1, order: order)
        // The last of R and b belongs to the corrector; order 2 is simplified to one half, as published.
        let weights = order == 2 ? [0.5] : order == 1 ? [] : Self.solve(c.ratios.dropLast(), Array(c.right.dropLast()))
        return combine(state.lastSample, state.clean, c, weights, now: nil, nowWeight: 0)
    }

    private func correct(_ state: State, _ now: [Float]) -> [Float] {
        let order = state.lastOrder
        let c = coefficients(from: state.step - 1, to: state.step, order: order)
        let weights = order == 1 ? [0.5] : Self.solve(c.ratios[...], c.right)
        return combine(state.lastSample, state.clean, c, Array(weights.dropLast()), now: now, nowWeight: weights.last ?? 0)
    }

    /// keep·x + clean·m₀ + difference·(Σ wₖ·(mₖ − m₀)/rₖ + w·(now − m₀)).
    private func combine(
        _ x: [Float], _ clean: [[Float]], _ c: Step, _ weights: [Double], now: [Float]?, nowWeight: Double
    ) -> [Float] {
        guard let latest = clean.last else { return x }
        let earlier = weights.indices.map { clean[clean.count - 2 - $0] }
        let factors = zip(weights, c.ratios).map { Float($0 / $1) }
        let (keep, cleanFactor, difference, nowFactor) = (Float(c.keep), Float(c.clean), Float(c.difference), Float(nowWeight))
        return x.indices.map { i in
            var sum: Float = 0
            for (k, factor) in factors.enumerated() { sum += factor * (earlier[k][i] - latest[i]) }
            if let now { sum += nowFactor * (now[i] - latest[i]) }
            return keep * x[i] + cleanFactor * latest[i] + difference * sum
        }
    }

    /// Solves Σⱼ rⱼ^(i)·wⱼ = bᵢ (a Vandermonde system of at most three unknowns).
    private static func solve(_ ratios: ArraySlice<Double>, _ right: [Double]) -> [Double] {
        let r = Array(ratios)
        let n = r.count
        var a = (0..<n).map { i in r.map { pow($0, Double(i)) } + [right[i]] }
        for k in 0..<n {
            let pivot = (k..<n).max { abs(a[$0][k]) < abs(a[$1][k]) } ?? k
            a.swapAt(k, pivot)
            for row in 0..<n where row != k {
                let factor = a[row][k] / a[k][k]
                for column in k...n { a[row][column] -= factor * a[k][column] }
            }
        }
        return (0..<n).map { a[$0][n] / a[$0][$0] }
    }
}
