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
        state.targets.contains(instance.node) || demands[.instance(instance)] != nil
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

    /// Counts what nobody needed as cached.
    func concludeAbsent() {
        for (instance, item) in absent.sorted(by: { $0.key < $1.key }) where demands[.instance(instance)] == nil {
            noteFinished(instance, item.work, item.record, cached: true)
        }
    }
}
