import NodeKit
import Testing

@testable import Engine

@Suite struct SchedulerTests {
    /// Runs a machine to its end, finishing the running task that `choose` names; checks the budget all along.
    private func drive(
        _ scheduler: inout Scheduler, requests: [Scheduler.Request], failing: Set<Int> = [], choose: ([Int]) -> Int = { $0[0] }
    ) -> (started: [Int], skipped: [Int]) {
        var running: [Int] = []
        var started: [Int] = []
        var skipped: [Int] = []
        while !scheduler.isFinished {
            let actions = scheduler.nextActions()
            for action in actions {
                switch action {
                case .resolve(let task): scheduler.enqueue(task, requests[task])
                case .start(let task, _):
                    started.append(task)
                    running.append(task)
                case .skip(let task, _): skipped.append(task)
                }
            }
            #expect(scheduler.freeThreads >= 0 && scheduler.freeMemory >= 0)
            if actions.isEmpty {
                guard !running.isEmpty else {
                    Issue.record("the machine is stuck")
                    return (started, skipped)
                }
                let task = choose(running)
                running.removeAll { $0 == task }
                if failing.contains(task) { scheduler.failed(task) } else { scheduler.finished(task) }
            }
        }
        #expect(scheduler.freeThreads == scheduler.threads && scheduler.freeMemory == scheduler.memory)
        return (started, skipped)
    }

    @Test("the next of a long chain goes before short ones that wait already")
    func chainsGoOn() {
        var scheduler = Scheduler(threads: 1, memory: 0)
        let first = scheduler.add(priority: 9), short = scheduler.add(priority: 1)
        let next = scheduler.add(after: [first], priority: 8)
        let low = scheduler.add(after: [first], priority: 0.5)
        func resolve() { for case .resolve(let task) in scheduler.nextActions(starts: false) { scheduler.enqueue(task, .init()) } }
        func started() -> [Int] { scheduler.nextActions().compactMap { if case .start(let task, _) = $0 { task } else { nil } } }
        resolve()
        #expect(started() == [first])
        #expect(scheduler.isFollowedFirst(first) { $0 == next ? 8 : 0.5 })
        #expect(!scheduler.isFollowedFirst(first) { _ in 0.5 })
        scheduler.finished(first)
        resolve()
        #expect(started() == [next])
        // Nothing that waits for this one goes first.
        #expect(!scheduler.isFollowedFirst(next) { _ in 99 })
        for expected in [short, low] {
            scheduler.finished(expected == short ? next : short)
            #expect(started() == [expected])
        }
    }

    /// Every small graph, every subset of greedy tasks, in two orders of completion: all run once, after what they need.
    @Test func everySmallGraphRunsToItsEnd() {
        let pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
        for edges in 0..<64 {
            for greedy in 0..<16 {
                for last in [false, true] {
                    var scheduler = Scheduler(threads: 2, memory: 100)
                    var needs = [[Int]](repeating: [], count: 4)
                    for (bit, pair) in pairs.enumerated() where edges >> bit & 1 == 1 { needs[pair.1].append(pair.0) }
                    for task in 0..<4 { _ = scheduler.add(after: needs[task]) }
                    // A greedy task wants all threads and more memory than there is.
                    let requests = (0..<4).map {
                        greedy >> $0 & 1 == 1 ? Scheduler.Request(threads: nil, memory: 1000) : .init(threads: 1, memory: 60)
                    }
                    let order = drive(&scheduler, requests: requests) { last ? $0[$0.count - 1] : $0[0] }.started
                    #expect(order.sorted() == [0, 1, 2, 3])
                    for task in 0..<4 {
                        for need in needs[task] {
                            #expect(order.firstIndex(of: need)! < order.firstIndex(of: task)!, "edges \(edges)")
                        }
                    }
                }
            }
        }
    }

    @Test func failureSkipsWhatDependsOnIt() {
        for keepsGoing in [false, true] {
            var scheduler = Scheduler(threads: 1, memory: 0, keepsGoing: keepsGoing)
            let bad = scheduler.add(priority: 3)
            let child = scheduler.add(after: [bad])
            let grandchild = scheduler.add(after: [child])
            let other = scheduler.add(priority: 2)
            let result = drive(&scheduler, requests: .init(repeating: .init(), count: 4), failing: [bad])
            #expect(result.started == (keepsGoing ? [bad, other] : [bad]))
            #expect(Set(result.skipped) == (keepsGoing ? [child, grandchild] : [child, grandchild, other]))
        }
    }

    @Test func higherPriorityFirstAndNoStarvation() {
        var scheduler = Scheduler(threads: 2, memory: 0)
        for priority in [1.0, 3, 2] { _ = scheduler.add(priority: priority) }
        // Task 2 wants both threads: it does not get overtaken by task 0.
        let requests = [Scheduler.Request(), .init(), .init(threads: nil)]
        #expect(drive(&scheduler, requests: requests).started == [1, 2, 0])
    }

    @Test func postponedTasksAreResolvedAgain() {
        var scheduler = Scheduler(threads: 1, memory: 0, keepsGoing: true)
        let task = scheduler.add()
        #expect(scheduler.nextActions() == [.resolve(task)])
        let maker = scheduler.add()
        scheduler.postponed(task, until: [maker])
        #expect(scheduler.nextActions() == [.resolve(maker)])
        scheduler.resolved(maker)
        #expect(scheduler.nextActions() == [.resolve(task)])
        let failing = scheduler.add()
        scheduler.postponed(task, until: [failing])
        #expect(scheduler.nextActions() == [.resolve(failing)])
        scheduler.failed(failing)
        #expect(scheduler.nextActions() == [.skip(task, because: failing)])
        #expect(scheduler.isFinished)
    }

    @Test func dependenciesAddedLaterCount() {
        var scheduler = Scheduler(threads: 1, memory: 0)
        let gate = scheduler.add()
        let join = scheduler.add(after: [gate])
        #expect(scheduler.nextActions() == [.resolve(gate)])
        let instance = scheduler.add()
        scheduler.add(dependencies: [instance], to: join)
        scheduler.resolved(gate)
        #expect(scheduler.nextActions() == [.resolve(instance)])
        scheduler.enqueue(instance, .init())
        #expect(scheduler.nextActions() == [.start(instance, threads: 1)])
        scheduler.yielded(instance)
        #expect(scheduler.nextActions().isEmpty)
        scheduler.retry(instance)
        #expect(scheduler.nextActions() == [.resolve(instance)])
        scheduler.resolved(instance)
        #expect(scheduler.nextActions() == [.resolve(join)])
        scheduler.resolved(join)
        #expect(scheduler.isFinished)
    }

    /// A worker does not wait for look-ups, nor is a helper given to one task while another could have its thread.
    @Test func whatRunsGoesBeforeWhatIsLookedUp() {
        var scheduler = Scheduler(threads: 3, memory: 0)
        let tasks = (0..<4).map { _ in scheduler.add() }
        #expect(scheduler.nextActions(lookups: 2) == [.resolve(tasks[0]), .resolve(tasks[1])])
        for task in tasks.prefix(2) { scheduler.enqueue(task, .init(helpers: 2)) }
        #expect(
            scheduler.nextActions(lookups: 1) == [.start(tasks[0], threads: 1), .start(tasks[1], threads: 1), .resolve(tasks[2])])
        scheduler.enqueue(tasks[2], .init(threads: nil))
        #expect(scheduler.nextActions() == [.resolve(tasks[3])])
        scheduler.resolved(tasks[3])
        for task in tasks.prefix(2) { scheduler.finished(task) }
        #expect(scheduler.nextActions() == [.start(tasks[2], threads: 3)])
        scheduler.finished(tasks[2])
        let alone = scheduler.add()
        #expect(scheduler.nextActions() == [.resolve(alone)])
        scheduler.enqueue(alone, .init(helpers: 1))
        #expect(scheduler.nextActions() == [.start(alone, threads: 2)])
        scheduler.finished(alone)
        #expect(scheduler.isFinished && scheduler.freeThreads == 3)
    }

    /// Random graphs, wishes, limits and orders of completion: the budget holds at every instant, and all comes to its end.
    @Test func randomLoadsKeepToTheBudget() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0...UInt64.max, using: &generator)
        let random = Randomness(seed: seed)
        var position: UInt64 = 0
        func pick(_ count: Int) -> Int {
            position += 1
            return Int(random.uniform(at: position) * Double(count))
        }
        for round in 0..<300 {
            let threads = 1 + pick(4), memory = 100
            var scheduler = Scheduler(threads: threads, memory: memory, keepsGoing: pick(2) == 0)
            let count = 1 + pick(24)
            var requests: [Scheduler.Request] = []
            var needed: [Set<Int>] = [], followed: [[Int]] = []
            for task in 0..<count {
                let needs = task == 0 ? [] : (0..<pick(3)).map { _ in pick(task) }
                let follows = task == 0 ? [] : (0..<pick(2)).map { _ in pick(task) }
                _ = scheduler.add(after: needs, priority: Double(pick(5)))
                needed.append(Set(needs))
                followed.append(follows)
                // Now and then more threads or memory than there are.
                requests.append(
                    .init(
                        threads: pick(4) == 0 ? nil : 1 + pick(6), helpers: pick(3), memory: pick(5) == 0 ? 1000 : pick(70),
                        limit: pick(3) == 0 ? .init(kind: "k", count: 2) : nil))
            }
            let failing = pick(3) == 0 ? pick(count) : -1
            var running: Set<Int> = [], granted: [Int: (threads: Int, memory: Int)] = [:]
            // Those that have run and are not over: what depends on them does not begin.
            var concluding: Set<Int> = []
            var over: Set<Int> = [], stalled = 0
            while !scheduler.isFinished, stalled < 3 {
                let actions = scheduler.nextActions()
                for action in actions {
                    switch action {
                    case .resolve(let task):
                        #expect(needed[task].isSubset(of: over), "seed \(seed), round \(round)")
                        if !over.isSuperset(of: followed[task]) {
                            scheduler.postponed(task, following: followed[task])
                        } else if pick(6) == 0 {
                            scheduler.resolved(task)
                            over.insert(task)
                        } else {
                            scheduler.enqueue(task, requests[task], priority: pick(2) == 0 ? Double(pick(9)) : nil)
                        }
                    case .start(let task, let given):
                        running.insert(task)
                        granted[task] = (given, requests[task].memory)
                    case .skip(let task, _): over.insert(task)
                    }
                }
                if let task = running.randomElement(using: &generator), pick(4) == 0,
                    let more = scheduler.widen(task, threads: pick(3), memory: pick(20)) {
                    granted[task]?.threads += more
                }
                let used = running.compactMap { granted[$0] }
                #expect(used.reduce(0) { $0 + $1.threads } <= threads, "seed \(seed), round \(round)")
                // A task that wants more memory than there is runs alone.
                #expect(used.reduce(0) { $0 + $1.memory } <= memory || used.count == 1, "seed \(seed), round \(round)")
                #expect(running.count { requests[$0].limit != nil } <= 2, "seed \(seed), round \(round)")
                #expect(scheduler.freeThreads >= 0 && scheduler.freeMemory >= 0)
                stalled = actions.isEmpty && running.isEmpty && concluding.isEmpty ? stalled + 1 : 0
                if let task = concluding.randomElement(using: &generator), actions.isEmpty || pick(3) == 0 {
                    concluding.remove(task)
                    over.insert(task)
                    if task == failing { scheduler.failed(task) } else { scheduler.finished(task) }
                } else if let task = running.randomElement(using: &generator), pick(2) == 0, scheduler.hasRun(task) {
                    #expect(requests[task].limit == nil && running.count > 1)
                    running.remove(task)
                    concluding.insert(task)
                } else if actions.isEmpty, let task = running.sorted().dropFirst(pick(max(running.count, 1))).first {
                    running.remove(task)
                    over.insert(task)
                    if task == failing { scheduler.failed(task) } else { scheduler.finished(task) }
                }
            }
            #expect(scheduler.isFinished, "stuck with seed \(seed), round \(round)")
            #expect(scheduler.freeThreads == threads && scheduler.freeMemory == memory)
        }
    }

    /// The longest way to the end goes first: with two threads that is 4 and not 6.
    @Test func theCriticalPathGoesFirst() {
        var scheduler = Scheduler(threads: 2, memory: 0)
        let seconds = [1, 1, 1, 1, 4]
        for task in 0..<5 { _ = scheduler.add(priority: Double(seconds[task])) }
        var now = 0
        var running: [(task: Int, end: Int)] = []
        while !scheduler.isFinished {
            let actions = scheduler.nextActions()
            for action in actions {
                if case .resolve(let task) = action { scheduler.enqueue(task, .init()) }
                if case .start(let task, _) = action { running.append((task, now + seconds[task])) }
            }
            guard actions.isEmpty, let next = running.min(by: { $0.end < $1.end }) else { continue }
            now = next.end
            running.removeAll { $0.task == next.task }
            scheduler.finished(next.task)
        }
        #expect(now == 4)
    }
}
