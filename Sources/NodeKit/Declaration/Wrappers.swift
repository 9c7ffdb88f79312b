/// The place behind a wrapper, shared by all copies of the node value that holds it.
///
/// `@unchecked Sendable`: it is written by the binder before the node's `run` begins, and only read until that is over.
final class BoundValue<T>: @unchecked Sendable {
    var value: T?
}

/// Declares an input port.
@propertyWrapper
public struct Input<Value: PortInput>: Sendable {
    let help: String
    let readsInOrder: Bool
    let bound = BoundValue<Value>()

    public init(_ help: String) {
        self.help = help
        readsInOrder = false
    }

    /// - Parameter readsInOrder: For `video` and `maps`: each frame is read after those before it, so that the node may work while
    ///   they are made, and a long film needs no room on disk in between.
    public init(_ help: String, readsInOrder: Bool) {
        self.help = help
        self.readsInOrder = readsInOrder
    }

    public var wrappedValue: Value {
        guard let value = bound.value else { preconditionFailure("an input was read before the node was bound") }
        return value
    }
}

/// Declares an output port. `$name` gives the ``OutputPort`` that the node writes to.
///
/// An array of values makes a `list<T>` port: another node may take the list, or run once for each element with `each:`.
@propertyWrapper
public struct Output<Value: PortOutput>: Sendable {
    let help: String
    let bound = BoundValue<OutputPort<Value>>()

    public init(_ help: String) { self.help = help }

    /// Never read by nodes: the declared type of the port.
    public var wrappedValue: Value {
        preconditionFailure("an output is written through its `$` projection, not read")
    }

    public var projectedValue: OutputPort<Value> {
        guard let value = bound.value else { preconditionFailure("an output was used before the node was bound") }
        return value
    }
}

/// Declares a parameter with its default, range and help.
@propertyWrapper
public struct Parameter<Value: ParameterValue>: Sendable {
    let help: String
    let name: String?
    let defaultValue: Value
    let range: ClosedRange<Double>?
    let bound = BoundValue<Value>()

    /// - Parameters:
    ///   - name: The name in graph files where it differs from the property's, for instance `guidance.motion`.
    ///   - range: Allowed values, inclusive, in the parameter's unit.
    public init(wrappedValue: Value, _ help: String, name: String? = nil, in range: ClosedRange<Double>? = nil) {
        self.help = help
        self.name = name
        self.defaultValue = wrappedValue
        self.range = range
    }

    public var wrappedValue: Value { bound.value ?? defaultValue }
}

/// A wrapper as a stored property of a node.
///
/// (One protocol for all kinds, since asking a type for a protocol that it does not have is slow.)
protocol DeclaredWrapper {
    var declaration: WrapperDeclaration { get }
}

enum WrapperDeclaration {
    case input(any DeclaredInput)
    case output(any DeclaredOutput)
    case parameter(any DeclaredParameter)
}

/// A wrapper seen by the binder.
protocol DeclaredInput {
    func unbind()
    func port(named name: String) -> NodeDescription.Port
    func bind(_ artifacts: [Artifact]) throws
}

protocol DeclaredOutput {
    func unbind()
    func port(named name: String) -> NodeDescription.Port
    func bind(_ name: String, to sink: OutputSink)
}

protocol DeclaredParameter {
    func unbind()
    func parameter(named name: String) -> NodeDescription.Parameter
    func bind(_ literal: ParameterLiteral) -> Bool
    var givenName: String? { get }
}

extension Input: DeclaredInput, DeclaredWrapper {
    var declaration: WrapperDeclaration { .input(self) }
    func unbind() { bound.value = nil }

    func port(named name: String) -> NodeDescription.Port {
        .init(name: name, type: Value.inputType, help: help, isOptional: Value.isOptionalInput, readsInOrder: readsInOrder)
    }

    func bind(_ artifacts: [Artifact]) throws { bound.value = try Value(artifacts: artifacts) }
}

extension Output: DeclaredOutput, DeclaredWrapper {
    var declaration: WrapperDeclaration { .output(self) }
    func unbind() { bound.value = nil }

    func port(named name: String) -> NodeDescription.Port {
        .init(name: name, type: Value.outputType, help: help)
    }

    func bind(_ name: String, to sink: OutputSink) { bound.value = OutputPort(name: name, sink: sink) }
}

extension Parameter: DeclaredParameter, DeclaredWrapper {
    var declaration: WrapperDeclaration { .parameter(self) }
    func unbind() { bound.value = nil }

    var givenName: String? { name }

    func parameter(named name: String) -> NodeDescription.Parameter {
        .init(
            name: name,
            schema: .init(
                Value.parameterKind, isOptional: Value.isOptionalParameter, minimum: range?.lowerBound,
                maximum: range?.upperBound),
            defaultValue: defaultValue.literal, help: help)
    }

    func bind(_ literal: ParameterLiteral) -> Bool {
        guard let value = Value(literal: literal) else { return false }
        bound.value = value
        return true
    }
}
