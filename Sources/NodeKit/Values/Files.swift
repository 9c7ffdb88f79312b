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
}

/// Weights with their configuration: a Hugging Face folder (`config.json` and safetensors, single or sharded), or one
/// safetensors file whose metadata holds the configuration under `config`.
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
        let names = try FileManager.default.contentsOfDirectory(atPath: path)
            .filter { $0.hasSuffix(".json") || $0.hasSuffix(".safetensors") }.sorted()
        guard !names.isEmpty else {
            throw NodeError("'\(path)' holds no model: config.json and *.safetensors expected")
        }
        return names.map { "\(path)/\($0)" }
    }
}

/// Any tensors: what `tensor.load` reads and `tensor.save` writes.
public struct TensorBundle: PortValue {
    public static let portType = PortType.tensor
    public let file: SafetensorsFile

    public init(artifact: Artifact) throws { file = try artifact.open() }
}
