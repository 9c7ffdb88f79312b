import Drawing

/// Numbers over time as colours: one column per frame.
struct Heatmap {
    let title: String
    let rowLabel: String
    /// `[columns, rows]`: frame by frame.
    let values: [Float]
    let rows: Int
    let columns: Int

    func draw() throws -> Canvas {
        let (width, height) = (1000, max(120, min(480, rows * 3)))
        let canvas = try Canvas(width: width, height: height + 40, background: .white)
        canvas.text("\(title) (\(rows) \(rowLabel)s × \(columns) frames)", at: Point(10, 18), size: 13, bold: true)
        guard rows > 0, columns > 0, rows <= 32_000, columns <= 32_000 else { return canvas }
        let picture = try Canvas(width: columns, height: rows, rgb: Self.colors(values, rows: rows, columns: columns))
        canvas.draw(picture, in: Rect(x: 10, y: 28, width: Double(width - 20), height: Double(height)), filter: .nearest)
        return canvas
    }

    /// Colours of `[columns, rows]` numbers, row 0 at the bottom.
    static func colors(_ values: [Float], rows: Int, columns: Int) -> [UInt8] {
        let scale = ColorScale(values)
        var rgb = [UInt8](repeating: 0, count: rows * columns * 3)
        for column in 0..<columns {
            for row in 0..<rows {
                let color = scale.color(values[column * rows + row])
                let base = ((rows - 1 - row) * columns + column) * 3
                (rgb[base], rgb[base + 1], rgb[base + 2]) = color
            }
        }
        return rgb
    }
}

/// Maps numbers to a perceptually ordered colour scale from the 1st to the 99th percentile; not finite: magenta.
struct ColorScale {
    private let low: Float
    private let high: Float

    init(_ values: [Float]) {
        // A sample is enough for percentiles of a large tensor.
        let step = max(1, values.count / 20_000)
        let sample = stride(from: 0, to: values.count, by: step).map { values[$0] }.filter(\.isFinite).sorted()
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
}
