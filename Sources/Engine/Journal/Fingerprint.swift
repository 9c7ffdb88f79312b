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
        /// For a graph input, or a value that is pinned: the file.
        public let path: String?
        /// The file's size.
        public var bytes: Int64?

        /// What makes it: `animate[0]` of `animate[0].latents`; nil for a graph input.
        var maker: InstanceID? {
            let name = String(from.prefix { $0 != "." && $0 != "[" })
            guard name != "inputs", !name.isEmpty else { return nil }
            let rest = from.dropFirst(name.count)
            return InstanceID(node: name, index: rest.first == "[" ? Int(rest.dropFirst().prefix { $0 != "]" }) : nil)
        }

        /// Whether a file of the user stands in for what a node makes.
        var isPinned: Bool { path != nil && maker != nil }
        var file: FileVersion { FileVersion(path: path ?? from, digest: digest, bytes: bytes) }
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
                    if let bytes = input.bytes { fields["bytes"] = "\(bytes)" }
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
                    entry.keys.allSatisfy({ ["from", "digest", "path", "bytes"].contains($0) })
                else { return nil }
                let digest = entry["digest"]?.string.flatMap(Digest.init(hex:))
                guard digest != nil || entry["digest"] == nil else { return nil }
                inputs.append(
                    Input(from: from, digest: digest, path: entry["path"]?.string, bytes: entry["bytes"]?.integer.map(Int64.init)))
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

    /// What makes the inputs that differ from an earlier fingerprint's, or are not known yet.
    func changedMakers(since old: Fingerprint?) -> [InstanceID] {
        var makers: [InstanceID] = []
        for (port, now) in inputs.sorted(by: { $0.key < $1.key }) {
            let before = old?.inputs[port] ?? []
            for (place, input) in now.enumerated() where !input.isPinned {
                let earlier = place < before.count ? before[place] : nil
                guard input.digest == nil || (old != nil && earlier?.digest != input.digest) else { continue }
                if let maker = input.maker, !makers.contains(maker) { makers.append(maker) }
            }
        }
        return makers
    }

    private static func change(_ port: String, _ old: [Input]?, _ new: [Input]?) -> RunReason? {
        guard let old, let new, old.map(\.from) == new.map(\.from) else {
            // How many values there will be is not known yet: the wire is the same.
            if let old, let new, new.contains(where: { $0.digest == nil }), Set(old.map(\.maker?.node)) == Set(new.map(\.maker?.node)) {
                return nil
            }
            return old == new ? nil : .rewired(port: port, old: old.map(wires), new: new.map(wires))
        }
        for (before, now) in zip(old, new) {
            if now.isPinned, !before.isPinned { return .pinned(port: port, from: now.from, file: now.file) }
            if !now.isPinned, before.isPinned { return .unpinned(port: port, from: now.from, file: before.file) }
            guard let digest = now.digest, let earlier = before.digest, digest != earlier else { continue }
            if now.path != nil { return .fileChanged(port: port, old: before.file, new: now.file) }
            return .inputChanged(port: port, from: now.from, old: earlier, new: digest)
        }
        return nil
    }

    private static func wires(_ inputs: [Input]) -> String {
        inputs.count == 1 ? inputs[0].from : "\(inputs.count) values (\(inputs.first?.from ?? "none")…)"
    }
}

/// A file of the user as it was at some time.
public struct FileVersion: Sendable, Hashable, Codable, CustomStringConvertible {
    public let path: String
    public let digest: Digest?
    public let bytes: Int64?

    /// `ab12cd34ef, 1048576 bytes`.
    var content: String {
        [digest?.short, bytes.map { "\($0) bytes" }].compactMap { $0 }.joined(separator: ", ")
    }

    public var description: String { content.isEmpty ? path : "\(path) (\(content))" }
}
