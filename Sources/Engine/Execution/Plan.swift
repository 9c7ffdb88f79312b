import GraphKit
import NodeKit

/// What a run would do, and why.
public struct Plan: Sendable, Codable {
    /// What is known of an instance beforehand.
    public enum Status: String, Sendable, Codable {
        case cached
        case willRun
        /// Whether it runs depends on what other nodes make.
        case depends
    }

    public struct Entry: Sendable, Codable {
        /// Without an index for a node whose `each` is not known yet.
        public let instance: InstanceID
        public let type: String
        public let status: Status
        /// Empty when it is cached.
        public let reasons: [RunReason]
        /// How long it took when it last ran, in seconds.
        public let seconds: Double?
        public let key: Digest?
        /// By port, when cached.
        public let outputs: [String: ActionRecord.Output]
        /// The source code of the node changed since its result was made, its version did not.
        public let sourceChanged: Bool
    }

    public let graph: String
    /// In topological order.
    public let entries: [Entry]

    public func count(_ status: Status) -> Int { entries.count { $0.status == status } }
}

/// Walks a graph with look-ups only.
struct Planner {
    let state: GraphState
    let reader: StoreReader
    private var entries: [Plan.Entry] = []

    init(state: GraphState, reader: StoreReader) {
        self.state = state
        self.reader = reader
    }

    mutating func plan() throws -> Plan {
        try state.openInputs(reader)
        for node in state.wanted {
            guard try state.expand(node) else {
                entries.append(try unexpanded(node))
                continue
            }
            for instance in state.instances(of: node) { entries.append(try entry(node, instance)) }
        }
        return Plan(graph: state.graph.name, entries: entries)
    }

    private func unexpanded(_ node: GraphNode) throws -> Plan.Entry {
        let source = node.each?.node ?? node.id
        return Plan.Entry(
            instance: InstanceID(node: node.id), type: node.type.name, status: .depends, reasons: [.dependsOn([source])],
            seconds: nil, key: nil, outputs: [:], sourceChanged: false)
    }

    private func entry(_ node: GraphNode, _ instance: InstanceID) throws -> Plan.Entry {
        try lookUpCuts(node, instance)
        let feeds = state.feeds(of: node, instance)
        let print = state.fingerprint(of: node, feeds)
        let last = try Journal.last(graph: state.graph.name, instance: instance, reader.db)
        func make(
            _ status: Plan.Status, _ reasons: [RunReason], key: Digest? = nil, record: ActionRecord? = nil
        ) -> Plan.Entry {
            Plan.Entry(
                instance: instance, type: node.type.name, status: status, reasons: reasons,
                seconds: record?.seconds ?? last?.seconds, key: key, outputs: record?.outputs ?? [:],
                sourceChanged: record?.isOutdated(by: print.source) ?? false)
        }
        guard let key = state.key(of: node, feeds) else {
            let awaited = feeds.flatMap { $0.feeds.compactMap(\.awaits) }
            var seen: Set<String> = []
            let nodes = awaited.filter { seen.insert($0).inserted }
            let reasons = last.map { print.changes(since: $0.fingerprint) } ?? []
            let isForced = state.forced.contains(node.id)
            return make(isForced ? .willRun : .depends, (isForced ? [.forced] : reasons) + [.dependsOn(nodes)])
        }
        if state.forced.contains(node.id) { return make(.willRun, [.forced], key: key) }
        let found = try reader.lookup(key)
        if case .hit(let record) = found {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            return make(.cached, [], key: key, record: record)
        }
        return make(.willRun, RunReason.all(found, key: key, now: print, last: last), key: key)
    }

    /// Cuts that were made before are known; others are made when the run comes to them.
    private func lookUpCuts(_ node: GraphNode, _ instance: InstanceID) throws {
        for slice in state.slices(of: node, instance) where state.slices[slice] == nil {
            guard let source = state.results[InstanceID(node: slice.node)]?[slice.port] else { continue }
            let key = ActionKey(sliceOf: source, frames: slice.frames).digest
            if case .hit(let record) = try reader.lookup(key), let output = record.outputs["value"] {
                state.slices[slice] = reader.store.artifact(output)
            }
        }
        if GraphState.usesItem(node), state.items[instance] == nil, let (frames, valid) = state.segment(of: instance) {
            let key = ActionKey(segment: frames, validFrames: valid).digest
            if case .hit(let record) = try reader.lookup(key), let output = record.outputs["value"] {
                state.items[instance] = reader.store.artifact(output)
            }
        }
    }
}

extension RunReason {
    /// Why an instance that was looked up in vain runs.
    static func all(_ found: StoreReader.Lookup, key: Digest, now: Fingerprint, last: JournalEntry?) -> [RunReason] {
        if case .unusable(let reason) = found { return [reason] }
        guard let last else { return [.neverRan] }
        if last.key == key {
            return [last.status == .ran || last.status == .cached ? .evicted : .notFinished]
        }
        let changes = now.changes(since: last.fingerprint)
        return changes.isEmpty ? [.evicted] : changes
    }
}
