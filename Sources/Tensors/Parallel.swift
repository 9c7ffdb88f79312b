import Dispatch
import Synchronization

/// Data-parallel loops over Dispatch, with a limit on threads that the caller sets.
///
/// The work must be split by its size alone, never by the number of threads, so that results do not depend on it:
///
///     Parallel.$threads.withValue(2) { y = x.linear(weight) }
public enum Parallel {
    /// How many threads one loop may use, 1 unless the engine grants more. Inside a loop it is 1: loops do not nest.
    @TaskLocal public static var threads = 1

    /// Runs `body` for 0 ..< count, on up to ``threads`` threads, and returns when all are done.
    ///
    /// Pieces are handed out one by one, so uneven ones balance.
    public static func forEach(count: Int, _ body: @Sendable (Int) -> Void) {
        let workers = min(threads, count)
        guard workers > 1 else {
            for index in 0..<max(count, 0) { body(index) }
            return
        }
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            $threads.withValue(1) {
                while true {
                    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                    if index >= count { break }
                    body(index)
                }
            }
        }
    }

    /// Runs `body` over 0 ..< count in neighbouring ranges of `length` (the last may be shorter).
    public static func forEachRange(count: Int, length: Int, _ body: @Sendable (Range<Int>) -> Void) {
        precondition(length > 0, "a range must have a positive length")
        forEach(count: (count + length - 1) / length) { piece in
            let start = piece * length
            body(start..<min(start + length, count))
        }
    }

    /// Whether `test` holds for all such ranges.
    static func allSatisfy(count: Int, length: Int, _ test: @Sendable (Range<Int>) -> Bool) -> Bool {
        let fails = Atomic(false)
        forEachRange(count: count, length: length) { if !test($0) { fails.store(true, ordering: .relaxed) } }
        return !fails.load(ordering: .relaxed)
    }
}
