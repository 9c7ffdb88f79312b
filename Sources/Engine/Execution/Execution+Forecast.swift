import Dispatch
import Foundation
import GraphKit
import NodeKit

/// What is left to do, by what nodes took before: sets priorities, and the time left that is shown.
extension Execution {
    /// Between two forecasts, in seconds.
    private static let interval = 1.0
    /// A graph of more nodes is not estimated again while it runs.
    private static let largest = 2000

    /// Remaining seconds from a node's start to the end of what follows it; estimated when the first instance has to run.
    func priority(of instance: InstanceID) -> Double {
        (ranks[instance.node] ?? 0) - Double(instance.index ?? 0) * 1e-6
    }

    /// What an instance draws from the budget. A program's memory is its own, so that what it took before counts.
    func request(for instance: InstanceID, _ node: GraphNode, isProgram: Bool) -> Scheduler.Request {
        var request = Scheduler.Request(node.description)
        if isProgram, let learnt = forecaster?.estimates[instance]?.memory, learnt < 1e15 {
            request.memory = max(request.memory, Int(learnt))
        }
        return request
    }

    /// Whether it is time to say how long it will take: once in a while, if something runs.
    var isForecastDue: Bool {
        guard forecaster != nil, state.wanted.count <= Self.largest, scheduler.open > 0 else { return false }
        guard let last = forecastAt else { return true }
        return Double(DispatchTime.now().uptimeNanoseconds - last.uptimeNanoseconds) * 1e-9 >= Self.interval
    }

    /// Says how long it will take.
    func updateForecast(_ reader: StoreReader) {
        // The first estimate was made just now.
        if forecastAt != nil { estimate(reader) }
        forecastAt = .now()
        guard let forecast = forecaster?.forecast(), forecast.seconds > 0 else { return }
        emitter.send(.timeLeft(seconds: forecast.seconds, unknown: forecast.unknown))
    }

    func estimate(_ reader: StoreReader) {
        if models == nil {
            let types = Dictionary(state.wanted.map { ($0.type, $0.description) }) { first, _ in first }
            // A history that cannot be read is no reason not to run.
            models = (try? CostHistory.models(of: Array(types.values), reader.db)) ?? [:]
        }
        let now = Date()
        var items: [Forecaster.Item] = []
        for node in state.wanted {
            guard node.each == nil || state.counts[node.id] != nil else {
                let count = (try? Journal.lastCount(graph: graph.name, node: node.id, reader.db)) ?? 0
                items.append(.init(node: node, instance: InstanceID(node: node.id), count: max(count, 1)))
                continue
            }
            for instance in state.instances(of: node) where state.results[instance] == nil {
                items.append(.init(node: node, instance: instance, elapsed: started[instance].map { max(now.timeIntervalSince($0), 0) }))
            }
        }
        let forecaster = Forecaster(state: state, models: models ?? [:], items: items)
        ranks = forecaster.ranks()
        self.forecaster = forecaster
    }

    /// Remembers what an instance took.
    func learn(_ instance: InstanceID, _ item: Work, _ record: ActionRecord) {
        guard let node = graph.node(instance.node) else { return }
        samples[node.type.name, default: []].append(
            CostSample(
                size: CostSample.size(of: item.inputs.values.joined()), seconds: record.seconds,
                memory: record.memory.flatMap { $0.isShared ? nil : Double($0.bytes) },
                outputs: record.outputs.mapValues { Double($0.bytes) },
                parameters: CostSample.numbers(node.parameters), choices: CostSample.choices(node.parameters), version: node.version))
        if let count = samples[node.type.name]?.count, count > 2 * CostModel.count {
            samples[node.type.name]?.removeFirst(CostModel.count)
        }
    }
}

extension RunForecast {
    /// What a plan is expected to take.
    init(_ plan: Plan, _ state: GraphState, _ reader: StoreReader) throws {
        var items: [Forecaster.Item] = []
        var types: [NodeType: NodeDescription] = [:]
        for entry in plan.entries where entry.status == .willRun || entry.status == .depends {
            guard let node = state.graph.node(entry.instance.node) else { continue }
            types[node.type] = node.description
            var item = Forecaster.Item(node: node, instance: entry.instance)
            if node.each != nil, entry.instance.index == nil {
                item.count = max(try Journal.lastCount(graph: plan.graph, node: node.id, reader.db), 1)
            }
            items.append(item)
        }
        let models = try CostHistory.models(of: Array(types.values), reader.db)
        self = Forecaster(state: state, models: models, items: items).forecast()
    }
}
