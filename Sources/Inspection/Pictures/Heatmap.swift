import Drawing

/// Numbers over time as colours: one column per step of time, with axes and a key of the colours.
struct Heatmap {
    let title: String
    let xLabel: String
    let yLabel: String
    /// `[columns, rows]`: step by step.
    let values: [Float]
    let rows: Int
    let columns: Int
    let x: ClosedRange<Double>
    let y: ClosedRange<Double>
    var filter = Canvas.Filter.nearest

    private let width = 1000

    func draw() throws -> Canvas {
        let height = max(120, min(480, rows * 3))
        let canvas = try Canvas(width: width, height: height + 70, background: .white)
        canvas.text(title, at: Point(80, 18), size: 13, bold: true)
        let place = Rect(x: 80, y: 28, width: Double(width - 190), height: Double(height))
        guard rows > 0, columns > 0, rows <= 32_000, columns <= 32_000 else { return canvas }
        let scale = ColorScale(values)
        let picture = try Canvas(width: columns, height: rows, rgb: scale.colors(values, rows: rows, columns: columns))
        canvas.draw(picture, in: place, filter: filter)
        let axes = Axes(place, x: x, y: y)
        axes.drawFrame(on: canvas, grid: false)
        axes.drawX(on: canvas, label: xLabel)
        canvas.text(yLabel, at: Point(place.x - 7, 18), size: 11, .gray(0.3), alignment: .right)
        try scale.drawKey(on: canvas, in: Rect(x: place.x + place.width + 16, y: place.y, width: 14, height: min(place.height, 200)))
        return canvas
    }
}

/// Maps numbers to a perceptually ordered colour scale from the 1st to the 99th percentile; not finite: magenta.
struct ColorScale {
    let low: Float
    let high: Float

    init(_ values: some RandomAccessCollection<Float>) {
        // A sample is enough for percentiles of a large tensor.
        let step = max(1, values.count / 20_000)
        let sample = stride(from: 0, to: values.count, by: step)
            .map { values[values.index(values.startIndex, offsetBy: $0)] }.filter(\.isFinite).sorted()
        low = sample.isEmpty ? 0 : sample[sample.count / 100]
        high = sample.isEmpty ? 1 : sample[sample.count - 1 - sample.count / 100]
    }

    private static let stops: [(Float, Float, Float)] = [
        (68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37),
    ]

    func color(_ value: Float) -> (UInt8, UInt8, UInt8) {
        guard value.isFinite else { return (255, 0, 255) }
        let position = max(0, min(1, (value - low) / max(high - low, 1e-12))) * 4
        let i = min(3, Int(position))
        let k = position - Float(i)
        let (a, b) = (Self.stops[i], Self.stops[i + 1])
        return (UInt8(a.0 + (b.0 - a.0) * k), UInt8(a.1 + (b.1 - a.1) * k), UInt8(a.2 + (b.2 - a.2) * k))
    }

    /// Colours of `[columns, rows]` numbers, row 0 at the bottom.
    func colors(_ values: [Float], rows: Int, columns: Int) -> [UInt8] {
        var rgb = [UInt8](repeating: 0, count: rows * columns * 3)
        for column in 0..<columns {
            for row in 0..<rows {
                let base = ((rows - 1 - row) * columns + column) * 3
                (rgb[base], rgb[base + 1], rgb[base + 2]) = color(values[column * rows + row])
            }
        }
        return rgb
    }

    /// A bar of the colours with the numbers at its ends.
    func drawKey(on canvas: Canvas, in place: Rect) throws {
        let steps = 64
        let ramp = (0..<steps).map { low + (high - low) * Float($0) / Float(steps - 1) }
        canvas.draw(try Canvas(width: 1, height: steps, rgb: colors(ramp, rows: steps, columns: 1)), in: place)
        canvas.text(short(high), at: Point(place.x + place.width + 5, place.y + 10), size: 11, .gray(0.3))
        canvas.text(short(low), at: Point(place.x + place.width + 5, place.y + place.height), size: 11, .gray(0.3))
    }
}
