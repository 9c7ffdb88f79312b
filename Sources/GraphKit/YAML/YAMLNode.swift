/// A value of a YAML text with the place it was written at.
///
/// Aliases share the anchored node's storage and keep the anchor's place, which is where an edit would go.
public struct YAMLNode: Sendable {
    /// What the value is.
    public enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        case mapping(YAMLMapping)
    }

    /// What the value is.
    public var content: Content
    /// Where it is written.
    public var range: SourceRange

    /// Makes a node.
    public init(_ content: Content, at range: SourceRange) {
        self.content = content
        self.range = range
    }

    /// The scalar, if it is one.
    public var scalar: YAMLScalar? { if case .scalar(let scalar) = content { scalar } else { nil } }
    /// The elements, if it is a sequence.
    public var sequence: [YAMLNode]? { if case .sequence(let elements) = content { elements } else { nil } }
    /// The entries, if it is a mapping.
    public var mapping: YAMLMapping? { if case .mapping(let mapping) = content { mapping } else { nil } }

    /// Whether it is `null`, `~` or nothing.
    public var isNull: Bool { scalar?.value == .null }

    /// What it is, with an article, for messages: «a mapping», «the number 3».
    public var described: String {
        switch content {
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .scalar(let scalar):
            switch scalar.value {
            case .null: "nothing"
            case .bool: "'\(scalar.text)' (true or false)"
            case .int, .float: "the number \(scalar.text)"
            case .string: "the text '\(scalar.shortText)'"
            }
        }
    }
}

/// A scalar of a YAML text; its type follows the core schema of YAML 1.2.
public struct YAMLScalar: Sendable, Hashable {
    /// A scalar's value by the core schema.
    public enum Value: Sendable, Hashable {
        case null
        case bool(Bool)
        case int(Int64)
        case float(Double)
        case string
    }

    /// The text without quotes, escapes resolved.
    public let text: String
    /// What the text stands for; quoted text is always a string.
    public let value: Value
    /// Whether it was written without quotes.
    public let isPlain: Bool

    /// Makes a scalar of plain text, resolved by the core schema.
    public init(plain text: String) {
        self.init(text: text, value: Self.resolve(text), isPlain: true)
    }

    /// Makes a scalar whose value is known.
    public init(text: String, value: Value, isPlain: Bool) {
        self.text = text
        self.value = value
        self.isPlain = isPlain
    }

    /// The text cut to what a message can hold.
    public var shortText: String {
        let line = text.prefix { !$0.isNewline }
        return line.count > 60 ? line.prefix(59) + "…" : line.count < text.count ? line + "…" : text
    }

    /// Whether it is plain text that YAML 1.1 took for a truth value: `yes`, `no`, `on`, `off`.
    public var isOldBoolean: Bool {
        isPlain && ["yes", "no", "on", "off", "y", "n"].contains(text.lowercased())
    }

    /// The core schema's value of plain text.
    static func resolve(_ text: String) -> Value {
        let bytes = text.utf8
        guard let first = bytes.first else { return .null }
        switch first {
        case UInt8(ascii: "n"), UInt8(ascii: "N"), UInt8(ascii: "~"):
            return text == "null" || text == "~" || text == "Null" || text == "NULL" ? .null : .string
        case UInt8(ascii: "t"), UInt8(ascii: "T"):
            return text == "true" || text == "True" || text == "TRUE" ? .bool(true) : .string
        case UInt8(ascii: "f"), UInt8(ascii: "F"):
            return text == "false" || text == "False" || text == "FALSE" ? .bool(false) : .string
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            return number(text) ?? .string
        default:
            return .string
        }
    }

    private static func number(_ text: String) -> Value? {
        switch text {
        case ".nan", ".NaN", ".NAN": return .float(.nan)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .float(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .float(-.infinity)
        default: break
        }
        if text.hasPrefix("0x") { return Int64(text.dropFirst(2), radix: 16).map(Value.int) }
        if text.hasPrefix("0o") { return Int64(text.dropFirst(2), radix: 8).map(Value.int) }
        var digits = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
            case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): break
            // Swift's own parser would also take `1_000`, hexadecimal floats and `1e5x`: YAML does not.
            default: return nil
            }
        }
        guard digits > 0 else { return nil }
        if let integer = Int64(text) { return .int(integer) }
        return Double(text).map(Value.float)
    }
}

/// A mapping of a YAML text, in the order in which it is written; keys are text and unique.
public struct YAMLMapping: Sendable {
    /// One `key: value`.
    public struct Entry: Sendable {
        /// The key's text.
        public var key: String
        /// Where the key is written.
        public var keyRange: SourceRange
        /// The value.
        public var value: YAMLNode
    }

    /// The entries as written.
    public private(set) var entries: [Entry] = []
    // Small mappings are searched: most have two or three entries.
    private var index: [String: Int] = [:]
    private static let searched = 8

    /// An empty mapping.
    public init() {}

    private func position(of key: String) -> Int? {
        entries.count <= Self.searched ? entries.firstIndex { $0.key == key } : index[key]
    }

    /// The entry of a key.
    public func entry(_ key: String) -> Entry? { position(of: key).map { entries[$0] } }

    /// The value of a key.
    public subscript(key: String) -> YAMLNode? { entry(key)?.value }

    /// The keys as written.
    public var keys: [String] { entries.map(\.key) }

    /// Adds an entry, or puts it in the place of the one with the same key.
    public mutating func set(_ entry: Entry) {
        if let position = position(of: entry.key) {
            entries[position] = entry
            return
        }
        entries.append(entry)
        if entries.count == Self.searched + 1 {
            for (position, entry) in entries.enumerated() { index[entry.key] = position }
        } else if entries.count > Self.searched {
            index[entry.key] = entries.count - 1
        }
    }

    /// Keeps the entries that satisfy a condition.
    public mutating func removeAll(where condition: (Entry) -> Bool) {
        let kept = entries.filter { !condition($0) }
        guard kept.count < entries.count else { return }
        entries = []
        index = [:]
        for entry in kept { set(entry) }
    }

    /// Changes the value of an entry in place, without copying what it holds.
    mutating func update(_ key: String, _ change: (inout Entry) -> Void) {
        guard let position = position(of: key) else { return }
        change(&entries[position])
    }
}
