/// What values a parameter takes; read by the checker, the YAML schema, `understudy nodes` and the docs.
public struct ParameterSchema: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case bool
        case integer
        case number
        case string
        /// One of these words.
        case choice([String])
        /// `WIDTHxHEIGHT` in pixels.
        case size
        /// A frame rate or other fraction: `24`, `29.97`, `30000/1001`.
        case rational
        indirect case list(Kind)
        /// Anything that YAML can say.
        case any
    }

    public var kind: Kind
    /// Whether `null` (not set) is a value.
    public var isOptional: Bool
    /// Closed range, for numbers (for lists: of each element; for sizes: of each side).
    public var minimum: Double?
    public var maximum: Double?

    public init(_ kind: Kind, isOptional: Bool = false, minimum: Double? = nil, maximum: Double? = nil) {
        self.kind = kind
        self.isOptional = isOptional
        self.minimum = minimum
        self.maximum = maximum
    }
}

/// A Swift type that a node's parameter may have.
public protocol ParameterValue: Sendable {
    static var parameterKind: ParameterSchema.Kind { get }
    static var isOptionalParameter: Bool { get }
    /// Reads a literal that was checked against ``parameterKind``; nil if it does not fit.
    init?(literal: ParameterLiteral)
    var literal: ParameterLiteral { get }
}

extension ParameterValue {
    public static var isOptionalParameter: Bool { false }
}

extension Bool: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .bool }
    public init?(literal: ParameterLiteral) {
        guard case .bool(let value) = literal else { return nil }
        self = value
    }
    public var literal: ParameterLiteral { .bool(self) }
}

extension Int: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .integer }
    public init?(literal: ParameterLiteral) {
        switch literal {
        case .integer(let value): self = value
        case .number(let value):
            guard let exact = Int(exactly: value) else { return nil }
            self = exact
        default: return nil
        }
    }
    public var literal: ParameterLiteral { .integer(self) }
}

extension Double: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .number }
    public init?(literal: ParameterLiteral) {
        switch literal {
        case .integer(let value): self = Double(value)
        case .number(let value):
            guard value.isFinite else { return nil }
            self = value
        default: return nil
        }
    }
    public var literal: ParameterLiteral { .number(self) }
}

extension String: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .string }
    public init?(literal: ParameterLiteral) {
        guard case .string(let value) = literal else { return nil }
        self = value
    }
    public var literal: ParameterLiteral { .string(self) }
}

extension Optional: ParameterValue where Wrapped: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { Wrapped.parameterKind }
    public static var isOptionalParameter: Bool { true }
    public init?(literal: ParameterLiteral) {
        if case .null = literal {
            self = .none
        } else if let value = Wrapped(literal: literal) {
            self = .some(value)
        } else {
            return nil
        }
    }
    public var literal: ParameterLiteral { map(\.literal) ?? .null }
}

extension Array: ParameterValue where Element: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .list(Element.parameterKind) }
    public init?(literal: ParameterLiteral) {
        guard case .list(let values) = literal else { return nil }
        var result: [Element] = []
        for value in values {
            guard let element = Element(literal: value) else { return nil }
            result.append(element)
        }
        self = result
    }
    public var literal: ParameterLiteral { .list(map(\.literal)) }
}

/// An enumeration of words, for instance `enum Fit: String, ParameterChoice { case pad, crop }`.
public protocol ParameterChoice: ParameterValue, CaseIterable, RawRepresentable where RawValue == String {}

extension ParameterChoice {
    public static var parameterKind: ParameterSchema.Kind { .choice(allCases.map(\.rawValue)) }
    public init?(literal: ParameterLiteral) {
        guard case .string(let word) = literal else { return nil }
        self.init(rawValue: word)
    }
    public var literal: ParameterLiteral { .string(rawValue) }
}

/// A size in pixels, written `WIDTHxHEIGHT`.
public struct PixelSize: ParameterValue, Hashable, Codable, CustomStringConvertible {
    public var width: Int
    public var height: Int

    public init(_ width: Int, _ height: Int) {
        self.width = width
        self.height = height
    }

    public static var parameterKind: ParameterSchema.Kind { .size }

    public init?(literal: ParameterLiteral) {
        guard case .string(let text) = literal else { return nil }
        let parts = text.split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]),
            (1...32_768).contains(width), (1...32_768).contains(height)
        else { return nil }
        self.init(width, height)
    }

    public var literal: ParameterLiteral { .string(description) }
    public var description: String { "\(width)x\(height)" }
}
