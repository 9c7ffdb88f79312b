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
        /// Its result is known and has left the cache, and nothing that runs needs it.
        case unneeded
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

        /// The same instance, as something that runs needs it.
        func needed(_ status: Status) -> Entry {
            Entry(
                instance: instance, type: type, status: status, reasons: reasons, seconds: seconds, key: key, outputs: outputs,
                sourceChanged: sourceChanged)
        }
    }

    public let graph: String
    /// In topological order.
    public let entries: [Entry]
    /// What the run is expected to take.
    public internal(set) var forecast: RunForecast?

    public func count(_ status: Status) -> Int { entries.count { $0.status == status } }
}

/// Walks a graph with look-ups only.
struct Planner {
    let state: GraphState
    let reader: StoreReader
    private var entries: [Plan.Entry] = []
    /// What makes the inputs of each instance.
    private var sources: [InstanceID: [InstanceID]] = [:]
    /// What has to be read to know what follows.
    private var certain: Set<InstanceID> = []

    init(state: GraphState, reader: StoreReader) {
        self.state = state
        self.reader = reader
    }

    mutating func plan() throws -> Plan {
        try state.openInputs(reader)
        for node in state.wanted {
            let list = node.each.map { InstanceID(node: $0.node) }
            let isListAbsent = node.each?.over == .segments && list.map { state.absent.contains(.instance($0)) } ?? false
            guard !isListAbsent, try state.expand(node, reader) else {
                if let list { certain.insert(list) }
                entries.append(unexpanded(node))
                continue
            }
            for instance in state.instances(of: node) { entries.append(try entry(node, instance)) }
        }
        demand()
        return Plan(graph: state.graph.name, entries: entries)
    }

    /// What has left the store is made again if something that runs takes it.
    private mutating func demand() {
        var needed = Dictionary(uniqueKeysWithValues: certain.map { ($0, Plan.Status.willRun) })
        for (index, entry) in entries.enumerated().reversed() {
            if entry.status == .unneeded, let status = needed[entry.instance] { entries[index] = entry.needed(status) }
            let status = entries[index].status
            guard status == .willRun || status == .depends else { continue }
            for source in sources[entry.instance] ?? [] where needed[source] != .willRun { needed[source] = status }
        }
    }

    private func unexpanded(_ node: GraphNode) -> Plan.Entry {
        let source = node.each?.node ?? node.id
        return Plan.Entry(
            instance: InstanceID(node: node.id), type: node.type.name, status: .depends, reasons: [.dependsOn([source])],
            seconds: nil, key: nil, outputs: [:], sourceChanged: false)
    }

    private mutating func entry(_ node: GraphNode, _ instance: InstanceID) throws -> Plan.Entry {
        try lookUpCuts(node, instance)
        let feeds = state.feeds(of: node, instance)
        sources[instance] = feeds.flatMap { $0.feeds.compactMap(\.source) }.compactMap { source in
            switch source {
            case .instance(let instance): instance
            case .slice(let slice): state.absent.contains(source) ? InstanceID(node: slice.node) : nil
            }
        }
        let print = state.fingerprint(of: node, feeds)
        var last: JournalEntry?
        func make(
            _ status: Plan.Status, _ reasons: [RunReason], key: Digest? = nil, record: ActionRecord? = nil
        ) -> Plan.Entry {
            Plan.Entry(
                instance: instance, type: node.type.name, status: status, reasons: reasons,
                seconds: record?.seconds ?? last?.seconds, key: key, outputs: record?.outputs ?? [:],
                sourceChanged: record?.isOutdated(by: print.source) ?? false)
        }
        // What is cached needs no look at the past.
        func lookBack() throws { last = try Journal.last(graph: state.graph.name, instance: instance, reader.db) }
        guard let key = state.key(of: node, feeds) else {
            try lookBack()
            let awaited = feeds.flatMap { $0.feeds.compactMap(\.awaits) }
            var seen: Set<String> = []
            let nodes = awaited.filter { seen.insert($0).inserted }
            let reasons = last.map { print.changes(since: $0.fingerprint) } ?? []
            let isForced = state.forced.contains(node.id)
            return make(isForced ? .willRun : .depends, (isForced ? [.forced] : reasons) + [.dependsOn(nodes)])
        }
        if state.forced.contains(node.id) {
            try lookBack()
            return make(.willRun, [.forced], key: key)
        }
        let found = try reader.lookup(key)
        if case .hit(let record) = found {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            return make(.cached, [], key: key, record: record)
        }
        try lookBack()
        if case .gone(let record, let reason) = found, !state.targets.contains(node.id) {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            state.absent.insert(.instance(instance))
            return make(.unneeded, [reason], key: key)
        }
        return make(.willRun, RunReason.all(found, key: key, now: print, last: last), key: key)
    }

    /// Cuts that were made before are known; others are made when the run comes to them.
    private mutating func lookUpCuts(_ node: GraphNode, _ instance: InstanceID) throws {
        for slice in state.slices(of: node, instance) where state.slices[slice] == nil {
            guard let source = state.results[InstanceID(node: slice.node)]?[slice.port] else { continue }
            let key = ActionKey(sliceOf: source, frames: slice.frames).digest
            switch try reader.lookup(key) {
            case .hit(let record): state.slices[slice] = record.outputs["value"].map(reader.store.artifact)
            case .gone(let record, _):
                state.slices[slice] = record.outputs["value"].map(reader.store.artifact)
                state.absent.insert(.slice(slice))
            case .miss: certain.insert(InstanceID(node: slice.node))
            }
        }
        if GraphState.usesItem(node), state.items[instance] == nil, let (frames, valid) = state.segment(of: instance) {
            let key = ActionKey(segment: frames, validFrames: valid).digest
            // Should it have left the store, it is made from the list again.
            switch try reader.lookup(key) {
            case .hit(let record), .gone(let record, _): state.items[instance] = record.outputs["value"].map(reader.store.artifact)
            case .miss: break
            }
        }
    }
}

extension RunReason {
    /// Why an instance that was looked up in vain runs.
    static func all(_ found: StoreReader.Lookup, key: Digest, now: Fingerprint, last: JournalEntry?) -> [RunReason] {
        if case .gone(_, let reason) = found { return [reason] }
        guard let last else { return [.neverRan] }
        if last.key == key {
            return [last.status == .ran || last.status == .cached ? .evicted : .notFinished]
        }
        let changes = now.changes(since: last.fingerprint)
        return changes.isEmpty ? [.evicted] : changes
    }
}
