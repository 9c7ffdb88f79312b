import Foundation
import Tensors

/// Text → token numbers by a published `tokenizer.json` with a unigram model (UMT5, T5, XLM-R, …), number for number as the
/// `tokenizers` library.
public struct Tokenizer {
    private let addedRaw, addedNormalized: AddedTokens
    private let normalizer: TextNormalizer
    private let splitter: TextSplitter
    private let model: UnigramModel
    /// Special tokens before and after the text.
    private let prefix, suffix: [Int]

    /// How many pieces its model knows.
    public var pieceCount: Int { model.count }

    /// - Parameter folder: A folder with `tokenizer.json`, or that file.
    /// - Throws: `WeightError` when there is none, or it asks for what is not known.
    public init(folder: String) throws { try self.init(path: folder.hasSuffix(".json") ? folder : "\(folder)/tokenizer.json") }

    /// - Parameter path: A `tokenizer.json`.
    /// - Throws: `WeightError` when it cannot be read, or asks for what is not known.
    public init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw WeightError(
                path: path, "cannot be read; the tokenizer's tokenizer.json is needed, which transformers writes of a spiece.model: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)")
        }
        let json: JSONObject
        do throws(TokenizerError) {
            guard let object = try? JSONSerialization.jsonObject(with: data) else { throw TokenizerError("its text is not JSON") }
            json = try JSONObject(object)
        } catch {
            throw WeightError(path: path, "is not a tokenizer: \(error.message)")
        }
        do {
            normalizer = try TextNormalizer(json["normalizer"])
            splitter = try TextSplitter(json["pre_tokenizer"])
            model = try UnigramModel(json.required("model"))
            let added = try json.list("added_tokens").map { try AddedTokens.Token($0) }
            addedRaw = AddedTokens(added.filter { !$0.isNormalized })
            let normalizer = normalizer
            addedNormalized = AddedTokens(added.filter(\.isNormalized).map { $0.with(text: normalizer($0.text)) })
            (prefix, suffix) = try Self.template(json["post_processor"])
        } catch let error as TokenizerError {
            throw WeightError(path: path, error.message)
        }
    }

    /// - Parameters:
    ///   - text: Any text.
    ///   - limit: Longer results are cut at the end; special tokens stay.
    /// - Returns: Token numbers, special tokens included, padding not.
    public func callAsFunction(_ text: String, limit: Int = .max) -> [Int] {
        var result: [Int] = []
        for (offset, part) in addedRaw.split(Array(text.unicodeScalars)).enumerated() {
            switch part {
            case .token(let id): result.append(id)
            case .text(let scalars, let isFirst):
                let normalized = normalizer(String(String.UnicodeScalarView(scalars)))
                for piece in addedNormalized.split(Array(normalized.unicodeScalars)) {
                    switch piece {
                    case .token(let id): result.append(id)
                    case .text(let scalars, let isStart):
                        let pieces = splitter([.init(scalars: scalars, isFirst: offset == 0 && isFirst && isStart)])
                        for piece in pieces { result += model(piece.scalars) }
                    }
                }
            }
        }
        let room = max(0, limit == .max ? .max : limit - prefix.count - suffix.count)
        return prefix + result.prefix(room) + suffix
    }

    /// Special tokens around one text, of a TemplateProcessing post-processor.
    private static func template(_ json: JSONObject?) throws -> ([Int], [Int]) {
        guard let json else { return ([], []) }
        if try json.string("type") == "Sequence" {
            return try json.list("processors").reduce(([], [])) { sum, each in
                let (before, after) = try template(each)
                return (before + sum.0, sum.1 + after)
            }
        }
        guard try json.string("type") == "TemplateProcessing" else {
            throw TokenizerError("the post-processor is '\(try json.string("type"))'; TemplateProcessing is known")
        }
        let ids = try json.required("special_tokens")
        var (before, after, isBefore) = ([Int](), [Int](), true)
        for item in try json.list("single") {
            if item["Sequence"] != nil {
                isBefore = false
                continue
            }
            let name = try item.required("SpecialToken").string("id")
            let numbers = try ids.required(name).numbers("ids").map { Int($0) }
            if isBefore { before += numbers } else { after += numbers }
        }
        return (before, after)
    }
}

/// Why a tokenizer file cannot be used.
struct TokenizerError: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

/// A JSON object read with errors that name the key.
struct JSONObject {
    let values: [String: Any]

    init(_ value: Any) throws(TokenizerError) {
        guard let values = value as? [String: Any] else { throw TokenizerError("a JSON object expected, not \(Swift.type(of: value))") }
        self.values = values
    }

    /// The object under a key; nil where it is missing, null or no object.
    subscript(_ key: String) -> JSONObject? { values[key].flatMap { try? JSONObject($0) } }

    private func value<T>(_ key: String, _ what: String) throws -> T {
        guard let value = values[key] as? T else { throw TokenizerError("'\(key)' is not \(what)") }
        return value
    }

    func required(_ key: String) throws -> JSONObject {
        guard let value = values[key] else { throw TokenizerError("'\(key)' is missing") }
        return try JSONObject(value)
    }
    func string(_ key: String) throws -> String { try value(key, "a string") }
    func number(_ key: String) throws -> Int { try value(key, "a whole number") }
    func flag(_ key: String) -> Bool { values[key] as? Bool ?? false }
    func numbers(_ key: String) throws -> [Double] {
        let list: [NSNumber] = try value(key, "a list of numbers")
        return list.map(\.doubleValue)
    }
    func list(_ key: String) throws -> [JSONObject] {
        let list: [Any] = try value(key, "a list")
        return try list.map { try JSONObject($0) }
    }
}
