/// A fraction in lowest terms with a positive denominator: time bases and frame rates are never floating point.
public struct Rational: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let numerator: Int
    public let denominator: Int

    /// - Precondition: `denominator` is not zero.
    public init(_ numerator: Int, _ denominator: Int = 1) {
        precondition(denominator != 0, "a fraction's denominator is not zero")
        var (a, b) = (abs(numerator), abs(denominator))
        while b != 0 { (a, b) = (b, a % b) }
        let sign = denominator < 0 ? -1 : 1
        self.numerator = sign * numerator / max(a, 1)
        self.denominator = sign * denominator / max(a, 1)
    }

    private enum CodingKeys: String, CodingKey {
        case numerator = "num"
        case denominator = "den"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let denominator = try container.decode(Int.self, forKey: .denominator)
        guard denominator > 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: .denominator, in: container, debugDescription: "a fraction's denominator is positive")
        }
        self.init(try container.decode(Int.self, forKey: .numerator), denominator)
    }

    public var value: Double { Double(numerator) / Double(denominator) }
    public var inverse: Rational? { numerator == 0 ? nil : Rational(denominator, numerator) }
    public var description: String { denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)" }

    public static func < (a: Rational, b: Rational) -> Bool {
        let left = a.numerator.multipliedFullWidth(by: b.denominator)
        let right = b.numerator.multipliedFullWidth(by: a.denominator)
        return (left.high, left.low) < (right.high, right.low)
    }

    /// Reads `24`, `29.97` (taken as 30000/1001, likewise 23.976 and 59.94) or `30000/1001`.
    public init?(parsing text: String) {
        let named = ["23.976": Rational(24000, 1001), "29.97": Rational(30000, 1001), "59.94": Rational(60000, 1001)]
        if let known = named[text] {
            self = known
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, let a = Int(parts[0]), let b = Int(parts[1]), b > 0, b < 1 << 31, abs(a) < 1 << 31 {
            self.init(a, b)
        } else if parts.count == 1, let value = Double(text), value.isFinite, abs(value) < 1e6 {
            self.init(Int((value * 1000).rounded()), 1000)
        } else {
            return nil
        }
    }
}

extension Rational: ParameterValue {
    public static var parameterKind: ParameterSchema.Kind { .rational }

    public init?(literal: ParameterLiteral) {
        switch literal {
        case .integer(let value): self.init(value)
        case .number(let value): self.init(parsing: "\(value)")
        case .string(let text): self.init(parsing: text)
        default: return nil
        }
    }

    public var literal: ParameterLiteral { denominator == 1 ? .integer(numerator) : .string(description) }
}
