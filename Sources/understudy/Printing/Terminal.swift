import Engine
import Foundation

/// What the output goes to.
struct Terminal {
    /// Whether the stream is a terminal that understands cursor movement.
    let isInteractive: Bool
    let usesColour: Bool
    private let descriptor: Int32

    static let output = Terminal(descriptor: STDOUT_FILENO)
    static let error = Terminal(descriptor: STDERR_FILENO)

    private init(descriptor: Int32) {
        self.descriptor = descriptor
        let environment = ProcessInfo.processInfo.environment
        isInteractive = isatty(descriptor) == 1 && environment["TERM"] != "dumb"
        usesColour = isInteractive && (environment["NO_COLOR"] ?? "").isEmpty
    }

    /// Columns and rows, as they are now.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (100, 50) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Text of others for people to read: control characters, which could move the cursor or clear the screen, are shown as `^[`.
    static func plain(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
            guard isControl(scalar) else { return [scalar] }
            return scalar.value < 0x20 ? ["^", Unicode.Scalar(UInt8(scalar.value) + 0x40)] : ["\u{FFFD}"]
        }))
    }

    /// Text in one line of so many columns.
    static func line(_ text: String, columns: Int) -> String {
        var (line, used) = ("", 0)
        for character in text {
            // Ideographs and pictures are twice as wide.
            let first = character.unicodeScalars.first?.value ?? 0
            let width = first >= 0x1100 && !(0x2000..<0x2E80).contains(first) ? 2 : 1
            guard used + width <= columns else { break }
            line.append(character.isNewline || character == "\t" ? " " : character)
            used += width
        }
        return line
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
    }

    func bold(_ text: String) -> String { usesColour ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
    func dim(_ text: String) -> String { usesColour ? "\u{1B}[2m\(text)\u{1B}[0m" : text }
    func green(_ text: String) -> String { usesColour ? "\u{1B}[32m\(text)\u{1B}[0m" : text }
    func red(_ text: String) -> String { usesColour ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
    func yellow(_ text: String) -> String { usesColour ? "\u{1B}[33m\(text)\u{1B}[0m" : text }
}

/// Lines of cells, columns aligned.
struct TextTable {
    private var rows: [[String]] = []
    /// Columns whose cells stand at the right.
    var rightAligned: Set<Int> = []

    mutating func add(_ cells: String...) { rows.append(cells) }
    mutating func add(_ cells: [String]) { rows.append(cells) }

    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { c in rows.map { c < $0.count ? Self.width($0[c]) : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            // Nothing stands after the last word of a line.
            let row = row.prefix(1 + (row.lastIndex { !$0.isEmpty } ?? -1))
            for (c, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[c] - Self.width(cell))
                line += rightAligned.contains(c) ? padding + cell : c == row.count - 1 ? cell : cell + padding
                if c < row.count - 1 { line += "  " }
            }
            return line
        }.joined(separator: "\n")
    }

    /// How many columns a cell takes: its colours take none.
    private static func width(_ cell: String) -> Int {
        var (count, isEscape) = (0, false)
        for character in cell {
            if isEscape { isEscape = character != "m" } else if character == "\u{1B}" { isEscape = true } else { count += 1 }
        }
        return count
    }
}

/// `1.2 s`, `3 min 04 s`.
func durationText(_ seconds: Double) -> String {
    // Between times of a clock that was set meanwhile.
    guard seconds >= 0, seconds < 1e8 else { return "unknown" }
    if seconds < 0.0995 { return String(format: "%.0f ms", seconds * 1000) }
    if seconds < 60 { return String(format: "%.1f s", seconds) }
    // Seconds that are read may be any number.
    guard let whole = Int(exactly: seconds.rounded()) else { return "\(seconds) s" }
    if whole < 3600 { return String(format: "%d min %02d s", whole / 60, whole % 60) }
    return String(format: "%d h %02d min", whole / 3600, whole / 60 % 60)
}

/// `12.3 MB`, in powers of ten.
func byteText(_ bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 { return unit == "B" ? "\(bytes) B" : String(format: "%.1f %@", value, unit) }
        value /= 1000
    }
    return String(format: "%.1f TB", value)
}

/// `120 MB`; `≤ 120 MB` when other nodes ran beside it in the same process.
func memoryText(_ peak: PeakMemory?) -> String {
    peak.map { ($0.isShared ? "≤ " : "") + byteText(Int($0.bytes)) } ?? ""
}

/// A value as JSON for people and programs.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
