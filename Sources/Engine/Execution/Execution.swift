import Dispatch
import Foundation
import GraphKit
import Locking
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
    /// Stores what nodes made that gave their worker to the next one.
    let books = DispatchQueue(label: "understudy.books", qos: .userInitiated)
    let workers = Workers()
    /// Programs of external nodes that stay for the next instance.
    let externalWorkers = ExternalWorkers()
    /// Nodes of which was said that they want more memory than there is.
    var warned: Set<String> = []
    let lease: Lease
    let start = Date()
    private let begin = ContinuousClock.now
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
    var total = 0
    /// Started or resolving work of a task, once its key is known.
    var work: [Scheduler.Task: Work] = [:]
    /// What runs now: what stops it alone, and its key unless nobody could use its result later.
    var running: [Scheduler.Task: (key: Digest?, cancellation: Cancellation)] = [:]
    /// What has to run, until nothing is left to look up.
    var ready: [Ready] = []
    /// The tasks that make what a key stands for.
    var makers: [Digest: Scheduler.Task] = [:]
    /// Tasks that wait for the maker of their key.
    var sharing: Set<Scheduler.Task> = []
    /// What waits for others' bytes or results.
    var waits = WaitGraph<Scheduler.Task>()
    /// Keys of what was made in this run.
    private(set) var made: Set<Digest> = []
    /// What was not in the store until this run made it.
    let restored = Restoration()
    /// Tasks whose key somebody computes now.
    var waiting: [Digest: [Scheduler.Task]] = [:]
    /// Instances of which it was told that another process computes them.
    var announced: Set<InstanceID> = []

    /// Who may hand on frames while making them.
    private(set) lazy var streamEdges = StreamEdges(state)
    /// What was made out of streams, until its key is known.
    var staged: [InstanceID: Result<Staged, any Error>] = [:]
    /// Instances whose frames were handed on and are not in the store.
    var streamed: Set<InstanceID> = []
    /// Results whose frames were handed on, until the locks of what was made of them are had.
    var lateSubmissions: [() -> Void] = []
    /// Whether a stream did not hold what it promised: from then on everything is stored.
    let streamsAreOff = Locked(false)

    var ran: [InstanceID] = []
    var cached: [InstanceID] = []
    var skipped: [InstanceID] = []
    var stopped: [InstanceID] = []
    var failures: [InstanceFailure] = []
    var failedInstances: [Scheduler.Task: InstanceID] = [:]
    var wasCancelled = false
    var nodeSeconds = 0.0
    var unwritten: [JournalEntry] = []
    /// Started tasks that no worker has yet.
    var errands: [Errand] = []
    private var isDrainComing = false
    /// Results on their way to the disk: added on the queue, taken away anywhere.
    let unsaved = Locked(0)
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
        for (key, cancellation) in running.values where self.cancellation.stops(key) { cancellation.cancel() }
        drain()
    }

    private func conclude() throws -> RunSummary {
        let status: RunStatus = wasCancelled ? .cancelled : failures.isEmpty && storeFailure == nil ? .done : .failed
        concludeAbsent()
        notePins()
        // Without it the next forecast is worse, and nothing else.
        try? CostHistory(store: store).add(samples.flatMap { type, samples in samples.map { (type, $0) } })
        try engine.journal.write(unwritten, run: runID, end: status)
        if let storeFailure { throw storeFailure }
        let outputs = status == .done ? try export() : [:]
        let summary = RunSummary(
            run: runID, graph: graph.name, status: status, ran: ran, cached: cached, failures: failures,
            skipped: skipped, stopped: stopped, outputs: outputs, seconds: (ContinuousClock.now - begin) / .seconds(1), nodeSeconds: nodeSeconds)
        return summary
    }

    /// Carries out what the scheduler wants, until it waits for a worker or for its next turn on the queue.
    ///
    /// - Parameters:
    ///   - isWorker: Whether the caller is a worker that is free now.
    ///   - seconds: What it ran before took.
    ///   - isFollowed: Whether what waited for that goes before all that is queued.
    /// - Returns: What the caller is to run, if it is a worker: that costs less than waking another.
    @discardableResult
    func drain(asWorker isWorker: Bool = false, after seconds: Double = 0, isFollowed: Bool = false) -> Errand? {
        guard !isOver else { return nil }
        var own: Errand?
        // Whoever has something to run does not wait for look-ups, and whoever comes back meanwhile waits for few of them.
        var lookups = Self.lookupsAtOnce
        // After long work, none: to wake a thread for them is little beside it.
        var startsFirst = !isFollowed && seconds >= Self.long && scheduler.running > 0
        var holds = isFollowed
        var isSettling = false
        do {
            while true {
                let count = startsFirst ? 0 : holds || isSettling || scheduler.running == 0 ? .max : own != nil ? 0 : max(lookups, 0)
                let actions = scheduler.nextActions(lookups: count, starts: !holds)
                if actions.isEmpty {
                    if startsFirst {
                        startsFirst = false
                        continue
                    }
                    guard !ready.isEmpty, !scheduler.hasLookups else {
                        guard holds else { break }
                        holds = false
                        continue
                    }
                    try admit()
                    holds = false
                    // What was found missing is settled before anybody comes back and makes the same bytes, as a plan has it.
                    isSettling = scheduler.hasLookups
                } else {
                    lookups -= try carryOut(actions)
                    startsFirst = false
                }
                if isWorker, own == nil, !errands.isEmpty { own = errands.removeFirst() }
                sendWorkers()
            }
            if isForecastDue { try store.read(updateForecast) }
        } catch {
            storeFailure = storeFailure ?? error
            scheduler.giveUp()
            for case .skip(let task, let cause) in scheduler.nextActions() { noteSkip(task, cause) }
        }
        sendWorkers()
        // Those that took the frames have their locks.
        if !scheduler.hasLookups && ready.isEmpty || storeFailure != nil { submitLate() }
        if scheduler.hasLookups, !isDrainComing {
            isDrainComing = true
            queue.async {
                self.isDrainComing = false
                self.drain()
            }
        }
        guard scheduler.isFinished else { return own }
        if unsaved.withLock({ $0 }) == 0 {
            isOver = true
            over.signal()
        } else if !isFlushing {
            isFlushing = true
            books.async { self.store.commits.flush(self.store) }
        }
        return own
    }

    private static let lookupsAtOnce = 4
    /// In seconds.
    static let long = 0.001

    /// Starts what is queued with what a node that has run leaves free.
    ///
    /// - Returns: What the node's worker is to run.
    func startNext(after task: Scheduler.Task) throws -> Errand? {
        guard !isOver, !isFollowedFirst(task), scheduler.hasRun(task) else { return nil }
        _ = try carryOut(scheduler.nextActions(lookups: 0))
        defer { sendWorkers() }
        return errands.isEmpty ? nil : errands.removeFirst()
    }

    /// Whether what waits for a task alone goes before all that is queued.
    func isFollowedFirst(_ task: Scheduler.Task) -> Bool {
        scheduler.isFollowedFirst(task) { follower in
            switch jobs[follower] {
            case .instance(_, let instance)?, .slice(_, for: let instance)?, .segment(let instance)?: priority(of: instance)
            case .gate(let node)?: ranks[node.id] ?? 0
            case .join(let node)?: graph.consumers(of: node.id).compactMap { ranks[$0.id] }.max() ?? 0
            case nil: 0
            }
        }
    }

    /// Has lines of the journal written while the run goes on.
    private func sendUnwritten() {
        unsaved.withLock { $0 += 1 }
        store.commits.note(unwritten, run: runID, to: store) { [self] error in
            saved(error) { error in self.storeFailure = self.storeFailure ?? error }
        }
        unwritten = []
    }

    /// - Returns: How much was looked up.
    private func carryOut(_ actions: [Scheduler.Action]) throws -> Int {
        let resolving = actions.count { if case .resolve = $0 { true } else { false } }
        func carryOut(_ reader: StoreReader?) {
            for action in actions {
                switch action {
                case .resolve(let task):
                    if let reader { resolve(task, reader) }
                    // Written while more is looked up, in few groups: each writes pages all over the journal again.
                    if unwritten.count >= max(512, total / 8) { sendUnwritten() }
                case .start(let task, let threads): start(task, threads: threads)
                case .skip(let task, let cause): noteSkip(task, cause)
                }
            }
        }
        if resolving == 0 { carryOut(nil) } else { try store.read(isLong: resolving > 2, carryOut) }
        return resolving
    }

    /// Looks an action up. What was lost stays so for every other action, although one gives the same bytes back meanwhile: timing
    /// does not decide what runs, and `plan` can foretell it.
    func lookup(_ key: Digest, giving ports: [NodeDescription.Port] = [], _ reader: StoreReader) throws -> StoreReader.Lookup {
        let found = try reader.lookup(key, giving: ports)
        guard case .hit(let record) = found, !made.contains(key),
            try record.outputs.values.contains(where: { try restored.contains($0, reader) })
        else { return found }
        return .gone(record, .evicted)
    }

    /// Notes what an action made, before it is stored.
    func noteMade(_ commit: Commit) {
        made.insert(commit.record.key)
        restored.note(commit.record.outputs.values)
    }

    // MARK: - Tasks

    private func addTasks() {
        for node in state.wanted {
            if let each = node.each {
                let source = each.over == .segments ? maker(each.node, each.port) : gateTasks[each.node] ?? maker(each.node, each.port)
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

    func addInstance(_ node: GraphNode, _ instance: InstanceID) -> Scheduler.Task {
        var dependencies: [Scheduler.Task] = []
        func depend(_ wire: Wire) {
            switch wire {
            case .input: break
            case .list(let wires): wires.forEach(depend)
            case .port(let source, let port, false): dependencies += [maker(source, port)].compactMap { $0 }
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
        if let index = instance.index, index > 0, case let before = InstanceID(node: node.id, index: index - 1),
            node.carry.contains(where: { !state.demand.isPinned(before, $0.output) }), let task = instanceTasks[before]
        {
            dependencies.append(task)
        }
        let task = add(.instance(node, instance), after: dependencies)
        instanceTasks[instance] = task
        return task
    }

    /// The task after which a port's value is there; nil when a file of the user is.
    private func maker(_ node: String, _ port: String) -> Scheduler.Task? {
        state.demand.isPinned(InstanceID(node: node), port) ? nil : nodeTasks[node]
    }

    private func sliceTask(_ slice: GraphState.Slice, for instance: InstanceID) -> Scheduler.Task {
        if let task = sliceTasks[slice] { return task }
        let task = add(.slice(slice, for: instance), after: [maker(slice.node, slice.port)].compactMap { $0 })
        sliceTasks[slice] = task
        return task
    }

    private func segmentTask(_ instance: InstanceID) -> Scheduler.Task {
        if let task = segmentTasks[instance] { return task }
        let task = add(.segment(instance), after: [])
        segmentTasks[instance] = task
        return task
    }
}
