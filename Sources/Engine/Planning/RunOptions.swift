import Foundation
import GraphKit
import NodeKit

/// What a user asked of a run or a plan.
public struct RunOptions: Sendable {
    /// How many threads all running nodes may use together.
    public var threads: Int
    /// How many bytes all running nodes may use together.
    public var memory: Int
    /// Whether a failure leaves everything that does not depend on it running to the end.
    public var keepsGoing = false
    /// What to make: nodes, ports, single instances. Empty: the graph's outputs.
    public var targets: [RunTarget] = []
    /// Nodes to run again with everything that depends on them.
    public var from: [String] = []
    /// Nodes to run again.
    public var force: [String] = []
    /// Precision and kernels as far as they change results: a part of every action key.
    public var numericPolicy = "f32"
    /// Where to put the graph's outputs; nil: nowhere. A folder of the graph's name is made inside.
    public var outputFolder: String?
    /// Frames of more bytes than this are handed from node to node while they are made, and not stored, where all that take
    /// them read them in order.
    public var streamsAbove = 4 << 30
    /// Digests of the source code of compiled nodes, for the warning «the code of this node changed since».
    public var sourceDigests: [NodeType: Digest] = [:]

    /// - Parameters:
    ///   - threads: Nil: one per processor.
    ///   - memory: In bytes; nil: three quarters of the machine's.
    public init(threads: Int? = nil, memory: Int? = nil) {
        self.threads = max(threads ?? ProcessInfo.processInfo.activeProcessorCount, 1)
        self.memory = memory ?? Int(ProcessInfo.processInfo.physicalMemory / 4 * 3)
    }
}

/// A node, one of its ports, or one of its instances: `film`, `film.file`, `animate[3]`, `animate[3].latent`.
public struct RunTarget: Sendable, Hashable, CustomStringConvertible {
    public let node: String
    public let index: Int?
    public let port: String?

    public init(node: String, index: Int? = nil, port: String? = nil) {
        self.node = node
        self.index = index
        self.port = port
    }

    /// Reads a target and checks it against a graph.
    ///
    /// - Throws: ``UsageError`` when the graph has no such node, instance or port.
    public init(_ text: String, in graph: Graph) throws {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        var name = parts[0]
        var index: Int?
        if name.hasSuffix("]"), let bracket = name.firstIndex(of: "[") {
            guard let number = Int(name[name.index(after: bracket)...].dropLast()), number >= 0 else {
                throw UsageError("'\(text)': an instance is written as NODE[NUMBER], for instance animate[0]")
            }
            index = number
            name = String(name[..<bracket])
        }
        guard let node = graph.node(name) else {
            throw UsageError("graph '\(graph.name)' has no node '\(name)'; it has \(graph.nodes.map(\.id).joined(separator: ", "))")
        }
        if index != nil, node.each == nil {
            throw UsageError("node '\(name)' has no instances: it has no 'each'")
        }
        if parts.count == 2, node.description.output(parts[1]) == nil {
            let ports = node.description.outputs.map(\.name).joined(separator: ", ")
            throw UsageError("node '\(name)' (\(node.type)) has no output '\(parts[1])'; it has \(ports)")
        }
        self.init(node: name, index: index, port: parts.count == 2 ? parts[1] : nil)
    }

    public var description: String { node + (index.map { "[\($0)]" } ?? "") + (port.map { ".\($0)" } ?? "") }
}

/// The command line asks for something that the graph does not have.
public struct UsageError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Stops a run: may be called from any thread, any number of times.
public final class Cancellation: Sendable {
    private struct State {
        var isCancelled = false
        var handlers: [Int: @Sendable () -> Void] = [:]
        var next = 0
    }

    private let state = Locked(State())

    public init() {}

    public var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Stops the run: nothing new starts, running nodes are told to stop, external ones are ended.
    public func cancel() {
        let handlers = state.withLock { state -> [@Sendable () -> Void] in
            guard !state.isCancelled else { return [] }
            state.isCancelled = true
            defer { state.handlers = [:] }
            return Array(state.handlers.values)
        }
        for handler in handlers { handler() }
    }

    /// Calls `handler` on cancellation, at once if that was before. The token ends it.
    func onCancel(_ handler: @escaping @Sendable () -> Void) -> Int {
        let token = state.withLock { state -> Int? in
            guard !state.isCancelled else { return nil }
            state.next += 1
            state.handlers[state.next] = handler
            return state.next
        }
        if token == nil { handler() }
        return token ?? 0
    }

    func removeHandler(_ token: Int) { state.withLock { _ = $0.handlers.removeValue(forKey: token) } }
}
