import Dispatch
import Foundation
import GraphKit
import NodeKit

/// One run: a serial queue owns the scheduler and all that is known; workers run nodes and come back to it.
///
/// `@unchecked Sendable`: everything mutable is touched on `queue` only.
final class Execution: @unchecked Sendable {
    /// What a task of the scheduler stands for.
    enum Job {
        /// The number of instances of a node with `each` becomes known.
        case gate(GraphNode)
        /// All instances are done.
        case join(GraphNode)
        case instance(GraphNode, InstanceID)
        case slice(GraphState.Slice, for: InstanceID)
        case segment(InstanceID)
    }

    let engine: UnderstudyEngine
    let graph: Graph
    let options: RunOptions
    let cancellation: Cancellation
    let emitter: EventEmitter
    let queue = DispatchQueue(label: "understudy.engine", qos: .userInitiated)
    let workers = DispatchQueue(label: "understudy.nodes", qos: .userInitiated, attributes: .concurrent)
    let lease: Lease
    let start = Date()
    let state: GraphState
    var scheduler: Scheduler
    var runID: Int64 = 0

    var jobs: [Scheduler.Task: Job] = [:]
    var nodeTasks: [String: Scheduler.Task] = [:]
    private var gateTasks: [String: Scheduler.Task] = [:]
    private var instanceTasks: [InstanceID: Scheduler.Task] = [:]
    private var sliceTasks: [GraphState.Slice: Scheduler.Task] = [:]
    private var segmentTasks: [InstanceID: Scheduler.Task] = [:]
    /// Tasks that make again what has left the store.
    var demands: [GraphState.Source: Scheduler.Task] = [:]
    var absent: [InstanceID: Absent] = [:]
    private var priorities: [String: Double] = [:]
    private var total = 0
    /// Started or resolving work of a task, once its key is known.
    var work: [Scheduler.Task: Work] = [:]
    /// What runs now: its key, and what stops it alone.
    var running: [Scheduler.Task: (key: Digest, cancellation: Cancellation)] = [:]
    /// What has to run, until nothing is left to look up.
    var ready: [Ready] = []
    /// The tasks that make what a key stands for.
    var makers: [Digest: Scheduler.Task] = [:]
    /// What the keys of tasks that wait for their inputs' bytes stood for.
    var claimed: [Scheduler.Task: ActionRecord] = [:]
    /// Tasks whose key somebody computes now.
    var waiting: [Digest: [Scheduler.Task]] = [:]

    var ran: [InstanceID] = []
    var cached: [InstanceID] = []
    var skipped: [InstanceID] = []
    var failures: [InstanceFailure] = []
    var failedInstances: [Scheduler.Task: InstanceID] = [:]
    var wasCancelled = false
    var nodeSeconds = 0.0
    var unwritten: [JournalEntry] = []
    private var storeFailure: (any Error)?
    private var isOver = false
    private let over = DispatchSemaphore(value: 0)

    init(
        graph: Graph, engine: UnderstudyEngine, options: RunOptions, cancellation: Cancellation,
        events: @escaping @Sendable (RunEvent) -> Void
    ) throws {
        self.graph = graph
        self.engine = engine
        self.options = options
        self.cancellation = cancellation
        emitter = EventEmitter(events)
        state = try GraphState(graph: graph, catalogue: engine.catalogue, options: options)
        scheduler = Scheduler(threads: options.threads, memory: options.memory, keepsGoing: options.keepsGoing)
        lease = try engine.store.makeLease()
    }

    var store: CacheStore { engine.store }
    var temporaryFolder: String { store.temporaryFolder(of: lease) }

    // MARK: - Life

    func run() throws -> RunSummary {
        defer { try? FileManager.default.removeItem(atPath: temporaryFolder) }
        try store.read { try state.openInputs($0) }
        runID = try engine.journal.begin(graph: graph.name, path: graph.file.name, lease: lease.name)
        emitter.send(.runStarted(run: runID, graph: graph.name))
        let token = cancellation.onCancel { [self] in queue.async { self.stop() } }
        queue.async {
            self.addTasks()
            self.drain()
        }
        over.wait()
        cancellation.removeHandler(token)
        defer { emitter.flush() }
        return try queue.sync { try conclude() }
    }

    private func stop() {
        guard !isOver else { return }
        wasCancelled = true
        scheduler.stop()
        for (key, cancellation) in running.values where self.cancellation.stops(key) { cancellation.cancel() }
        drain()
    }

    private func conclude() throws -> RunSummary {
        let status: RunStatus = wasCancelled ? .cancelled : failures.isEmpty && storeFailure == nil ? .done : .failed
        concludeAbsent()
        notePins()
        try engine.journal.write(unwritten, run: runID, end: status)
        if let storeFailure { throw storeFailure }
        let outputs = status == .done ? try export() : [:]
        let summary = RunSummary(
            run: runID, graph: graph.name, status: status, ran: ran, cached: cached, failures: failures,
            skipped: skipped, outputs: outputs, seconds: Date().timeIntervalSince(start), nodeSeconds: nodeSeconds)
        emitter.send(.runFinished(summary))
        return summary
    }

    /// Carries out what the scheduler wants until it waits for a worker.
    func drain() {
        guard !isOver else { return }
        do {
            try store.read { [self] reader in
                while case let actions = scheduler.nextActions(), !actions.isEmpty || admit() {
                    for action in actions {
                        switch action {
                        case .resolve(let task): resolve(task, reader)
                        case .start(let task, let threads): start(task, threads: threads)
                        case .skip(let task, let cause): noteSkip(task, cause)
                        }
                    }
                }
            }
            if unwritten.count > 64 || !ran.isEmpty {
                try engine.journal.write(unwritten, run: runID)
                unwritten = []
            }
        } catch {
            storeFailure = storeFailure ?? error
            scheduler.stop()
            for case .skip(let task, let cause) in scheduler.nextActions() { noteSkip(task, cause) }
        }
        if scheduler.isFinished {
            isOver = true
            over.signal()
        }
    }

    // MARK: - Tasks

    /// Longest chain of nodes behind each node, so that the critical path is served first.
    private func rank() {
        for node in state.wanted.reversed() {
            let weight = node.description.cost.threads == .all ? 10.0 : 1.0
            let behind = graph.consumers(of: node.id).compactMap { priorities[$0.id] }.max() ?? 0
            priorities[node.id] = behind + weight
        }
    }

    private func addTasks() {
        rank()
        for node in state.wanted {
            if let each = node.each {
                let source = each.over == .segments ? nodeTasks[each.node] : gateTasks[each.node] ?? nodeTasks[each.node]
                let gate = add(.gate(node), after: [source].compactMap { $0 })
                gateTasks[node.id] = gate
                nodeTasks[node.id] = add(.join(node), after: [gate])
            } else {
                total += 1
                nodeTasks[node.id] = addInstance(node, InstanceID(node: node.id))
            }
        }
        emitter.send(.total(instances: total))
    }

    func add(_ job: Job, after dependencies: [Scheduler.Task], priority: Double = 1e6) -> Scheduler.Task {
        let task = scheduler.add(after: dependencies, priority: priority)
        jobs[task] = job
        return task
    }

    private func addInstance(_ node: GraphNode, _ instance: InstanceID) -> Scheduler.Task {
        var dependencies: [Scheduler.Task] = []
        func depend(_ wire: Wire) {
            switch wire {
            case .input: break
            case .list(let wires): wires.forEach(depend)
            case .port(let source, _, false): dependencies += [nodeTasks[source]].compactMap { $0 }
            case .port(let source, let port, true):
                guard let frames = state.frames(of: instance) else { return }
                dependencies.append(sliceTask(.init(node: source, port: port, frames: frames), for: instance))
            case .eachItem:
                guard let each = node.each, let index = instance.index else { return }
                if each.over == .segments {
                    dependencies.append(segmentTask(instance))
                } else if let task = instanceTasks[InstanceID(node: each.node, index: index)] {
                    dependencies.append(task)
                }
            }
        }
        node.wires.values.forEach(depend)
        if !node.carry.isEmpty, let index = instance.index, index > 0,
            let before = instanceTasks[InstanceID(node: node.id, index: index - 1)]
        {
            dependencies.append(before)
        }
        let priority = (priorities[node.id] ?? 0) - Double(instance.index ?? 0) * 1e-6
        let task = add(.instance(node, instance), after: dependencies, priority: priority)
        instanceTasks[instance] = task
        return task
    }

    private func sliceTask(_ slice: GraphState.Slice, for instance: InstanceID) -> Scheduler.Task {
        if let task = sliceTasks[slice] { return task }
        let task = add(.slice(slice, for: instance), after: [nodeTasks[slice.node]].compactMap { $0 })
        sliceTasks[slice] = task
        return task
    }

    private func segmentTask(_ instance: InstanceID) -> Scheduler.Task {
        if let task = segmentTasks[instance] { return task }
        let task = add(.segment(instance), after: [])
        segmentTasks[instance] = task
        return task
    }

    // MARK: - Resolving

    private func resolve(_ task: Scheduler.Task, _ reader: StoreReader) {
        guard let job = jobs[task] else { return scheduler.resolved(task) }
        do {
            switch job {
            case .join: scheduler.resolved(task)
            case .gate(let node): try open(node, task)
            case .instance(let node, let instance): try resolve(node, instance, task, reader)
            case .slice(let slice, let instance): try resolve(slice, instance, task, reader)
            case .segment(let instance): try resolve(segmentOf: instance, task, reader)
            }
        } catch {
            fail(task, with: error)
        }
    }

    /// The list of `each` is there: its instances become tasks.
    private func open(_ node: GraphNode, _ task: Scheduler.Task) throws {
        if let each = node.each, each.over == .segments {
            let needed = demand([.instance(InstanceID(node: each.node))], for: InstanceID(node: node.id))
            guard needed.isEmpty else { return scheduler.postponed(task, until: needed) }
        }
        guard try state.expand(node), let join = nodeTasks[node.id] else {
            throw NodeError("the list that '\(node.id)' repeats over was not made")
        }
        let instances = state.instances(of: node)
        total += instances.count
        emitter.send(.total(instances: total))
        scheduler.add(dependencies: instances.map { addInstance(node, $0) }, to: join)
        scheduler.resolved(task)
    }

    private func resolve(_ node: GraphNode, _ instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        let feeds = state.feeds(of: node, instance)
        guard let key = state.key(of: node, feeds), let definition = engine.catalogue[node.type] else {
            throw NodeError("an input of '\(instance)' was not made")
        }
        let print = state.fingerprint(of: node, feeds)
        let isForced = state.isForced(instance)
        var item = Work(key: key, fingerprint: print)
        item.isForced = isForced
        if isForced {
            item.reasons = [.forced]
        } else {
            let found = try reader.lookup(key)
            // What was to be made again is, though another action gave the same bytes back meanwhile.
            if case .hit(let record) = found, record != claimed[task] {
                if record.isOutdated(by: print.source) {
                    emitter.send(.warning(
                        "\(instance): the code of \(node.type) changed since this was made, its version did not; --force \(node.id) makes it again"))
                }
                work[task] = item
                complete(task, record, cached: true)
                scheduler.resolved(task)
                return
            }
            item.gone = claimed[task]
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
        item.inputs = Dictionary(uniqueKeysWithValues: feeds.map { ($0.port, $0.feeds.compactMap(\.artifact)) })
        item.feeds = feeds
        item.definition = definition
        let cost = node.description.cost
        if cost.memory > options.memory {
            emitter.send(.warning(
                "\(instance) wants \(cost.memory >> 20) MiB of memory and the run has \(options.memory >> 20): it runs alone"))
        }
        let request = Scheduler.Request(threads: cost.threads == .all ? nil : 1, memory: cost.memory)
        ready.append(Ready(task: task, instance: instance, work: item, request: request))
    }

    private func resolve(
        _ slice: GraphState.Slice, _ instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader
    ) throws {
        guard let source = state.values(of: InstanceID(node: slice.node), slice.port)?.first?.value else {
            throw NodeError("'\(slice.node).\(slice.port)' was not made")
        }
        let key = ActionKey(sliceOf: source, frames: slice.frames).digest
        switch try reader.lookup(key) {
        case .hit: break
        case .gone(let record, _) where demands[.slice(slice)] == nil:
            state.slices[slice] = record.outputs["value"].map(store.artifact)
            state.absent.insert(.slice(slice))
            return scheduler.resolved(task)
        case .gone, .miss:
            let needed = demand([.instance(InstanceID(node: slice.node))], for: instance)
            guard needed.isEmpty else { return scheduler.postponed(task, until: needed) }
        }
        try resolveCut(task, key: key, memory: cutMemory(source), reader) { path in
            do {
                return (source.type, try ValueCatalog.slice(source, frames: slice.frames, to: path, sync: true))
            } catch {
                throw NodeError("cutting \(slice.text) for '\(instance)': \(error)")
            }
        }
    }

    private func resolve(segmentOf instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        guard let (frames, valid) = state.segment(of: instance) else {
            throw NodeError("'\(instance)' has no segment")
        }
        let key = ActionKey(segment: frames, validFrames: valid).digest
        if demands[.item(instance)] == nil, case .gone(let record, _) = try reader.lookup(key) {
            state.items[instance] = record.outputs["value"].map(store.artifact)
            state.absent.insert(.item(instance))
            return scheduler.resolved(task)
        }
        try resolveCut(task, key: key, memory: 0, reader) { path in
            let writer = try ArtifactWriter(path: path, type: .segments)
            try Segments(ranges: [frames], frameCount: valid).write(to: writer)
            return (.segments, try writer.finish())
        }
    }

    private func resolveCut(
        _ task: Scheduler.Task, key: Digest, memory: Int, _ reader: StoreReader,
        make: @escaping @Sendable (String) throws -> (PortType, Digest)
    ) throws {
        var item = Work(key: key, fingerprint: nil)
        if case .hit(let record) = try reader.lookup(key) {
            work[task] = item
            complete(task, record, cached: true)
            scheduler.resolved(task)
            return
        }
        item.cut = make
        work[task] = item
        scheduler.enqueue(task, .init(threads: 1, memory: memory))
    }

    /// A cut holds its stretch, and what was mapped of the source, for a moment.
    private func cutMemory(_ source: Artifact) -> Int { min(Int(FileState(path: source.path)?.size ?? 0), 256 << 20) }
}
