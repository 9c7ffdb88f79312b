import NodeKit

/// What the store knows of an action that was done.
public struct ActionRecord: Sendable, Hashable, Codable {
    /// An output, by its content.
    public struct Output: Sendable, Hashable, Codable {
        public let type: String
        public let digest: Digest
        /// The file name extension.
        public let suffix: String
        public let bytes: Int64
    }

    /// The action's key.
    public let key: Digest
    /// The node's type, or `slice`, `segment`.
    public let node: String
    public let version: Int
    /// How long it took, in seconds.
    public let seconds: Double
    /// How much memory it took; nil where that was not measured.
    public let memory: PeakMemory?
    public let outputs: [String: Output]
    /// The digest of the node's source code when this was made, if it was known.
    public let source: Digest?

    /// Whether the node's code changed since without its version saying so.
    func isOutdated(by source: Digest?) -> Bool {
        guard let made = self.source, let source else { return false }
        return made != source
    }
}

/// Why something in the store could not be used.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
