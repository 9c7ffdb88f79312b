import Foundation

/// What is done to text before it is cut: the `normalizer` of a `tokenizer.json`.
struct TextNormalizer {
    private enum Step {
        case precompiled(CharacterMap)
        case replace(pattern: String, isRegex: Bool, with: String)
        case strip(left: Bool, right: Bool)
        case nfc, nfd, nfkc, nfkd, lowercase
        case prepend(String)
    }

    private let steps: [Step]

    init(_ json: JSONObject?) throws { steps = try json.map { try Self.steps($0) } ?? [] }

    private static func steps(_ json: JSONObject) throws -> [Step] {
        switch try json.string("type") {
        case "Sequence": return try json.list("normalizers").flatMap { try steps($0) }
        case "Precompiled":
            guard let data = Data(base64Encoded: (json.values["precompiled_charsmap"] as? String) ?? "") else {
                throw TokenizerError("'precompiled_charsmap' is not base64")
            }
            return try data.isEmpty ? [] : [.precompiled(CharacterMap(Array(data)))]
        case "Replace":
            let pattern = try json.required("pattern")
            let regex = pattern.values["Regex"] as? String
            let text = try regex ?? pattern.string("String")
            if regex != nil {
                do { _ = try NSRegularExpression(pattern: text) } catch { throw TokenizerError("the pattern '\(text)' cannot be read") }
            }
            return [.replace(pattern: text, isRegex: regex != nil, with: try json.string("content"))]
        case "Strip": return [.strip(left: json.flag("strip_left"), right: json.flag("strip_right"))]
        case "NFC": return [.nfc]
        case "NFD": return [.nfd]
        case "NFKC": return [.nfkc]
        case "NFKD": return [.nfkd]
        case "Lowercase": return [.lowercase]
        case "Prepend": return [.prepend(try json.string("prepend"))]
        case let other: throw TokenizerError("the normalizer '\(other)' is not known")
        }
    }

    func callAsFunction(_ text: String) -> String { steps.reduce(text) { Self.apply($1, $0) } }

    private static func apply(_ step: Step, _ text: String) -> String {
        switch step {
        case .precompiled(let map): return map(text)
        case .replace(let pattern, let isRegex, let content):
            let range = NSRange(location: 0, length: text.utf16.count)
            let source = isRegex ? pattern : NSRegularExpression.escapedPattern(for: pattern)
            guard let regex = try? NSRegularExpression(pattern: source) else { return text }
            return regex.stringByReplacingMatches(
                in: text, range: range, withTemplate: NSRegularExpression.escapedTemplate(for: content))
        case .strip(let left, let right):
            var scalars = Array(text.unicodeScalars)[...]
            if left { scalars = scalars.drop { $0.properties.isWhitespace } }
            if right { while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() } }
            return String(String.UnicodeScalarView(scalars))
        case .nfc: return text.precomposedStringWithCanonicalMapping
        case .nfd: return text.decomposedStringWithCanonicalMapping
        case .nfkc: return text.precomposedStringWithCompatibilityMapping
        case .nfkd: return text.decomposedStringWithCompatibilityMapping
        case .lowercase: return text.lowercased()
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        }
    }
}

/// SentencePiece's compiled character map: a double-array trie from UTF-8 strings to places in a text of replacements.
struct CharacterMap {
    private let units: [UInt32]
    /// Replacements, each ended by a zero byte.
    private let replacements: [UInt8]

    init(_ bytes: [UInt8]) throws {
        func word(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) } }
        guard bytes.count >= 4, Int(word(0)) % 4 == 0, Int(word(0)) <= bytes.count - 4 else {
            throw TokenizerError("'precompiled_charsmap' is damaged")
        }
        let size = Int(word(0))
        units = (0..<(size / 4)).map { word(4 + 4 * $0) }
        replacements = Array(bytes[(4 + size)...])
    }

    /// Replaces whole short grapheme clusters where the map has one, else their scalars.
    func callAsFunction(_ text: String) -> String {
        var result: [UInt8] = []
        for character in text {
            let cluster = Array(character.utf8)
            if cluster.count < 6, let found = replacement(of: cluster) {
                result += found
                continue
            }
            for scalar in character.unicodeScalars {
                let bytes = Array(String(scalar).utf8)
                result += replacement(of: bytes) ?? bytes[...]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// What the shortest prefix that the map knows becomes, as SentencePiece's published maps expect it.
    private func replacement(of key: [UInt8]) -> ArraySlice<UInt8>? {
        func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }
        guard let root = units.first else { return nil }
        var position = offset(root)
        for byte in key {
            guard byte != 0 else { return nil }
            position ^= Int(byte)
            guard units.indices.contains(position) else { return nil }
            let unit = units[position]
            guard unit & 0x8000_00FF == UInt32(byte) else { return nil }
            position ^= offset(unit)
            if unit >> 8 & 1 == 1 {
                guard units.indices.contains(position) else { return nil }
                let start = Int(units[position] & 0x7FFF_FFFF)
                guard start <= replacements.count else { return nil }
                return replacements[start...].prefix { $0 != 0 }
            }
        }
        return nil
    }
}
