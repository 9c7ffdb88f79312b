import Foundation
import GRDB
import Locking
import NodeKit
import Testing

@testable import Engine

@Suite struct CostModelTests {
    private func sample(
        _ size: Double, _ seconds: Double, memory: Double? = nil, _ parameters: [String: Double] = [:], version: Int = 1
    ) -> CostSample {
        CostSample(size: size, seconds: seconds, memory: memory, outputs: ["out": size / 2], parameters: parameters, version: version)
    }

    @Test func scalesWithTheSizeItLearnt() throws {
        // Linear, with an outlier that must not count.
        let samples = [1e6, 2e6, 4e6, 8e6].map { sample($0, $0 * 1e-6, memory: 100) } + [sample(2e6, 500)]
        let model = try #require(CostModel(samples: samples, version: 1))
        let estimate = model.estimate(size: 100e6, parameters: [:])
        #expect(abs(estimate.seconds / 100 - 1) < 0.3)
        // Memory did not grow, outputs did.
        #expect(abs((estimate.memory ?? 0) / 100 - 1) < 0.01)
        #expect(abs((estimate.outputs["out"] ?? 0) / 50e6 - 1) < 0.3)
        // With one size known, twice as much takes twice as long.
        let one = try #require(CostModel(samples: [sample(3e6, 6)], version: 1))
        #expect(abs(one.estimate(size: 6e6, parameters: [:]).seconds - 12) < 1e-6)
    }

    @Test func learnsWhichParametersMatter() throws {
        var samples: [CostSample] = []
        for steps in [4.0, 8, 20] {
            for seed in [1.0, 100] { samples.append(sample(1e6, steps * 0.5 * (seed == 1 ? 1 : 1.02), ["steps": steps, "seed": seed])) }
        }
        let model = try #require(CostModel(samples: samples, version: 1))
        #expect(abs(model.estimate(size: 1e6, parameters: ["steps": 50, "seed": 1e9]).seconds - 25) < 1)
    }

    @Test("other choices are other work, and the same parameters take what they took")
    func choicesAndRepeatsCount() throws {
        var samples: [CostSample] = []
        for (choice, seconds) in [("fast", 0.3), ("slow", 1.7)] {
            for steps in [0.0, 2] {
                for noise in [0.98, 1, 1.02] {
                    var sample = sample(1e6, seconds * noise + steps, ["steps": steps])
                    sample.choices = ["mode": choice]
                    samples.append(sample)
                }
            }
        }
        let model = try #require(CostModel(samples: samples, version: 1))
        for (choice, seconds) in [("fast", 0.3), ("slow", 1.7)] {
            for steps in [0.0, 2] {
                let estimate = model.estimate(size: 1e6, parameters: ["steps": steps], choices: ["mode": choice])
                #expect(abs(estimate.seconds - seconds - steps) < 0.01)
            }
        }
        // A choice that never was takes something between those that were.
        #expect((0.3...3.7).contains(model.estimate(size: 1e6, parameters: ["steps": 0], choices: ["mode": "new"]).seconds))
    }

    @Test func anotherVersionCountsOnlyWithoutItsOwn() throws {
        let old = [sample(1, 100), sample(1, 100), sample(1, 100)]
        #expect(try #require(CostModel(samples: old, version: 2)).estimate(size: 1, parameters: [:]).seconds > 99)
        let model = try #require(CostModel(samples: old + [sample(1, 1, version: 2)], version: 2))
        #expect(model.estimate(size: 1, parameters: [:]).seconds < 1.01)
    }

    /// Any history, hostile ones too: what comes out is finite, not negative, and does not fall with the size.
    @Test func forecastsAreFiniteAndMonotone() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0...UInt64.max, using: &generator)
        let random = Randomness(seed: seed)
        var position: UInt64 = 0
        func next() -> Double {
            position += 1
            return random.uniform(at: position)
        }
        let odd: [Double] = [0, -1, .nan, .infinity, -.infinity, 1e300, 1e-300, 1e17]
        func number() -> Double { next() < 0.2 ? odd[Int(next() * 8)] : exp(next() * 40 - 10) }
        for round in 0..<200 {
            let samples = (0..<Int(next() * 80)).map { _ in
                CostSample(
                    size: number(), seconds: number(), memory: next() < 0.5 ? number() : nil, outputs: ["a": number()],
                    parameters: ["p": number(), "q": Double(Int(next() * 3))], version: Int(next() * 2))
            }
            guard let model = CostModel(samples: samples, version: 1) else { continue }
            var last = 0.0
            for size in [0, 1, 1e3, 1e6, 1e9, 1e12, 1e15] {
                let estimate = model.estimate(size: size, parameters: ["p": 3, "q": .nan])
                let all = [estimate.seconds, estimate.memory ?? 0] + estimate.outputs.values
                #expect(all.allSatisfy { $0.isFinite && $0 >= 0 }, "seed \(seed), round \(round)")
                #expect(estimate.seconds >= last, "seed \(seed), round \(round)")
                last = estimate.seconds
            }
        }
    }

    @Test("a chain that is known to be long is not held up by short nodes")
    func longChainsGoFirst() throws {
        let shop = try Workshop()
        let short = (0..<12).map { "  a\($0): { type: t.slow, with: { milliseconds: 2, seed: \($0) } }" }
        let text = """
            nodes:
            \(short.joined(separator: "\n"))
              z0: { type: t.slow, with: { milliseconds: 8, seed: 0 } }
              z1: { type: t.slow, in: { a: z0.steps }, with: { milliseconds: 8, seed: 0 } }
              z2: { type: t.slow, in: { a: z1.steps }, with: { milliseconds: 9, seed: 0 } }
            """
        // As if measured: on a busy machine all would have taken the same.
        let samples = [2.0, 8, 9].flatMap { milliseconds in
            [0.0, 1].map { seed in
                CostSample(
                    size: 0, seconds: milliseconds / 100, outputs: [:], parameters: ["milliseconds": milliseconds, "seed": seed], choices: [:], version: 1)
            }
        }
        try CostHistory(store: shop.engine().store).add(samples.map { ("t.slow", $0) })
        let order = Locked<[String]>([])
        _ = try shop.run(text, options: RunOptions(threads: 2)) { event in
            switch event {
            case .started(let id, _, _, _): order.withLock { $0.append(id.node) }
            case .finished(let id, _, _, _, _, _): order.withLock { $0.append("end \(id.node)") }
            default: break
            }
        }
        let events = order.withLock { $0 }
        #expect(events.prefix(2).contains("z0"))
        for (end, next) in [("end z0", "z1"), ("end z1", "z2")] {
            let from = try #require(events.firstIndex(of: end)), to = try #require(events.firstIndex(of: next))
            // One that was given out before may say so later.
            #expect(events[from..<to].count { $0.hasPrefix("a") } <= 1, "\(events)")
        }
    }

    private let text = """
        nodes:
          one: { type: t.slow, with: { milliseconds: 20, seed: 1 } }
          two: { type: t.slow, in: { a: one.steps }, with: { milliseconds: 10, seed: 1 } }
          side: { type: t.slow, with: { milliseconds: 5, seed: 1 } }
        """

    @Test func planTellsWhatARunWillTake() throws {
        let shop = try Workshop()
        let fresh = try #require(try shop.plan(text).forecast)
        #expect(fresh.unknown == 3 && fresh.seconds == 0)
        #expect(try shop.run(text).summary.status == .done)
        #expect(try shop.plan(text).forecast?.entries.isEmpty == true)
        // A busy machine takes what time it likes.
        try CacheStore(root: shop.storePath).database.write { db in
            try db.execute(
                sql: "UPDATE costs SET sample = json_set(sample, '$.seconds', json_extract(sample, '$.parameters.milliseconds') / 1000.0)")
        }
        // Twice as many milliseconds: that they matter was seen, and that `side` runs beside the others.
        let plan = try shop.plan(text, set: ["one.with.milliseconds=40"])
        let forecast = try #require(plan.forecast)
        #expect(forecast.entries.map(\.instance.node) == ["one", "two"] && forecast.unknown == 0)
        let sum = forecast.entries.compactMap(\.seconds).reduce(0, +)
        #expect(abs(forecast.seconds - sum) < 1e-9)
        #expect(try #require(forecast.entries[0].seconds) > 1.2 * (try #require(forecast.entries[1].seconds)))
    }

    @Test func aWrongHistoryBreaksNothing() throws {
        let shop = try Workshop()
        #expect(try shop.run(text).summary.status == .done)
        let store = try CacheStore(root: shop.storePath)
        try store.database.write { db in
            for sample in ["", "{}", "[1,2", #"{"size":1e400}"#, #"{"size":-1,"seconds":1,"outputs":{},"parameters":{},"version":1}"#,
                #"{"size":1e17,"seconds":1e17,"memory":1e17,"outputs":{"steps":1e17},"parameters":{"seed":1e17},"version":1}"#]
            {
                for _ in 0..<70 { try db.execute(sql: "INSERT INTO costs (node, sample) VALUES ('t.slow', ?)", arguments: [sample]) }
            }
        }
        let set = ["one.with.seed=9"]
        let plan = try #require(try shop.plan(text, set: set).forecast)
        #expect(plan.seconds.isFinite && plan.seconds >= 0)
        let ran = try shop.run(text, set: set)
        #expect(ran.summary.status == .done && ran.ran.isSuperset(of: ["one", "two"]))
        let rows = try store.database.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM costs WHERE node = 't.slow'") }
        #expect(rows == CostModel.count)
        // Without its table, a run goes on too.
        try store.database.write { try $0.execute(sql: "DROP TABLE costs") }
        #expect(try shop.run(text, set: ["one.with.seed=10"]).summary.status == .done)
    }
}
