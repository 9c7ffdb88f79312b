import CCrypto
import Foundation
import WholeFiles

/// A SHA-256 digest.
///
/// SHA-256, because results of others are trusted by it (`cache import`), because everything else that names artifacts and
/// weights uses it, and because libcrypto's uses the processor's SHA instructions: well over 1 GB/s per core.
public struct Digest: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// The 32 bytes, as big-endian words.
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Nil unless `hex` is 64 lower-case hexadecimal digits, so that a digest is always safe in a path.
    public init?(hex: String) {
        var hex = hex
        let words = hex.withUTF8 { digits -> [UInt64]? in
            guard digits.count == 64 else { return nil }
            var words: [UInt64] = [0, 0, 0, 0]
            for (index, digit) in digits.enumerated() {
                let value: UInt8
                switch digit {
                case 48...57: value = digit - 48
                case 97...102: value = digit - 87
                default: return nil
                }
                words[index / 16] = words[index / 16] << 4 | UInt64(value)
            }
            return words
        }
        guard let words else { return nil }
        self.words = (words[0], words[1], words[2], words[3])
    }

    fileprivate init(bytes: (UInt64, UInt64, UInt64, UInt64)) {
        words = (bytes.0.bigEndian, bytes.1.bigEndian, bytes.2.bigEndian, bytes.3.bigEndian)
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String {
        String(unsafeUninitializedCapacity: 64) { buffer in
            func write(_ word: UInt64, at start: Int) {
                for index in 0..<16 {
                    let value = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 15
                    buffer.initializeElement(at: start + index, to: value < 10 ? 48 + value : 87 + value)
                }
            }
            write(words.0, at: 0)
            write(words.1, at: 16)
            write(words.2, at: 32)
            write(words.3, at: 48)
            return 64
        }
    }

    /// The first 63 bits: they tell a few million digests apart.
    package var prefix: Int64 { Int64(words.0 >> 1) }

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
    public static func == (a: Digest, b: Digest) -> Bool { a.words == b.words }
    public static func < (a: Digest, b: Digest) -> Bool { a.words < b.words }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }

    /// The digest of some bytes.
    public static func of(_ bytes: some ContiguousBytes) -> Digest {
        let hasher = Hasher256()
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.finish()
    }

    /// The digest of a text's UTF-8.
    public static func of(_ text: String) -> Digest {
        let hasher = Hasher256()
        hasher.update(text)
        return hasher.finish()
    }

    /// The digest of a file's bytes, read in pieces.
    ///
    /// - Throws: When the file cannot be opened or read.
    public static func ofFile(_ path: String) throws -> Digest {
        // A pipe would be waited for otherwise, until somebody writes to it.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw unreadable(path) }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        let hasher = Hasher256()
        // Small enough to be hashed while it is still in the processor's cache.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count == 0 { return hasher.finish() }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw NodeError("cannot read '\(path)': \(SystemReason.text(errno))") }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}

/// Why a file cannot be read, with the remedy. To be called when the system has just refused it, or it is no regular file.
package func unreadable(_ path: String) -> NodeError {
    var (code, status) = (errno, stat())
    if stat(path, &status) != 0 { code = errno }
    let kind: String? = switch status.st_mode & S_IFMT {
    case S_IFDIR: "a folder"
    case S_IFIFO: "a pipe"
    case S_IFSOCK: "a socket"
    case S_IFCHR, S_IFBLK: "a device"
    default: nil
    }
    guard let kind else { return NodeError("cannot read '\(path)': \(SystemReason.text(code)); check that it exists and may be read") }
    return NodeError("cannot read '\(path)': it is \(kind), not a regular file; put what it gives into a file, and name that")
}

/// An incremental SHA-256.
public final class Hasher256 {
    private let context: OpaquePointer
    /// Looked up once: the look-up takes longer than a short text does.
    ///
    /// Safe: libcrypto's algorithm descriptions never change once they are there.
    nonisolated(unsafe) private static let algorithm = EVP_MD_fetch(nil, "SHA256", nil)

    public init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, Self.algorithm, nil) == 1 else {
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
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &bytes) {
            _ = EVP_DigestFinal_ex(context, $0.bindMemory(to: UInt8.self).baseAddress, nil)
        }
        return Digest(bytes: bytes)
    }
}
