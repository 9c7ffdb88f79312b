/// How text is cut before the model sees it: the `pre_tokenizer` of a `tokenizer.json`.
struct TextSplitter {
    struct Piece {
        var scalars: [Unicode.Scalar]
        /// Whether the text begins with it.
        let isFirst: Bool
    }

    private enum Step {
        case whitespace
        case metaspace(mark: Unicode.Scalar, prefix: Prefix, splits: Bool)
    }
    private enum Prefix: String { case always, first, never }

    private let steps: [Step]

    init(_ json: JSONObject?) throws { steps = try json.map { try Self.steps($0) } ?? [] }

    private static func steps(_ json: JSONObject) throws -> [Step] {
        switch try json.string("type") {
        case "Sequence": return try json.list("pretokenizers").flatMap { try steps($0) }
        case "WhitespaceSplit": return [.whitespace]
        case "Metaspace":
            guard let mark = try json.string("replacement").unicodeScalars.first else { throw TokenizerError("'replacement' of Metaspace is empty") }
            // Older files say add_prefix_space instead.
            let old = json.values["add_prefix_space"] as? Bool
            let name = (json.values["prepend_scheme"] as? String) ?? (old == false ? "never" : "always")
            guard let prefix = Prefix(rawValue: name) else { throw TokenizerError("prepend_scheme '\(name)' is not known") }
            return [.metaspace(mark: mark, prefix: prefix, splits: (json.values["split"] as? Bool) ?? true)]
        case let other: throw TokenizerError("the pre-tokenizer '\(other)' is not known; Metaspace, WhitespaceSplit and Sequence are")
        }
    }

    func callAsFunction(_ pieces: [Piece]) -> [Piece] {
        steps.reduce(pieces) { pieces, step in pieces.flatMap { Self.apply(step, $0) }.filter { !$0.scalars.isEmpty } }
    }

    private static func apply(_ step: Step, _ piece: Piece) -> [Piece] {
        switch step {
        case .whitespace:
            var isFirst = piece.isFirst && !(piece.scalars.first?.properties.isWhitespace ?? false)
            return piece.scalars.split(whereSeparator: { $0.properties.isWhitespace }).map { part in
                defer { isFirst = false }
                return Piece(scalars: Array(part), isFirst: isFirst)
            }
        case .metaspace(let mark, let prefix, let splits):
            var scalars = piece.scalars.map { $0 == " " ? mark : $0 }
            if scalars.first != mark, prefix == .always || (prefix == .first && piece.isFirst) { scalars.insert(mark, at: 0) }
            guard splits else { return [Piece(scalars: scalars, isFirst: piece.isFirst)] }
            var parts: [[Unicode.Scalar]] = [[]]
            for scalar in scalars {
                if scalar == mark { parts.append([]) }
                parts[parts.count - 1].append(scalar)
            }
            return parts.enumerated().map { Piece(scalars: $1, isFirst: piece.isFirst && $0 == 0) }
        }
    }
}
