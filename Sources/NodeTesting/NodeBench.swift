import Foundation
import NodeKit

/// Runs single nodes outside the engine, for tests: a folder of artifacts that is removed at the end.
///
///     let bench = try NodeBench()
///     let pose = try bench.artifact(PoseTrack(…))
///     let maps: Maps = try bench.run(PoseMaps.self, inputs: ["pose": pose], parameters: ["size": .string("128x128")])["maps"]
public final class NodeBench {
    public let folder: String
    private var count = 0

    public init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "node-bench-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// A fresh folder inside the bench's.
    public func makeFolder() throws -> String {
        count += 1
        let path = "\(folder)/\(count)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// Writes a value as an artifact.
    public func artifact(_ value: some WritableValue) throws -> Artifact {
        let type = Swift.type(of: value).portType
        return try artifact(type) { try value.write(to: $0) }
    }

    /// Streams an artifact.
    public func artifact(_ type: PortType, _ body: (ArtifactWriter) throws -> Void) throws -> Artifact {
        let path = "\(try makeFolder())/value.safetensors"
        let writer = try ArtifactWriter(path: path, type: type, headerCapacity: 16_384)
        try body(writer)
        return Artifact(type: type, path: path, digest: try writer.finish(sync: false))
    }

    /// An artifact for a file on disk, as a graph's input gives it.
    public func file(_ path: String, type: PortType = .file) throws -> Artifact {
        let hasher = Hasher256()
        for part in try type.files(at: path) {
            hasher.update(try Digest.ofFile(part).hex)
        }
        return Artifact(type: type, path: path, digest: hasher.finish())
    }

    /// The results of a node by port.
    public struct Outputs {
        public let artifacts: [String: Artifact]

        /// The value at a port.
        public subscript<Value: PortValue>(_ port: String) -> Value {
            get throws {
                guard let artifact = artifacts[port] else { throw NodeError("no output '\(port)'") }
                return try Value(artifact: artifact)
            }
        }
    }

    /// Runs a node type once.
    public func run<N: Node>(
        _ type: N.Type, inputs: [String: Artifact] = [:], lists: [String: [Artifact]] = [:],
        parameters: [String: ParameterLiteral] = [:], threads: Int = 1, checkpoints: CheckpointStore? = nil
    ) throws -> Outputs {
        let definition = NodeDefinition(type)
        let sink = OutputSink(folder: try makeFolder(), syncs: false)
        let context = NodeContext(threads: threads, scratch: try makeFolder(), checkpoints: checkpoints)
        try definition.run(
            NodeInvocation(
                inputs: inputs.mapValues { [$0] }.merging(lists) { $1 }, parameters: parameters, outputs: sink,
                context: context))
        return Outputs(
            artifacts: sink.results.mapValues { Artifact(type: $0.type, path: $0.path, digest: $0.digest) })
    }
}
