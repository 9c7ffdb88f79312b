import Drawing

/// Curves over a common axis, in panels below each other.
struct Plot {
    struct Panel {
        let label: String
        let curves: [(name: String, values: [Float])]
        /// What the axis spans at least; the curves' own range if nil.
        var range: ClosedRange<Double>?
    }

    let title: String
    let xLabel: String
    let x: [Double]
    let panels: [Panel]
    var width = 1000

    private let panelHeight = 150.0
    private let margin = (left: 80.0, right: 110.0, top: 28.0, bottom: 40.0)
    private static let colors = [
        Color(0.12, 0.47, 0.71), Color(0.84, 0.15, 0.16), Color(0.17, 0.63, 0.17), Color(1, 0.5, 0.05),
        Color(0.58, 0.4, 0.74), Color(0.4, 0.4, 0.4),
    ]

    func draw() throws -> Canvas {
        let height = margin.top + Double(panels.count) * (panelHeight + 14) - 14 + margin.bottom
        let canvas = try Canvas(width: width, height: Int(height), background: .white)
        canvas.text(title, at: Point(margin.left, 18), size: 13, bold: true)
        let span = (x.first ?? 0)...max(x.last ?? 1, x.first ?? 0)
        for (i, panel) in panels.enumerated() {
            let place = Rect(
                x: margin.left, y: margin.top + Double(i) * (panelHeight + 14),
                width: Double(width) - margin.left - margin.right, height: panelHeight)
            let axes = Axes(place, x: span, y: range(of: panel))
            axes.drawFrame(on: canvas, grid: true)
            draw(panel, in: axes, on: canvas)
            if i == panels.count - 1 { axes.drawX(on: canvas, label: xLabel) }
        }
        return canvas
    }

    private func range(of panel: Panel) -> ClosedRange<Double> {
        let finite = panel.curves.flatMap(\.values).filter(\.isFinite)
        guard let low = finite.min().map(Double.init), let high = finite.max().map(Double.init) else { return panel.range ?? 0...1 }
        guard let range = panel.range else { return low...high }
        return min(low, range.lowerBound)...max(high, range.upperBound)
    }

    private func draw(_ panel: Panel, in axes: Axes, on canvas: Canvas) {
        canvas.text(panel.label, at: Point(axes.place.x + 6, axes.place.y + 14), size: 11, .gray(0.3))
        for (i, curve) in panel.curves.enumerated() {
            let color = Self.colors[i % Self.colors.count]
            // A value that is not finite breaks the line instead of being drawn as some number.
            var run: [Point] = []
            func endRun() {
                if run.count > 1 { canvas.stroke(Path(points: run, closed: false), color, width: 1.4) }
                if run.count == 1 { canvas.fill(.circle(center: run[0], radius: 2), color) }
                run = []
            }
            for (value, seconds) in zip(curve.values, x) {
                if value.isFinite { run.append(axes.point(seconds, Double(value))) } else { endRun() }
            }
            endRun()
            canvas.text(
                curve.name, at: Point(axes.place.x + axes.place.width + 8, axes.place.y + 14 + Double(i) * 15), size: 11, color)
        }
    }
}
