import Foundation
import NodeKit
import WholeFiles

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
    /// The node's type, or `cut`.
    public let node: String
    public let version: Int
    /// How long it took, in seconds.
    public let seconds: Double
    /// How much memory it took; nil where that was not measured.
    public let memory: PeakMemory?
    /// By port; the elements of a list as `port[0]`, `port[1]`, ….
    public let outputs: [String: Output]
    /// The digest of the node's source code when this was made, if it was known.
    public let source: Digest?

    /// Whether the node's code changed since without its version saying so.
    func isOutdated(by source: Digest?) -> Bool {
        guard let made = self.source, let source else { return false }
        return made != source
    }
}

extension Dictionary where Key == String {
    /// The elements of a list port, by their names.
    func elements(of port: String) -> [(name: String, value: Value)] {
        var result: [(name: String, value: Value)] = []
        while case let name = "\(port)[\(result.count)]", let value = self[name] { result.append((name, value)) }
        return result
    }

    /// What was made at a port, by name: one value, or the elements of a list.
    func values(of port: NodeDescription.Port) -> [(name: String, value: Value)] {
        port.type.element == nil ? self[port.name].map { [(port.name, $0)] } ?? [] : elements(of: port.name)
    }
}

/// Why something in the store could not be used.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }

    /// What an error says, in the system's words where Foundation only wraps them.
    public static func text(_ error: any Error) -> String { SystemReason.text(of: error) }
}
