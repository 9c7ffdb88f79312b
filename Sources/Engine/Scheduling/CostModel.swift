import Foundation

/// What an instance of a node once took.
struct CostSample: Sendable, Hashable, Codable {
    /// Bytes of all its inputs.
    var size: Double
    /// Seconds.
    var seconds: Double
    /// Bytes; nil where that was not measured, or not for this instance alone.
    var memory: Double?
    /// Bytes by output port.
    var outputs: [String: Double]
    /// Numeric parameters.
    var parameters: [String: Double]
    /// The other parameters, as text; nil in histories of earlier versions.
    var choices: [String: String]?
    var version: Int

    /// Whether it can be reckoned with: a damaged history must not stop a run.
    var isSane: Bool {
        let all = [size, seconds, memory ?? 0] + outputs.values + parameters.values
        return all.allSatisfy { $0.isFinite && $0.magnitude < 1e18 } && size >= 0 && seconds >= 0 && (memory ?? 0) >= 0
            && outputs.values.allSatisfy { $0 >= 0 }
    }
}

/// What an instance is expected to take.
struct CostEstimate: Sendable, Hashable {
    var seconds: Double
    /// Bytes; nil: nothing is known.
    var memory: Double?
    /// Bytes by output port.
    var outputs: [String: Double]
}

/// Learns what a node type takes from what it took: a power law in the size of the inputs and in each numeric parameter that was
/// seen to matter, whose exponents are medians over pairs of samples (Theil–Sen) and whose factor is a median too, so that single
/// odd runs do not count. It never falls with the size, and is always finite.
///
/// What ran with the same parameters counts before what ran with the same choices (parameters that are no numbers, or 0), and that before the rest.
struct CostModel: Sendable {
    /// What has no logarithm, and tells kinds of work apart.
    private struct Kind: Hashable {
        var choices: [String: String]
        var zeros: Set<String>

        init(_ parameters: [String: Double], _ choices: [String: String]?) {
            self.choices = choices ?? [:]
            zeros = Set(parameters.lazy.filter { $0.value == 0 }.map(\.key))
        }
    }

    private struct Settings: Hashable {
        var kind: Kind
        var parameters: [String: Double]
    }

    /// What samples say of everything that is measured.
    private struct Laws {
        var seconds: Law
        var memory: Law?
        var outputs: [String: Law] = [:]

        /// - Parameter wider: Of more samples, whose exponents hold here: these differ in their factor only. Nil: all are learnt.
        init(_ samples: [CostSample], as wider: Laws? = nil) {
            func law(_ samples: [CostSample], _ wider: Law?, of value: (CostSample) -> Double) -> Law {
                guard let wider else { return CostModel.fit(samples, of: value) }
                return wider.scaled(to: samples, of: value)
            }
            seconds = law(samples, wider?.seconds) { $0.seconds }
            let measured = samples.filter { $0.memory != nil }
            memory = measured.isEmpty ? wider?.memory : law(measured, wider?.memory) { $0.memory ?? 0 }
            outputs = wider?.outputs ?? [:]
            for port in Set(samples.flatMap(\.outputs.keys)) {
                outputs[port] = law(samples.filter { $0.outputs[port] != nil }, wider?.outputs[port]) { $0.outputs[port] ?? 0 }
            }
        }
    }

    private struct Law {
        /// Of the input size.
        var exponent: Double
        /// By parameter.
        var exponents: [String: Double]
        var logFactor: Double

        func value(_ size: Double, _ parameters: [String: Double]) -> Double {
            var sum = logFactor + exponent * CostModel.logSize(size)
            for (name, exponent) in exponents { sum += exponent * CostModel.log(parameters[name] ?? 0) }
            return exp(min(max(sum, -30), 40))
        }

        /// The same, through the middle of samples, of which there is at least one.
        func scaled(to samples: [CostSample], of value: (CostSample) -> Double) -> Law {
            var law = self
            law.logFactor = CostModel.median(
                samples.map { sample in
                    let known = exponents.reduce(exponent * CostModel.logSize(sample.size)) {
                        $0 + $1.value * CostModel.log(sample.parameters[$1.key] ?? 0)
                    }
                    return CostModel.log(value(sample)) - known
                })
            return law
        }
    }

    private let all: Laws
    private var kinds: [Kind: Laws] = [:]
    private var repeated: [Settings: Laws] = [:]

    /// Learns from samples of one node type.
    ///
    /// - Parameters:
    ///   - samples: Latest last; only the last 64 count, and only those of the latest version if there are any.
    ///   - version: The node's version now.
    /// - Returns: Nil when there is nothing to learn from.
    init?(samples: [CostSample], version: Int) {
        let sane = samples.filter(\.isSane).suffix(Self.count)
        let own = sane.filter { $0.version == version }
        let used = Array(own.isEmpty ? Array(sane) : own)
        guard !used.isEmpty else { return nil }
        all = Laws(used)
        for (kind, samples) in Dictionary(grouping: used, by: { Kind($0.parameters, $0.choices) }) {
            let laws = samples.count < used.count ? Laws(samples, as: Self.isEnough(samples) ? nil : all) : all
            kinds[kind] = laws
            for (parameters, samples) in Dictionary(grouping: samples, by: \.parameters) {
                repeated[Settings(kind: kind, parameters: parameters)] = Laws(samples, as: laws)
            }
        }
    }

    /// Whether samples of one kind are of several sizes or parameters, so that they tell more than a factor.
    private static func isEnough(_ samples: [CostSample]) -> Bool { Set(samples.map { [$0.size: $0.parameters] }).count > 2 }

    /// How many samples of a type are kept.
    static let count = 64

    /// What an instance takes.
    ///
    /// - Parameters:
    ///   - size: Bytes of all its inputs.
    ///   - parameters: Its numeric parameters.
    ///   - choices: Its other parameters.
    func estimate(size: Double, parameters: [String: Double], choices: [String: String] = [:]) -> CostEstimate {
        let size = size.isFinite ? max(size, 0) : 0
        let kind = Kind(parameters, choices)
        let laws = repeated[Settings(kind: kind, parameters: parameters)] ?? kinds[kind] ?? all
        return CostEstimate(
            seconds: laws.seconds.value(size, parameters), memory: laws.memory?.value(size, parameters),
            outputs: laws.outputs.mapValues { $0.value(size, parameters) })
    }

    // MARK: - Fitting

    /// Of at least a millionth, so that nothing has no logarithm.
    private static func log(_ value: Double) -> Double { Foundation.log(max(value.isFinite ? value.magnitude : 0, 1e-6)) }

    /// Small inputs are all alike: what they take is not reading them.
    private static func logSize(_ size: Double) -> Double { log(max(size, 65_536)) }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard let last = sorted.indices.last else { return 0 }
        return (sorted[last / 2] + sorted[(last + 1) / 2]) / 2
    }

    /// A law for samples, of which there is at least one.
    private static func fit(_ samples: [CostSample], of value: (CostSample) -> Double) -> Law {
        let points = samples.map { (sample: $0, size: logSize($0.size), value: log(value($0))) }
        // A parameter matters as far as it is seen to, between samples that are alike in everything else.
        var exponents: [String: Double] = [:]
        let names = Set(samples.flatMap(\.parameters.keys))
        for name in names {
            let slopes = slopes(points) { a, b in
                guard (a.size - b.size).magnitude < 0.05, names.allSatisfy({ $0 == name || a.sample.parameters[$0] == b.sample.parameters[$0] }),
                    let x = a.sample.parameters[name], let y = b.sample.parameters[name], x > 0, y > 0
                else { return nil }
                return log(y) - log(x)
            }
            // Less than that is the noise of a clock.
            if case let slope = median(slopes), slope.magnitude > 0.15 { exponents[name] = min(max(slope, -2), 2) }
        }
        let rest = points.map { point in
            let known = exponents.reduce(0) { $0 + $1.value * log(point.sample.parameters[$1.key] ?? 0) }
            return (sample: point.sample, size: point.size, value: point.value - known)
        }
        let slopes = slopes(rest) { $1.size - $0.size }
        // With one size seen, twice as much takes twice as long.
        let exponent = slopes.isEmpty ? 1 : min(max(median(slopes), 0), 2)
        return Law(exponent: exponent, exponents: exponents, logFactor: median(rest.map { $0.value - exponent * $0.size }))
    }

    private typealias Point = (sample: CostSample, size: Double, value: Double)

    /// Slopes between pairs that `distance` sets at least half as much again apart.
    private static func slopes(_ points: [Point], distance: (Point, Point) -> Double?) -> [Double] {
        var result: [Double] = []
        for (index, a) in points.enumerated() {
            for b in points[(index + 1)...] {
                guard let apart = distance(a, b), apart.magnitude > 0.4 else { continue }
                result.append((b.value - a.value) / apart)
            }
        }
        return result
    }
}
