import GraphKit
import NodeKit

/// Values that have left the store are made again only when something that runs needs their bytes: for look-ups, it is enough
/// to know their digests.
extension Execution {
    /// A result that is known and no longer in the store.
    struct Absent {
        let work: Work
        let record: ActionRecord
    }

    /// Whether an instance's outputs must be in the store when it is done.
    func isNeeded(_ instance: InstanceID) -> Bool {
        state.isTarget(instance) || demands[.instance(instance)] != nil
    }

    /// Takes over what an instance made once.
    func settle(_ instance: InstanceID, _ work: Work, _ record: ActionRecord) {
        state.results[instance] = record.outputs.mapValues(store.artifact)
        state.absent.insert(.instance(instance))
        absent[instance] = Absent(work: work, record: record)
    }

    /// Tasks that make what has left the store of these values; empty when all are there.
    func demand(_ sources: some Sequence<GraphState.Source?>, for instance: InstanceID) -> [Scheduler.Task] {
        var tasks: [Scheduler.Task] = []
        for case let source? in sources where state.absent.contains(source) {
            if let task = demands[source] {
                tasks.append(task)
                continue
            }
            let job: Job
            switch source {
            case .slice(let slice): job = .slice(slice, for: instance)
            case .item(let owner): job = .segment(owner)
            case .instance(let missing):
                guard let node = graph.node(missing.node) else { continue }
                job = .instance(node, missing)
            }
            let task = add(job, after: [])
            demands[source] = task
            tasks.append(task)
        }
        return tasks
    }

    /// An instance that has to run and whose inputs are known.
    struct Ready {
        let task: Scheduler.Task
        let node: GraphNode
        let instance: InstanceID
        var work: Work

        /// Who made its inputs.
        var sources: [GraphState.Source?] { work.feeds.flatMap { $0.feeds.map(\.source) } }
    }

    /// Queues what is ready: of those with the same key, the first in the graph's order makes what the others take over.
    ///
    /// Called when nothing is left to look up, so that neither timing nor the number of threads decides which one it is.
    /// `Planner.settle` foretells it.
    func admit() throws {
        if forecaster == nil { try store.read(estimate) }
        func place(_ item: Ready) -> (Int, Int) { (graph.index(of: item.node.id) ?? 0, item.instance.index ?? -1) }
        let batch = ready.count == 1 ? ready : ready.sorted { place($0) < place($1) }
        ready = []
        for var item in batch {
            let (task, key) = (item.task, item.work.key)
            let earlier = earlier(item)
            guard earlier.isEmpty else {
                scheduler.postponed(task, following: earlier)
                continue
            }
            // One that needs what this one makes lets it go first.
            if let maker = makers[key], maker != task, !scheduler.isEnded(maker), !waits.reaches(task, from: maker) {
                sharing.insert(task)
                postpone(task, until: [maker])
                continue
            }
            makers[key] = task
            if item.work.staged != nil { item.work.isLocked = try store.locks.tryLock(key) }
            if try item.work.staged != nil ? !item.work.isLocked : isMadeElsewhere(item) {
                work[task] = item.work
                scheduler.isComputedElsewhere(task)
                waitForOther(task)
                continue
            }
            let needed = item.work.staged == nil ? demand(item.sources, for: item.instance) : []
            guard needed.isEmpty else {
                postpone(task, until: needed)
                continue
            }
            enqueue(item)
        }
    }

    /// Whether somebody else makes, or has just made, what would need frames that were handed on and not stored: then they are not made
    /// again. What is made out of a stream has its key's lock before its maker's key is free.
    private func isMadeElsewhere(_ item: Ready) throws -> Bool {
        guard item.sources.contains(where: { $0.map(state.absent.contains) ?? false }) else { return false }
        if store.locks.isHeld(item.work.key) { return true }
        // The lock may have been given back since the look-up.
        guard !item.work.isForced, case .hit(let record) = try store.read({ try lookup(item.work.key, giving: item.node.description.outputs, $0) }) else { return false }
        return record != item.work.gone
    }

    /// What is made before a node hands on its frames, as far as it is not over.
    private func earlier(_ item: Ready) -> [Scheduler.Task] {
        guard item.work.staged == nil, item.task == nodeTasks[item.node.id] else { return [] }
        return (streamEdges.follows[item.node.id] ?? []).compactMap { nodeTasks[$0] }.filter { !scheduler.isEnded($0) }
    }

    /// Lets a task wait for others.
    func postpone(_ task: Scheduler.Task, until others: [Scheduler.Task]) {
        waits.set(others, of: task)
        scheduler.postponed(task, until: others)
    }

    private func enqueue(_ item: Ready) {
        work[item.task] = item.work
        let priority = priority(of: item.instance)
        // It is made already.
        if item.work.staged != nil { return scheduler.enqueue(item.task, .init(), priority: priority) }
        let isProgram = item.work.definition?.codeDigest != nil
        let request = request(for: item.instance, item.node, isProgram: isProgram)
        if request.memory > options.memory, warned.insert(item.node.id).inserted {
            emitter.send(.warning(
                "\(item.instance) wants \(request.memory >> 20) MiB of memory and the run has \(options.memory >> 20): it runs alone; --memory gives it more"))
        }
        scheduler.enqueue(item.task, request, priority: priority)
    }

    /// Counts what nobody needed as cached.
    func concludeAbsent() {
        for (instance, item) in absent.sorted(by: { $0.key < $1.key }) where demands[.instance(instance)] == nil {
            noteFinished(instance, item.work, item.record, cached: true)
        }
    }

    /// Writes down which files stood in for what nodes make.
    func notePins() {
        for (instance, pins) in Dictionary(grouping: state.pinnedValues, by: \.instance).sorted(by: { $0.key < $1.key }) {
            guard let node = graph.node(instance.node), state.results[instance] == nil else { continue }
            for pin in pins where !pin.isThere {
                emitter.send(.warning("\(pin.file.path) is pinned to \(instance).\(pin.port), and the node has fewer instances"))
            }
            guard pins.contains(where: \.isThere) else { continue }
            let inputs = pins.map { pin in
                (pin.port, [Fingerprint.Input(from: "\(instance).\(pin.port)", digest: pin.file.digest, path: pin.file.path, bytes: pin.file.bytes)])
            }
            let print = Fingerprint(
                type: node.type.name, version: node.version, code: nil, parameters: [:], policy: options.numericPolicy, source: nil,
                inputs: Dictionary(inputs) { first, _ in first })
            unwritten.append(
                JournalEntry(
                    instance: instance, status: .pinned, key: nil, fingerprint: print, outputs: [:], seconds: nil, memory: nil, error: nil))
        }
    }
}
