import GraphKit
import NodeKit

/// What becomes of a task once all that it depends on is known: it is cached, waits, or has to run.
extension Execution {
    func resolve(_ task: Scheduler.Task, _ reader: StoreReader) {
        guard let job = jobs[task] else { return scheduler.resolved(task) }
        do {
            switch job {
            case .join: scheduler.resolved(task)
            case .gate(let node): try open(node, task, reader)
            case .instance(let node, let instance): try resolve(node, instance, task, reader)
            case .slice(let slice, let instance): try resolve(slice, instance, task, reader)
            case .segment(let instance): try resolve(segmentOf: instance, task, reader)
            }
        } catch {
            fail(task, with: error)
        }
    }

    /// The list of `each` is there: its instances become tasks.
    private func open(_ node: GraphNode, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        if let each = node.each, case let list = InstanceID(node: each.node), each.over == .segments, state.isAbsent(list, each.port) {
            return postpone(task, until: demand([.instance(list)], for: InstanceID(node: node.id)))
        }
        guard try state.expand(node, reader), let join = nodeTasks[node.id] else {
            throw NodeError("the list that '\(node.id)' repeats over was not made")
        }
        let instances = state.instances(of: node)
        total += instances.count
        emitter.send(.total(instances: total))
        scheduler.add(dependencies: instances.map { addInstance(node, $0) }, to: join)
        scheduler.resolved(task)
    }

    private func resolve(_ node: GraphNode, _ instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        sharing.remove(task)
        let feeds = state.feeds(of: node, instance)
        guard let key = state.key(of: node, feeds), let definition = engine.catalogue[node.type] else {
            throw NodeError("an input of '\(instance)' was not made")
        }
        let print = state.fingerprint(of: node, feeds)
        var item = Work(key: key, fingerprint: print)
        item.isForced = state.isForced(instance)
        if item.isForced {
            item.reasons = [.forced]
        } else {
            let found = try lookup(key, giving: node.description.outputs, reader)
            if case .hit(let record) = found {
                if record.isOutdated(by: print.source) {
                    emitter.send(.warning(
                        "\(instance): the code of \(node.type) changed since this was made, its version did not; --force \(node.id) makes it again"))
                }
                staged[instance] = nil
                work[task] = item
                complete(task, record)
                scheduler.resolved(task)
                return
            }
            if case .gone(let record, _) = found {
                guard isNeeded(instance) else {
                    settle(instance, item, record)
                    return scheduler.resolved(task)
                }
                item.gone = record
            }
            let last = try Journal.last(graph: graph.name, instance: instance, reader.db)
            item.reasons = RunReason.all(found, key: key, now: print, last: last)
        }
        item.staged = staged.removeValue(forKey: instance)
        item.inputs = Dictionary(uniqueKeysWithValues: feeds.map { ($0.port, $0.feeds.compactMap(\.artifact)) })
        item.feeds = feeds
        item.definition = definition
        ready.append(Ready(task: task, node: node, instance: instance, work: item))
    }

    private func resolve(
        _ slice: GraphState.Slice, _ instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader
    ) throws {
        guard let source = state.values(of: InstanceID(node: slice.node), slice.port)?.first?.value else {
            throw NodeError("'\(slice.node).\(slice.port)' was not made")
        }
        let key = ActionKey(sliceOf: source, frames: slice.frames).digest
        switch try lookup(key, reader) {
        case .hit: break
        case .gone(let record, _) where demands[.slice(slice)] == nil:
            state.slices[slice] = record.outputs["value"].map(store.artifact)
            state.absent.insert(.slice(slice))
            return scheduler.resolved(task)
        case .gone, .miss:
            let needed = state.isPinned(slice) ? [] : demand([.instance(InstanceID(node: slice.node))], for: instance)
            guard needed.isEmpty else { return postpone(task, until: needed) }
        }
        try resolveCut(task, key: key, memory: cutMemory(source), ["source": [source]], reader) { sink, inputs in
            do {
                guard let source = inputs["source"]?.first else { return }
                let writer = try sink.makeWriter("value", type: source.type, headerCapacity: 16_384)
                try ValueCatalog.slice(source, frames: slice.frames, to: writer)
                try sink.finish("value", writer)
            } catch {
                throw NodeError("cutting \(slice.text) for '\(instance)': \(StoreError.text(error))")
            }
        }
    }

    private func resolve(segmentOf instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        guard let (frames, valid) = state.segment(of: instance) else {
            throw NodeError("'\(instance)' has no segment")
        }
        let key = ActionKey(segment: frames, validFrames: valid).digest
        if demands[.item(instance)] == nil, case .gone(let record, _) = try lookup(key, reader) {
            state.items[instance] = record.outputs["value"].map(store.artifact)
            state.absent.insert(.item(instance))
            return scheduler.resolved(task)
        }
        try resolveCut(task, key: key, memory: 0, [:], reader) { sink, _ in
            let writer = try sink.makeWriter("value", type: .segments)
            try Segments(ranges: [frames], frameCount: valid).write(to: writer)
            try sink.finish("value", writer)
        }
    }

    private func resolveCut(
        _ task: Scheduler.Task, key: Digest, memory: Int, _ inputs: [String: [Artifact]], _ reader: StoreReader,
        make: @escaping @Sendable (OutputSink, [String: [Artifact]]) throws -> Void
    ) throws {
        var item = Work(key: key, fingerprint: nil)
        if case .hit(let record) = try lookup(key, reader) {
            work[task] = item
            complete(task, record)
            scheduler.resolved(task)
            return
        }
        item.cut = make
        item.inputs = inputs
        work[task] = item
        scheduler.enqueue(task, .init(threads: 1, memory: memory))
    }

    /// A cut holds its stretch, and what was mapped of the source, for a moment.
    private func cutMemory(_ source: Artifact) -> Int { min(Int(FileState(path: source.path)?.size ?? 0), 256 << 20) }
}
