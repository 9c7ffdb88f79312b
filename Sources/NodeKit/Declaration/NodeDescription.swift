/// What a node type is, as data: the type checker, the YAML schema, `understudy nodes`, the docs and the studio read this.
public struct NodeDescription: Sendable, Hashable {
    public struct Port: Sendable, Hashable {
        public let name: String
        public let type: PortType
        public let help: String
        /// Whether the port may stay unwired (inputs only).
        public let isOptional: Bool
        /// Whether the node reads the frames there in order, so that they may come while they are made (inputs only).
        public let readsInOrder: Bool

        public init(name: String, type: PortType, help: String, isOptional: Bool = false, readsInOrder: Bool = false) {
            self.name = name
            self.type = type
            self.help = help
            self.isOptional = isOptional
            self.readsInOrder = readsInOrder
        }
    }

    public struct Parameter: Sendable, Hashable {
        /// The name in graph files; a dot makes a group: `guidance.motion`.
        public let name: String
        public let schema: ParameterSchema
        public let defaultValue: ParameterLiteral
        public let help: String

        public init(name: String, schema: ParameterSchema, defaultValue: ParameterLiteral, help: String) {
            self.name = name
            self.schema = schema
            self.defaultValue = defaultValue
            self.help = help
        }
    }

    public let type: NodeType
    public let version: Int
    public let summary: String
    public let inputs: [Port]
    public let outputs: [Port]
    public let parameters: [Parameter]
    public let cost: NodeCost

    public init(
        type: NodeType, version: Int, summary: String, inputs: [Port], outputs: [Port], parameters: [Parameter],
        cost: NodeCost = .init()
    ) {
        self.type = type
        self.version = version
        self.summary = summary
        self.inputs = inputs
        self.outputs = outputs
        self.parameters = parameters
        self.cost = cost
    }

    public func input(_ name: String) -> Port? { inputs.first { $0.name == name } }
    public func output(_ name: String) -> Port? { outputs.first { $0.name == name } }
    public func parameter(_ name: String) -> Parameter? { parameters.first { $0.name == name } }
}

/// What running a node takes; the executor's ledger draws from the run's budget.
public struct NodeCost: Sendable, Hashable {
    public enum Threads: Sendable, Hashable {
        case one
        /// As many as the run may use: the node's inner loops are parallel.
        case all
    }

    public var threads: Threads
    /// How many more threads than one it makes use of when nobody else wants them.
    public var helpers: Int
    /// Peak memory beyond its inputs, in bytes: an estimate.
    public var memory: Int
    /// How many instances of the type may run at once; nil: as many as the budget has room for.
    public var limit: Int?

    public init(threads: Threads = .one, helpers: Int = 0, memory: Int = 256 << 20, limit: Int? = nil) {
        self.threads = threads
        self.helpers = helpers
        self.memory = memory
        self.limit = limit
    }
}
