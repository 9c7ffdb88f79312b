import Foundation
import GraphKit
import NodeKit

/// A `node.yaml`: what an external node is and how it is started. See PROTOCOL.md.
public struct ExternalManifest: Sendable {
    /// What the program needs of Python.
    public struct Python: Sendable, Hashable {
        /// For instance `>=3.10`; nil: any.
        public var version: String?
        public var requirements: [String] = []
        /// Installed first, without their dependencies.
        public var noDependencies: [String] = []
    }

    /// The folder of the manifest, absolute.
    public let folder: String
    public let description: NodeDescription
    /// File name extensions of outputs, by port.
    public let suffixes: [String: String]
    public let command: [String]
    public let python: Python?
    /// In seconds; nil: none.
    public let timeout: Double?

    /// The digest of the folder's files: names and contents, without hidden files, `__pycache__` and `README.md`.
    public func codeDigest() throws -> Digest {
        let root = URL(fileURLWithPath: folder).standardizedFileURL.path
        var text = "understudy external 1\n"
        guard let files = FileManager.default.enumerator(atPath: root) else {
            throw NodeError("cannot read the folder '\(folder)'")
        }
        let names = files.compactMap { $0 as? String }.filter { name in
            !name.split(separator: "/").contains { $0.hasPrefix(".") || $0 == "__pycache__" } && name != "README.md"
        }
        for name in names.sorted() where FileState(path: "\(root)/\(name)") != nil {
            text += "\(ParameterLiteral.string(name).canonical) \(try Digest.ofFile("\(root)/\(name)"))\n"
        }
        return Digest.of(text)
    }

    /// Reads a manifest.
    ///
    /// - Throws: ``NodeError`` with place and remedy when it is wrong.
    public init(file path: String) throws {
        let source: SourceFile
        do {
            source = try SourceFile.read(path)
        } catch {
            throw NodeError("cannot read '\(path)': \(error.reason)")
        }
        var diagnostics = Diagnostics()
        guard let root = YAMLParser.parse(source, diagnostics: &diagnostics), !diagnostics.hasErrors else {
            let first = diagnostics.sorted.first { $0.severity == .error }
            throw NodeError("\(first?.range?.description ?? path): error: \(first?.message ?? "no manifest")")
        }
        let reader = ManifestReader(path: path)
        let top = try reader.mapping(root, "a manifest")
        try reader.checkKeys(
            top, ["type", "version", "summary", "inputs", "outputs", "parameters", "command", "python", "cost", "timeout"])
        folder = (URL(fileURLWithPath: path).standardizedFileURL.path as NSString).deletingLastPathComponent
        var suffixes: [String: String] = [:]
        let type = try reader.text(top, "type", in: root)
        let version = try reader.integer(top, "version", in: root)
        let inputs = try reader.ports(top["inputs"], isInput: true, suffixes: &suffixes)
        let outputs = try reader.ports(top["outputs"], isInput: false, suffixes: &suffixes)
        guard !outputs.isEmpty else { throw reader.error(root, "a node has at least one output: write 'outputs:'") }
        description = NodeDescription(
            type: NodeType(type), version: version, summary: try reader.text(top, "summary", in: root), inputs: inputs,
            outputs: outputs, parameters: try reader.parameters(top["parameters"]), cost: try reader.cost(top["cost"]))
        self.suffixes = suffixes
        guard let command = top["command"], let words = command.sequence?.compactMap({ $0.scalar?.text }), !words.isEmpty,
            words.count == command.sequence?.count
        else { throw reader.error(top["command"] ?? root, "'command' is a list of words: command: [python, node.py]") }
        self.command = words
        python = try reader.python(top["python"])
        timeout = try top["timeout"].map { node in
            guard let seconds = reader.number(node), seconds > 0 else { throw reader.error(node, "'timeout' is in seconds") }
            return seconds
        }
    }
}
