import Foundation
import Safetensors

/// One immutable value on disk: a safetensors file whose header carries type and metadata, or raw bytes for `file`,
/// or a folder of weights for `model`.
public struct Artifact: Sendable, Hashable {
    public let type: PortType
    public let path: String
    /// The digest of the content: equal digests mean equal values.
    public let digest: Digest
    /// Frames that are still being made; the file is not there then. Nil for everything else.
    public let stream: FrameStream.Reader?

    public init(type: PortType, path: String, digest: Digest, stream: FrameStream.Reader? = nil) {
        self.type = type
        self.path = path
        self.digest = digest
        self.stream = stream
    }

    /// Maps the safetensors file.
    public func open() throws -> SafetensorsFile { try SafetensorsFile(path: path) }

    /// The keys of `__metadata__` that carry type and metadata.
    public static let typeKey = "understudy.type"
    public static let metadataKey = "understudy.meta"

    /// The content digest of a safetensors artifact: SHA-256 over its header (as JSON with sorted keys: some writers order
    /// it at random) followed by the SHA-256 of its data section, so that it can be computed while streaming although the
    /// header is written last.
    ///
    /// - Parameter header: The header's bytes in the file, length prefix included.
    public static func digest(header: [UInt8], data: Digest) -> Digest {
        let hasher = Hasher256()
        let json = Data(header.dropFirst(8))
        let canonical = (try? JSONSerialization.jsonObject(with: json)).flatMap {
            try? JSONSerialization.data(withJSONObject: $0, options: [.sortedKeys, .withoutEscapingSlashes])
        }
        (canonical ?? json).withUnsafeBytes { hasher.update($0) }
        hasher.update(data.hex)
        return hasher.finish()
    }

    /// Computes the content digest of an artifact file from its bytes.
    ///
    /// - Parameter isTensorFile: Whether the file is a safetensors artifact (else raw bytes).
    public static func digest(ofFile path: String, isTensorFile: Bool) throws -> Digest {
        guard isTensorFile else { return try Digest.ofFile(path) }
        let file = try SafetensorsFile(path: path)
        return file.file.withBytes { bytes in
            let data = Hasher256()
            data.update(UnsafeRawBufferPointer(rebasing: bytes[file.dataOffset...]))
            return digest(header: Array(bytes[..<file.dataOffset]), data: data.finish())
        }
    }
}

extension SafetensorsFile {
    /// Decodes the artifact metadata.
    ///
    /// - Throws: ``NodeError`` when the file is no artifact of this type or its metadata does not decode.
    public func metadata<M: Decodable>(_ type: M.Type, of port: PortType) throws -> M {
        guard let found = metadata[Artifact.typeKey] else {
            throw NodeError("\(file.path): is no artifact: its metadata has no '\(Artifact.typeKey)'")
        }
        guard found == port.name else {
            throw NodeError("\(file.path): holds a '\(found)', '\(port)' expected")
        }
        do {
            return try JSONDecoder().decode(M.self, from: Data((metadata[Artifact.metadataKey] ?? "{}").utf8))
        } catch {
            throw NodeError("\(file.path): metadata of a '\(port)' does not decode: \(error)")
        }
    }
}
