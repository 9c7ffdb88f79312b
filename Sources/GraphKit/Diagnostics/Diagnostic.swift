/// Something about a graph that its author should know: what is wrong, where, and what to do.
///
/// Diagnostics are collected, not thrown, so that one run tells all errors of a graph.
public struct Diagnostic: Sendable, Hashable {
    /// How bad it is.
    public enum Severity: String, Sendable, Comparable {
        case warning
        case error

        public static func < (a: Self, b: Self) -> Bool { a == .warning && b == .error }
    }

    /// A second place or a remedy that belongs to a diagnostic.
    public struct Note: Sendable, Hashable {
        /// One sentence without a full stop.
        public var message: String
        /// Where, if it is about a place.
        public var range: SourceRange?

        /// Makes a note.
        public init(_ message: String, at range: SourceRange? = nil) {
            self.message = message
            self.range = range
        }
    }

    /// An edit that an editor can apply.
    public struct FixIt: Sendable, Hashable {
        /// What to replace.
        public var range: SourceRange
        /// What to put there.
        public var replacement: String
    }

    /// The stable name of this sort of diagnostic.
    public var id: DiagnosticID
    /// Error or warning.
    public var severity: Severity
    /// One sentence without a full stop, quoting the user's own words.
    public var message: String
    /// Where; nil if no file could be read.
    public var range: SourceRange?
    /// Second places and remedies.
    public var notes: [Note]
    /// An edit that mends it, if one is likely.
    public var fixIt: FixIt?

    /// Makes a diagnostic.
    public init(
        _ id: DiagnosticID, _ message: String, at range: SourceRange?, notes: [Note] = [], fixIt: FixIt? = nil,
        severity: Severity = .error
    ) {
        self.id = id
        self.severity = severity
        self.message = message
        self.range = range
        self.notes = notes
        self.fixIt = fixIt
    }
}

/// The diagnostics of one graph, in the order in which they were found.
public struct Diagnostics: Sendable {
    /// No more than this many are kept: a file with more is not read to its end by anyone.
    public static let limit = 200

    /// What was found.
    public private(set) var all: [Diagnostic] = []
    /// How many more were found than are kept.
    public private(set) var dropped = 0
    /// How many edit distances may still be computed; keeps suggestions linear in a file full of errors.
    var suggestionBudget = 2_000_000

    /// No diagnostics.
    public init() {}

    /// Whether another one would only be counted; then its notes need not be worked out.
    var isFull: Bool { all.count >= Self.limit }

    /// Adds one.
    public mutating func add(_ diagnostic: Diagnostic) {
        if isFull { dropped += 1 } else { all.append(diagnostic) }
        if diagnostic.severity == .error { hasErrors = true }
    }

    /// Whether at least one error was found.
    public private(set) var hasErrors = false

    /// Errors and warnings by place: files in the order in which they were first mentioned, then by line and column.
    public var sorted: [Diagnostic] {
        var order: [ObjectIdentifier: Int] = [:]
        for case let range? in all.map(\.range) where order[ObjectIdentifier(range.file)] == nil {
            order[ObjectIdentifier(range.file)] = order.count
        }
        func key(_ diagnostic: Diagnostic) -> (Int, Int, Int) {
            guard let range = diagnostic.range else { return (-1, 0, 0) }
            return (order[ObjectIdentifier(range.file)] ?? 0, range.start.line, range.start.column)
        }
        return all.enumerated().sorted { a, b in
            let (ka, kb) = (key(a.element), key(b.element))
            return ka == kb ? a.offset < b.offset : ka < kb
        }.map(\.element)
    }

    /// The best match for a misspelt word, if one is near enough to be meant.
    mutating func suggestion(for word: String, among candidates: some Sequence<String>) -> String? {
        isFull ? nil : EditDistance.nearest(to: word, among: candidates, budget: &suggestionBudget)
    }
}
