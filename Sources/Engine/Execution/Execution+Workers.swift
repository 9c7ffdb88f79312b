import Dispatch
import Foundation
import GraphKit
import NodeKit

extension Execution {
    /// How a worker came back.
    enum Outcome: Sendable {
        case done(Commit)
        /// Somebody made it meanwhile.
        case cached(ActionRecord)
        /// Somebody else has the key's lock.
        case elsewhere
        case failed(any Error)
        /// A node ran for so many seconds; what it made is to be looked at and stored.
        case ran(seconds: Double, conclude: @Sendable () throws -> Outcome)
    }

    /// How long until a key that somebody else computes is looked up again.
    private static let retryInterval = DispatchTimeInterval.milliseconds(100)

    /// Hands a task to a worker.
    func start(_ task: Scheduler.Task, threads: Int) {
        guard let item = work[task], let job = jobs[task] else { return }
        let target: (node: GraphNode, instance: InstanceID)? =
            if case .instance(let node, let instance) = job { (node, instance) } else { nil }
        let name = target.map { "\($0.instance)" } ?? "cut-\(task)"
        // A folder for each attempt: what an earlier one made may still be in use.
        let folder = "\(temporaryFolder)/\(task)-\(name)"
        let files = state.files
        if let target { started[target.instance] = Date() }
        let own = Cancellation()
        running[task] = (item.key, own)
        let group = StreamGroup(task: task, threads: threads, cancellation: own)
        let memory = (own: scheduler.memory(of: task), free: scheduler.freeMemory)
        errands.append(
            Errand {
                self.end(task, folder, asWorker: true) { try self.perform(item, target, folder: folder, threads: threads, memory: memory, files: files, group) }
            })
    }

    /// Brings a task to its end.
    ///
    /// - Parameters:
    ///   - folder: Where the task put what it made; removed if it failed.
    ///   - isWorker: Whether the caller is a worker that is free then.
    /// - Returns: What the caller is to run, if it is a worker.
    private func end(_ task: Scheduler.Task, _ folder: String, asWorker isWorker: Bool, _ step: @Sendable () throws -> Outcome) -> Errand? {
        let outcome: Outcome
        do {
            outcome = try step()
        } catch {
            outcome = .failed(error)
            try? FileManager.default.removeItem(atPath: folder)
        }
        guard case .ran(let seconds, let conclude) = outcome else { return queue.sync { came(back: task, outcome, asWorker: isWorker) } }
        // After long work the next begins at once, and another thread keeps the books.
        guard seconds >= Self.long, let next = try? queue.sync(execute: { try startNext(after: task) }) else {
            return end(task, folder, asWorker: isWorker, conclude)
        }
        books.async { _ = self.end(task, folder, asWorker: false, conclude) }
        return next
    }

    /// A task in the hands of a worker; gives the next one.
    struct Errand: Sendable {
        let run: @Sendable () -> Errand?
    }

    /// Sends a worker for each task that was started.
    func sendWorkers() {
        for errand in errands {
            workers.run {
                var next: Errand? = errand
                while let errand = next { next = errand.run() }
            }
        }
        errands = []
    }

    private func came(back task: Scheduler.Task, _ outcome: Outcome, asWorker isWorker: Bool) -> Errand? {
        running[task] = nil
        var seconds = 0.0
        let isFollowed = isFollowedFirst(task)
        switch outcome {
        case .done(let commit):
            seconds = commit.record.seconds
            noteMade(commit)
            complete(task, commit.record, commit)
            scheduler.finished(task)
        case .cached(let record):
            complete(task, record)
            scheduler.finished(task)
        case .elsewhere:
            scheduler.yielded(task)
            waitForOther(task)
        case .failed(let error):
            fail(task, with: error)
        case .ran: preconditionFailure("a node that ran is concluded first")
        }
        return drain(asWorker: isWorker, after: seconds, isFollowed: isFollowed)
    }

    /// Looks again soon at a task whose key somebody else computes.
    func waitForOther(_ task: Scheduler.Task) {
        if case .instance(_, let instance)? = jobs[task] {
            // Made out of a stream already: it serves should the other one give up.
            if let made = work[task]?.staged { staged[instance] = made }
            if announced.insert(instance).inserted { emitter.send(.waiting(instance)) }
        }
        if let key = work[task]?.key { waiting[key, default: []].append(task) }
        queue.asyncAfter(deadline: .now() + Self.retryInterval) {
            self.scheduler.retry(task)
            self.drain()
        }
    }

    // MARK: - On a worker

    private func perform(
        _ item: Work, _ target: (node: GraphNode, instance: InstanceID)?, folder: String, threads: Int, memory: (own: Int, free: Int),
        files: [String: [UserFile]], _ group: StreamGroup
    ) throws -> Outcome {
        guard try item.isLocked || store.locks.tryLock(item.key) else { return .elsewhere }
        // From here on the key is ours until what it stands for is on disk.
        var isMade = false
        defer { if !isMade { store.locks.unlock([item.key]) } }
        // Another process may have made it between the look-up and the lock. That the same bytes came back by another action
        // of this run does not count, or timing would decide whether it runs.
        let (found, inputs) = try store.read { reader -> (ActionRecord?, [String: [Artifact]]) in
            if !item.isForced, case .hit(let record) = try reader.lookup(item.key, giving: item.definition?.description.outputs ?? []), record != item.gone { return (record, [:]) }
            return (nil, try item.inputs.mapValues { list in try list.map(reader.opened) })
        }
        if let found { return .cached(found) }
        if let staged = item.staged, let target {
            let made = try staged.get()
            try checkUnchanged(files, of: target.node)
            let commit = try commit(item, target.node, made)
            isMade = true
            return .done(commit)
        }
        let begin = DispatchTime.now()
        func seconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds - begin.uptimeNanoseconds) * 1e-9 }

        if let cut = item.cut {
            let sink = OutputSink(folder: folder, syncs: false, inlineLimit: store.inlineLimit)
            try cut(sink, inputs)
            let commit = try Commit(
                key: item.key, node: "cut", version: 1, seconds: seconds(), written: sink.results,
                inlineLimit: store.inlineLimit)
            isMade = true
            return .done(commit)
        }
        guard let target, let definition = item.definition else { throw NodeError("nothing to run") }
        let instance = target.instance
        for artifact in inputs.values.joined()
        where artifact.contents == nil && !FileManager.default.fileExists(atPath: artifact.path) {
            throw NodeError("'\(artifact.path)' vanished while the graph ran; run again")
        }
        // Programs read files; the same bytes as a tensor may be in the index.
        let isProgram = definition.module == nil
        let values = try inputs.mapValues { try $0.map { try isProgram || $0.type.isUsedByPath ? store.filed($0) : $0 } }
        emitter.send(.started(instance, type: target.node.type.name, threads: threads, reasons: item.reasons))
        let log = NodeLog(path: logPath(instance))
        let checkpoints = FileCheckpoints(path: "\(store.root)/checkpoints/\(item.key.hex)", folder: folder)
        if definition.module == nil { checkpoints.use() }
        let emitter = emitter
        let cancellation = group.cancellation
        let context = NodeContext(
            threads: threads, scratch: "\(folder)/scratch", checkpoints: checkpoints,
            progress: { emitter.progress(instance, $0) },
            log: { line in
                log.write(line)
                emitter.send(.log(instance, line: line))
            },
            isCancelled: { cancellation.isCancelled })
        let states = artifactStates(values)
        externalWorkers.makeRoom(memory.free, keeping: definition.codeDigest?.hex)
        let span = MemoryMeter.shared.begin()
        let run = NodeRun(
            cancellation: cancellation, log: log, checkpoint: checkpoints.path, workers: externalWorkers, memory: memory.own,
            isProgram: { MemoryMeter.shared.follow($0, isFresh: $1, for: span) })
        func attempt(_ sink: OutputSink) -> Result<Void, any Error> {
            Result {
                try NodeRun.$current.withValue(run) {
                    try definition.run(
                        NodeInvocation(inputs: values, parameters: target.node.parameters, outputs: sink, context: context))
                }
            }
        }
        // Threads beside its own are for those who take its frames, if anybody does.
        let mayStream = streamEdges.edges[instance.node] != nil
        let share = group.turns.share(mayStream && definition.description.cost.helpers > 0 ? 1 : threads)
        share.take()
        var sink = OutputSink(
            folder: folder, syncs: false, inlineLimit: store.inlineLimit, threads: share.count, offer: offer(of: instance, group, share))
        var result = attempt(sink)
        let took = seconds()
        let memory = MemoryMeter.shared.end(span)
        do {
            try settle(group, share, result)
        } catch is BrokenStream {
            context.log("its frames came otherwise than expected; they are stored")
            try? FileManager.default.removeItem(atPath: folder)
            sink = OutputSink(folder: folder, syncs: false, inlineLimit: store.inlineLimit, threads: share.count)
            result = attempt(sink)
        }
        try checkUntouched(states, values)
        try result.get()
        let outputs = sink.results
        isMade = true
        return .ran(seconds: took) { [self] in
            var isMade = false
            defer { if !isMade { store.locks.unlock([item.key]) } }
            try checkOutputs(outputs, of: definition.description)
            try checkUnchanged(files, of: target.node)
            let commit = try commit(item, target.node, Staged(outputs: outputs, seconds: took, memory: memory))
            checkpoints.remove()
            // Outputs stay until the run is over, under this name too.
            if context.hasScratch { try FileManager.default.removeItem(atPath: "\(folder)/scratch") }
            isMade = true
            return .done(commit)
        }
    }

    private func commit(_ item: Work, _ node: GraphNode, _ made: Staged) throws -> Commit {
        try Commit(
            key: item.key, node: node.type.name, version: node.version, seconds: made.seconds, memory: made.memory,
            source: item.fingerprint?.source, written: made.outputs, inlineLimit: store.inlineLimit)
    }

    func checkOutputs(_ written: [String: OutputSink.Written], of description: NodeDescription) throws {
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

    func logPath(_ instance: InstanceID) -> String { "\(store.root)/logs/\(runID)/\(instance).log" }

    // MARK: - On the queue

    /// Takes an action's outputs over as results.
    ///
    /// - Parameter commit: What was made just now, which others may use while it is on its way to the disk; nil when it was there.
    func complete(_ task: Scheduler.Task, _ record: ActionRecord, _ commit: Commit? = nil) {
        guard let job = jobs[task], var item = work.removeValue(forKey: task) else { return }
        if let commit { submit(commit, item, job) }
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
            absent[instance] = nil
            item.isStreamed = streamed.remove(instance) != nil && commit != nil
            if item.isStreamed {
                // Known, but not there: whoever else needs the frames has them made again.
                state.absent.insert(.instance(instance))
                demands[.instance(instance)] = nil
            }
            noteFinished(instance, item, record, cached: commit == nil)
        }
    }

    /// Sends what was made on its way to the disk.
    private func submit(_ commit: Commit, _ item: Work, _ job: Job) {
        let record = commit.record
        var entry: (run: Int64, entry: JournalEntry)?
        var owner = (instance: InstanceID(node: "?"), type: record.node)
        switch job {
        case .instance(let node, let instance):
            owner = (instance, node.type.name)
            entry = journalEntry(instance, item, .ran, record).map { (runID, $0) }
        case .slice(_, let instance), .segment(let instance): owner.instance = instance
        case .gate, .join: break
        }
        unsaved.withLock { $0 += 1 }
        let submit = { [self, owner] in
            store.commits.add(commit, entry: entry, isQuick: record.seconds < Self.quick, restored: restored, to: store) { error in
                self.saved(error) { error in self.noteUnsaved(owner.instance, owner.type, item, error) }
            }
        }
        if streamed.contains(owner.instance) { lateSubmissions.append(submit) } else { submit() }
    }

    func submitLate() {
        let submissions = lateSubmissions
        lateSubmissions = []
        for submit in submissions { submit() }
    }

    /// Work of less than this many seconds may be lost when the process is killed.
    private static let quick = 0.05

    /// Something that was on its way to the disk is there, or cannot be: may be called anywhere.
    ///
    /// - Parameter failed: Notes the failure, on the queue; the run stops then.
    func saved(_ error: (any Error)?, failed: @escaping @Sendable (any Error) -> Void) {
        guard let error else {
            // The run may have waited for the last.
            if unsaved.withLock({ $0 -= 1; return $0 == 0 }) { queue.async { self.drain() } }
            return
        }
        queue.async {
            failed(error)
            self.scheduler.stop()
            self.unsaved.withLock { $0 -= 1 }
            self.drain()
        }
    }

    private func noteUnsaved(_ instance: InstanceID, _ type: String, _ item: Work, _ error: any Error) {
        let failure = InstanceFailure(
            instance: instance, type: type, message: "its result cannot be stored: \(message(of: error))",
            inputs: inputs(of: item), parameters: item.fingerprint?.parameters ?? [:], log: nil)
        ran.removeAll { $0 == instance }
        failures.append(failure)
        emitter.send(.failed(failure))
    }

    /// Writes down that an instance's outputs are known.
    func noteFinished(_ instance: InstanceID, _ item: Work, _ record: ActionRecord, cached isCached: Bool) {
        if isCached { cached.append(instance) } else { ran.append(instance) }
        if !isCached {
            nodeSeconds += record.seconds
            // What runs beside others takes another time than alone.
            if item.staged == nil, !item.isStreamed { learn(instance, item, record) }
        }
        emitter.send(
            .finished(
                instance, type: record.node, cached: isCached, seconds: record.seconds, memory: record.memory,
                bytes: record.outputs.values.map(\.bytes).clampedSum))
        if isCached { note(instance, item, .cached, record) }
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
        if isStopped {
            stopped.append(instance)
        } else {
            let log = logPath(instance)
            let failure = InstanceFailure(
                instance: instance, type: type, message: message(of: error), inputs: item.map(inputs) ?? [],
                parameters: item?.fingerprint?.parameters ?? [:],
                log: FileManager.default.fileExists(atPath: log) ? log : nil)
            failures.append(failure)
            emitter.send(.failed(failure))
        }
        if let item, item.fingerprint != nil {
            note(instance, item, isStopped ? .cancelled : .failed, error: isStopped ? nil : message(of: error))
        }
        // The node has no part in it: the run ends with the store's own error.
        if CacheStore.isDamage(error) { storeFailure = storeFailure ?? error }
        if isStopped || storeFailure != nil { scheduler.stop() }
        scheduler.failed(task)
    }

    func noteSkip(_ task: Scheduler.Task, _ cause: Scheduler.Task?) {
        if let item = work[task], item.isLocked { store.locks.unlock([item.key]) }
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
        if let entry = journalEntry(instance, item, status, record, error: error) { unwritten.append(entry) }
    }

    private func journalEntry(
        _ instance: InstanceID, _ item: Work, _ status: InstanceStatus, _ record: ActionRecord? = nil, error: String? = nil
    ) -> JournalEntry? {
        item.fingerprint.map {
            JournalEntry(
                instance: instance, status: status, key: item.key, fingerprint: $0, outputs: record?.outputs ?? [:],
                seconds: record?.seconds, memory: record?.memory, error: error)
        }
    }

    private func message(of error: any Error) -> String { StoreError.text(CacheStore.explained(error, root: store.root)) }

    /// What an instance was given, as files that can be looked at.
    private func inputs(of item: Work) -> [InstanceFailure.Input] {
        item.feeds.flatMap { port, feeds in
            feeds.prefix(4).compactMap { feed -> InstanceFailure.Input? in
                guard let artifact = feed.artifact else { return nil }
                let file = (try? store.filed(artifact)) ?? artifact
                let isOurs = feed.source != nil
                return InstanceFailure.Input(
                    port: port, from: feed.from, type: file.type.name, digest: file.digest, content: Self.content(of: file),
                    path: isOurs ? store.path(of: file.digest, suffix: (file.path as NSString).pathExtension) : file.path)
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
