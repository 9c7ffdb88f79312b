import Foundation

/// A text that diagnostics point into: a graph file, or one argument of the command line.
///
/// It is a class so that the many ranges of a graph share one copy of the text.
public final class SourceFile: Sendable {
    /// Where a text came from.
    public enum Origin: Sendable, Equatable {
        /// A file on disk.
        case file
        /// An argument such as `--set face.with.crop=256`.
        case commandLine
    }

    /// Files above this many bytes are not graphs: they are refused before they are parsed.
    public static let largestSize = 16 << 20

    /// What diagnostics call this file: the path as the user wrote it, or `<command line>`.
    public let name: String
    /// Where the text came from.
    public let origin: Origin
    /// The folder that relative paths in this text start from; absolute.
    public let directory: URL
    /// The text as it was read; not necessarily valid UTF-8.
    public let bytes: [UInt8]
    /// For an argument: what stands before the text on the command line, such as `--set `.
    public let prefix: String
    private let lineStarts: [Int]

    /// Makes a source file of a text that is already in memory.
    ///
    /// - Parameters:
    ///   - name: What diagnostics call it.
    ///   - directory: The folder that its relative paths start from.
    public init(name: String, directory: URL, bytes: [UInt8], origin: Origin = .file, prefix: String = "") {
        self.name = name
        self.origin = origin
        self.directory = directory
        self.bytes = bytes
        self.prefix = prefix
        var starts = [0]
        for (offset, byte) in bytes.enumerated() where byte == UInt8(ascii: "\n") { starts.append(offset + 1) }
        lineStarts = starts
    }

    /// Makes a source file of a text that is already in memory.
    public convenience init(name: String, directory: URL, text: String) {
        self.init(name: name, directory: directory, bytes: Array(text.utf8))
    }

    /// The text of a command-line option; its paths start from the current folder.
    ///
    /// - Parameters:
    ///   - option: The option as typed, such as `--set`.
    ///   - argument: What follows it.
    public static func commandLine(option: String, argument: String) -> SourceFile {
        SourceFile(
            name: "<command line>", directory: currentDirectory, bytes: Array(argument.utf8),
            origin: .commandLine, prefix: option + " ")
    }

    /// Reads a file.
    ///
    /// - Parameter path: As the user wrote it; relative paths start from the current folder.
    /// - Throws: `Unreadable` when there is no such file, it cannot be read, or it is larger than `largestSize`.
    public static func read(_ path: String) throws(Unreadable) -> SourceFile {
        let url = URL(fileURLWithPath: path)
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
            throw Unreadable(reason: "there is no such file")
        }
        guard !isDirectory.boolValue else { throw Unreadable(reason: "it is a folder") }
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: url)
            defer { try? handle.close() }
            data = try handle.read(upToCount: largestSize + 1) ?? Data()
        } catch {
            throw Unreadable(reason: "it cannot be read (are you allowed to?)")
        }
        guard data.count <= largestSize else {
            throw Unreadable(reason: "it is larger than \(largestSize >> 20) MiB, so it is not a graph")
        }
        return SourceFile(
            name: path, directory: url.standardizedFileURL.deletingLastPathComponent(), bytes: Array(data))
    }

    /// Why a file could not be read, as a clause.
    public struct Unreadable: Error, Sendable {
        /// A clause that follows «cannot read 'x':».
        public let reason: String
    }

    /// The folder that the program was started in.
    public static var currentDirectory: URL {
        URL(fileURLWithPath: FileManager.default.currentDirectoryPath, isDirectory: true)
    }

    /// The text of a line without its line break, or nil past the end; bytes that are not UTF-8 become U+FFFD.
    ///
    /// - Parameter number: Counted from 1.
    public func line(_ number: Int) -> String? {
        guard number >= 1, number <= lineStarts.count else { return nil }
        let start = lineStarts[number - 1]
        var end = number < lineStarts.count ? lineStarts[number] - 1 : bytes.count
        if end > start, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    /// The position of a byte; columns count characters (Unicode scalars), both from 1.
    public func position(ofByte offset: Int) -> SourcePosition {
        var low = 0
        var high = lineStarts.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle - 1 }
        }
        let before = bytes[lineStarts[low]..<min(max(offset, lineStarts[low]), bytes.count)]
        return SourcePosition(line: low + 1, column: String(decoding: before, as: UTF8.self).unicodeScalars.count + 1)
    }

    /// A range over the whole of a one-line text such as a command-line argument.
    public var wholeRange: SourceRange {
        let end = position(ofByte: bytes.count)
        return SourceRange(file: self, start: SourcePosition(line: 1, column: 1), end: end)
    }
}
