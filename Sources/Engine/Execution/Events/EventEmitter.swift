import Dispatch
import Foundation
import Locking
import NodeKit

/// Hands events on one at a time, and thins out progress so that a node may report every frame.
final class EventEmitter: Sendable {
    private let handler: @Sendable (RunEvent) -> Void
    /// The handler runs here, under no lock of the engine, so that it may ask the journal or cancel the run.
    private let queue = DispatchQueue(label: "understudy.events", qos: .userInitiated)
    private let waiting = Locked(Waiting())
    private let lastProgress = Locked<[InstanceID: (at: Double, done: Int)]>([:])
    /// Seconds between two progress events of one instance.
    private static let interval = 0.1

    init(_ handler: @escaping @Sendable (RunEvent) -> Void) { self.handler = handler }

    private struct Waiting {
        var events: [RunEvent] = []
        var isScheduled = false
        /// When the handler was last called.
        var handledAt: UInt64 = 0
    }

    /// Waking a thread takes longer than many a node: where events come thick and fast, they wait so long for each other, in
    /// nanoseconds.
    private static let pause = 20_000_000

    func send(_ event: RunEvent) {
        let delay: Int? = waiting.withLock { waiting in
            waiting.events.append(event)
            guard !waiting.isScheduled else { return nil }
            waiting.isScheduled = true
            return DispatchTime.now().uptimeNanoseconds - waiting.handledAt > UInt64(Self.pause) ? 0 : Self.pause
        }
        guard let delay else { return }
        if delay == 0 { queue.async { self.handle() } } else { queue.asyncAfter(deadline: .now() + .nanoseconds(delay)) { self.handle() } }
    }

    /// Returns when every event sent so far was handled.
    func flush() { queue.sync { handle() } }

    private func handle() {
        while true {
            let events = waiting.withLock { waiting in
                if waiting.events.isEmpty { (waiting.isScheduled, waiting.handledAt) = (false, DispatchTime.now().uptimeNanoseconds) }
                defer { waiting.events = [] }
                return waiting.events
            }
            guard !events.isEmpty else { return }
            events.forEach(handler)
        }
    }

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
