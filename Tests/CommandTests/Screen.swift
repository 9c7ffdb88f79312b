/// What a person sees of a program's output in a terminal: as much of one as the program uses.
struct Screen {
    private struct Row {
        var cells: [Character] = []
        /// Whether it was broken at the edge: the next row is the rest of the same line.
        var goesOn = false
    }

    private(set) var width: Int
    private(set) var height: Int
    /// All rows, those that were scrolled off as well.
    private var rows = [Row()]
    /// The first row on the screen.
    private var top = 0
    private var row = 0, column = 0
    private var breaksLines = true
    /// The start of a character or an escape sequence that has not come whole.
    private var rest: [UInt8] = []
    /// Escape sequences that this screen does not know.
    private(set) var unknown: [String] = []

    init(width: Int, height: Int) { (self.width, self.height) = (width, height) }

    /// What stands on the screen and above it, line by line; a line that was broken at the edge is one.
    var lines: [String] {
        var lines: [String] = [], isOpen = false
        for row in rows {
            if isOpen { lines[lines.count - 1] += String(row.cells) } else { lines.append(String(row.cells)) }
            isOpen = row.goesOn
        }
        return lines.filter { !$0.isEmpty }
    }

    /// The same, a line for every row.
    var rowTexts: [String] { rows.map { String($0.cells) }.filter { !$0.isEmpty } }

    mutating func feed(_ bytes: some Sequence<UInt8>) {
        rest += bytes
        while let length = lengthOfFirst() {
            let text = String(decoding: rest.prefix(length), as: UTF8.self)
            rest.removeFirst(length)
            take(text)
        }
    }

    /// Bytes of the first character or escape sequence; nil if it has not come whole.
    private func lengthOfFirst() -> Int? {
        guard let first = rest.first else { return nil }
        if first == 0x1B { return rest.dropFirst(2).firstIndex { (0x40...0x7E).contains($0) }.map { $0 + 1 } }
        let length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        return rest.count >= length ? length : nil
    }

    private mutating func take(_ text: String) {
        switch text {
        case "\r": column = 0
        case "\n": lineFeed()
        case "\u{1B}[C": column = min(column + 1, width - 1)
        case "\u{1B}[K": rows[row].cells = Array(rows[row].cells.prefix(column))
        case "\u{1B}[J":
            // Some, tmux for one, take the whole screen for something to be kept above it.
            if row == top, column == 0 { top = rows.count; row = top; rows.append(Row()) }
            rows[row].cells = Array(rows[row].cells.prefix(column))
            rows[row].goesOn = false
            rows.removeLast(rows.count - 1 - row)
        case "\u{1B}[?7l": breaksLines = false
        case "\u{1B}[?7h": breaksLines = true
        case _ where text.hasPrefix("\u{1B}[") && text.hasSuffix("A"): row = max(top, row - (Int(text.dropFirst(2).dropLast()) ?? 1))
        case _ where text.hasPrefix("\u{1B}[") && text.hasSuffix("m"): break
        case _ where text.hasPrefix("\u{1B}"): unknown.append(text)
        default: text.forEach { put($0) }
        }
    }

    private mutating func lineFeed() {
        row += 1
        if row == rows.count { rows.append(Row()) }
        top = max(top, row - height + 1)
    }

    private mutating func put(_ character: Character) {
        if column == width {
            if breaksLines {
                rows[row].goesOn = true
                lineFeed()
                column = 0
            } else {
                column -= 1
            }
        }
        while rows[row].cells.count <= column { rows[row].cells.append(" ") }
        rows[row].cells[column] = character
        column += 1
    }

    /// Changes the size.
    ///
    /// - Parameter breaksAnew: Whether lines are broken anew at the new edge, as most terminals do; else they are cut off there, as xterm does.
    mutating func resize(width: Int, height: Int, breaksAnew: Bool) {
        var broken: [Row] = [], line: [Character] = []
        /// Where the cursor is in the line being joined, then among the rows that were broken anew.
        var place: Int?, cursor = (row: 0, column: 0)
        for (index, old) in rows.enumerated() {
            if index == row { place = line.count + column }
            line += old.cells
            if breaksAnew, old.goesOn { continue }
            if let found = place { cursor = breaksAnew ? (broken.count + found / width, found % width) : (broken.count, min(found, width)) }
            let pieces = breaksAnew ? max(1, (line.count + width - 1) / width) : 1
            for piece in 0..<pieces {
                broken.append(Row(cells: Array(line.dropFirst(piece * width).prefix(width)), goesOn: piece < pieces - 1))
            }
            (line, place) = ([], nil)
        }
        (rows, row, column, self.width, self.height) = (broken, cursor.row, cursor.column, width, height)
        while rows.count <= row { rows.append(Row()) }
        // The cursor stays on the screen; what is below its last row is lost.
        top = min(row, max(0, rows.count - height))
        rows.removeLast(max(0, rows.count - top - height))
    }
}
