import Foundation

extension Graph {
    /// The graph as a picture: an SVG document that needs nothing beside it.
    public func svg(annotations: [String: NodeAnnotation] = [:]) -> String {
        let drawing = GraphDrawing(self, annotations: annotations)
        let sizes = drawing.boxes.map(Self.size)
        let longest = drawing.arrows.map(\.label.count).max() ?? 0
        let layout = LayeredLayout(
            sizes: sizes, arrows: drawing.arrows.map { ($0.from, $0.to) },
            layerGap: min(150, max(48, Double(longest) * 5.2 + 20)))
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Self.number(layout.width))" height="\(Self.number(layout.height))" \
            viewBox="0 0 \(Self.number(layout.width)) \(Self.number(layout.height))" font-family="Helvetica, Arial, sans-serif">
            <title>\(Self.escaped(name))</title>
            <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
            <path d="M0 0.8 L8 4 L0 7.2 z" fill="#5f6368"/></marker></defs>
            <rect width="100%" height="100%" fill="#fafafa"/>

            """
        for (index, arrow) in drawing.arrows.enumerated() {
            text += Self.draw(arrow, bends: layout.bends[index], layout: layout, sizes: sizes)
        }
        for (index, box) in drawing.boxes.enumerated() {
            text += Self.draw(box, at: layout.centres[index], size: sizes[index])
        }
        return text + "</svg>\n"
    }

    private static func size(_ box: GraphDrawing.Box) -> (width: Double, height: Double) {
        let letters = max(Double(box.title.count) * 7.4, Double(max(box.subtitle.count, box.annotation.caption?.count ?? 0)) * 6)
        return (max(64, letters + 24), box.annotation.caption == nil ? 40 : 54)
    }

    private static func draw(_ box: GraphDrawing.Box, at centre: LayeredLayout.Point, size: (width: Double, height: Double)) -> String {
        let (x, y) = (centre.x - size.width / 2, centre.y - size.height / 2)
        let (fill, stroke, radius) =
            switch box.shape {
            case .input: ("#e8f0fe", "#4285f4", size.height / 2)
            case .output: ("#e6f4ea", "#34a853", size.height / 2)
            case .node: (box.annotation.emphasis.fill, box.annotation.emphasis == .failed ? "#d93025" : "#80868b", 6.0)
            }
        func rectangle(_ offset: Double) -> String {
            """
            <rect x="\(number(x + offset))" y="\(number(y - offset))" width="\(number(size.width))" height="\(number(size.height))" \
            rx="\(number(radius))" fill="\(fill)" stroke="\(stroke)"/>

            """
        }
        var text = "<g>" + (box.isRepeated ? rectangle(6) + rectangle(3) : "") + rectangle(0)
        let lines: [(String, String)] =
            [(box.title, "font-size=\"13\" font-weight=\"bold\""), (box.subtitle, "font-size=\"11\" fill=\"#5f6368\"")]
            + (box.annotation.caption.map { [($0, "font-size=\"11\" fill=\"#202124\"")] } ?? [])
        for (index, line) in lines.enumerated() {
            text += "<text x=\"\(number(centre.x))\" y=\"\(number(y + 17 + Double(index) * 15))\" text-anchor=\"middle\" \(line.1)>\(escaped(line.0))</text>\n"
        }
        return text + "</g>\n"
    }

    private static func draw(
        _ arrow: GraphDrawing.Arrow, bends: [LayeredLayout.Point], layout: LayeredLayout, sizes: [(width: Double, height: Double)]
    ) -> String {
        let (from, to) = (layout.centres[arrow.from], layout.centres[arrow.to])
        let start = LayeredLayout.Point(x: from.x + sizes[arrow.from].width / 2, y: from.y)
        let end = LayeredLayout.Point(x: to.x - sizes[arrow.to].width / 2, y: to.y)
        var path = "M\(number(start.x)) \(number(start.y))"
        var last = start
        for point in bends + [end] {
            let middle = number((last.x + point.x) / 2)
            path += " C\(middle) \(number(last.y)) \(middle) \(number(point.y)) \(number(point.x)) \(number(point.y))"
            last = point
        }
        let next = bends.first ?? end
        // The middle of the first stretch lies on the curve, and labels of one box's arrows fan out with them.
        let label = LayeredLayout.Point(x: start.x + (next.x - start.x) * 0.5, y: start.y + (next.y - start.y) * 0.5 - 3)
        // Twice, halo first: not every viewer knows `paint-order`.
        func text(_ style: String) -> String {
            """
            <text x="\(number(label.x))" y="\(number(label.y))" font-size="9" text-anchor="middle" \(style)>\(escaped(arrow.label))</text>
            """
        }
        let dash = arrow.isControl ? " stroke-dasharray=\"4 3\"" : ""
        return """
            <path d="\(path)" fill="none" stroke="#9aa0a6"\(dash) marker-end="url(#tip)"/>
            \(text("stroke=\"#fafafa\" stroke-width=\"3\""))
            \(text("fill=\"#5f6368\""))

            """
    }

    private static func number(_ value: Double) -> String {
        let tenths = (value * 10).rounded() / 10
        return tenths == tenths.rounded() ? String(Int(tenths)) : String(tenths)
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;")
    }
}
