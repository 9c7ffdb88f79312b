/// A node type with its Swift type erased: what the engine holds.
public struct NodeDefinition: Sendable {
    public let description: NodeDescription
    /// A digest of the code of an external node's folder; part of its cache key. Nil for nodes compiled in.
    public let codeDigest: Digest?
    /// The Swift module that a node is compiled in; nil for external nodes.
    public let module: String?
    private let body: @Sendable (NodeInvocation) throws -> Void

    /// - Parameter body: Reads the invocation's inputs and writes all of its outputs, or throws.
    public init(
        description: NodeDescription, codeDigest: Digest? = nil, module: String? = nil,
        body: @escaping @Sendable (NodeInvocation) throws -> Void
    ) {
        self.description = description
        self.codeDigest = codeDigest
        self.module = module
        self.body = body
    }

    /// Erases a Swift node type.
    public init<N: Node>(_ type: N.Type) {
        var inputs: [NodeDescription.Port] = []
        var outputs: [NodeDescription.Port] = []
        var parameters: [NodeDescription.Parameter] = []
        for (name, wrapper) in Self.wrappers(of: N()) {
            switch wrapper {
            case let input as any DeclaredInput: inputs.append(input.port(named: name))
            case let output as any DeclaredOutput: outputs.append(output.port(named: name))
            case let parameter as any DeclaredParameter:
                parameters.append(parameter.parameter(named: parameter.givenName ?? name))
            default: break
            }
        }
        self.init(
            description: NodeDescription(
                type: N.type, version: N.version, summary: N.summary, inputs: inputs, outputs: outputs,
                parameters: parameters, cost: N.cost),
            module: String(String(reflecting: type).prefix { $0 != "." })
        ) { try Self.run(N.self, $0) }
    }

    /// Runs the node once.
    ///
    /// - Throws: What the node threw, or ``NodeError`` when it left an output unwritten.
    public func run(_ invocation: NodeInvocation) throws {
        try body(invocation)
        for port in description.outputs where !invocation.outputs.isWritten(port.name) {
            throw NodeError("node type '\(description.type)' did not write its output '\(port.name)'")
        }
    }

    private static func run<N: Node>(_ type: N.Type, _ invocation: NodeInvocation) throws {
        let node = N()
        for (name, wrapper) in wrappers(of: node) {
            switch wrapper {
            case let input as any DeclaredInput:
                do {
                    try input.bind(invocation.inputs[name] ?? [])
                } catch {
                    throw NodeError("input '\(name)': \(error)")
                }
            case let output as any DeclaredOutput:
                output.bind(name, to: invocation.outputs)
            case let parameter as any DeclaredParameter:
                let name = parameter.givenName ?? name
                guard let literal = invocation.parameters[name] else { continue }
                guard parameter.bind(literal) else {
                    throw NodeError("parameter '\(name)' cannot be \(literal.canonical)")
                }
            default: break
            }
        }
        try node.run(in: invocation.context)
    }

    /// Property wrappers by property name: Swift stores `@Input var head` as `_head`.
    private static func wrappers(of node: some Node) -> [(String, Any)] {
        Mirror(reflecting: node).children.compactMap { child in
            guard let label = child.label, label.hasPrefix("_") else { return nil }
            return (String(label.dropFirst()), child.value)
        }
    }
}

/// What one run of a node gets.
public struct NodeInvocation: Sendable {
    /// Artifacts by input port; one for a plain port, any number for a `list` port, none for an unwired optional one.
    public let inputs: [String: [Artifact]]
    /// Literals by parameter name; a missing one means the default.
    public let parameters: [String: ParameterLiteral]
    public let outputs: OutputSink
    public let context: NodeContext

    public init(
        inputs: [String: [Artifact]], parameters: [String: ParameterLiteral], outputs: OutputSink, context: NodeContext
    ) {
        self.inputs = inputs
        self.parameters = parameters
        self.outputs = outputs
        self.context = context
    }
}

/// A node could not do its work. The message says what was asked, what was found and what to do.
public struct NodeError: Error, Sendable, CustomStringConvertible {
    public let message: String
    public init(_ message: String) { self.message = message }
    public var description: String { message }
}
