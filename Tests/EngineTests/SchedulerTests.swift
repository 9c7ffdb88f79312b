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
}
