import Drawing

/// Curves over a common axis, in panels below each other.
struct Plot {
    struct Panel {
        let label: String
        let curves: [(name: String, values: [Float])]
    }

    let title: String
    let xLabel: String
    let x: [Double]
    let panels: [Panel]

    private let width = 1000.0
    private let panelHeight = 150.0
    private let margin = (left: 80.0, right: 120.0, top: 28.0, bottom: 30.0)
    private static let colors = [
        Color(0.12, 0.47, 0.71), Color(0.84, 0.15, 0.16), Color(0.17, 0.63, 0.17), Color(1, 0.5, 0.05),
        Color(0.58, 0.4, 0.74), Color(0.4, 0.4, 0.4),
    ]

    func draw() throws -> Canvas {
        let height = margin.top + Double(panels.count) * (panelHeight + 14) + margin.bottom
        let canvas = try Canvas(width: Int(width), height: Int(height), background: .white)
        canvas.text(title, at: Point(margin.left, 18), size: 13, bold: true)
        let first = x.first ?? 0
        let span = max((x.last ?? 1) - first, 1e-9)
        let plotWidth = width - margin.left - margin.right
        for (i, panel) in panels.enumerated() {
            let top = margin.top + Double(i) * (panelHeight + 14)
            draw(panel, on: canvas, top: top) { margin.left + ($0 - first) / span * plotWidth }
        }
        for k in 0...4 {
            let value = first + span * Double(k) / 4
            canvas.text(short(value), at: Point(margin.left + plotWidth * Double(k) / 4, height - 16), size: 11, .gray(0.3), alignment: .center)
        }
        canvas.text(xLabel, at: Point(margin.left + plotWidth / 2, height - 3), size: 11, .gray(0.3), alignment: .center)
        return canvas
    }

    private func draw(_ panel: Panel, on canvas: Canvas, top: Double, place: (Double) -> Double) {
        let finite = panel.curves.flatMap(\.values).filter(\.isFinite)
        var (low, high) = (Double(finite.min() ?? 0), Double(finite.max() ?? 1))
        if high - low < 1e-9 { (low, high) = (low - 0.5, high + 0.5) }
        let (left, right) = (margin.left, width - margin.right)
        let frame = [Point(left, top), Point(right, top), Point(right, top + panelHeight), Point(left, top + panelHeight)]
        canvas.stroke(Path(points: frame, closed: true), .gray(0.7), width: 1)
        for k in 0...2 {
            let y = top + panelHeight * Double(k) / 2
            canvas.text(short(high - (high - low) * Double(k) / 2), at: Point(left - 6, y + 4), size: 11, .gray(0.3), alignment: .right)
            canvas.line(from: Point(left, y), to: Point(right, y), .gray(0.9), width: 1)
        }
        canvas.text(panel.label, at: Point(left + 6, top + 14), size: 11, .gray(0.3))
        for (i, curve) in panel.curves.enumerated() {
            let color = Self.colors[i % Self.colors.count]
            // A value that is not finite breaks the line instead of being drawn as some number.
            var run: [Point] = []
            for (value, seconds) in zip(curve.values, x) {
                if value.isFinite {
                    run.append(Point(place(seconds), top + panelHeight * (high - Double(value)) / (high - low)))
                } else {
                    canvas.stroke(Path(points: run, closed: false), color, width: 1.4)
                    run = []
                }
            }
            if !run.isEmpty { canvas.stroke(Path(points: run, closed: false), color, width: 1.4) }
            canvas.text(curve.name, at: Point(right + 8, top + 14 + Double(i) * 15), size: 11, color)
        }
    }
}
