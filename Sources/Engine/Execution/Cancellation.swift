import Locking
import NodeKit

/// Stops a run: may be called from any thread, any number of times.
public final class Cancellation: Sendable {
    private struct State {
        var isCancelled = false
        /// Keys whose work goes on to its end.
        var spared: Set<Digest> = []
        var handlers: [Int: @Sendable () -> Void] = [:]
        var next = 0
    }

    private let state = Locked(State())

    public init() {}

    public var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Stops the run: nothing new starts, running nodes are told to stop, external ones are ended.
    public func cancel() { cancel(sparing: []) }

    /// Stops the run, save that running work with one of these keys goes on to its end: somebody still wants its result.
    public func cancel(sparing keys: Set<Digest>) {
        let handlers = state.withLock { state -> [@Sendable () -> Void] in
            let spared = state.isCancelled ? state.spared.intersection(keys) : keys
            guard !state.isCancelled || spared != state.spared else { return [] }
            state.isCancelled = true
            state.spared = spared
            return Array(state.handlers.values)
        }
        for handler in handlers { handler() }
    }

    /// Whether work is to stop; what nobody could use later does in any case.
    func stops(_ key: Digest?) -> Bool {
        state.withLock { $0.isCancelled && !(key.map($0.spared.contains) ?? false) }
    }

    /// Calls `handler` on cancellation, at once if that was before, and again when less is spared. The token ends it.
    func onCancel(_ handler: @escaping @Sendable () -> Void) -> Int {
        let (token, isCancelled) = state.withLock { state -> (Int, Bool) in
            state.next += 1
            state.handlers[state.next] = handler
            return (state.next, state.isCancelled)
        }
        if isCancelled { handler() }
        return token
    }

    func removeHandler(_ token: Int) { state.withLock { _ = $0.handlers.removeValue(forKey: token) } }
}
