import Foundation

/// A value behind a lock that several owners share.
///
/// The lock is the C library's: ThreadSanitizer knows that one, and takes `Mutex` of the standard library for a race when it is
/// contended. `@unchecked Sendable`: the value is touched under the lock only.
public final class Locked<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    public init(_ value: Value) { self.value = value }

    public func withLock<R: Sendable>(_ body: (inout Value) throws -> R) rethrows -> R {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
