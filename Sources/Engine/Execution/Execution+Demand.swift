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
        let instance: InstanceID
        let work: Work
        let request: Scheduler.Request
    }

    /// Queues what is ready: of those with the same key, the first in the graph's order makes what the others take over.
    ///
    /// Called when nothing is left to look up, so that neither timing nor the number of threads decides which one it is.
    ///
    /// - Returns: False when nothing was ready.
    func admit() -> Bool {
        guard !ready.isEmpty else { return false }
        func place(_ item: Ready) -> (Int, Int) { (graph.index(of: item.instance.node) ?? 0, item.instance.index ?? -1) }
        let batch = ready.sorted { place($0) < place($1) }
        ready = []
        for item in batch {
            if let maker = makers[item.work.key], maker != item.task, !scheduler.isEnded(maker) {
                scheduler.postponed(item.task, until: [maker])
                continue
            }
            makers[item.work.key] = item.task
            let needed = demand(item.work.feeds.flatMap { $0.feeds.map(\.source) }, for: item.instance)
            guard needed.isEmpty else {
                claimed[item.task] = item.work.gone
                scheduler.postponed(item.task, until: needed)
                continue
            }
            work[item.task] = item.work
            scheduler.enqueue(item.task, item.request)
        }
        return true
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
