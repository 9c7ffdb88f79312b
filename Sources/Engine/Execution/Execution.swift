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
    /// Programs of external nodes that stay for the next instance.
    let externalWorkers = ExternalWorkers()
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
    /// What is known of the rest of the run; nil until something has to run.
    var forecaster: Forecaster?
    var models: [NodeType: CostModel]?
    var ranks: [String: Double] = [:]
    var forecastAt: DispatchTime?
    var started: [InstanceID: Date] = [:]
    /// What instances took, by node type.
    var samples: [String: [CostSample]] = [:]
    private var total = 0
    /// Started or resolving work of a task, once its key is known.
    var work: [Scheduler.Task: Work] = [:]
    /// Tasks whose key somebody computes now.
    var waiting: [Digest: [Scheduler.Task]] = [:]

    /// Who may hand on frames while making them.
    private(set) lazy var streamEdges = StreamEdges(state)
    /// What was made out of streams, until its key is known.
    var staged: [InstanceID: Result<Staged, any Error>] = [:]
    /// Instances whose frames were handed on and are not in the store.
    var streamed: Set<InstanceID> = []
    /// Whether a stream did not hold what it promised: from then on everything is stored.
    let streamsAreOff = Locked(false)

    var ran: [InstanceID] = []
    var cached: [InstanceID] = []
    var skipped: [InstanceID] = []
    var failures: [InstanceFailure] = []
    var failedInstances: [Scheduler.Task: InstanceID] = [:]
    var wasCancelled = false
    var nodeSeconds = 0.0
    var unwritten: [JournalEntry] = []
    /// Results on their way to the disk.
    var unsaved = 0
    var storeFailure: (any Error)?
    private var isFlushing = false
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
        defer {
            externalWorkers.end()
            try? FileManager.default.removeItem(atPath: temporaryFolder)
        }
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
        let summary = try queue.sync { try conclude() }
        if !summary.ran.isEmpty { tidy() }
        emitter.send(.runFinished(summary))
        return summary
    }

    /// Lets the cache shrink to its size, now that this run needs nothing of it.
    private func tidy() {
        lease.end()
        do {
            guard let report = try store.collectAutomatically(), report.removed > 0 else { return }
            emitter.send(.collected(report))
        } catch {
            emitter.send(.warning("\(error)"))
        }
    }

    private func stop() {
        guard !isOver else { return }
        wasCancelled = true
        scheduler.stop()
        drain()
    }

    private func conclude() throws -> RunSummary {
        let status: RunStatus = wasCancelled ? .cancelled : failures.isEmpty && storeFailure == nil ? .done : .failed
        concludeAbsent()
        // Without it the next forecast is worse, and nothing else.
        try? CostHistory(store: store).add(samples.flatMap { type, samples in samples.map { (type, $0) } })
        try engine.journal.write(unwritten, run: runID, end: status)
        if let storeFailure { throw storeFailure }
        let outputs = status == .done ? try export() : [:]
        let summary = RunSummary(
            run: runID, graph: graph.name, status: status, ran: ran, cached: cached, failures: failures,
            skipped: skipped, outputs: outputs, seconds: Date().timeIntervalSince(start), nodeSeconds: nodeSeconds)
        return summary
    }

    /// Carries out what the scheduler wants until it waits for a worker.
    func drain() {
        guard !isOver else { return }
        do {
            while case let actions = scheduler.nextActions(), !actions.isEmpty {
                try carryOut(actions)
            }
            if isForecastDue { try store.read(updateForecast) }
            if unwritten.count >= 512 {
                try engine.journal.write(unwritten, run: runID)
                unwritten = []
            }
        } catch {
            storeFailure = storeFailure ?? error
            scheduler.stop()
            for case .skip(let task, let cause) in scheduler.nextActions() { noteSkip(task, cause) }
        }
        guard scheduler.isFinished else { return }
        if unsaved == 0 {
            isOver = true
            over.signal()
        } else if !isFlushing {
            isFlushing = true
            workers.async { self.store.commits.flush(self.store) }
        }
    }

    private func carryOut(_ actions: [Scheduler.Action]) throws {
        let resolving = actions.count { if case .resolve = $0 { true } else { false } }
        func carryOut(_ reader: StoreReader?) {
            for action in actions {
                switch action {
                case .resolve(let task): if let reader { resolve(task, reader) }
                case .start(let task, let threads): start(task, threads: threads)
                case .skip(let task, let cause): noteSkip(task, cause)
                }
            }
        }
        if resolving == 0 { carryOut(nil) } else { try store.read(isLong: resolving > 2, carryOut) }
    }

    // MARK: - Tasks

    private func addTasks() {
        for node in streamEdges.ordered(state.wanted) {
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

    func add(
        _ job: Job, after dependencies: [Scheduler.Task], following others: [Scheduler.Task] = [], priority: Double = 1e6
    ) -> Scheduler.Task {
        let task = scheduler.add(after: dependencies, following: others, priority: priority)
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
        let before = (streamEdges.follows[node.id] ?? []).compactMap { nodeTasks[$0] }
        let task = add(.instance(node, instance), after: dependencies, following: before)
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
        if let each = node.each, each.over == .segments {
            let needed = demand([.instance(InstanceID(node: each.node))], for: InstanceID(node: node.id))
            guard needed.isEmpty else { return scheduler.postponed(task, until: needed) }
        }
        guard try state.expand(node, reader), let join = nodeTasks[node.id] else {
            throw NodeError("the list that '\(node.id)' repeats over was not made")
        }
        if let only = state.onlyIndices[node.id]?.max(), let count = state.counts[node.id], only >= count {
            throw NodeError("there is no \(node.id)[\(only)]: the node has \(count) instances")
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
        let isForced = state.forced.contains(node.id)
        var reasons: [RunReason] = [.forced]
        if !isForced {
            let found = try reader.lookup(key)
            if case .hit(let record) = found {
                if record.isOutdated(by: print.source) {
                    emitter.send(.warning(
                        "\(instance): the code of \(node.type) changed since this was made, its version did not; --force \(node.id) makes it again"))
                }
                work[task] = Work(key: key, fingerprint: print)
                complete(task, record)
                scheduler.resolved(task)
                return
            }
            if case .gone(let record, _) = found, !isNeeded(instance) {
                settle(instance, Work(key: key, fingerprint: print), record)
                return scheduler.resolved(task)
            }
            let last = try Journal.last(graph: graph.name, instance: instance, reader.db)
            reasons = RunReason.all(found, key: key, now: print, last: last)
        }
        let made = staged.removeValue(forKey: instance)
        let needed = made == nil ? demand(feeds.flatMap { $0.feeds.map(\.source) }, for: instance) : []
        guard needed.isEmpty else { return scheduler.postponed(task, until: needed) }
        var item = Work(key: key, fingerprint: print)
        item.staged = made
        item.reasons = reasons
        item.isForced = isForced
        item.inputs = Dictionary(uniqueKeysWithValues: feeds.map { ($0.port, $0.feeds.compactMap(\.artifact)) })
        item.feeds = feeds
        item.definition = definition
        let cost = node.description.cost
        if made == nil, cost.memory > options.memory {
            emitter.send(.warning(
                "\(instance) wants \(cost.memory >> 20) MiB of memory and the run has \(options.memory >> 20): it runs alone"))
        }
        work[task] = item
        let priority = priority(of: instance, reader)
        if made != nil { return scheduler.enqueue(task, .init(), priority: priority) }
        scheduler.enqueue(task, request(for: instance, node, isProgram: definition.codeDigest != nil), priority: priority)
    }

    private func resolve(
        _ slice: GraphState.Slice, _ instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader
    ) throws {
        guard let source = state.results[InstanceID(node: slice.node)]?[slice.port] else {
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
        try resolveCut(task, key: key, memory: cutMemory(source), ["source": [source]], reader) { sink, inputs in
            do {
                guard let source = inputs["source"]?.first else { return }
                let writer = try sink.makeWriter("value", type: source.type, headerCapacity: 16_384)
                try ValueCatalog.slice(source, frames: slice.frames, to: writer)
                try sink.finish("value", writer)
            } catch {
                throw NodeError("cutting \(slice.text) for '\(instance)': \(error)")
            }
        }
    }

    private func resolve(segmentOf instance: InstanceID, _ task: Scheduler.Task, _ reader: StoreReader) throws {
        guard let (frames, valid) = state.segment(of: instance) else {
            throw NodeError("'\(instance)' has no segment")
        }
        try resolveCut(task, key: ActionKey(segment: frames, validFrames: valid).digest, memory: 0, [:], reader) { sink, _ in
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
        if case .hit(let record) = try reader.lookup(key) {
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
