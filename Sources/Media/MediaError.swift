/// Why a media file could not be read or written; the message names what was found and the remedy.
public struct MediaError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        /// The file is not there, is a folder, is empty, or may not be read or written.
        case inputOutput
        /// The bytes are not media that FFmpeg can read, or nothing in them could be decoded.
        case malformed
        /// The file is fine, but has no stream of the kind that was asked for.
        case noStream
        /// A codec, size or format that this build cannot handle.
        case unsupported
        /// The request itself makes no sense: an empty time range, a size of zero, time stamps that run backwards.
        case invalidRequest
    }

    public let code: Code
    /// The file, or a description of the data if it has no file.
    public let path: String
    public let message: String

    public init(_ code: Code, path: String, _ message: String) {
        self.code = code
        self.path = path
        self.message = message
    }

    public var description: String { "\(path): \(message)" }
}
