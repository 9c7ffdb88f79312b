import Foundation

/// The one-euro filter: a low pass whose cutoff rises with speed, so that a still hand does not tremble and a fast one
/// is not late (Casiez, Roussel, Vogel 2012).
public struct OneEuroFilter: Sendable {
    /// Cutoff for a signal at rest, hertz.
    public var minimumCutoff: Double
    /// Hertz of cutoff per unit of speed (signal units per second).
    public var beta: Double
    /// Cutoff of the speed estimate, hertz.
    public var derivativeCutoff: Double

    public init(minimumCutoff: Double = 2, beta: Double = 4, derivativeCutoff: Double = 1) {
        self.minimumCutoff = minimumCutoff
        self.beta = beta
        self.derivativeCutoff = derivativeCutoff
    }

    /// Filters a run of samples forwards and backwards and takes the mean, so that nothing lags behind the picture.
    ///
    /// - Parameters:
    ///   - values: Samples.
    ///   - times: Seconds, ascending, as many as values.
    ///   - scale: The signal's unit in its own numbers (for instance a shoulder width in pixels): `beta` refers to it.
    public func smoothed(_ values: [Double], times: [Double], scale: Double = 1) -> [Double] {
        guard values.count > 2, values.count == times.count, scale > 0 else { return values }
        let forward = filtered(values, times: times, scale: scale)
        let backward = filtered(values.reversed(), times: times.reversed().map { -$0 }, scale: scale)
        return zip(forward, backward.reversed()).map { ($0 + $1) / 2 }
    }

    private func filtered(_ values: [Double], times: [Double], scale: Double) -> [Double] {
        var out = values
        var speed = 0.0
        for i in 1..<values.count {
            let interval = times[i] - times[i - 1]
            guard interval > 0 else { continue }
            let raw = (values[i] - values[i - 1]) / interval
            let first = i == 1
            speed = first ? raw : speed + Self.alpha(derivativeCutoff, interval) * (raw - speed)
            let cutoff = minimumCutoff + beta * abs(speed) / scale
            out[i] = out[i - 1] + Self.alpha(cutoff, interval) * (values[i] - out[i - 1])
        }
        return out
    }

    /// The smoothing factor of a first-order low pass.
    private static func alpha(_ cutoff: Double, _ interval: Double) -> Double {
        let r = 2 * Double.pi * cutoff * interval
        return r / (r + 1)
    }
}
