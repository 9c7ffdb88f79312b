import Foundation

/// A sequence of lines and curves, open or closed.
public struct Path: Sendable {
    enum Element: Sendable {
        case move(Point)
        case line(Point)
        case curve(Point, Point, Point)
        case close
    }

    var elements: [Element] = []

    public init() {}

    /// A polyline through `points`, closed into a polygon when `closed`.
    public init(points: [Point], closed: Bool) {
        guard let first = points.first else { return }
        move(to: first)
        for point in points.dropFirst() { line(to: point) }
        if closed { close() }
    }

    /// A smooth curve (Catmull–Rom) through `points`, closed into a loop when `closed`.
    public init(smooth points: [Point], closed: Bool) {
        self.init()
        let n = points.count
        guard n > 2 else {
            append(Path(points: points, closed: closed))
            return
        }
        func at(_ i: Int) -> Point {
            closed ? points[(i % n + n) % n] : points[min(max(i, 0), n - 1)]
        }
        move(to: points[0])
        for i in 0..<(closed ? n : n - 1) {
            let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2))
            curve(to: c, control1: b + (c - a) * (1 / 6), control2: c - (d - b) * (1 / 6))
        }
        if closed { close() }
    }

    public var isEmpty: Bool { elements.isEmpty }

    public mutating func move(to point: Point) { elements.append(.move(point)) }
    public mutating func line(to point: Point) { elements.append(.line(point)) }
    public mutating func curve(to end: Point, control1: Point, control2: Point) {
        elements.append(.curve(control1, control2, end))
    }
    public mutating func close() { elements.append(.close) }
    public mutating func append(_ other: Path) { elements += other.elements }

    /// An ellipse with the given half axes, turned by `angle` radians (clockwise on screen).
    public static func ellipse(center: Point, radiusX: Double, radiusY: Double, angle: Double = 0) -> Path {
        let k = 0.552_284_749_830_793_6
        let (c, s) = (cos(angle), sin(angle))
        func at(_ x: Double, _ y: Double) -> Point {
            let (px, py) = (x * radiusX, y * radiusY)
            return Point(center.x + c * px - s * py, center.y + s * px + c * py)
        }
        var path = Path()
        path.move(to: at(1, 0))
        path.curve(to: at(0, 1), control1: at(1, k), control2: at(k, 1))
        path.curve(to: at(-1, 0), control1: at(-k, 1), control2: at(-1, k))
        path.curve(to: at(0, -1), control1: at(-1, -k), control2: at(-k, -1))
        path.curve(to: at(1, 0), control1: at(k, -1), control2: at(1, -k))
        path.close()
        return path
    }

    public static func circle(center: Point, radius: Double) -> Path {
        ellipse(center: center, radiusX: radius, radiusY: radius)
    }

    public static func rectangle(_ rect: Rect) -> Path {
        Path(
            points: [
                Point(rect.x, rect.y), Point(rect.x + rect.width, rect.y),
                Point(rect.x + rect.width, rect.y + rect.height), Point(rect.x, rect.y + rect.height),
            ], closed: true)
    }

    /// A rectangle with round corners.
    public static func roundedRectangle(_ rect: Rect, radius: Double) -> Path {
        let r = max(0, min(radius, rect.width / 2, rect.height / 2))
        let k = r * (1 - 0.552_284_749_830_793_6)
        let (x0, y0, x1, y1) = (rect.x, rect.y, rect.x + rect.width, rect.y + rect.height)
        var path = Path()
        path.move(to: Point(x0 + r, y0))
        path.line(to: Point(x1 - r, y0))
        path.curve(to: Point(x1, y0 + r), control1: Point(x1 - k, y0), control2: Point(x1, y0 + k))
        path.line(to: Point(x1, y1 - r))
        path.curve(to: Point(x1 - r, y1), control1: Point(x1, y1 - k), control2: Point(x1 - k, y1))
        path.line(to: Point(x0 + r, y1))
        path.curve(to: Point(x0, y1 - r), control1: Point(x0 + k, y1), control2: Point(x0, y1 - k))
        path.line(to: Point(x0, y0 + r))
        path.curve(to: Point(x0 + r, y0), control1: Point(x0, y0 + k), control2: Point(x0 + k, y0))
        path.close()
        return path
    }

    /// The outline of two discs and their common tangents: a tapered limb with round ends.
    public static func capsule(from a: Point, radius ra: Double, to b: Point, radius rb: Double) -> Path {
        let d = b - a
        let length = d.length
        guard length > abs(ra - rb) + 1e-9 else {
            return circle(center: ra >= rb ? a : b, radius: max(ra, rb))
        }
        let axis = atan2(d.y, d.x)
        let tilt = acos((ra - rb) / length)
        var points: [Point] = []
        func arc(_ c: Point, _ r: Double, _ from: Double, _ to: Double) {
            let steps = 8
            for i in 0...steps {
                let angle = from + (to - from) * Double(i) / Double(steps)
                points.append(Point(c.x + r * cos(angle), c.y + r * sin(angle)))
            }
        }
        arc(b, rb, axis - tilt, axis + tilt)
        arc(a, ra, axis + tilt, axis - tilt + 2 * .pi)
        return Path(points: points, closed: true)
    }
}
