import Dispatch
import Foundation
import GraphKit
import NodeKit

extension Execution {
    /// How a worker came back.
    enum Outcome: Sendable {
        case done(ActionRecord, cached: Bool)
        /// Somebody else has the key's lock.
        case elsewhere
        case failed(any Error)
    }

    /// How long until a key that somebody else computes is looked up again.
    private static let retryInterval = DispatchTimeInterval.milliseconds(100)

    /// Hands a task to a worker.
    func start(_ task: Scheduler.Task, threads: Int) {
        guard let item = work[task], let job = jobs[task] else { return }
        let target: (node: GraphNode, instance: InstanceID)? =
            if case .instance(let node, let instance) = job { (node, instance) } else { nil }
        let name = target.map { "\($0.instance)" } ?? "cut-\(task)"
        let folder = "\(temporaryFolder)/\(name)"
        let files = state.inputStates
        let own = Cancellation()
        running[task] = (item.key, own)
        workers.async {
            let outcome: Outcome
            do {
                outcome = try self.perform(item, target, folder: folder, threads: threads, inputStates: files, own)
            } catch {
                outcome = .failed(error)
            }
            try? FileManager.default.removeItem(atPath: folder)
            self.queue.async { self.came(back: task, outcome) }
        }
    }

    private func came(back task: Scheduler.Task, _ outcome: Outcome) {
        running[task] = nil
        switch outcome {
        case .done(let record, let cached):
            complete(task, record, cached: cached)
            scheduler.finished(task)
        case .elsewhere:
            if case .instance(_, let instance)? = jobs[task], work[task]?.isAnnounced != true {
                work[task]?.isAnnounced = true
                emitter.send(.waiting(instance))
            }
            scheduler.yielded(task)
            if let key = work[task]?.key { waiting[key, default: []].append(task) }
            queue.asyncAfter(deadline: .now() + Self.retryInterval) {
                self.scheduler.retry(task)
                self.drain()
            }
        case .failed(let error):
            fail(task, with: error)
        }
        drain()
    }

    // MARK: - On a worker

    private func perform(
        _ item: Work, _ target: (node: GraphNode, instance: InstanceID)?, folder: String, threads: Int,
        inputStates: [String: [String: FileState]], _ cancellation: Cancellation
    ) throws -> Outcome {
        guard let lock = try store.tryLock(item.key) else { return .elsewhere }
        defer { withExtendedLifetime(lock) {} }
        // Another process may have made it between the look-up and the lock. That the same bytes came back by another action
        // of this run does not count, or timing would decide whether it runs.
        if !item.isForced, case .hit(let record) = try store.read({ try $0.lookup(item.key) }), record != item.gone {
            return .done(record, cached: true)
        }
        try? FileManager.default.removeItem(atPath: folder)
        try FileManager.default.createDirectory(atPath: "\(folder)/scratch", withIntermediateDirectories: true)
        let begin = DispatchTime.now()
        func seconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds - begin.uptimeNanoseconds) * 1e-9 }

        if let cut = item.cut {
            let path = "\(folder)/value.safetensors"
            let (type, digest) = try cut(path)
            let files = ["value": CacheStore.NewFile(path: path, type: type, digest: digest)]
            return .done(
                try store.commit(key: item.key, node: "cut", version: 1, seconds: seconds(), files: files), cached: false)
        }
        guard let target, let definition = item.definition else { throw NodeError("nothing to run") }
        let instance = target.instance
        for artifact in item.inputs.values.joined() where !FileManager.default.fileExists(atPath: artifact.path) {
            throw NodeError("'\(artifact.path)' vanished while the graph ran; run again")
        }
        emitter.send(.started(instance, type: target.node.type.name, threads: threads, reasons: item.reasons))
        let log = NodeLog(path: logPath(instance))
        let checkpoints = FileCheckpoints(path: "\(store.root)/checkpoints/\(item.key.hex)", folder: folder)
        let emitter = emitter
        let context = NodeContext(
            threads: threads, scratch: "\(folder)/scratch", checkpoints: checkpoints,
            progress: { emitter.progress(instance, $0) },
            log: { line in
                log.write(line)
                emitter.send(.log(instance, line: line))
            },
            isCancelled: { cancellation.isCancelled })
        let sink = OutputSink(folder: folder)
        let span = MemoryMeter.shared.begin()
        let run = NodeRun(
            cancellation: cancellation, log: log, checkpoint: checkpoints.path,
            isProgram: { MemoryMeter.shared.follow($0, for: span) })
        let result = Result {
            try NodeRun.$current.withValue(run) {
                try definition.run(
                    NodeInvocation(inputs: item.inputs, parameters: target.node.parameters, outputs: sink, context: context))
            }
        }
        let memory = MemoryMeter.shared.end(span)
        try result.get()
        try checkOutputs(sink.results, of: definition.description)
        try checkInputsUnchanged(target.node, inputStates)
        let record = try store.commit(
            key: item.key, node: target.node.type.name, version: target.node.version, seconds: seconds(),
            memory: memory, source: item.fingerprint?.source,
            files: sink.results.mapValues { .init(path: $0.path, type: $0.type, digest: $0.digest) })
        checkpoints.remove()
        return .done(record, cached: false)
    }

    private func checkOutputs(_ written: [String: OutputSink.Written], of description: NodeDescription) throws {
        for (name, file) in written {
            let owner = String(name.prefix { $0 != "[" })
            guard let port = description.output(owner) else {
                throw NodeError("node type '\(description.type)' wrote an output '\(name)' that it does not declare")
            }
            guard file.type == (owner == name ? port.type : port.type.element) else {
                throw NodeError("output '\(name)' is a '\(file.type)', '\(port.type)' declared")
            }
        }
    }

    /// A file that changed while it was read must not be cached under the old digest.
    private func checkInputsUnchanged(_ node: GraphNode, _ states: [String: [String: FileState]]) throws {
        func check(_ wire: Wire) throws {
            switch wire {
            case .input(let name):
                for (path, state) in states[name] ?? [:] where FileState(path: path) != state {
                    throw NodeError("'\(path)' changed while it was read; run again when it is complete")
                }
            case .list(let wires): try wires.forEach(check)
            case .port(let source, let port, _):
                for (path, state) in states["\(source).\(port)"] ?? [:] where FileState(path: path) != state {
                    throw NodeError("'\(path)' changed while it was read; run again when it is complete")
                }
            case .eachItem: break
            }
        }
        try node.wires.values.forEach(check)
    }

    func logPath(_ instance: InstanceID) -> String { "\(store.root)/logs/\(runID)/\(instance).log" }

    // MARK: - On the queue

    /// Takes an action's outputs over as results.
    func complete(_ task: Scheduler.Task, _ record: ActionRecord, cached isCached: Bool) {
        guard let job = jobs[task], let item = work.removeValue(forKey: task) else { return }
        for other in waiting.removeValue(forKey: item.key) ?? [] { scheduler.retry(other) }
        switch job {
        case .gate, .join: break
        case .slice(let slice, _):
            state.slices[slice] = record.outputs["value"].map(store.artifact)
            state.absent.remove(.slice(slice))
        case .segment(let instance):
            state.items[instance] = record.outputs["value"].map(store.artifact)
            state.absent.remove(.item(instance))
        case .instance(_, let instance):
            state.results[instance] = record.outputs.mapValues(store.artifact)
            state.absent.remove(.instance(instance))
            noteFinished(instance, item, record, cached: isCached)
        }
    }

    /// Writes down that an instance's outputs are known.
    func noteFinished(_ instance: InstanceID, _ item: Work, _ record: ActionRecord, cached isCached: Bool) {
        if isCached { cached.append(instance) } else { ran.append(instance) }
        if !isCached { nodeSeconds += record.seconds }
        emitter.send(
            .finished(
                instance, type: record.node, cached: isCached, seconds: record.seconds, memory: record.memory,
                bytes: record.outputs.values.reduce(0) { $0 + $1.bytes }))
        note(instance, item, isCached ? .cached : .ran, record)
    }

    func fail(_ task: Scheduler.Task, with error: any Error) {
        let item = work.removeValue(forKey: task)
        let isStopped = cancellation.isCancelled
        if isStopped { wasCancelled = true }
        let (instance, type): (InstanceID, String) =
            switch jobs[task] {
            case .instance(let node, let instance): (instance, node.type.name)
            case .gate(let node), .join(let node): (InstanceID(node: node.id), node.type.name)
            case .slice(_, let instance), .segment(let instance): (instance, graph.node(instance.node)?.type.name ?? "")
            case nil: (InstanceID(node: "?"), "")
            }
        failedInstances[task] = instance
        if !isStopped {
            let log = logPath(instance)
            let failure = InstanceFailure(
                instance: instance, type: type, message: Self.message(of: error), inputs: item.map(Self.inputs) ?? [],
                parameters: item?.fingerprint?.parameters ?? [:],
                log: FileManager.default.fileExists(atPath: log) ? log : nil)
            failures.append(failure)
            emitter.send(.failed(failure))
        }
        if let item, item.fingerprint != nil {
            note(instance, item, isStopped ? .cancelled : .failed, error: Self.message(of: error))
        }
        if isStopped { scheduler.stop() }
        scheduler.failed(task)
    }

    func noteSkip(_ task: Scheduler.Task, _ cause: Scheduler.Task?) {
        let instance: InstanceID
        switch jobs[task] {
        case .instance(_, let id): instance = id
        case .gate(let node): instance = InstanceID(node: node.id)
        default: return
        }
        skipped.append(instance)
        emitter.send(.skipped(instance, because: cause.flatMap { failedInstances[$0] }))
    }

    private func note(
        _ instance: InstanceID, _ item: Work, _ status: InstanceStatus, _ record: ActionRecord? = nil, error: String? = nil
    ) {
        guard let print = item.fingerprint else { return }
        unwritten.append(
            JournalEntry(
                instance: instance, status: status, key: item.key, fingerprint: print, outputs: record?.outputs ?? [:],
                seconds: record?.seconds, memory: record?.memory, error: error))
    }

    private static func message(of error: any Error) -> String {
        switch error {
        case let error as any LocalizedError: error.errorDescription ?? "\(error)"
        default: "\(error)"
        }
    }

    private static func inputs(of item: Work) -> [InstanceFailure.Input] {
        item.feeds.flatMap { port, feeds in
            feeds.prefix(4).compactMap { feed in
                feed.artifact.map {
                    InstanceFailure.Input(
                        port: port, from: feed.from, type: $0.type.name, digest: $0.digest, content: content(of: $0),
                        path: $0.path)
                }
            }
        }
    }

    /// The tensors of an artifact, largest first.
    private static func content(of artifact: Artifact) -> String {
        guard artifact.path.hasSuffix(".safetensors"), let file = try? artifact.open() else { return "" }
        let tensors = file.tensors.values.sorted { ($0.range.count, $1.name) > ($1.range.count, $0.name) }
        return tensors.prefix(3).map { "\($0.name) \($0.dtype.rawValue) \($0.shape)" }.joined(separator: ", ")
    }
}
