import Locking
import NodeKit

/// Which of the values that a run makes had left the store, or never were in it.
///
/// The store is asked when they are written, off the path of those who use them, or by who has to know before.
final class Restoration: Sendable {
    private struct State {
        /// Made, and not looked for yet.
        var open: Set<Digest> = []
        /// Whether it was absent.
        var known: [Digest: Bool] = [:]
    }

    private let state = Locked(State())

    /// Notes what an action made, before it is on its way to the store.
    func note(_ outputs: some Collection<ActionRecord.Output>) {
        state.withLock { state in
            for output in outputs where state.known[output.digest] == nil { state.open.insert(output.digest) }
        }
    }

    /// Finds out about what is about to be written.
    func settle(_ outputs: some Collection<ActionRecord.Output>, _ reader: StoreReader) throws {
        for output in outputs where state.withLock({ $0.open.contains(output.digest) }) {
            let isAbsent = try !reader.isIntactFile(output.digest, suffix: output.suffix)
            state.withLock { state in
                if state.open.remove(output.digest) != nil { state.known[output.digest] = isAbsent }
            }
        }
    }

    /// Whether a value was not in the store until this run made it.
    func contains(_ output: ActionRecord.Output, _ reader: StoreReader) throws -> Bool {
        try settle(CollectionOfOne(output), reader)
        return state.withLock { $0.known[output.digest] ?? false }
    }
}
