/// An exact fraction in lowest terms with a positive denominator: seconds, frame rates, time bases.
///
/// Arithmetic never traps: a result that does not fit two 64-bit integers is rounded to the nearest that does
/// (numbers of that size come only from damaged files).
public struct Rational: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let numerator: Int64
    public let denominator: Int64

    public static let zero = Rational(0)

    /// Makes `numerator / denominator`; a zero denominator gives 0, as FFmpeg writes "unknown" that way.
    public init(_ numerator: Int64, _ denominator: Int64 = 1) {
        self.init(wide: Int128(numerator), Int128(denominator))
    }

    private init(wide numerator: Int128, _ denominator: Int128) {
        guard denominator != 0 else {
            self.numerator = 0
            self.denominator = 1
            return
        }
        var n = denominator < 0 ? -numerator : numerator
        var d = denominator < 0 ? -denominator : denominator
        var (a, b) = (n < 0 ? -n : n, d)
        while b != 0 { (a, b) = (b, a % b) }
        if a > 1 {
            n /= a
            d /= a
        }
        let limit = Int128(Int64.max)
        while n > limit || n < -limit || d > limit {
            n >>= 1
            d >>= 1
        }
        self.numerator = Int64(n)
        self.denominator = Int64(max(d, 1))
    }

    /// Parses `24`, `23.976`, `30000/1001` or `-1.5`; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard let n = Int64(parts[0]), let d = Int64(parts[1]), d > 0 else { return nil }
            self.init(n, d)
            return
        }
        guard parts.count == 1 else { return nil }
        let halves = text.split(separator: ".", omittingEmptySubsequences: false)
        guard halves.count <= 2, let whole = halves.first, !whole.isEmpty else { return nil }
        let fraction = halves.count == 2 ? halves[1] : ""
        guard fraction.count <= 9, fraction.allSatisfy({ $0.isASCII && $0.isNumber }),
            let digits = Int64(String(whole) + String(fraction))
        else { return nil }
        var scale: Int64 = 1
        for _ in 0..<fraction.count { scale *= 10 }
        self.init(digits, scale)
    }

    /// The nearest multiple of one microsecond; nil for a number that is not finite or beyond ±1e12.
    public init?(seconds: Double) {
        guard seconds.isFinite, abs(seconds) < 1e12 else { return nil }
        self.init(Int64((seconds * 1e6).rounded()), 1_000_000)
    }

    public var doubleValue: Double { Double(numerator) / Double(denominator) }
    public var reciprocal: Rational { Rational(denominator, numerator) }

    /// The largest integer not above this.
    public var floor: Int64 {
        let (q, r) = numerator.quotientAndRemainder(dividingBy: denominator)
        return r < 0 ? q - 1 : q
    }
    /// The smallest integer not below this.
    public var ceil: Int64 { -(-self).floor }
    /// The nearest integer, halves upwards.
    public var rounded: Int64 { (self + Rational(1, 2)).floor }

    public static func < (a: Rational, b: Rational) -> Bool {
        Int128(a.numerator) * Int128(b.denominator) < Int128(b.numerator) * Int128(a.denominator)
    }
    public static prefix func - (a: Rational) -> Rational { Rational(wide: -Int128(a.numerator), Int128(a.denominator)) }
    public static func + (a: Rational, b: Rational) -> Rational {
        Rational(
            wide: Int128(a.numerator) * Int128(b.denominator) + Int128(b.numerator) * Int128(a.denominator),
            Int128(a.denominator) * Int128(b.denominator))
    }
    public static func - (a: Rational, b: Rational) -> Rational { a + -b }
    public static func * (a: Rational, b: Rational) -> Rational {
        Rational(
            wide: Int128(a.numerator) * Int128(b.numerator), Int128(a.denominator) * Int128(b.denominator))
    }
    /// Division; by zero it gives 0.
    public static func / (a: Rational, b: Rational) -> Rational { a * b.reciprocal }

    /// `30000/1001`, or `24` for a whole number.
    public var description: String {
        denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)"
    }
}
