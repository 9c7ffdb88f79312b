import CCrypto
import Foundation

/// A SHA-256 digest. (OpenSSL's implementation uses the processor's SHA instructions: over 1 GB/s per core.)
public struct Digest: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// 64 lower-case hexadecimal digits.
    public let hex: String

    /// Nil unless `hex` is 64 lower-case hexadecimal digits, so that a digest is always safe in a path.
    public init?(hex: String) {
        guard hex.utf8.count == 64,
            hex.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        self.hex = hex
    }

    fileprivate init(bytes: [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        hex = String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let digest = Digest(hex: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a SHA-256 digest")
        }
        self = digest
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(hex)
    }

    public var description: String { hex }
    /// The first ten digits: enough to tell artifacts apart on a screen.
    public var short: String { String(hex.prefix(10)) }
    public static func < (a: Digest, b: Digest) -> Bool { a.hex < b.hex }

    /// The digest of some bytes.
    public static func of(_ bytes: some ContiguousBytes) -> Digest {
        let hasher = Hasher256()
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.finish()
    }

    /// The digest of a text's UTF-8.
    public static func of(_ text: String) -> Digest { of(Array(text.utf8)) }

    /// The digest of a file's bytes, read in pieces.
    ///
    /// - Throws: When the file cannot be opened or read.
    public static func ofFile(_ path: String) throws -> Digest {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw NodeError("cannot read '\(path)'; check that it exists and may be read")
        }
        defer { try? handle.close() }
        let hasher = Hasher256()
        while let chunk = try handle.read(upToCount: 4 << 20), !chunk.isEmpty {
            chunk.withUnsafeBytes { hasher.update($0) }
        }
        return hasher.finish()
    }
}

/// An incremental SHA-256.
public final class Hasher256 {
    private let context: OpaquePointer

    public init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            preconditionFailure("libcrypto has no SHA-256")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    public func update(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { EVP_DigestUpdate(context, base, bytes.count) }
    }

    public func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    public func finish() -> Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(context, &bytes, nil)
        return Digest(bytes: bytes)
    }
}
