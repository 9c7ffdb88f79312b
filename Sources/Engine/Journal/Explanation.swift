import GraphKit
import NodeKit

/// Why an instance runs, or why its result is another one: the change, followed upstream to where it began.
public struct Explanation: Sendable, Hashable, Codable {
    public let instance: InstanceID
    /// `run`, `cached`, `depends`, …; nil between two past runs.
    public let status: Plan.Status?
    /// What changed of the instance itself; empty: nothing.
    public let reasons: [RunReason]
    /// Whether the change began here.
    public let isOrigin: Bool
    /// The same of what makes the inputs that changed or may change; each instance is followed once.
    public let because: [Explanation]

    /// Where the change began.
    public var origins: [Explanation] {
        (isOrigin ? [self] : []) + because.flatMap(\.origins)
    }
}

/// Follows changes from an instance to what makes its inputs.
struct Explainer {
    /// One side of the comparison.
    struct State {
        var status: Plan.Status?
        /// Reasons that do not come from comparing: forced, evicted, ….
        var reasons: [RunReason] = []
        /// Nil for a node whose instances are not known yet.
        let fingerprint: Fingerprint?
    }

    let old: [InstanceID: Fingerprint]
    let new: [InstanceID: State]
    private var seen: Set<InstanceID> = []

    init(old: [InstanceID: Fingerprint], new: [InstanceID: State]) {
        self.old = old
        self.new = new
    }

    /// Explains one instance; nil when the new side does not have it. What was explained already is not followed again.
    mutating func explain(_ instance: InstanceID) -> Explanation? {
        guard let state = new[instance] else { return nil }
        let before = old[instance]
        var reasons = before.flatMap { state.fingerprint?.changes(since: $0) } ?? []
        reasons += state.reasons.filter { !reasons.contains($0) }
        guard seen.insert(instance).inserted else { return nil }
        var makers = state.fingerprint?.changedMakers(since: before) ?? []
        if state.fingerprint == nil, case .dependsOn(let names)? = state.reasons.last { makers = names.map { InstanceID(node: $0) } }
        makers.removeAll { new[$0] == nil }
        return Explanation(
            instance: instance, status: state.status, reasons: reasons, isOrigin: makers.isEmpty, because: makers.compactMap { explain($0) })
    }
}

extension UnderstudyEngine {
    /// Says of each instance of a target why it would run, or what changed since it last did.
    ///
    /// - Throws: ``UsageError`` when the target or an input is not there; ``StoreError`` when the store cannot be read.
    public func explain(_ target: RunTarget, in graph: Graph, options: RunOptions = .init()) throws -> [Explanation] {
        let state = try GraphState(graph: graph, catalogue: catalogue, options: options)
        return try store.snapshot { db in
            var planner = Planner(state: state, reader: StoreReader(db: db, store: store), keepsFingerprints: true)
            let plan = try planner.plan()
            var new: [InstanceID: Explainer.State] = [:]
            for entry in plan.entries {
                new[entry.instance] = Explainer.State(
                    status: entry.status, reasons: entry.reasons, fingerprint: planner.fingerprints[entry.instance])
            }
            let own = plan.entries.filter { $0.instance.node == target.node }
            let covered = own.filter { target.covers($0.instance, state) }
            guard !covered.isEmpty else {
                throw UsageError(
                    !own.isEmpty ? "'\(target.node)' has the instances \(target.node)[0] to \(target.node)[\(own.count - 1)] only"
                        : state.wanted.contains { $0.id == target.node } ? "'\(target.node)' has no instances, or a file is pinned in its place"
                        : "no output of the graph needs '\(target.node)'; name it with --to to have it planned")
            }
            return try covered.compactMap { entry in
                // Compared with the last run that had the instance: its inputs were made in that run too.
                let run = try Journal.lastRun(graph: graph.name, instance: entry.instance, db)
                var explainer = Explainer(old: try run.map { try Journal.fingerprints(of: $0, db) } ?? [:], new: new)
                return explainer.explain(entry.instance)
                    ?? Explanation(instance: entry.instance, status: entry.status, reasons: entry.reasons, isOrigin: true, because: [])
            }
        }
    }
}

extension RunTarget {
    /// Whether an instance of the target's node is meant; what is not known yet is.
    func covers(_ instance: InstanceID, _ state: GraphState) -> Bool {
        InstanceSet([instances]).contains(instance.index, state.frames(of: instance))
    }
}
