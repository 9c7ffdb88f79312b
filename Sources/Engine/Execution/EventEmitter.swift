import Dispatch
import Foundation
import NodeKit

/// Hands events on one at a time, and thins out progress so that a node may report every frame.
final class EventEmitter: Sendable {
    private let handler: @Sendable (RunEvent) -> Void
    /// The handler runs here, under no lock of the engine, so that it may ask the journal or cancel the run.
    private let queue = DispatchQueue(label: "understudy.events", qos: .userInitiated)
    private let lastProgress = Locked<[InstanceID: (at: Double, done: Int)]>([:])
    /// Seconds between two progress events of one instance.
    private static let interval = 0.1

    init(_ handler: @escaping @Sendable (RunEvent) -> Void) { self.handler = handler }

    func send(_ event: RunEvent) { queue.async { [handler] in handler(event) } }

    /// Returns when every event sent so far was handled.
    func flush() { queue.sync {} }

    func progress(_ instance: InstanceID, _ progress: NodeContext.Progress) {
        let now = Double(DispatchTime.now().uptimeNanoseconds) * 1e-9
        let isDue = lastProgress.withLock { last in
            if let previous = last[instance], now - previous.at < Self.interval, progress.done != progress.total { return false }
            last[instance] = (now, progress.done)
            return true
        }
        if isDue { send(.progress(instance, done: progress.done, total: progress.total, unit: progress.unit)) }
    }
}
