import Drawing

/// A grid of small pictures: `[rows, columns, height, width]` numbers as colours.
struct LatentPicture {
    let values: [Float]
    let rows: Int
    let columns: Int
    let height: Int
    let width: Int
    let rowTitle: String
    let columnTitle: String

    func draw() throws -> Canvas {
        // Long sequences: evenly spread columns, as on a contact sheet.
        let shown = columns <= 20 ? Array(0..<columns) : (0..<20).map { $0 * (columns - 1) / 19 }
        let shownRows = min(rows, 48)
        let scale = max(1, min(8, 1300 / max(1, shown.count * (width + 1))))
        let (cellWidth, cellHeight) = (width * scale + 2, height * scale + 2)
        let (left, top) = (90, 36)
        guard shownRows > 0, !shown.isEmpty else { return try Canvas(width: 1, height: 1) }
        let canvas = try Canvas(
            width: min(32_000, left + shown.count * cellWidth), height: min(32_000, top + shownRows * cellHeight), background: .white)
        canvas.text("\(rowTitle) ↓   \(columnTitle) →", at: Point(6, 14), size: 12, bold: true)
        let plane = height * width
        for row in 0..<shownRows {
            let rowValues = Array(values[(row * columns * plane)..<((row + 1) * columns * plane)])
            let colors = ColorScale(rowValues)
            let middle = Double(top + row * cellHeight + cellHeight / 2)
            canvas.text("\(row)", at: Point(Double(left - 8), middle), size: 11, alignment: .right)
            // What the row's darkest and brightest colour stand for.
            if cellHeight >= 28 {
                canvas.text("\(short(colors.low)) … \(short(colors.high))", at: Point(Double(left - 8), middle + 11), size: 8, .gray(0.4), alignment: .right)
            }
            for (position, column) in shown.enumerated() {
                if row == 0 {
                    canvas.text("\(column)", at: Point(Double(left + position * cellWidth + cellWidth / 2), Double(top - 5)), size: 11, alignment: .center)
                }
                var rgb: [UInt8] = []
                rgb.reserveCapacity(plane * 3)
                for value in rowValues[(column * plane)..<((column + 1) * plane)] {
                    let (r, g, b) = colors.color(value)
                    rgb += [r, g, b]
                }
                let picture = try Canvas(width: width, height: height, rgb: rgb)
                let place = Rect(
                    x: Double(left + position * cellWidth), y: Double(top + row * cellHeight),
                    width: Double(width * scale), height: Double(height * scale))
                canvas.draw(picture, in: place, filter: .nearest)
            }
        }
        return canvas
    }
}
