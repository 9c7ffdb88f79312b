import GraphKit
import NodeKit

/// Walks a graph with look-ups only.
struct Planner {
    let state: GraphState
    let reader: StoreReader
    private var entries: [Plan.Entry] = []
    /// What each entry's outputs depend on, as far as it is known; kept where it is asked for.
    private(set) var fingerprints: [InstanceID: Fingerprint] = [:]
    private let keepsFingerprints: Bool
    /// What makes the inputs of each entry.
    private var sources: [[InstanceID]] = []
    /// What has to be read to know what follows.
    private var certain: Set<InstanceID> = []
    private lazy var streams = StreamEdges(state)

    init(state: GraphState, reader: StoreReader, keepsFingerprints: Bool = false) {
        self.state = state
        self.reader = reader
        self.keepsFingerprints = keepsFingerprints
    }

    mutating func plan() throws -> Plan {
        try state.openInputs(reader)
        for node in state.wanted {
            let list = node.each.map { InstanceID(node: $0.node) }
            let isListAbsent = node.each.map { $0.over == .segments && state.isAbsent(InstanceID(node: $0.node), $0.port) } ?? false
            guard !isListAbsent, try state.expand(node, reader) else {
                if let list { certain.insert(list) }
                entries.append(unexpanded(node))
                sources.append(
                    node.dependencies.flatMap { name in state.graph.node(name).map(state.instances) ?? [] })
                continue
            }
            for instance in state.instances(of: node) {
                let (entry, makers) = try entry(node, instance)
                entries.append(entry)
                sources.append(makers)
            }
        }
        if entries.contains(where: { $0.status != .cached }) { settle() }
        return Plan(graph: state.graph.name, entries: entries, pins: state.pinnedValues)
    }

    /// What has left the store is made again if something that runs takes it, and of instances with the same key one runs.
    ///
    /// The order is the executor's (`Execution.admit`): all whose inputs are known are settled before anything starts, first
    /// those that run anyway, then round by round what these need; the first in the graph's order makes what a key stands for.
    private mutating func settle() {
        let places = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.instance, $0) })
        var demanded: Set<Int> = []
        func demand(_ place: Int) -> Bool {
            if entries[place].status == .unneeded, demanded.insert(place).inserted { entries[place] = entries[place].with(.willRun) }
            return demanded.contains(place)
        }
        for instance in certain { _ = places[instance].map { demand($0) } }
        let late = late()
        var makers: [Digest: Int] = [:]
        var waits = WaitGraph<Int>()
        var round = entries.indices.filter { entries[$0].status == .willRun && entries[$0].key != nil && !late.contains($0) }
        while !round.isEmpty {
            let before = demanded
            for place in round {
                guard let key = entries[place].key else { continue }
                if let maker = makers[key] {
                    guard waits.reaches(place, from: maker) else {
                        share(place, with: maker)
                        waits.set([maker], of: place)
                        continue
                    }
                    // It takes over, since the other one needs what it makes.
                    share(maker, with: place)
                }
                makers[key] = place
                waits.set(sources[place].compactMap { places[$0] }.filter(demand), of: place)
            }
            round = demanded.subtracting(before).sorted()
        }
        // What waits for others may turn out to be cached, and then needs nothing; what runs later may find its inputs again.
        var maybeNeeded: Set<InstanceID> = []
        for place in entries.indices.reversed() {
            let entry = entries[place]
            if entry.status == .unneeded, maybeNeeded.contains(entry.instance) { entries[place] = entry.with(.depends) }
            let isLate = entry.status == .willRun && (entry.reasons.first == .forced || late.contains(place))
            if entries[place].status == .depends || isLate { maybeNeeded.formUnion(sources[place]) }
        }
    }

    /// What hands on frames, and what has to be over before that will run: it does not begin with the others. It may even find
    /// that another one made the same meanwhile.
    private mutating func late() -> Set<Int> {
        guard !streams.follows.isEmpty else { return [] }
        let open = Set(entries.filter { $0.status == .willRun || $0.status == .depends }.map(\.instance.node))
        let late = entries.indices.filter { place in
            entries[place].status == .willRun && entries[place].key != nil
                && !(streams.follows[entries[place].instance.node] ?? []).isDisjoint(with: open)
        }
        for place in late where entries[place].reasons != [.forced] && entries.indices.contains(where: { isSame($0, place) }) {
            entries[place] = entries[place].with(.depends)
        }
        return Set(late)
    }

    /// Whether another instance may turn out to be the same action.
    private func isSame(_ other: Int, _ place: Int) -> Bool {
        guard other != place, let key = entries[place].key else { return false }
        if let known = entries[other].key { return known == key }
        let (a, b) = (state.graph.node(entries[place].instance.node), state.graph.node(entries[other].instance.node))
        return a?.type == b?.type && a?.canonicalParameters == b?.canonicalParameters
    }

    /// An instance takes over what another one makes under the same key, unless it is to run whatever there is.
    private mutating func share(_ place: Int, with maker: Int) {
        guard entries[place].reasons != [.forced] else { return }
        // Frames that are handed on while they are made are not there afterwards.
        let status: Plan.Status = streams.edges[entries[maker].instance.node] == nil ? .shared : .depends
        entries[place] = entries[place].with(status, [.sameAs("\(entries[maker].instance)")])
    }

    private func unexpanded(_ node: GraphNode) -> Plan.Entry {
        let source = node.each?.node ?? node.id
        return Plan.Entry(
            instance: InstanceID(node: node.id), type: node.type.name, status: .depends, reasons: [.dependsOn([source])],
            seconds: nil, key: nil, outputs: [:], sourceChanged: false, isTarget: true)
    }

    /// What is known of an instance, and what makes its inputs.
    private mutating func entry(_ node: GraphNode, _ instance: InstanceID) throws -> (entry: Plan.Entry, makers: [InstanceID]) {
        try lookUpCuts(node, instance)
        let feeds = state.feeds(of: node, instance)
        let makers = feeds.flatMap { $0.feeds.compactMap(\.source) }.compactMap { source in
            switch source {
            case .instance(let instance): instance
            case .slice(let slice): state.absent.contains(source) && !state.isPinned(slice) ? InstanceID(node: slice.node) : nil
            case .item: nil
            }
        }
        return (try entry(node, instance, feeds), makers)
    }

    private mutating func entry(
        _ node: GraphNode, _ instance: InstanceID, _ feeds: [(port: String, feeds: [GraphState.Feed])]
    ) throws -> Plan.Entry {
        let print = state.fingerprint(of: node, feeds)
        if keepsFingerprints { fingerprints[instance] = print }
        var last: Journal.Last?
        func make(
            _ status: Plan.Status, _ reasons: [RunReason], key: Digest? = nil, record: ActionRecord? = nil
        ) -> Plan.Entry {
            Plan.Entry(
                instance: instance, type: node.type.name, status: status, reasons: reasons,
                seconds: record?.seconds ?? last?.seconds, key: key, outputs: record?.outputs ?? [:],
                sourceChanged: record?.isOutdated(by: print.source) ?? false, isTarget: state.isTarget(instance))
        }
        // What is cached needs no look at the past.
        func lookBack() throws { last = try Journal.last(graph: state.graph.name, instance: instance, reader.db) }
        guard let key = state.key(of: node, feeds) else {
            try lookBack()
            let awaited = feeds.flatMap { $0.feeds.compactMap(\.awaits) }
            var seen: Set<String> = []
            let nodes = awaited.filter { seen.insert($0).inserted }
            let reasons = last.map { print.changes(since: $0.fingerprint) } ?? []
            let isForced = state.isForced(instance)
            return make(isForced ? .willRun : .depends, (isForced ? [.forced] : reasons) + [.dependsOn(nodes)])
        }
        if state.isForced(instance) {
            try lookBack()
            return make(.willRun, [.forced], key: key)
        }
        let found = try reader.lookup(key, giving: node.description.outputs)
        if case .hit(let record) = found {
            state.results[instance] = record.outputs.mapValues(reader.store.artifact)
            return make(.cached, [], key: key, record: record)
        }
        try lookBack()
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
            case .miss: if !state.isPinned(slice) { certain.insert(InstanceID(node: slice.node)) }
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
    static func all(_ found: StoreReader.Lookup, key: Digest, now: Fingerprint, last: Journal.Last?) -> [RunReason] {
        if case .gone(_, let reason) = found { return [reason] }
        guard let last else { return [.neverRan] }
        if last.key == key {
            return [last.status == .ran || last.status == .cached ? .evicted : .notFinished]
        }
        let changes = now.changes(since: last.fingerprint)
        return changes.isEmpty ? [.evicted] : changes
    }
}
