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
    /// What to make: nodes, ports, instances. Empty: the graph's outputs.
    public var targets: [RunTarget] = []
    /// What to run again with everything that depends on it; with targets, as far as these need it.
    public var from: [RunTarget] = []
    /// What to run again.
    public var force: [RunTarget] = []
    /// Precision and kernels as far as results of others are not to be taken: a part of every action key.
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

/// The command line asks for something that the graph does not have.
public struct UsageError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
