import Dispatch
import Locking

/// Threads for nodes, as many as are running: each has a serial queue, for which Dispatch always finds a thread.
///
/// A concurrent queue has no more threads than the machine has processors, and adds to them only when some sleep: with a node on each, whatever
/// else it is given waits until one of them is done.
final class Workers: Sendable {
    private let idle = Locked<[DispatchQueue]>([])

    func run(_ body: @escaping @Sendable () -> Void) {
        let queue = idle.withLock { $0.popLast() } ?? DispatchQueue(label: "understudy.node", qos: .userInitiated)
        queue.async {
            body()
            self.idle.withLock { $0.append(queue) }
        }
    }
}
