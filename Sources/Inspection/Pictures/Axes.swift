import Drawing
import Foundation

/// A framed rectangle with numbered axes, for curves and for pictures.
struct Axes {
    let place: Rect
    let x: ClosedRange<Double>
    let y: ClosedRange<Double>

    /// - Parameter place: The rectangle inside the axes; numbers of `y` stand left of it, of `x` below it.
    init(_ place: Rect, x: ClosedRange<Double>, y: ClosedRange<Double>) {
        self.place = place
        self.x = Self.widened(x)
        self.y = Self.widened(y)
    }

    func point(_ x: Double, _ y: Double) -> Point {
        Point(
            place.x + (x - self.x.lowerBound) / (self.x.upperBound - self.x.lowerBound) * place.width,
            place.y + (self.y.upperBound - y) / (self.y.upperBound - self.y.lowerBound) * place.height)
    }

    /// The frame and the numbers of `y`, with fine lines across if asked for.
    func drawFrame(on canvas: Canvas, grid: Bool) {
        for value in Self.ticks(y, count: max(2, Int(place.height / 36))) {
            let at = point(x.lowerBound, value)
            if grid { canvas.line(from: at, to: Point(place.x + place.width, at.y), .gray(0.9), width: 1) }
            canvas.line(from: Point(at.x - 4, at.y), to: at, .gray(0.6), width: 1)
            canvas.text(short(value), at: Point(at.x - 7, at.y + 4), size: 11, .gray(0.3), alignment: .right)
        }
        let (right, bottom) = (place.x + place.width, place.y + place.height)
        let corners = [Point(place.x, place.y), Point(right, place.y), Point(right, bottom), Point(place.x, bottom)]
        canvas.stroke(Path(points: corners, closed: true), .gray(0.7), width: 1)
    }

    /// The numbers of `x` and its label.
    func drawX(on canvas: Canvas, label: String) {
        let bottom = place.y + place.height
        for value in Self.ticks(x, count: max(2, Int(place.width / 90))) {
            let at = point(value, y.lowerBound)
            canvas.line(from: Point(at.x, bottom), to: Point(at.x, bottom + 4), .gray(0.6), width: 1)
            canvas.text(short(value), at: Point(at.x, bottom + 16), size: 11, .gray(0.3), alignment: .center)
        }
        canvas.text(label, at: Point(place.x + place.width / 2, bottom + 31), size: 11, .gray(0.3), alignment: .center)
    }

    /// Round numbers inside a range: multiples of 1, 2 or 5 times a power of ten.
    static func ticks(_ range: ClosedRange<Double>, count: Int) -> [Double] {
        let span = range.upperBound - range.lowerBound
        guard span.isFinite, span > 0, count > 0 else { return [range.lowerBound] }
        let power = pow(10, floor(log10(span / Double(count))))
        let step = ([1, 2, 5, 10].first { $0 * power * Double(count) >= span } ?? 10) * power
        let first = (range.lowerBound / step).rounded(.up)
        let last = (range.upperBound / step + 1e-9).rounded(.down)
        guard step > 0, last >= first, last - first < 1000 else { return [range.lowerBound] }
        return stride(from: first, through: last, by: 1).map { $0 == 0 ? 0 : $0 * step }
    }

    /// A range of some length about what has none, so that every value has a place.
    private static func widened(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
        let least = max(abs(range.lowerBound), abs(range.upperBound)) * 1e-6 + 1e-9
        guard range.upperBound - range.lowerBound < least else { return range }
        let half = max(0.5 * abs(range.lowerBound) * 0.01, least)
        return (range.lowerBound - half)...(range.upperBound + half)
    }
}
