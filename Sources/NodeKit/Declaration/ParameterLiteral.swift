/// A parameter's value as it stands in a graph file: what YAML can say, in canonical form.
public enum ParameterLiteral: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([ParameterLiteral])
    case map([String: ParameterLiteral])

    /// One spelling per value: JSON with sorted keys; a number that is whole is written as an integer. Two literals that
    /// a parameter cannot tell apart have the same canonical form, so that `2` and `2.0` share a cache key.
    public var canonical: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value):
            if value == value.rounded(), abs(value) < 1e15 { String(Int(value)) } else { "\(value)" }
        case .string(let value): Self.quoted(value)
        case .list(let values): "[" + values.map(\.canonical).joined(separator: ",") + "]"
        case .map(let values): Self.object(values.mapValues(\.canonical))
        }
    }

    /// The canonical form of a map, of the canonical forms of its values.
    package static func object(_ fields: [String: String]) -> String {
        "{" + fields.sorted { $0.key < $1.key }.map { quoted($0.key) + ":" + $0.value }.joined(separator: ",") + "}"
    }

    /// What kind of thing this is, for messages.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "a string"
        case .list: "a list"
        case .map: "a mapping"
        }
    }

    private static func quoted(_ string: String) -> String {
        guard string.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else { return "\"\(string)\"" }
        var result = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 {
                    let hex = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
