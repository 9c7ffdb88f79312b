import GraphKit
import NodeKit

/// What a run would do, and why.
public struct Plan: Sendable, Codable {
    /// What is known of an instance beforehand.
    public enum Status: String, Sendable, Codable {
        case cached
        case willRun
        /// Whether it runs depends on what other nodes make.
        case depends
        /// Its result is known and has left the cache, and nothing that runs needs it.
        case unneeded
        /// It is the same action as one before it that runs: what that one makes is its result too.
        case shared
    }

    public struct Entry: Sendable, Codable {
        /// Without an index for a node whose `each` is not known yet.
        public let instance: InstanceID
        public let type: String
        public let status: Status
        /// Empty when it is cached.
        public let reasons: [RunReason]
        /// How long it took when it last ran, in seconds.
        public let seconds: Double?
        public let key: Digest?
        /// By port, when cached.
        public let outputs: [String: ActionRecord.Output]
        /// The source code of the node changed since its result was made, its version did not.
        public let sourceChanged: Bool
        /// Its outputs must be there in the end.
        public let isTarget: Bool

        /// The same instance with what others make of it.
        func with(_ status: Status, _ reasons: [RunReason]? = nil) -> Entry {
            Entry(
                instance: instance, type: type, status: status, reasons: reasons ?? self.reasons, seconds: seconds, key: key,
                outputs: outputs, sourceChanged: sourceChanged, isTarget: isTarget)
        }
    }

    /// A value that a file of the user stands in for.
    public struct Pin: Sendable, Codable {
        public let instance: InstanceID
        public let port: String
        public let file: FileVersion
    }

    public let graph: String
    /// In topological order.
    public let entries: [Entry]
    /// By node, instance and port.
    public let pins: [Pin]
    /// What the run is expected to take.
    public internal(set) var forecast: RunForecast?

    public func count(_ status: Status) -> Int { entries.count { $0.status == status } }
}
