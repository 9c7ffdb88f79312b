import NodeKit

/// A checked graph: every name resolves, every wire joins equal types, every parameter is in its range.
///
/// The checker is the only maker of one, so whoever holds a graph need not check it again.
public struct Graph: Sendable {
    /// The name in the file, or the file's own name.
    public let name: String
    /// The file that the user named.
    public let file: SourceFile
    /// Every file that had a part in it: the graph, what it extends, overlays.
    public let files: [SourceFile]
    /// What a run may set from outside, as written.
    public let inputs: [GraphInput]
    /// The nodes in topological order: what a node depends on comes before it. The same text always gives the same order.
    public let nodes: [GraphNode]
    /// What the graph is for, as written.
    public let outputs: [GraphOutput]
    /// Files that stand in for what ports give, as written.
    public let pins: [GraphPin]

    private let inputIndex: [String: Int]
    private let nodeIndex: [String: Int]
    private let consumers: [[Int]]

    init(
        name: String, file: SourceFile, files: [SourceFile], inputs: [GraphInput], nodes: [GraphNode],
        outputs: [GraphOutput], pins: [GraphPin]
    ) {
        self.name = name
        self.file = file
        self.files = files
        self.inputs = inputs
        self.nodes = nodes
        self.outputs = outputs
        self.pins = pins
        inputIndex = Dictionary(uniqueKeysWithValues: inputs.enumerated().map { ($1.name, $0) })
        let index = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1.id, $0) })
        var consumers = [[Int]](repeating: [], count: nodes.count)
        for (position, node) in nodes.enumerated() {
            for source in node.dependencies { if let source = index[source] { consumers[source].append(position) } }
        }
        nodeIndex = index
        self.consumers = consumers
    }

    /// The graph input of a name.
    public func input(_ name: String) -> GraphInput? { inputIndex[name].map { inputs[$0] } }

    /// The node of an id.
    public func node(_ id: String) -> GraphNode? { nodeIndex[id].map { nodes[$0] } }

    /// The place of a node in `nodes`.
    public func index(of id: String) -> Int? { nodeIndex[id] }

    /// The nodes that take something straight from this one, in topological order.
    public func consumers(of id: String) -> [GraphNode] { nodeIndex[id].map { consumers[$0].map { nodes[$0] } } ?? [] }

    /// These nodes and all that they depend on, in topological order: what `--to` runs.
    public func ancestors(of ids: some Sequence<String>) -> [GraphNode] {
        var wanted = Set(ids)
        for node in nodes.reversed() where wanted.contains(node.id) { wanted.formUnion(node.dependencies) }
        return nodes.filter { wanted.contains($0.id) }
    }

    /// These nodes and all that depend on them, in topological order: what `--from` runs again.
    public func descendants(of ids: some Sequence<String>) -> [GraphNode] {
        var reached = Set(ids)
        for node in nodes where node.dependencies.contains(where: reached.contains) { reached.insert(node.id) }
        return nodes.filter { reached.contains($0.id) }
    }

    /// The nodes that the outputs need; all nodes when the graph names no outputs.
    public var neededNodes: [GraphNode] {
        outputs.isEmpty ? nodes : ancestors(of: outputs.map(\.node))
    }
}

/// A file that a run may set from outside.
public struct GraphInput: Sendable {
    /// What kind of file it is.
    public enum Kind: String, Sendable, CaseIterable {
        case image, video, audio, file
        /// A folder as Hugging Face lays it out, or one safetensors file.
        case model

        /// The type of a wire from such an input: files are opened by nodes, models by the engine.
        public var portType: PortType { self == .model ? .model : .file }
    }

    /// The name, used as `inputs.NAME`.
    public let name: String
    /// What kind of file it is.
    public let kind: Kind
    /// The file's absolute path; nil when neither a default nor the command line gives one.
    public let path: String?
    /// The path as it was written, for messages.
    public let writtenPath: String?
    /// What it is, in the author's words.
    public let help: String?
    /// Where the path is written, or the input itself.
    public let range: SourceRange
    /// The type of wires from it.
    public var type: PortType { kind.portType }
}

/// One output of the graph.
public struct GraphOutput: Sendable {
    /// The name it is given.
    public let name: String
    /// The node that makes it.
    public let node: String
    /// That node's output port.
    public let port: String
    /// Its type; `list<T>` when the node has `each`.
    public let type: PortType
    /// Where it is written.
    public let range: SourceRange
}

/// A file that stands in for what a port gives, so that a person can repair a value by hand.
public struct GraphPin: Sendable {
    /// The node.
    public let node: String
    /// Which instance of it; nil for a node without `each`.
    public let index: Int?
    /// That node's output port.
    public let port: String
    /// The port's type.
    public let type: PortType
    /// The file's absolute path.
    public let path: String
    /// The path as it was written, for messages.
    public let writtenPath: String
    /// Where the path is written.
    public let range: SourceRange
}
