/// One instance of a node: the node itself, or one element of its `each`.
public struct InstanceID: Hashable, Sendable, Codable, CustomStringConvertible, Comparable {
    /// The node's name in the graph.
    public let node: String
    /// The place in the list of `each`, from 0; nil for a node without `each`.
    public let index: Int?

    /// Names an instance.
    public init(node: String, index: Int? = nil) {
        self.node = node
        self.index = index
    }

    /// `head` or `animate[3]`.
    public var description: String { index.map { "\(node)[\($0)]" } ?? node }

    public static func < (a: Self, b: Self) -> Bool { (a.node, a.index ?? -1) < (b.node, b.index ?? -1) }
}
