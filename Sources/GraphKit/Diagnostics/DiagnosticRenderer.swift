/// Turns diagnostics into text as compilers write them.
///
///     animate.yaml:6:15: error: unknown node type 'video.decod'; did you mean 'video.decode'?
///        6 |       type: video.decod
///          |             ^~~~~~~~~~~
public struct DiagnosticRenderer: Sendable {
    /// Whether to colour with ANSI escapes.
    public var usesColour: Bool
    /// Source lines longer than this many characters are shown as a window around the caret.
    public var width = 120

    /// Makes a renderer; plain text unless told otherwise.
    public init(usesColour: Bool = false) { self.usesColour = usesColour }

    /// All diagnostics by place, then a count.
    public func render(_ diagnostics: Diagnostics) -> String {
        var text = diagnostics.sorted.map(render).joined()
        if diagnostics.dropped > 0 { text += "… and \(diagnostics.dropped) more\n" }
        return text
    }

    /// One diagnostic with its source line, caret and notes; ends with a line break.
    public func render(_ diagnostic: Diagnostic) -> String {
        let label = diagnostic.severity.rawValue
        let colour = diagnostic.severity == .error ? Style.error : Style.warning
        var text = ""
        if let range = diagnostic.range { text += paint(escape(range.description) + ":", .bold) + " " }
        text += paint(label + ":", colour) + " " + paint(escape(diagnostic.message), .bold) + "\n"
        text += excerpt(diagnostic.range, colour: colour)
        for note in diagnostic.notes {
            if let range = note.range { text += escape(range.description) + ": " }
            text += paint("note:", .note) + " " + escape(note.message) + "\n"
            text += excerpt(note.range, colour: .note)
        }
        return text
    }

    // MARK: - Source lines

    private func excerpt(_ range: SourceRange?, colour: Style) -> String {
        // A command-line argument is already in the first line.
        guard let range, range.file.origin == .file, let line = range.file.line(range.start.line) else { return "" }
        let scalars = Array(line.unicodeScalars)
        let column = min(range.start.column - 1, scalars.count)
        let sameLine = range.end.line == range.start.line
        let end = sameLine ? min(max(range.end.column - 1, column + 1), scalars.count + 1) : scalars.count
        let first = scalars.count > width ? max(0, column - width / 3) : 0
        let last = min(scalars.count, first + width)
        var shown = first > 0 ? "…" : ""
        var marks = first > 0 ? " " : ""
        for index in first..<max(first, last) {
            let scalar = scalars[index]
            shown += scalar == "\t" ? "\t" : printable(scalar)
            // A tab under a tab keeps the caret in its place whatever the tab width is.
            if index < column { marks += scalar == "\t" ? "\t" : String(repeating: " ", count: cells(scalar)) }
        }
        if last < scalars.count { shown += "…" }
        let tail = max(0, min(end, max(last, column + 1)) - column - 1)
        marks += "^" + String(repeating: "~", count: tail)
        let number = String(range.start.line)
        let pad = String(repeating: " ", count: max(0, 4 - number.count))
        let gutter = String(repeating: " ", count: max(4, number.count))
        return "\(pad)\(number) | \(shown)\n\(gutter) | \(paint(marks, colour))\n"
    }

    /// Control characters could move the cursor or change the terminal: they are shown as U+FFFD.
    private func printable(_ scalar: Unicode.Scalar) -> String {
        scalar.properties.generalCategory == .control ? "\u{FFFD}" : String(scalar)
    }

    private func escape(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
        return text.unicodeScalars.map(printable).joined()
    }

    /// How many terminal cells a character takes.
    private func cells(_ scalar: Unicode.Scalar) -> Int {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
            0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }

    // MARK: - Colour

    private enum Style: String {
        case bold = "1"
        case error = "1;31"
        case warning = "1;35"
        case note = "1;36"
    }

    private func paint(_ text: String, _ style: Style) -> String {
        usesColour ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }
}
