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
    /// Files and folders outside ``folder`` that the program consists of too, relative to it: what nodes share.
    public let sources: [String]
    /// Whether the program stays between instances.
    public let isWorker: Bool
    /// Of one instance, in seconds; nil: none.
    public let timeout: Double?
    /// Seconds between being asked to end and being made to.
    public let grace: Double
    /// How many bytes of address space the program may have; nil: as many as it likes.
    public let memoryLimit: Int?

    /// The digest of the program: names and contents of the folder's files and of ``sources``, without hidden files,
    /// `__pycache__` and `README.md`.
    ///
    /// - Throws: ``NodeError`` when one of them is missing or cannot be read.
    public func codeDigest() throws -> Digest {
        var text = "understudy external 1\n"
        for name in try codeFiles() {
            text += "\(ParameterLiteral.string(name).canonical) \(try Digest.ofFile("\(folder)/\(name)"))\n"
        }
        return Digest.of(text)
    }

    /// The states of the same files, by path from the folder: they tell whether one was written to since.
    func codeStates() throws -> [String: FileState] {
        try codeFiles().reduce(into: [:]) { states, name in states[name] = FileState(source: "\(folder)/\(name)") }
    }

    /// By paths from the folder.
    private func codeFiles() throws -> [String] {
        func files(_ path: String, prefix: String) throws -> [String] {
            try Self.files(in: path, prefix: "").sorted().filter { $0 != "README.md" }.map { prefix + $0 }
        }
        return try files(folder, prefix: "") + sources.sorted().flatMap { source in
            FileState(path: "\(folder)/\(source)") != nil ? [source] : try files("\(folder)/\(source)", prefix: source + "/")
        }
    }

    /// The files in a folder and those below it, as far as they count, by their paths from there.
    private static func files(in folder: String, prefix: String) throws -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { throw NodeError("cannot read the folder '\(folder)'") }
        return try names.filter { !$0.hasPrefix(".") && $0 != "__pycache__" }.flatMap { name -> [String] in
            var status = stat()
            // Links to folders are not followed: they may lead back.
            guard lstat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                return FileState(path: "\(folder)/\(name)") == nil ? [] : [prefix + name]
            }
            return try files(in: "\(folder)/\(name)", prefix: "\(prefix)\(name)/")
        }
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
            top,
            [
                "type", "version", "summary", "inputs", "outputs", "parameters", "command", "sources", "python", "cost", "worker", "timeout",
                "grace", "memory_limit",
            ])
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
        let commandError = "'command' is a list of words: command: [python, node.py]"
        command = try reader.words(top["command"], commandError)
        guard !command.isEmpty else { throw reader.error(top["command"] ?? root, commandError) }
        python = try reader.python(top["python"])
        let here = folder
        sources = try reader.words(top["sources"], "'sources' is a list of files and folders") { node, source in
            guard FileManager.default.fileExists(atPath: "\(here)/\(source)") else {
                throw reader.error(node, "there is no '\(source)' beside the manifest; paths are relative to its folder")
            }
        }
        isWorker = try reader.boolean(top["worker"], "worker")
        timeout = try reader.seconds(top, "timeout")
        grace = try reader.seconds(top, "grace") ?? 2
        memoryLimit = try reader.size(top["memory_limit"], "memory_limit")
    }
}
