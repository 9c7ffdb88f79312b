import Locking
import Models
import Tensors

/// The keys and values of the references that segments were generated with last: those of the next segment are mostly the same.
final class ReferenceMemory: Sendable {
    private struct Entry: Sendable {
        let network: String
        let references: Tensor
        let pose: Tensor?
        let cache: ReferenceCache

        func isSame(_ network: String, _ references: Tensor, _ pose: Tensor?) -> Bool {
            guard self.network == network, self.references.hasSameBytes(as: references) else { return false }
            guard let own = self.pose, let pose else { return self.pose == nil && pose == nil }
            return own.hasSameBytes(as: pose)
        }
    }

    /// That of all segments of the process.
    static let shared = ReferenceMemory()

    private let entries = Locked<[Entry]>([])
    /// A network is run with its references and, for guidance, without.
    private static let count = 2
    /// Bytes; larger ones are not worth the memory between segments.
    private static let largest = 128 << 20

    /// What `make` gives, or gave for the same network, references and pose.
    ///
    /// - Parameter network: Names the weights; nil: nothing is kept.
    func cache(network: String?, references: Tensor, pose: Tensor?, make: () -> ReferenceCache) -> ReferenceCache {
        guard let network else { return make() }
        let known = entries.withLock { $0.first { $0.isSame(network, references, pose) } }
        if let known { return known.cache }
        let made = make()
        guard made.byteCount <= Self.largest else { return made }
        entries.withLock { entries in
            entries = entries.filter { $0.network == network }.suffix(Self.count - 1)
                + [Entry(network: network, references: references, pose: pose, cache: made)]
        }
        return made
    }
}
