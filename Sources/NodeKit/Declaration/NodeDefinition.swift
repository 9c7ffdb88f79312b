import Foundation

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
            case .input(let input): inputs.append(input.port(named: name))
            case .output(let output): outputs.append(output.port(named: name))
            case .parameter(let parameter): parameters.append(parameter.parameter(named: parameter.givenName ?? name))
            }
        }
        self.init(
            description: NodeDescription(
                type: N.type, version: N.version, summary: N.summary, inputs: inputs, outputs: outputs,
                parameters: parameters, cost: N.cost),
            module: String(_typeName(type).prefix { $0 != "." })
        ) { [pool = NodePool<N>()] in try Self.run(pool, $0) }
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

    private static func run<N: Node>(_ pool: NodePool<N>, _ invocation: NodeInvocation) throws {
        let (node, wrappers) = pool.take()
        defer { pool.give(node, wrappers) }
        for (name, wrapper) in wrappers {
            switch wrapper {
            case .input(let input):
                do {
                    try input.bind(invocation.inputs[name] ?? [])
                } catch {
                    throw NodeError("input '\(name)': \(error)")
                }
            case .output(let output):
                output.bind(name, to: invocation.outputs)
            case .parameter(let parameter):
                let name = parameter.givenName ?? name
                guard let literal = invocation.parameters[name] else { continue }
                guard parameter.bind(literal) else {
                    throw NodeError("parameter '\(name)' cannot be \(literal.canonical)")
                }
            }
        }
        try node.run(in: invocation.context)
    }

    /// Property wrappers by property name: Swift stores `@Input var head` as `_head`.
    fileprivate static func wrappers(of node: some Node) -> [(String, WrapperDeclaration)] {
        Mirror(reflecting: node).children.compactMap { child in
            guard let label = child.label, label.hasPrefix("_"), let wrapper = child.value as? any DeclaredWrapper else { return nil }
            return (String(label.dropFirst()), wrapper.declaration)
        }
    }
}

/// Nodes of a type that are not running: finding out what a node declares takes longer than many a run.
///
/// `@unchecked Sendable`: a node is in the pool or with one run, and the list is locked.
private final class NodePool<N: Node>: @unchecked Sendable {
    private let lock = NSLock()
    private var idle: [(node: N, wrappers: [(String, WrapperDeclaration)])] = []

    func take() -> (node: N, wrappers: [(String, WrapperDeclaration)]) {
        if let found = lock.withLock({ idle.popLast() }) { return found }
        let node = N()
        return (node, NodeDefinition.wrappers(of: node))
    }

    /// Takes a node back without what it was given.
    func give(_ node: N, _ wrappers: [(String, WrapperDeclaration)]) {
        for (_, wrapper) in wrappers {
            switch wrapper {
            case .input(let input): input.unbind()
            case .output(let output): output.unbind()
            case .parameter(let parameter): parameter.unbind()
            }
        }
        lock.withLock { idle.append((node, wrappers)) }
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
