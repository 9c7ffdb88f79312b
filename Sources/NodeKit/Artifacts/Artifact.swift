import Foundation
import Safetensors

/// One immutable value on disk: a safetensors file whose header carries type and metadata, or raw bytes for `file`,
/// or a folder of weights for `model`.
public struct Artifact: Sendable, Hashable {
    public let type: PortType
    public let path: String
    /// The digest of the content: equal digests mean equal values.
    public let digest: Digest
    /// The bytes of a small safetensors artifact that is not on disk; nil: they are at ``path``.
    public let contents: MappedFile?
    /// Frames that are still being made; the file is not there then. Nil for everything else.
    public let stream: FrameStream.Reader?

    public init(
        type: PortType, path: String, digest: Digest, contents: MappedFile? = nil, stream: FrameStream.Reader? = nil
    ) {
        self.type = type
        self.path = path
        self.digest = digest
        self.contents = contents
        self.stream = stream
    }

    /// Maps the safetensors file.
    public func open() throws -> SafetensorsFile { try SafetensorsFile(file: contents ?? MappedFile(path: path)) }

    public static func == (a: Self, b: Self) -> Bool { a.type == b.type && a.path == b.path && a.digest == b.digest }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(digest)
        hasher.combine(path)
    }

    /// The keys of `__metadata__` that carry type and metadata.
    public static let typeKey = "understudy.type"
    public static let metadataKey = "understudy.meta"

    /// The content digest of a safetensors artifact: SHA-256 over its header (as JSON with sorted keys: some writers order
    /// it at random) followed by the SHA-256 of its data section, so that it can be computed while streaming although the
    /// header is written last.
    ///
    /// - Parameter header: The header as JSON with sorted keys, as ``SafetensorsWriter`` gives it.
    static func digest(header: some ContiguousBytes, data: Digest) -> Digest {
        let hasher = Hasher256()
        header.withUnsafeBytes { hasher.update($0) }
        hasher.update(data.hex)
        return hasher.finish()
    }

    /// Computes the content digest of a safetensors artifact from its bytes.
    public static func digest(of file: SafetensorsFile) -> Digest {
        file.file.withBytes { bytes in
            let data = Hasher256()
            data.update(UnsafeRawBufferPointer(rebasing: bytes[file.dataOffset...]))
            let json = Data(bytes[8..<file.dataOffset])
            let canonical = (try? JSONSerialization.jsonObject(with: json)).flatMap {
                try? JSONSerialization.data(withJSONObject: $0, options: [.sortedKeys, .withoutEscapingSlashes])
            }
            return digest(header: canonical ?? json, data: data.finish())
        }
    }

    /// Whether the bytes of a safetensors artifact are those that a digest promises.
    public static func isIntact(_ file: SafetensorsFile, digest: Digest) -> Bool {
        let (header, data) = file.file.withBytes { bytes in
            let hasher = Hasher256()
            hasher.update(UnsafeRawBufferPointer(rebasing: bytes[file.dataOffset...]))
            let end = bytes[..<file.dataOffset].lastIndex { $0 != 0x20 } ?? 7
            return (Array(bytes[8..<max(end + 1, 8)]), hasher.finish())
        }
        // Our own writer has the keys in order.
        return self.digest(header: header, data: data) == digest || self.digest(of: file) == digest
    }

    /// Computes the content digest of an artifact file from its bytes.
    ///
    /// - Parameter isTensorFile: Whether the file is a safetensors artifact (else raw bytes).
    public static func digest(ofFile path: String, isTensorFile: Bool) throws -> Digest {
        guard isTensorFile else { return try Digest.ofFile(path) }
        return digest(of: try SafetensorsFile(path: path))
    }
}

extension SafetensorsFile {
    /// Decodes the artifact metadata.
    ///
    /// - Throws: ``NodeError`` when the file is no artifact of this type or its metadata does not decode.
    public func metadata<M: Decodable>(_ type: M.Type, of port: PortType) throws -> M {
        let text = try metadataText(of: port)
        do {
            return try JSONDecoder().decode(M.self, text: Data(text.utf8))
        } catch {
            throw NodeError("\(file.path): metadata of a '\(port)' is wrong: \(JSONDecoder.words(error))")
        }
    }

    /// The artifact metadata as JSON.
    ///
    /// - Throws: ``NodeError`` when the file is no artifact of this type.
    func metadataText(of port: PortType) throws -> String {
        guard let found = metadata[Artifact.typeKey] else {
            throw NodeError("\(file.path): is no artifact: its metadata has no '\(Artifact.typeKey)'")
        }
        guard found == port.name else {
            throw NodeError("\(file.path): holds a '\(found)', '\(port)' expected")
        }
        return metadata[Artifact.metadataKey] ?? "{}"
    }
}
