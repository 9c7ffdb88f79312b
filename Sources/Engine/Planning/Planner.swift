import GraphKit
import NodeKit

/// Walks a graph with look-ups only.
struct Planner {
    let state: GraphState
    let reader: StoreReader
    private var entries: [Plan.Entry] = []
    /// What each instance's outputs depend on, as far as it is known.
    private(set) var fingerprints: [InstanceID: Fingerprint] = [:]
    /// Places in `entries`.
    private var places: [InstanceID: Int] = [:]
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
            guard !isListAbsent, try state.expand(node) else {
                if let list { certain.insert(list) }
                add(unexpanded(node))
                sources[InstanceID(node: node.id)] = node.dependencies.flatMap { name in
                    state.graph.node(name).map(state.instances) ?? []
                }
                continue
            }
            for instance in state.instances(of: node) { add(try entry(node, instance)) }
        }
        demand()
        return Plan(graph: state.graph.name, entries: entries, pins: state.pinnedValues)
    }

    private mutating func add(_ entry: Plan.Entry) {
        places[entry.instance] = entries.count
        entries.append(entry)
    }

    /// What has left the store is made again if something that runs takes it, and of instances with the same key one runs.
    ///
    /// The order is the executor's: all whose inputs are known are settled before anything starts, first those that run
    /// anyway, then round by round what these need; the first in the graph's order makes what a key stands for.
    private mutating func demand() {
        for instance in certain {
            if let place = places[instance], entries[place].status == .unneeded { entries[place] = entries[place].with(.willRun) }
        }
        var makers: [Digest: InstanceID] = [:]
        var round = entries.indices.filter { entries[$0].status == .willRun && entries[$0].key != nil }
        while !round.isEmpty {
            var next: [Int] = []
            for place in round {
                let entry = entries[place]
                if let key = entry.key, let maker = makers[key] {
                    if entry.reasons != [.forced] { entries[place] = entry.with(.shared, [.sameAs("\(maker)")]) }
                    continue
                }
                if let key = entry.key { makers[key] = entry.instance }
                for source in sources[entry.instance] ?? [] {
                    guard let place = places[source], entries[place].status == .unneeded else { continue }
                    entries[place] = entries[place].with(.willRun)
                    next.append(place)
                }
            }
            round = next.sorted()
        }
        // What waits for others may turn out to be cached, and then needs nothing.
        var maybeNeeded: Set<InstanceID> = []
        for place in entries.indices.reversed() {
            if entries[place].status == .unneeded, maybeNeeded.contains(entries[place].instance) {
                entries[place] = entries[place].with(.depends)
            }
            if entries[place].status == .depends || (entries[place].status == .willRun && entries[place].reasons.first == .forced) {
                maybeNeeded.formUnion(sources[entries[place].instance] ?? [])
            }
        }
    }

    private func unexpanded(_ node: GraphNode) -> Plan.Entry {
        let source = node.each?.node ?? node.id
        return Plan.Entry(
            instance: InstanceID(node: node.id), type: node.type.name, status: .depends, reasons: [.dependsOn([source])],
            seconds: nil, key: nil, outputs: [:], sourceChanged: false, isTarget: true)
    }

    private mutating func entry(_ node: GraphNode, _ instance: InstanceID) throws -> Plan.Entry {
        try lookUpCuts(node, instance)
        let feeds = state.feeds(of: node, instance)
        sources[instance] = feeds.flatMap { $0.feeds.compactMap(\.source) }.compactMap { source in
            switch source {
            case .instance(let instance): instance
            case .slice(let slice): state.absent.contains(source) ? InstanceID(node: slice.node) : nil
            case .item: nil
            }
        }
        let print = state.fingerprint(of: node, feeds)
        fingerprints[instance] = print
        let last = try Journal.last(graph: state.graph.name, instance: instance, reader.db)
        func make(
            _ status: Plan.Status, _ reasons: [RunReason], key: Digest? = nil, record: ActionRecord? = nil
        ) -> Plan.Entry {
            Plan.Entry(
                instance: instance, type: node.type.name, status: status, reasons: reasons,
                seconds: record?.seconds ?? last?.seconds, key: key, outputs: record?.outputs ?? [:],
                sourceChanged: record?.isOutdated(by: print.source) ?? false, isTarget: state.isTarget(instance))
        }
        guard let key = state.key(of: node, feeds) else {
            let awaited = feeds.flatMap { $0.feeds.compactMap(\.awaits) }
            var seen: Set<String> = []
            let nodes = awaited.filter { seen.insert($0).inserted }
            let reasons = last.map { print.changes(since: $0.fingerprint) } ?? []
            let isForced = state.isForced(instance)
            return make(isForced ? .willRun : .depends, (isForced ? [.forced] : reasons) + [.dependsOn(nodes)])
        }
        if state.isForced(instance) { return make(.willRun, [.forced], key: key) }
        let found = try reader.lookup(key)
        if case .hit(let record) = found {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            return make(.cached, [], key: key, record: record)
        }
        if case .gone(let record, let reason) = found, !state.isTarget(instance) {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            state.absent.insert(.instance(instance))
            return make(.unneeded, [reason], key: key)
        }
        return make(.willRun, RunReason.all(found, key: key, now: print, last: last), key: key)
    }

    /// Cuts that were made before are known; others are made when the run comes to them.
    private mutating func lookUpCuts(_ node: GraphNode, _ instance: InstanceID) throws {
        for slice in state.slices(of: node, instance) where state.slices[slice] == nil {
            guard let source = state.values(of: InstanceID(node: slice.node), slice.port)?.first?.value else { continue }
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
            // Should it have left the store, it is made from its two numbers again.
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
