import Foundation
import WholeFiles

extension JSONDecoder {
    /// Decodes JSON from anywhere: files, other programs.
    ///
    /// Foundation takes arrays in arrays to a depth of 512, and traps, instead of throwing, where a text ends with the bracket that is one
    /// too deep. With a line end behind it, it throws. Of a number that its type cannot hold, such as 2.5 where a whole one belongs, it says
    /// that all of the text is no JSON; the key is looked for here.
    package func decode<T: Decodable>(_ type: T.Type, text: Data) throws -> T {
        do {
            return try decode(type, from: text + [0x0A])
        } catch DecodingError.dataCorrupted(let context) where context.debugDescription == Self.notJSON {
            guard let object = try? JSONSerialization.jsonObject(with: text) as? [String: Any] else { throw DecodingError.dataCorrupted(context) }
            let numbers = object.filter { $0.value is NSNumber }.keys.sorted()
            for key in numbers where !isRefusedAsNoJSON(type, object.filter({ $0.key != key })) {
                throw DecodingError.dataCorrupted(.init(codingPath: [Key(stringValue: key)], debugDescription: "a number of another kind than \(object[key] ?? "") expected"))
            }
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "a number in it is not whole, or too large, for its place"))
        }
    }

    private static let notJSON = "The given data was not valid JSON."

    private func isRefusedAsNoJSON<T: Decodable>(_ type: T.Type, _ object: [String: Any]) -> Bool {
        guard let text = try? JSONSerialization.data(withJSONObject: object) else { return true }
        do { _ = try decode(type, from: text + [0x0A]) } catch DecodingError.dataCorrupted(let context) { return context.debugDescription == Self.notJSON } catch {}
        return false
    }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// What is wrong with a text that could not be decoded: the key, and why.
    package static func words(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return SystemReason.text(of: error) }
        func place(_ context: DecodingError.Context) -> String {
            let keys = context.codingPath.map(\.stringValue).joined(separator: ".")
            return keys.isEmpty ? "" : " at '\(keys)'"
        }
        switch error {
        case .keyNotFound(let key, let context): return "key '\(key.stringValue)' is missing\(place(context))"
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            let name = "\(type)"
            return "\(name.hasPrefix("Dictionary") ? "a JSON object" : name.hasPrefix("Array") ? "a list" : name) expected\(place(context))"
        case .dataCorrupted(let context): return "\(context.debugDescription)\(place(context))"
        @unknown default: return "\(error)"
        }
    }
}
