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
    /// The backward pass begins afresh for every sample, `lookAhead` later: a result depends on no sample beyond that.
    ///
    /// - Parameters:
    ///   - values: Samples.
    ///   - times: Seconds, ascending, as many as values.
    ///   - scale: The signal's unit in its own numbers (for instance a shoulder width in pixels): `beta` refers to it.
    ///   - lookAhead: Seconds.
    ///   - measured: Which samples were measured: a filled one may stand for others beyond the look-ahead, so that no backward
    ///     pass begins there. nil: all.
    public func smoothed(
        _ values: [Double], times: [Double], scale: Double = 1, lookAhead: Double = 0.2, measured: [Bool]? = nil
    ) -> [Double] {
        guard values.count > 1, values.count == times.count, scale > 0 else { return values }
        precondition(measured.map { $0.count == values.count } ?? true, "One flag per sample is needed.")
        var forward = [Pass(value: values[0], speed: nil)]
        for i in values.indices.dropFirst() {
            forward.append(
                step(forward[i - 1], values[i], change: values[i] - values[i - 1], interval: times[i] - times[i - 1], scale))
        }
        var result = values
        var (seen, end) = (0, 0)
        for i in values.indices {
            while seen < values.count, times[seen] - times[i] <= lookAhead + 1e-9 {
                if measured?[seen] ?? true { end = seen }
                seen += 1
            }
            end = max(end, i)
            // The speed is known from the way there: a single difference of two samples is mostly noise.
            var backward = Pass(value: values[end], speed: forward[end].speed)
            for j in stride(from: end - 1, through: i, by: -1) {
                backward = step(
                    backward, values[j], change: values[j + 1] - values[j], interval: times[j + 1] - times[j], scale)
            }
            result[i] = (forward[i].value + backward.value) / 2
        }
        return result
    }

    /// Where a pass over the samples stands.
    private struct Pass {
        var value: Double
        /// Units per second, forwards in time; nil at the first sample.
        var speed: Double?
    }

    private func step(_ before: Pass, _ value: Double, change: Double, interval: Double, _ scale: Double) -> Pass {
        guard interval > 0 else { return before }
        let raw = change / interval
        let speed = before.speed.map { $0 + Self.alpha(derivativeCutoff, interval) * (raw - $0) } ?? raw
        let factor = Self.alpha(minimumCutoff + beta * abs(speed) / scale, interval)
        return Pass(value: before.value + factor * (value - before.value), speed: speed)
    }

    /// The smoothing factor of a first-order low pass.
    private static func alpha(_ cutoff: Double, _ interval: Double) -> Double {
        let r = 2 * Double.pi * cutoff * interval
        return r / (r + 1)
    }
}
