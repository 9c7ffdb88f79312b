import Foundation
import Safetensors

/// A file as it is: a clip or picture that the user gave, or a film that a node made.
public struct File: PortValue {
    public static let portType = PortType.file
    public let path: String
    public let digest: Digest

    public init(artifact: Artifact) throws {
        path = artifact.path
        digest = artifact.digest
    }

    /// A file, and what belongs to it: the settings that PEFT writes beside an adapter's weights.
    static func files(at path: String) -> [String] {
        let settings = "\((path as NSString).deletingLastPathComponent)/adapter_config.json"
        return path.hasSuffix(".safetensors") && FileManager.default.fileExists(atPath: settings) ? [path, settings] : [path]
    }
}

extension PortType {
    /// The files that a value of this type consists of, given by its path: what its digest covers.
    ///
    /// - Throws: ``NodeError`` when a model has none.
    public func files(at path: String) throws -> [String] {
        switch self {
        case .model: try ModelFolder.files(at: path)
        case .file: File.files(at: path)
        default: [path]
        }
    }
}

/// Weights with their configuration: a Hugging Face folder (`config.json` and safetensors, single or sharded), one
/// safetensors file whose metadata holds the configuration under `config`, or a whole pipeline: a folder with `model_index.json` and one
/// folder per part.
public struct ModelFolder: PortValue {
    public static let portType = PortType.model
    /// A folder, or a safetensors file.
    public let path: String
    public let digest: Digest

    public init(artifact: Artifact) throws {
        path = artifact.path
        digest = artifact.digest
    }

    /// The files that a model at `path` consists of, in name order: what its digest covers.
    ///
    /// - Throws: ``NodeError`` when there are none.
    public static func files(at path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw NodeError("no model at '\(path)'")
        }
        guard isFolder.boolValue else { return [path] }
        func files(_ folder: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: folder)
                .filter { $0.hasSuffix(".json") || $0.hasSuffix(".safetensors") }.sorted().map { "\(folder)/\($0)" }
        }
        var found = try files(path)
        if isPipeline(path) {
            for name in try FileManager.default.contentsOfDirectory(atPath: path).sorted() where !name.hasPrefix(".") {
                if FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isFolder), isFolder.boolValue {
                    found += try files("\(path)/\(name)")
                }
            }
        }
        guard !found.isEmpty else {
            throw NodeError("'\(path)' holds no model: config.json and *.safetensors, or model_index.json and folders of them, expected")
        }
        return found
    }

    /// Pipelines of fixed parts, and modular ones.
    private static func isPipeline(_ path: String) -> Bool {
        ["model_index.json", "modular_model_index.json"].contains { FileManager.default.fileExists(atPath: "\(path)/\($0)") }
    }

    /// Whether this is a whole pipeline rather than one network.
    public var isPipeline: Bool { Self.isPipeline(path) }

    /// Whether this is a pipeline with a part of that name.
    public func hasPart(_ name: String) -> Bool { isPipeline && FileManager.default.fileExists(atPath: "\(path)/\(name)") }

    /// The folder of one part of a pipeline, such as `vae`; the path itself where this is a single network.
    ///
    /// - Throws: ``NodeError`` when the pipeline has no such part.
    public func part(_ name: String) throws -> String {
        guard isPipeline else { return path }
        let folder = "\(path)/\(name)"
        guard FileManager.default.fileExists(atPath: folder) else {
            throw NodeError("the pipeline '\(path)' has no folder '\(name)'")
        }
        return folder
    }
}

/// Any tensors: what `tensor.load` reads and `tensor.save` writes.
public struct TensorBundle: PortValue {
    public static let portType = PortType.tensor
    public let file: SafetensorsFile

    public init(artifact: Artifact) throws { file = try artifact.open() }
}
