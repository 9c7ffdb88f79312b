import Foundation
import Safetensors

/// Writes one artifact, streaming: begin a tensor, append to it frame by frame, finish.
public final class ArtifactWriter {
    public let type: PortType
    private let writer: SafetensorsWriter
    private let hasher: Hasher256

    /// - Parameters:
    ///   - path: Where to write; the file must not exist.
    ///   - headerCapacity: Bytes reserved for the header beyond the metadata given here.
    ///   - keeps: False to compute the digest only: nothing is written then.
    public init(path: String, type: PortType, headerCapacity: Int = 4096, keeps: Bool = true) throws {
        self.type = type
        let hasher = Hasher256()
        self.hasher = hasher
        writer = try SafetensorsWriter(
            path: path, metadata: [Artifact.typeKey: type.name, Artifact.metadataKey: "{}"],
            headerCapacity: headerCapacity, keeps: keeps, observe: { hasher.update($0) })
    }

    /// Sets the metadata, as JSON with sorted keys; may be called again until the artifact is finished.
    public func set(metadata: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        writer.metadata[Artifact.metadataKey] = String(decoding: try encoder.encode(metadata), as: UTF8.self)
    }

    /// Begins a tensor whose first dimension grows with every append.
    public func begin(_ name: String, dtype: DType, elementShape: [Int]) {
        writer.begin(name, dtype: dtype, elementShape: elementShape)
    }

    /// Appends whole elements to the tensor begun last.
    public func append<T: TensorElement>(_ elements: [T]) throws { try writer.append(elements) }

    /// Appends whole elements to the tensor begun last.
    public func append(_ bytes: UnsafeRawBufferPointer) throws { try writer.append(bytes) }

    /// Writes a whole tensor.
    public func write<T: TensorElement>(_ name: String, _ elements: [T], shape: [Int]) throws {
        try writer.write(name, elements, shape: shape)
    }

    /// Writes a whole tensor of raw bytes.
    public func write(_ name: String, dtype: DType, bytes: UnsafeRawBufferPointer, shape: [Int]) throws {
        try writer.write(name, dtype: dtype, bytes: bytes, shape: shape)
    }

    /// Writes header, syncs, closes, and gives the content digest.
    public func finish(sync: Bool = true) throws -> Digest {
        let header = try writer.finish(sync: sync)
        return Artifact.digest(header: header, data: hasher.finish())
    }
}
