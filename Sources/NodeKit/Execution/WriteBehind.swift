import Dispatch
import Locking

/// Hashes and writes what a node makes on a thread beside it, in order, a few pieces behind.
///
/// Whoever wraps a writer in it leaves that alone until ``finish()`` has returned.
final class WriteBehind: Sendable {
    private let queue = DispatchQueue(label: "understudy.write-behind", qos: .userInitiated)
    /// How many pieces wait at most: the maker waits then.
    private let room = DispatchSemaphore(value: 3)
    private let failure = Locked<(any Error)?>(nil)

    /// Takes a piece over; waits while there is no room.
    ///
    /// - Throws: What writing an earlier piece threw; later ones are not written then.
    func add(_ bytes: [UInt8], to writer: ArtifactWriter) throws {
        if let error = failure.withLock({ $0 }) { throw error }
        room.wait()
        // Safe: the maker does not touch the writer, and this queue does one thing at a time.
        nonisolated(unsafe) let writer = writer
        queue.async { [self] in
            defer { room.signal() }
            guard failure.withLock({ $0 == nil }) else { return }
            do {
                try bytes.withUnsafeBytes { try writer.append($0) }
            } catch {
                failure.withLock { $0 = error }
            }
        }
    }

    /// Returns when everything is written.
    ///
    /// - Throws: What writing threw.
    func finish() throws {
        queue.sync {}
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
