import Foundation

/// Lets no more of a group work at once than there are threads; whoever waits for another gives its turn away.
///
/// `@unchecked Sendable`: everything mutable is touched under `condition`'s lock only.
public final class WorkTurns: @unchecked Sendable {
    /// The threads that one of the group works with.
    public struct Share: Sendable {
        fileprivate let turns: WorkTurns
        public let count: Int

        /// Waits until so many threads are free.
        public func take() { turns.take(count) }
        public func give() { turns.give(count) }
    }

    private let condition = NSCondition()
    private var total: Int
    private var free: Int

    /// - Parameter count: How many threads there are.
    public init(_ count: Int) {
        total = max(count, 1)
        free = total
    }

    public var count: Int { condition.withLock { total } }

    /// A share of some threads; of all there are if that is less.
    public func share(_ count: Int) -> Share { Share(turns: self, count: min(max(count, 1), self.count)) }

    /// Adds threads.
    public func add(_ count: Int) {
        condition.withLock {
            total += count
            free += count
            condition.broadcast()
        }
    }

    private func take(_ count: Int) {
        condition.lock()
        while free < count { condition.wait() }
        free -= count
        condition.unlock()
    }

    private func give(_ count: Int) {
        condition.withLock {
            free += count
            condition.broadcast()
        }
    }
}
