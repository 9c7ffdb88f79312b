import Foundation
import Safetensors

/// Writes one artifact, streaming: begin a tensor, append to it frame by frame, finish.
public final class ArtifactWriter {
    public let type: PortType
    public let path: String
    private let writer: SafetensorsWriter
    private let hasher: Hasher256
    private var finiteness: FiniteCheck?

    /// What ``finish(sync:inMemoryBelow:)`` made.
    public struct Finished: Sendable {
        /// The content digest.
        public let digest: Digest
        /// The whole file, if it was small enough to stay in memory; nil: it is at the path.
        public let contents: [UInt8]?
    }

    /// - Parameters:
    ///   - path: Where to write; the file must not exist.
    ///   - headerCapacity: Bytes reserved for the header of a large file beyond the metadata given here.
    ///   - keeps: False to compute the digest only: nothing is written then.
    ///   - threads: With more than one, large pieces are hashed beside being written.
    ///   - willCreate: Called before the file is created, for instance to make its folder.
    public init(
        path: String, type: PortType, headerCapacity: Int = 4096, keeps: Bool = true, threads: Int = 1,
        willCreate: (() throws -> Void)? = nil
    ) throws {
        self.type = type
        self.path = path
        let hasher = Hasher256()
        self.hasher = hasher
        finiteness = FiniteCheck(type: type)
        writer = try SafetensorsWriter(
            path: path, metadata: [Artifact.typeKey: type.name, Artifact.metadataKey: "{}"],
            headerCapacity: headerCapacity, keeps: keeps, willCreate: willCreate, observe: { hasher.update($0) })
        writer.observesBeside = threads > 1
    }

    /// Hashes in the thread that writes: there is one for both.
    func hashInTurn() { writer.observesBeside = false }

    /// Sets the metadata, as JSON with sorted keys; may be called again until the artifact is finished.
    public func set(metadata: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        set(json: String(decoding: try encoder.encode(metadata), as: UTF8.self))
    }

    /// Sets the metadata, as `JSONEncoder` would write it with sorted keys.
    func set(json: String) { writer.metadata[Artifact.metadataKey] = json }

    /// Begins a tensor whose first dimension grows with every append.
    public func begin(_ name: String, dtype: DType, elementShape: [Int]) {
        writer.begin(name, dtype: dtype, elementShape: elementShape)
        finiteness?.begin(name, dtype: dtype, elementShape: elementShape)
    }

    /// Appends whole elements to the tensor begun last.
    public func append<T: TensorElement>(_ elements: [T]) throws { try elements.withUnsafeBytes { try append($0) } }

    /// Appends whole elements to the tensor begun last.
    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        try writer.append(bytes)
        finiteness?.scan(bytes)
    }

    /// Writes a whole tensor.
    public func write<T: TensorElement>(_ name: String, _ elements: [T], shape: [Int]) throws {
        try elements.withUnsafeBytes { try write(name, dtype: T.dtype, bytes: $0, shape: shape) }
    }

    /// Writes a whole tensor of raw bytes.
    public func write(_ name: String, dtype: DType, bytes: UnsafeRawBufferPointer, shape: [Int]) throws {
        try writer.write(name, dtype: dtype, bytes: bytes, shape: shape)
        finiteness?.begin(name, dtype: dtype, elementShape: Array(shape.dropFirst()))
        finiteness?.scan(bytes)
    }

    /// Refuses a value that holds NaN or infinity where its type allows none.
    ///
    /// - Parameter port: The output it is for; named in the error.
    func checkFinite(port: String) throws { try finiteness?.check("output '\(port)'") }

    /// Writes header, syncs, closes, and gives the content digest.
    public func finish(sync: Bool = true) throws -> Digest { try finish(sync: sync, inMemoryBelow: 0).digest }

    /// Writes header, syncs, closes, and gives the content digest; a small artifact stays in memory.
    ///
    /// - Parameter limit: A file of fewer bytes, all told, is not created.
    public func finish(sync: Bool, inMemoryBelow limit: Int) throws -> Finished {
        let file = try writer.finish(sync: sync, inMemoryBelow: limit)
        return Finished(digest: Artifact.digest(header: file.header, data: hasher.finish()), contents: file.contents)
    }
}
