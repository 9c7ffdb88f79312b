/// What an output port may be declared as: a value, or a list of values.
public protocol PortOutput: Sendable {
    static var outputType: PortType { get }
}

/// A value that travels on wires: read from an artifact.
public protocol PortValue: PortInput, PortOutput {
    static var portType: PortType { get }

    /// Opens the artifact and checks that it holds such a value.
    ///
    /// - Throws: When the file is damaged or of another type.
    init(artifact: Artifact) throws
}

/// A value that is written in one piece (long ones have streaming writers of their own).
public protocol WritableValue: PortValue {
    func write(to writer: ArtifactWriter) throws
}

/// A value with a time axis, out of which a wire may cut a stretch with `[each.range]`.
public protocol TimeSliceable: PortValue {
    /// Writes the part that belongs to a range of *video frames*; types on another grid (latents) map it to theirs.
    ///
    /// - Throws: When the range leaves the sequence.
    func write(frames: Range<Int>, to writer: ArtifactWriter) throws
}

/// What an input port may be declared as: a value, an optional value, or a list of values.
public protocol PortInput: Sendable {
    static var inputType: PortType { get }
    static var isOptionalInput: Bool { get }
    init(artifacts: [Artifact]) throws
}

extension PortValue {
    public static var outputType: PortType { portType }
    public static var inputType: PortType { portType }
    public static var isOptionalInput: Bool { false }

    public init(artifacts: [Artifact]) throws {
        guard let artifact = artifacts.first, artifacts.count == 1 else {
            throw NodeError("one value expected, \(artifacts.count) found")
        }
        try self.init(artifact: artifact)
    }
}

extension Optional: PortInput where Wrapped: PortInput {
    public static var inputType: PortType { Wrapped.inputType }
    public static var isOptionalInput: Bool { true }
    public init(artifacts: [Artifact]) throws {
        self = artifacts.isEmpty ? .none : .some(try Wrapped(artifacts: artifacts))
    }
}

extension Array: PortOutput where Element: PortValue {
    public static var outputType: PortType { Element.portType.list }
}

extension Array: PortInput where Element: PortValue {
    public static var inputType: PortType { Element.portType.list }
    public static var isOptionalInput: Bool { false }
    public init(artifacts: [Artifact]) throws { self = try artifacts.map(Element.init(artifact:)) }
}
