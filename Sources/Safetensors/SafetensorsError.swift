#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif
import WholeFiles

/// Why a safetensors file could not be read or written; the message names the file and the remedy.
public struct SafetensorsError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        /// The file could not be opened, mapped, written or synced.
        case inputOutput
        /// The bytes are not a whole safetensors file.
        case malformed
        /// The file is fine, but does not hold the tensor that was asked for, in that shape or type.
        case mismatch
    }

    public let code: Code
    public let path: String
    public let message: String

    public init(_ code: Code, path: String, _ message: String) {
        self.code = code
        self.path = path
        self.message = message
    }

    public var description: String { "\(path): \(message)" }

    /// What the system refused just now, by `errno`, with the remedy where it is a full disk.
    static func refused(_ what: String, path: String) -> SafetensorsError {
        let code = errno
        let remedy = code == ENOSPC ? "; free some disk space, or move the cache with --cache" : ""
        return SafetensorsError(.inputOutput, path: path, "cannot \(what): \(SystemReason.text(code))\(remedy)")
    }
}
