/// Tokens that stand outside the model, such as `</s>`: found in the text as they are written.
struct AddedTokens {
    struct Token {
        var text: String
        let id: Int
        let isNormalized: Bool
        /// Whether it takes in the white space before, or after, itself.
        let stripsLeft, stripsRight: Bool
        /// Whether it must not touch letters.
        let isWord: Bool

        init(_ json: JSONObject) throws {
            text = try json.string("content")
            id = try json.number("id")
            isNormalized = json.flag("normalized")
            (stripsLeft, stripsRight, isWord) = (json.flag("lstrip"), json.flag("rstrip"), json.flag("single_word"))
        }

        func with(text: String) -> Token {
            var token = self
            token.text = text
            return token
        }
    }

    enum Part {
        case token(Int)
        /// Text between tokens; `isFirst`: the whole begins with it.
        case text([Unicode.Scalar], isFirst: Bool)
    }

    /// By their first scalar, longest first.
    private let tokens: [Unicode.Scalar: [(token: Token, scalars: [Unicode.Scalar])]]

    init(_ list: [Token]) {
        let all = list.map { (token: $0, scalars: Array($0.text.unicodeScalars)) }.filter { !$0.scalars.isEmpty }
        tokens = Dictionary(grouping: all) { $0.scalars[0] }.mapValues { $0.sorted { $0.scalars.count > $1.scalars.count } }
    }

    /// Cuts text at its tokens: leftmost first, the longest where several begin.
    func split(_ text: [Unicode.Scalar]) -> [Part] {
        guard !text.isEmpty else { return [] }
        var parts: [Part] = []
        var start = 0, index = 0
        func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == "_"
        }
        while index < text.count {
            let match = tokens[text[index]]?.first { text[index...].starts(with: $0.scalars) }
            guard let (token, scalars) = match else {
                index += 1
                continue
            }
            var (first, end) = (index, index + scalars.count)
            if token.isWord, (first > 0 && isWordPart(text[first - 1])) || (end < text.count && isWordPart(text[end])) {
                index = end
                continue
            }
            if token.stripsLeft { while first > start, text[first - 1].properties.isWhitespace { first -= 1 } }
            if token.stripsRight { while end < text.count, text[end].properties.isWhitespace { end += 1 } }
            if start < first { parts.append(.text(Array(text[start..<first]), isFirst: start == 0)) }
            parts.append(.token(token.id))
            (start, index) = (end, end)
        }
        if start < text.count { parts.append(.text(Array(text[start...]), isFirst: start == 0)) }
        return parts
    }
}
