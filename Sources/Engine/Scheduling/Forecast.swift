import Foundation
import GraphKit
import NodeKit

/// What a run is expected to take, by what its nodes took before.
public struct RunForecast: Sendable, Codable {
    public struct Entry: Sendable, Codable {
        /// Without an index for a node whose `each` is not known yet: then it stands for as many as there were last time.
        public let instance: InstanceID
        /// Of one instance; nil when nothing is known of its type.
        public let seconds: Double?
        /// Peak in bytes.
        public let memory: Double?
        public let count: Int
    }

    /// From start to end, on the threads and in the memory that the run has.
    public let seconds: Double
    /// How many instances have no estimate and were counted as nothing.
    public let unknown: Int
    /// What is still to run, in topological order.
    public let entries: [Entry]
}

/// Estimates what is still to run, and lets the scheduler rehearse it.
struct Forecaster {
    /// An instance that is to run, or some of a kind.
    struct Item {
        let node: GraphNode
        let instance: InstanceID
        var count = 1
        /// Seconds since it started; nil: it did not yet.
        var elapsed: Double?
    }

    let state: GraphState
    let models: [NodeType: CostModel]
    private(set) var estimates: [InstanceID: CostEstimate] = [:]
    /// What a node's instances are expected to write, by node and port; their sum.
    private var written: [String: [String: Double]] = [:]
    private let items: [Item]

    /// - Parameter items: In topological order.
    init(state: GraphState, models: [NodeType: CostModel], items: [Item]) {
        self.state = state
        self.models = models
        self.items = items
        for item in items {
            guard let model = models[item.node.type] else { continue }
            let estimate = model.estimate(
                size: size(of: item), parameters: CostSample.numbers(item.node.parameters), choices: CostSample.choices(item.node.parameters))
            estimates[item.instance] = estimate
            for (name, bytes) in estimate.outputs {
                // The elements of a list are one port.
                let port = String(name.prefix { $0 != "[" })
                written[item.node.id, default: [:]][port, default: 0] += bytes * Double(item.count)
            }
        }
    }

    private func size(of item: Item) -> Double {
        state.feeds(of: item.node, item.instance).flatMap(\.feeds).reduce(0) { sum, feed in
            if let artifact = feed.artifact, case let size = CostSample.size(of: [artifact]), size > 0 { return sum + size }
            guard feed.artifact?.type != .model else { return sum }
            // `animate[3].latent`, `face.motion[0..<73]`, `face.motion[each.range]`
            let parts = feed.from.split(separator: ".", maxSplits: 1)
            guard parts.count == 2 else { return sum }
            let (node, port) = (String(parts[0].prefix { $0 != "[" }), String(parts[1].prefix { $0 != "[" }))
            var bytes = written[node]?[port] ?? 0
            if parts[0].contains("["), let count = state.counts[node], count > 0 { bytes /= Double(count) }
            if parts[1].contains("["), let frames = state.frames(of: item.instance), let last = state.ranges[item.node.id]?.last {
                bytes *= Double(frames.count) / Double(max(last.upperBound, 1))
            }
            return sum + bytes
        }
    }

    /// The seconds from the start of each node to the end of all that follows it.
    func ranks() -> [String: Double] {
        var seconds: [String: Double] = [:]
        for item in items {
            let own = (estimates[item.instance]?.seconds ?? Self.guess(item.node)) * Double(item.count)
            // Instances with `carry` follow one another, others run side by side.
            seconds[item.node.id] = item.node.carry.isEmpty ? max(seconds[item.node.id] ?? 0, own) : (seconds[item.node.id] ?? 0) + own
        }
        var ranks: [String: Double] = [:]
        for node in state.wanted.reversed() {
            let behind = state.graph.consumers(of: node.id).compactMap { ranks[$0.id] }.max() ?? 0
            ranks[node.id] = behind + (seconds[node.id] ?? 0)
        }
        return ranks
    }

    /// Where nothing is known: a node that takes all threads is the longer one.
    private static func guess(_ node: GraphNode) -> Double { node.description.cost.threads == .all ? 1 : 0.1 }

    func forecast() -> RunForecast {
        let entries = items.map { item in
            RunForecast.Entry(
                instance: item.instance, seconds: estimates[item.instance]?.seconds, memory: estimates[item.instance]?.memory,
                count: item.count)
        }
        let unknown = items.filter { estimates[$0.instance] == nil }.reduce(0) { $0 + $1.count }
        return RunForecast(seconds: rehearse(), unknown: unknown, entries: entries)
    }

    /// Lets the scheduler run it all in time that costs nothing.
    private func rehearse() -> Double {
        var scheduler = Scheduler(threads: state.options.threads, memory: state.options.memory, keepsGoing: true)
        let ranks = ranks()
        var joins: [String: Scheduler.Task] = [:]
        var members: [String: [Scheduler.Task]] = [:]
        var planned: [Scheduler.Task: Item] = [:]
        func join(_ node: String) -> Scheduler.Task? {
            if let known = joins[node] { return known }
            guard let tasks = members[node] else { return nil }
            let task = tasks.count == 1 ? tasks[0] : scheduler.add(after: tasks)
            joins[node] = task
            return task
        }
        for item in items {
            var after = item.node.dependencies.compactMap(join)
            if !item.node.carry.isEmpty, let last = members[item.node.id]?.last { after.append(last) }
            let task = scheduler.add(after: after, priority: ranks[item.node.id] ?? 0)
            planned[task] = item
            members[item.node.id, default: []].append(task)
        }
        var now = 0.0
        var running: [(end: Double, task: Scheduler.Task)] = []
        while !scheduler.isFinished {
            let actions = scheduler.nextActions(starts: !scheduler.hasLookups)
            for action in actions {
                switch action {
                case .resolve(let task):
                    if let item = planned[task] { scheduler.enqueue(task, .init(item.node.description)) } else { scheduler.resolved(task) }
                case .start(let task, _):
                    guard let item = planned[task] else { continue }
                    // What ran longer than expected is expected to end now.
                    let seconds = max((estimates[item.instance]?.seconds ?? 0) * Double(item.count) - (item.elapsed ?? 0), 0)
                    let end = now + seconds
                    running.insert((end, task), at: running.firstIndex { $0.end <= end } ?? running.count)
                case .skip: break
                }
            }
            guard actions.isEmpty else { continue }
            guard let next = running.popLast() else { break }
            now = max(now, next.end)
            scheduler.finished(next.task)
        }
        return min(now, 1e12)
    }
}

extension Scheduler.Request {
    /// What a node declares.
    init(_ node: NodeDescription) {
        self.init(
            threads: node.cost.threads == .all ? nil : 1, helpers: node.cost.helpers, memory: node.cost.memory,
            limit: node.cost.limit.map { .init(kind: node.type.name, count: $0) })
    }
}
