import Foundation
import NodeKit
import Safetensors

/// JSON as the store writes it: one spelling per value.
enum JSON {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    static func text(_ value: some Encodable) -> String {
        (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }

    static func decode<T: Decodable>(_ type: T.Type, _ text: String) -> T? {
        try? JSONDecoder().decode(type, text: Data(text.utf8))
    }

    /// An object of strings.
    static func strings(_ text: String) -> [String: String]? {
        guard let fields = JSONReader.read(text)?.object else { return decode([String: String].self, text) }
        let strings = fields.compactMapValues(\.string)
        return strings.count == fields.count ? strings : nil
    }

    /// An object of values that are JSON already.
    static func object(_ fields: [String: String]) -> String {
        "{\(fields.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\($0.value)" }.joined(separator: ","))}"
    }

    /// A string between quotes.
    static func quoted(_ text: String) -> String {
        text.utf8.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C } ? self.text(text) : "\"\(text)\""
    }
}

extension PeakMemory {
    var json: String { "{\"bytes\":\(bytes),\"isShared\":\(isShared)}" }

    /// Reads what ``json`` wrote; nil when it is damaged.
    init?(json text: String) {
        guard let memory = Self.read(text), Sane.bytes.contains(memory.bytes) else { return nil }
        self = memory
    }

    private static func read(_ text: String) -> PeakMemory? {
        for isShared in [false, true] where text.hasSuffix(",\"isShared\":\(isShared)}") && text.hasPrefix("{\"bytes\":") {
            guard let bytes = Int64(text.dropFirst(9).prefix { $0 != "," }) else { break }
            return PeakMemory(bytes: bytes, isShared: isShared)
        }
        return JSON.decode(PeakMemory.self, text)
    }
}

/// Records are written for every action: by hand, in the form that their `Codable` conformance reads.
extension ActionRecord {
    static func json(_ outputs: [String: Output]) -> String {
        JSON.object(
            outputs.mapValues { output in
                """
                {"bytes":\(output.bytes),"digest":"\(output.digest.hex)",\
                "suffix":\(JSON.quoted(output.suffix)),"type":\(JSON.quoted(output.type))}
                """
            })
    }

    var json: String {
        var text = "{\"key\":\"\(key.hex)\""
        if let memory { text += ",\"memory\":\(memory.json)" }
        text += ",\"node\":\(JSON.quoted(node)),\"outputs\":\(Self.json(outputs)),\"seconds\":\(seconds)"
        if let source { text += ",\"source\":\"\(source.hex)\"" }
        return text + ",\"version\":\(version)}"
    }

    /// Reads what ``json(_:)`` wrote; nil when it is damaged.
    static func outputs(json text: String) -> [String: Output]? {
        guard let outputs = quickOutputs(text) ?? JSON.decode([String: Output].self, text), outputs.values.allSatisfy(\.isSane) else { return nil }
        return outputs
    }

    private static func quickOutputs(_ text: String) -> [String: Output]? {
        guard let fields = JSONReader.read(text)?.object else { return nil }
        var result: [String: Output] = [:]
        for (port, value) in fields {
            guard let entry = value.object, entry.count == 4, let type = entry["type"]?.string, let suffix = entry["suffix"]?.string,
                let digest = entry["digest"]?.string.flatMap(Digest.init(hex:)), let bytes = entry["bytes"]?.integer
            else { return nil }
            result[port] = Output(type: type, digest: digest, suffix: suffix, bytes: Int64(bytes))
        }
        return result
    }
}
