/// A place in a text: line and column, both counted from 1; a column is one Unicode scalar.
public struct SourcePosition: Hashable, Comparable, Sendable {
    /// The line, from 1.
    public var line: Int
    /// The column, from 1.
    public var column: Int

    /// Makes a position.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public static func < (a: Self, b: Self) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// A stretch of a source text, from `start` up to but not including `end`.
public struct SourceRange: Hashable, Sendable {
    /// The text it lies in.
    public let file: SourceFile
    /// The first character.
    public let start: SourcePosition
    /// The position after the last character.
    public let end: SourcePosition

    /// Makes a range.
    public init(file: SourceFile, start: SourcePosition, end: SourcePosition) {
        self.file = file
        self.start = start
        self.end = end
    }

    /// `file:line:column` as compilers write it, or the whole argument for the command line.
    public var description: String {
        switch file.origin {
        case .file: "\(file.name):\(start.line):\(start.column)"
        case .commandLine: "\(file.name): \(file.prefix)\(file.line(1) ?? "")"
        }
    }

    public static func == (a: Self, b: Self) -> Bool { a.file === b.file && a.start == b.start && a.end == b.end }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(file))
        hasher.combine(start)
        hasher.combine(end)
    }
}
