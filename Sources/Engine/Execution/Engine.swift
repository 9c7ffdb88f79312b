import Foundation
import GraphKit
import NodeKit

/// Runs checked graphs over a store.
///
///     let engine = UnderstudyEngine(store: try CacheStore(root: CacheStore.defaultRoot()), catalogue: catalogue)
///     let plan = try engine.plan(graph, options: RunOptions())
///     let summary = try engine.run(graph, options: RunOptions()) { event in print(event) }
public final class UnderstudyEngine: Sendable {
    public let store: CacheStore
    public let catalogue: [NodeType: NodeDefinition]
    /// What earlier runs did.
    public var journal: Journal { Journal(store: store) }

    public init(store: CacheStore, catalogue: [NodeType: NodeDefinition]) {
        self.store = store
        self.catalogue = catalogue
    }

    /// Says what a run would do, without doing it.
    ///
    /// - Throws: ``UsageError`` when a target or an input is not there; ``StoreError`` when the store cannot be read.
    public func plan(_ graph: Graph, options: RunOptions = .init()) throws -> Plan {
        try store.minding { try makePlan(graph, options) }
    }

    private func makePlan(_ graph: Graph, _ options: RunOptions) throws -> Plan {
        let state = try GraphState(graph: graph, catalogue: catalogue, options: options)
        let (result, notes) = try store.snapshot { db in
            let reader = StoreReader(db: db, store: store)
            var planner = Planner(state: state, reader: reader)
            var plan = try planner.plan()
            // Without a history that can be read there is a plan all the same.
            plan.forecast = try? RunForecast(plan, state, reader)
            return (plan, reader.notes)
        }
        // What is damaged is left for the run to drop, so that asking twice gives the same answer.
        var kept = notes
        kept.damaged = []
        try store.write(kept)
        return result
    }

    /// Runs a graph; returns when all is done, failed or stopped.
    ///
    /// - Parameters:
    ///   - cancellation: Stops the run from another thread.
    ///   - events: Called for everything that happens, one at a time, from any thread.
    /// - Returns: The summary; failures of nodes are in there.
    /// - Throws: ``UsageError`` before anything ran; ``StoreError`` when the store cannot be used.
    public func run(
        _ graph: Graph, options: RunOptions = .init(), cancellation: Cancellation = .init(),
        events: @escaping @Sendable (RunEvent) -> Void = { _ in }
    ) throws -> RunSummary {
        try store.minding {
            // Instances that are not there are told before anything runs, where the list of them is known already.
            if (options.targets + options.from + options.force).contains(where: { $0.instances != .all }) {
                _ = try makePlan(graph, options)
            }
            let execution = try Execution(
                graph: graph, engine: self, options: options, cancellation: cancellation, events: events)
            return try execution.run()
        }
    }

    /// The artifacts that a target stands for: the current ones where they are cached, else the last that were made.
    ///
    /// - Returns: By instance and port, in order; `isCurrent` tells whether a run would give the same.
    public func artifacts(
        of target: RunTarget, in graph: Graph, options: RunOptions = .init()
    ) throws -> [(instance: InstanceID, port: String, artifact: Artifact, isCurrent: Bool)] {
        var options = options
        options.targets = [RunTarget(node: target.node, instances: target.instances)]
        let plan = try plan(graph, options: options)
        var instances = plan.entries.filter { $0.instance.node == target.node && $0.isTarget }.map(\.instance)
        instances = Set(instances + plan.pins.map(\.instance).filter { $0.node == target.node }).sorted()
        if case .indices(let range) = target.instances { instances = range.map { InstanceID(node: target.node, index: $0) } }
        if instances == [InstanceID(node: target.node)], graph.node(target.node)?.each != nil {
            instances = []
            while instances.count < 100_000,
                case let next = InstanceID(node: target.node, index: instances.count),
                try !journal.lastOutputs(graph: graph.name, instance: next).isEmpty
            { instances.append(next) }
        }
        let ports = (graph.node(target.node)?.description.outputs ?? []).filter { target.port == nil || $0.name == target.port }
        var result: [(instance: InstanceID, port: String, artifact: Artifact, isCurrent: Bool)] = []
        for instance in instances {
            let entry = plan.entries.first { $0.instance == instance }
            let isCurrent = entry?.status == .cached
            let outputs = isCurrent
                ? try (entry?.outputs ?? [:]).mapValues(store.value)
                : try journal.lastOutputs(graph: graph.name, instance: instance)
            for port in ports {
                if let pin = plan.pins.first(where: { $0.instance == instance && $0.port == port.name }), let digest = pin.file.digest {
                    result.append((instance, port.name, Artifact(type: port.type, path: pin.file.path, digest: digest), true))
                    continue
                }
                for (name, artifact) in outputs.values(of: port) { result.append((instance, name, artifact, isCurrent)) }
            }
        }
        return result
    }
}
