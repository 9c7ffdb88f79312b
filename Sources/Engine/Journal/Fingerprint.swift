import NodeKit
import Safetensors

/// Everything that an instance's outputs depend on, kept in the journal so that a later run can say what changed.
public struct Fingerprint: Sendable, Hashable, Codable {
    /// One value at an input port.
    public struct Input: Sendable, Hashable, Codable {
        /// The wire, with numbers for `each`: `face.motion[0..<73]`.
        public let from: String
        /// Nil: not known yet.
        public let digest: Digest?
        /// For a graph input: the file.
        public let path: String?
    }

    public let type: String
    public let version: Int
    /// The digest of an external node's folder.
    public let code: Digest?
    /// Parameters in canonical form.
    public let parameters: [String: String]
    public let policy: String
    /// The digest of a compiled node's source; no part of its key.
    public let source: Digest?
    public let inputs: [String: [Input]]

    /// Inputs as their `Codable` conformance reads them, written by hand: every run writes them for every node.
    static func json(_ inputs: [String: [Input]]) -> String {
        JSON.object(
            inputs.mapValues { list in
                let items = list.map { input in
                    var fields = ["from": JSON.quoted(input.from)]
                    if let digest = input.digest { fields["digest"] = "\"\(digest.hex)\"" }
                    if let path = input.path { fields["path"] = JSON.quoted(path) }
                    return JSON.object(fields)
                }
                return "[\(items.joined(separator: ","))]"
            })
    }

    /// Reads what ``json(_:)`` wrote.
    static func inputs(json text: String) -> [String: [Input]]? {
        quickInputs(text) ?? JSON.decode([String: [Input]].self, text)
    }

    private static func quickInputs(_ text: String) -> [String: [Input]]? {
        guard let fields = JSONReader.read(text)?.object else { return nil }
        var result: [String: [Input]] = [:]
        for (port, value) in fields {
            guard let list = value.list else { return nil }
            var inputs: [Input] = []
            for item in list {
                guard let entry = item.object, let from = entry["from"]?.string,
                    entry.keys.allSatisfy({ ["from", "digest", "path"].contains($0) })
                else { return nil }
                let digest = entry["digest"]?.string.flatMap(Digest.init(hex:))
                guard digest != nil || entry["digest"] == nil else { return nil }
                inputs.append(Input(from: from, digest: digest, path: entry["path"]?.string))
            }
            result[port] = inputs
        }
        return result
    }

    /// What differs between an earlier fingerprint and this one, most telling first.
    public func changes(since old: Fingerprint) -> [RunReason] {
        var reasons: [RunReason] = []
        if old.type != type { reasons.append(.typeChanged(old: old.type, new: type)) }
        if old.version != version { reasons.append(.versionChanged(old: old.version, new: version)) }
        if old.code != code { reasons.append(.codeChanged) }
        for name in Set(old.parameters.keys).union(parameters.keys).sorted() where old.parameters[name] != parameters[name] {
            reasons.append(.parameterChanged(name: name, old: old.parameters[name], new: parameters[name]))
        }
        if old.policy != policy { reasons.append(.numericPolicyChanged(old: old.policy, new: policy)) }
        for port in Set(old.inputs.keys).union(inputs.keys).sorted() {
            if let reason = Self.change(port, old.inputs[port], inputs[port]) { reasons.append(reason) }
        }
        return reasons
    }

    private static func change(_ port: String, _ old: [Input]?, _ new: [Input]?) -> RunReason? {
        guard let old, let new, old.map(\.from) == new.map(\.from) else {
            return old == new ? nil : .rewired(port: port, old: old.map(wires), new: new.map(wires))
        }
        for (before, now) in zip(old, new) {
            guard let digest = now.digest, let earlier = before.digest, digest != earlier else { continue }
            if let path = now.path {
                return .fileChanged(port: port, old: before.path ?? path, new: path)
            }
            return .inputChanged(port: port, from: now.from)
        }
        return nil
    }

    private static func wires(_ inputs: [Input]) -> String {
        inputs.count == 1 ? inputs[0].from : "\(inputs.count) values (\(inputs.first?.from ?? "none")…)"
    }
}
