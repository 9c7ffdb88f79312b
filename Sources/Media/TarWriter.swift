import Foundation
import WholeFiles

/// Writes a tar archive (POSIX ustar) file by file; no dates or owners, so that the same contents give the same bytes.
public final class TarWriter {
    public let path: String
    private let output: OpenFile
    private var isFinished = false

    /// - Throws: `MediaError` if the file cannot be created.
    public init(path: String) throws {
        self.path = path
        guard let output = OpenFile(descriptor: open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)) else {
            throw MediaError(.inputOutput, path: path, "cannot create the file: \(SystemReason.text(errno))")
        }
        self.output = output
    }

    deinit { if !isFinished { unlink(path) } }

    /// Adds one file.
    ///
    /// - Parameter name: relative path of at most 100 bytes.
    public func append(_ name: String, _ bytes: [UInt8]) throws {
        guard !name.isEmpty, name.utf8.count <= 100, bytes.count < 1 << 33 else {
            throw MediaError(.invalidRequest, path: path, "'\(name)' with \(bytes.count) bytes does not fit a tar archive")
        }
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            for (i, byte) in text.utf8.enumerated() { header[offset + i] = byte }
        }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, at: 0)
        put(octal(0o644, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(bytes.count, 11), at: 124)
        put(octal(0, 11), at: 136)
        // The checksum is taken with its own field as blanks.
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar\u{0}00", at: 257)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\u{0} ", at: 148)
        let padding = (512 - bytes.count % 512) % 512
        try write(header + bytes + [UInt8](repeating: 0, count: padding))
    }

    /// Completes the archive.
    public func finish() throws {
        guard !isFinished else { return }
        try write([UInt8](repeating: 0, count: 1024))
        isFinished = true
    }

    private func write(_ bytes: [UInt8]) throws {
        guard bytes.withUnsafeBytes({ output.append($0) }) else {
            throw MediaError(.inputOutput, path: path, "cannot write the file: \(SystemReason.text(errno))")
        }
    }
}
