/// Decides what runs when: a value that takes events and gives actions, and knows neither threads nor files.
///
/// A task goes through these states:
///
///     blocked → resolving → done                        (cached, or nothing to do)
///                         → queued → running → (concluding) → done
///                                                           → failed
///                         → elsewhere → resolving       (another process computes it)
///                         → blocked                     (something it needs has to be made first)
///     blocked, queued → skipped                         (something it needs failed; the run stopped)
///
/// Running tasks never exceed the budget of threads and memory, save that a task that wants more than all there is
/// runs alone. The queue is served in order of priority without overtaking, so that a task that wants all threads gets
/// its turn; only a task of a kind of which enough are running already lets others by.
package struct Scheduler: Sendable {
    package typealias Task = Int

    /// What the shell around the machine is to do.
    package enum Action: Hashable, Sendable {
        /// All dependencies are done: look the task up, then call ``resolved(_:)``, ``enqueue(_:_:)``, ``failed(_:)`` or
        /// ``isComputedElsewhere(_:)``.
        case resolve(Task)
        /// Run it with that many threads, then call ``finished(_:)`` or ``failed(_:)``.
        case start(Task, threads: Int)
        /// It will not run because another task failed, or because the run was stopped (nil).
        case skip(Task, because: Task?)
    }

    /// What a task draws from the budget while it runs.
    package struct Request: Hashable, Sendable {
        /// Nil: all threads there are.
        package var threads: Int?
        /// How many more it makes use of when nobody else wants them.
        package var helpers: Int
        /// Bytes.
        package var memory: Int
        /// A kind of which only so many may run at once.
        package var limit: Limit?

        package init(threads: Int? = 1, helpers: Int = 0, memory: Int = 0, limit: Limit? = nil) {
            self.threads = threads
            self.helpers = helpers
            self.memory = memory
            self.limit = limit
        }
    }

    package struct Limit: Hashable, Sendable {
        package var kind: String
        package var count: Int

        package init(kind: String, count: Int) {
            self.kind = kind
            self.count = count
        }
    }

    package enum State: Hashable, Sendable {
        case blocked, resolving, elsewhere, queued, running, concluding, done, failed, skipped
    }

    private struct Entry {
        var state = State.blocked
        /// How many dependencies are not done.
        var missing = 0
        var dependents: [Task] = []
        /// Those that wait for its end, however it ends.
        var followers: [Task] = []
        var priority: Double
        var request = Request()
        var granted = Request()
        /// The failed task that keeps it from running.
        var cause: Task?
    }

    package let threads: Int
    package let memory: Int
    private let keepsGoing: Bool
    private var entries: [Entry] = []
    /// The next one to serve last.
    private var queue: [Task] = []
    private var runningOfKind: [String: Int] = [:]
    private var skips: [Action] = []
    /// What is to be looked up and was not given out yet, from `nextLookup` on.
    private var lookups: [Task] = []
    private var nextLookup = 0
    private var isStopped = false
    private(set) package var freeThreads: Int
    private(set) package var freeMemory: Int
    private(set) package var running = 0
    /// Whether a task runs that wants more memory than there is.
    private var isOneAlone = false
    /// Tasks that are neither done, failed nor skipped.
    private(set) package var open = 0

    /// - Parameters:
    ///   - threads: How many threads running tasks may use together; at least 1.
    ///   - memory: How many bytes running tasks may use together.
    ///   - keepsGoing: Whether a failure leaves independent tasks running to the end.
    package init(threads: Int, memory: Int, keepsGoing: Bool = false) {
        self.threads = max(threads, 1)
        self.memory = max(memory, 0)
        self.keepsGoing = keepsGoing
        freeThreads = self.threads
        freeMemory = self.memory
    }

    /// Whether nothing is left to do and nothing is running.
    package var isFinished: Bool { open == 0 && skips.isEmpty }

    /// Whether something is to be looked up that was not given out yet.
    package var hasLookups: Bool { nextLookup < lookups.count }

    /// Bytes of the budget that a running task has.
    package func memory(of task: Task) -> Int { entries[task].granted.memory }

    package func state(_ task: Task) -> State { entries[task].state }

    /// Whether a task is done, failed or skipped.
    package func isEnded(_ task: Task) -> Bool { [.done, .failed, .skipped].contains(entries[task].state) }

    // MARK: - Events

    /// Adds a task.
    ///
    /// - Parameters:
    ///   - dependencies: Tasks that must be done before; ones that failed already make it be skipped.
    ///   - priority: Higher is served first; among equals, the one added first.
    package mutating func add(after dependencies: [Task] = [], priority: Double = 0) -> Task {
        let task = entries.count
        entries.append(Entry(priority: priority))
        open += 1
        for dependency in dependencies { addDependency(of: task, on: dependency) }
        if isStopped {
            skip(task, because: nil)
        } else if let cause = entries[task].cause {
            skip(task, because: cause)
        } else if entries[task].missing == 0 {
            makeResolving(task)
        }
        return task
    }

    /// Makes a task that is still blocked wait for more.
    package mutating func add(dependencies: [Task], to task: Task) {
        guard entries[task].state == .blocked else { return }
        for dependency in dependencies { addDependency(of: task, on: dependency) }
        if let cause = entries[task].cause { skip(task, because: cause) }
    }

    /// A resolving task needs nothing to be run.
    package mutating func resolved(_ task: Task) {
        guard entries[task].state == .resolving else { return }
        complete(task)
    }

    /// A resolving task has to run.
    ///
    /// - Parameter priority: Nil: the one it was added with.
    package mutating func enqueue(_ task: Task, _ request: Request, priority: Double? = nil) {
        guard entries[task].state == .resolving else { return }
        guard !isStopped else { return skip(task, because: nil) }
        entries[task].state = .queued
        entries[task].request = request
        entries[task].priority = priority ?? entries[task].priority
        func isBefore(_ a: Task, _ b: Task) -> Bool {
            entries[a].priority != entries[b].priority ? entries[a].priority > entries[b].priority : a < b
        }
        // The place behind all that are served later.
        var (low, high) = (0, queue.count)
        while low < high {
            let middle = (low + high) / 2
            if isBefore(queue[middle], task) { high = middle } else { low = middle + 1 }
        }
        queue.insert(task, at: low)
    }

    /// A resolving task turned out to need more: it is resolved again when those are done.
    ///
    /// - Parameter others: Tasks that must be over before, be they done, failed or skipped.
    package mutating func postponed(_ task: Task, until dependencies: [Task] = [], following others: [Task] = []) {
        guard entries[task].state == .resolving else { return }
        entries[task].state = .blocked
        for dependency in dependencies { addDependency(of: task, on: dependency) }
        for other in others where !isEnded(other) {
            entries[other].followers.append(task)
            entries[task].missing += 1
        }
        if isStopped {
            skip(task, because: nil)
        } else if let cause = entries[task].cause {
            skip(task, because: cause)
        } else if entries[task].missing == 0 {
            makeResolving(task)
        }
    }

    /// A resolving task is being computed by somebody else; ``retry(_:)`` looks again.
    package mutating func isComputedElsewhere(_ task: Task) {
        guard entries[task].state == .resolving else { return }
        if isStopped { skip(task, because: nil) } else { entries[task].state = .elsewhere }
    }

    /// A started task could not begin because somebody else computes it; its share of the budget is given back.
    package mutating func yielded(_ task: Task) {
        guard entries[task].state == .running else { return }
        release(task)
        if isStopped { return skip(task, because: nil) }
        entries[task].state = .elsewhere
    }

    package mutating func retry(_ task: Task) {
        guard entries[task].state == .elsewhere else { return }
        makeResolving(task)
    }

    /// A running task has done its work: its share of the budget is free, although ``finished(_:)`` or ``failed(_:)`` comes later.
    ///
    /// - Returns: False, and nothing changes, where nothing waits for it; where nothing else runs, since what depends on it goes first then;
    ///   and where few of its kind may run at once.
    package mutating func hasRun(_ task: Task) -> Bool {
        guard entries[task].state == .running, entries[task].request.limit == nil, running > 1, !queue.isEmpty else { return false }
        release(task)
        entries[task].state = .concluding
        return true
    }

    /// Whether something that waits for this task alone goes before all that is queued: then its threads are not for others.
    ///
    /// - Parameter priority: Of a task that was not queued yet.
    package func isFollowedFirst(_ task: Task, priority: (Task) -> Double) -> Bool {
        guard let top = queue.last.map({ entries[$0].priority }) else { return false }
        return entries[task].dependents.contains { entries[$0].state == .blocked && entries[$0].missing == 1 && priority($0) > top }
    }

    package mutating func finished(_ task: Task) {
        switch entries[task].state {
        case .running: release(task)
        case .concluding: break
        default: return
        }
        complete(task)
    }

    /// A resolving or running task failed: what depends on it is skipped, and without `keepsGoing` nothing new starts.
    package mutating func failed(_ task: Task) {
        switch entries[task].state {
        case .running: release(task)
        case .resolving, .concluding: break
        default: return
        }
        entries[task].state = .failed
        open -= 1
        release(followersOf: task)
        skipDependents(of: task, because: task)
        if !keepsGoing { stop() }
    }

    /// Starts nothing any more; running tasks are awaited.
    package mutating func stop() {
        guard !isStopped else { return }
        isStopped = true
        for task in entries.indices where [.blocked, .queued, .elsewhere].contains(entries[task].state) {
            skip(task, because: nil)
        }
        queue = []
        for task in lookups[nextLookup...] { skip(task, because: nil) }
        (lookups, nextLookup) = ([], 0)
    }

    /// Starts nothing any more, and counts what is being looked up as skipped: nobody will say what came of it.
    package mutating func giveUp() {
        stop()
        for task in entries.indices where entries[task].state == .resolving { skip(task, because: nil) }
    }

    // MARK: - Actions

    /// What is to be done now; each action is given once. What starts comes before what is to be looked up, so that workers do
    /// not wait for that.
    ///
    /// - Parameters:
    ///   - count: How much is looked up at most; the rest comes later.
    ///   - starts: Whether anything is started; not while what is looked up may go before it.
    package mutating func nextActions(lookups count: Int = .max, starts: Bool = true) -> [Action] {
        defer { skips = [] }
        let started = starts ? startQueued() : []
        let end = nextLookup + min(count, lookups.count - nextLookup)
        let found = lookups[nextLookup..<end]
        nextLookup = end
        if end == lookups.count { (lookups, nextLookup) = ([], 0) }
        return skips + started.map { .start($0, threads: entries[$0].granted.threads ?? 1) } + found.map { .resolve($0) }
    }

    /// Gives what is queued its share of the budget, as far as that goes.
    private mutating func startQueued() -> [Task] {
        var started: [Task] = []
        var place = queue.count - 1
        while place >= 0 {
            let task = queue[place]
            let request = entries[task].request
            if let limit = request.limit, runningOfKind[limit.kind] ?? 0 >= max(limit.count, 1) {
                place -= 1
                continue
            }
            guard let grant = grant(for: request) else { break }
            queue.remove(at: place)
            place -= 1
            entries[task].state = .running
            entries[task].granted = grant
            freeThreads -= grant.threads ?? 0
            freeMemory -= grant.memory
            running += 1
            isOneAlone = request.memory > memory
            if let limit = request.limit { runningOfKind[limit.kind, default: 0] += 1 }
            started.append(task)
        }
        if queue.isEmpty, nextLookup == lookups.count {
            for task in started { _ = widen(task, threads: entries[task].request.helpers, memory: 0) }
        }
        return started
    }

    /// Gives a running task more of what is free, since it does the work of others too.
    ///
    /// - Parameter threads: How many more threads it could use.
    /// - Returns: How many more it has; nil, and nothing changes, when there is not so much memory.
    package mutating func widen(_ task: Task, threads: Int, memory: Int) -> Int? {
        guard entries[task].state == .running, memory <= freeMemory else { return nil }
        let more = max(min(threads, freeThreads), 0)
        entries[task].granted.threads = (entries[task].granted.threads ?? 0) + more
        entries[task].granted.memory += memory
        freeThreads -= more
        freeMemory -= memory
        return more
    }

    /// What a request gets now; nil when it has to wait.
    private func grant(for request: Request) -> Request? {
        let wanted = Request(threads: min(request.threads ?? threads, threads), memory: min(request.memory, memory))
        guard freeThreads >= wanted.threads ?? 1, freeMemory >= wanted.memory else { return nil }
        // More than there is: alone.
        if request.memory > memory, running > 0 { return nil }
        guard !isOneAlone else { return nil }
        return wanted
    }

    // MARK: - Transitions

    private mutating func addDependency(of task: Task, on dependency: Task) {
        switch entries[dependency].state {
        case .done: break
        case .failed: entries[task].cause = dependency
        case .skipped: entries[task].cause = entries[dependency].cause ?? dependency
        default:
            entries[dependency].dependents.append(task)
            entries[task].missing += 1
        }
    }

    private mutating func makeResolving(_ task: Task) {
        entries[task].state = .resolving
        lookups.append(task)
    }

    private mutating func release(_ task: Task) {
        freeThreads += entries[task].granted.threads ?? 0
        freeMemory += entries[task].granted.memory
        running -= 1
        isOneAlone = false
        if let limit = entries[task].request.limit { runningOfKind[limit.kind, default: 1] -= 1 }
    }

    private mutating func release(followersOf task: Task) {
        let followers = entries[task].followers
        entries[task].followers = []
        for follower in followers { arrived(at: follower) }
    }

    /// Something that a task waited for is over.
    private mutating func arrived(at task: Task) {
        entries[task].missing -= 1
        if entries[task].missing == 0, entries[task].state == .blocked { makeResolving(task) }
    }

    private mutating func complete(_ task: Task) {
        entries[task].state = .done
        open -= 1
        for dependent in entries[task].dependents { arrived(at: dependent) }
        entries[task].dependents = []
        release(followersOf: task)
    }

    private mutating func skip(_ task: Task, because cause: Task?) {
        guard ![.done, .failed, .skipped].contains(entries[task].state) else { return }
        if entries[task].state == .queued { queue.removeAll { $0 == task } }
        entries[task].state = .skipped
        entries[task].cause = cause
        open -= 1
        skips.append(.skip(task, because: cause))
        release(followersOf: task)
        skipDependents(of: task, because: cause)
    }

    private mutating func skipDependents(of task: Task, because cause: Task?) {
        let dependents = entries[task].dependents
        entries[task].dependents = []
        for dependent in dependents { skip(dependent, because: cause) }
    }
}
