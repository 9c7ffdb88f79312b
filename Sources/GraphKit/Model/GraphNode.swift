import NodeKit

/// A node of a checked graph.
///
/// A class, as it never changes and is handed about everywhere.
public final class GraphNode: Sendable {
    /// Its name in the graph.
    public let id: String
    /// Its type, as declared.
    public let description: NodeDescription
    /// What each wired input port gets. Optional ports may be absent, and so may one that `carry` feeds.
    public let wires: [String: Wire]
    /// Every parameter of the type in canonical form, defaults included.
    public let parameters: [String: ParameterLiteral]
    /// The parameters that the graph sets, and where.
    public let parameterRanges: [String: SourceRange]
    /// What the node is repeated over.
    public let each: Each?
    /// How one instance feeds the next, by input port.
    public let carry: [Carry]
    /// The nodes that it depends on, each once, in the order in which it names them.
    public let dependencies: [String]
    /// Where its id is written.
    public let range: SourceRange
    /// The canonical text of every parameter.
    public let canonicalTexts: [String: String]
    /// All parameters as one line of JSON with sorted keys: a part of the action key.
    public let canonicalParameters: String

    init(
        id: String, description: NodeDescription, wires: [String: Wire], parameters: [String: ParameterLiteral],
        parameterRanges: [String: SourceRange], each: Each?, carry: [Carry], dependencies: [String], range: SourceRange
    ) {
        self.id = id
        self.description = description
        self.wires = wires
        self.parameters = parameters
        self.parameterRanges = parameterRanges
        self.each = each
        self.carry = carry
        self.dependencies = dependencies
        self.range = range
        canonicalTexts = parameters.mapValues(\.canonical)
        canonicalParameters = ParameterLiteral.object(canonicalTexts)
    }

    /// The name of its type.
    public var type: NodeType { description.type }
    /// The version of its type.
    public var version: Int { description.version }

    /// Wired ports in the order of the type's declaration.
    public var orderedWires: [(port: NodeDescription.Port, wire: Wire)] {
        description.inputs.compactMap { port in wires[port.name].map { (port, $0) } }
    }

    /// The type of an output seen from other nodes: `list<T>` when the node has `each`.
    public func outputType(_ port: String) -> PortType? {
        description.output(port).map { each == nil ? $0.type : $0.type.list }
    }

    /// One instance per element of a list.
    public struct Each: Sendable, Hashable {
        /// The node that makes the list.
        public let node: String
        /// Its output port.
        public let port: String
        /// What the elements are.
        public let over: Over

        /// What a list of `each` holds.
        public enum Over: Sendable, Hashable {
            /// Frame ranges: wires may be cut with `[each.range]`; `each.item` is a `segments` value of one range.
            case segments
            /// Elements of a `list<T>`; `each.item` has this type.
            case list(of: PortType)
        }

        /// The type of the wire `each.item`.
        public var itemType: PortType {
            switch over {
            case .segments: .segments
            case .list(let element): element
            }
        }
    }

    /// Output `output` of one instance is input `input` of the next.
    public struct Carry: Sendable, Hashable {
        /// The input port that is fed.
        public let input: String
        /// The output port that it takes from the instance before.
        public let output: String
    }
}

/// What an input port is joined to.
public indirect enum Wire: Sendable, Hashable {
    /// `inputs.NAME`: a file or model that the run was given.
    case input(String)
    /// `node.port`; with `slice`, the instance's frame range is cut out of it (`[each.range]`).
    ///
    /// From a node with `each` it is the list of all instances' outputs.
    case port(node: String, port: String, slice: Bool)
    /// `each.item`: the element that this instance is for.
    case eachItem
    /// A YAML list of wires on a `list<T>` port: one element each.
    case list([Wire])

    /// As it is written in a graph file.
    public var text: String {
        switch self {
        case .input(let name): "inputs.\(name)"
        case .port(let node, let port, let slice): "\(node).\(port)" + (slice ? EachRange.suffix : "")
        case .eachItem: "each.item"
        case .list(let wires): "[" + wires.map(\.text).joined(separator: ", ") + "]"
        }
    }

    /// The node outputs that it takes, in order.
    public var sources: [(node: String, port: String)] {
        switch self {
        case .port(let node, let port, _): [(node, port)]
        case .list(let wires): wires.flatMap(\.sources)
        case .input, .eachItem: []
        }
    }

    /// Whether a part of it is cut to the instance's frame range.
    public var isSliced: Bool {
        switch self {
        case .port(_, _, let slice): slice
        case .list(let wires): wires.contains(where: \.isSliced)
        case .input, .eachItem: false
        }
    }
}
