/// What a shape is filled or stroked with.
public enum Paint: Sendable {
    /// One colour stop of a gradient; `offset` in 0…1.
    public struct Stop: Sendable {
        public var offset: Double
        public var color: Color

        public init(_ offset: Double, _ color: Color) {
            self.offset = offset
            self.color = color
        }
    }

    case color(Color)
    case linear(from: Point, to: Point, stops: [Stop])
    case radial(center: Point, innerRadius: Double, outerRadius: Double, stops: [Stop])

    /// A linear gradient between two colours.
    public static func linear(from: Point, to: Point, _ first: Color, _ second: Color) -> Paint {
        .linear(from: from, to: to, stops: [Stop(0, first), Stop(1, second)])
    }

    /// A radial gradient from `first` in the centre to `second` at `radius`.
    public static func radial(center: Point, radius: Double, _ first: Color, _ second: Color) -> Paint {
        .radial(center: center, innerRadius: 0, outerRadius: radius, stops: [Stop(0, first), Stop(1, second)])
    }
}
