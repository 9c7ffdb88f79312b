/// A colour with straight (not premultiplied) alpha; components 0…1, sRGB as stored.
public struct Color: Sendable, Hashable {
    public var red: Double
    public var green: Double
    public var blue: Double
    public var alpha: Double

    public init(_ red: Double, _ green: Double, _ blue: Double, _ alpha: Double = 1) {
        self.red = red
        self.green = green
        self.blue = blue
        self.alpha = alpha
    }

    /// A colour from 8-bit components.
    public init(rgb red: Int, _ green: Int, _ blue: Int, alpha: Double = 1) {
        self.init(Double(red) / 255, Double(green) / 255, Double(blue) / 255, alpha)
    }

    public static let black = Color(0, 0, 0)
    public static let white = Color(1, 1, 1)
    public static let clear = Color(0, 0, 0, 0)

    public static func gray(_ value: Double) -> Color { Color(value, value, value) }

    /// A colour from hue (turns, any value), saturation and value in 0…1.
    public static func hsv(_ hue: Double, _ saturation: Double, _ value: Double) -> Color {
        func channel(_ n: Double) -> Double {
            let k = (n + hue * 6).truncatingRemainder(dividingBy: 6)
            let wrapped = k < 0 ? k + 6 : k
            return value - value * saturation * max(0, min(wrapped, 4 - wrapped, 1))
        }
        return Color(channel(5), channel(3), channel(1))
    }

    /// The colour `k` of the way from this one to `other`, alpha included.
    public func mixed(with other: Color, _ k: Double) -> Color {
        Color(
            red + (other.red - red) * k, green + (other.green - green) * k, blue + (other.blue - blue) * k,
            alpha + (other.alpha - alpha) * k)
    }

    public func darker(_ k: Double) -> Color { mixed(with: Color(0, 0, 0, alpha), k) }
    public func lighter(_ k: Double) -> Color { mixed(with: Color(1, 1, 1, alpha), k) }

    public func withAlpha(_ alpha: Double) -> Color { Color(red, green, blue, alpha) }
}
