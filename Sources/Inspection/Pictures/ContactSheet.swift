import Drawing
import NodeKit

/// Frames of a sequence in a grid, evenly spread over time, with their numbers and times.
struct ContactSheet {
    let count: Int
    let width: Int
    let height: Int
    /// Most cells to draw.
    var maximumCells = 24
    /// Longest side of a cell in pixels, larger where there are few; small frames are enlarged to it in whole steps.
    var cellSide: Int { count == 1 ? 900 : count <= 6 ? 440 : 220 }

    /// The frames shown: all if they fit, else evenly spread from first to last.
    var indices: [Int] {
        guard count > maximumCells else { return Array(0..<count) }
        return (0..<maximumCells).map { $0 * (count - 1) / (maximumCells - 1) }
    }

    private var scale: Double {
        let longest = Double(max(width, height, 1))
        return longest <= Double(cellSide) / 2 ? (Double(cellSide) / longest).rounded(.down) : Double(cellSide) / longest
    }

    /// The size that a frame has on the sheet, in pixels.
    var cell: (width: Int, height: Int) { (max(1, Int(Double(width) * scale)), max(1, Int(Double(height) * scale))) }

    /// A width in the frame's pixels that is `pixels` wide on the sheet.
    func lineWidth(_ pixels: Double) -> Double { pixels / scale }

    /// Frames with their numbers and times.
    ///
    /// - Parameter cell: Draws one frame at full size.
    func draw(times: Timeline, _ cell: (Int) throws -> Canvas) throws -> Canvas {
        try draw(caption: { count == 1 ? "" : "\($0)  \(short(times.seconds($0))) s" }, cell: cell)
    }

    func draw(caption: (Int) -> String, cell: (Int) throws -> Canvas) throws -> Canvas {
        let shown = indices
        let (w, h) = self.cell
        let columns = max(1, min(shown.count, max(1, 1400 / (w + 4))))
        let rows = max(1, (shown.count + columns - 1) / columns)
        let line = 16
        let sheet = try Canvas(width: columns * (w + 4), height: rows * (h + line + 4), background: .gray(0.12))
        for (position, index) in shown.enumerated() {
            let x = Double(position % columns * (w + 4) + 2)
            let y = Double(position / columns * (h + line + 4) + 2)
            sheet.draw(try cell(index), in: Rect(x: x, y: y, width: Double(w), height: Double(h)), filter: scale > 1 ? .nearest : .smooth)
            sheet.text(
                caption(index), at: Point(x + 2, y + Double(h) + 12), size: 11, .gray(0.8))
        }
        return sheet
    }
}
