import Foundation
import Synchronization

/// A file that takes its name once it is whole: until then an older one of that name stays as it is.
///
///     let file = try WholeFile(path: "film.mp4")
///     try write(to: file.temporary)
///     try file.commit()
///
/// What is not committed leaves nothing behind. A name that stands for a device or a pipe (`/dev/stdout`) is written to as it is: there
/// is nothing to keep, and it must not become a file. Through a link the file that it leads to is replaced.
public final class WholeFile {
    /// The name that errors have, as it was given.
    public let path: String
    /// Where to write: a new file in the same folder, not there yet.
    public let temporary: String
    private let target: String
    /// Whether a new file takes the name; false where a device or a pipe has it.
    public var isNew: Bool { temporary != target }
    /// The permissions of the file that is replaced.
    private let mode: mode_t?
    private var isOver = false

    /// Makes no file yet.
    ///
    /// - Throws: ``FileFailure`` when the path is a folder, or its folder is not there.
    public init(path: String) throws(FileFailure) {
        self.path = path
        var status = stat()
        let isThere = stat(path, &status) == 0
        let kind = status.st_mode & S_IFMT
        if isThere, kind == S_IFDIR { throw FileFailure(path: path, reason: "it is a folder; name a file") }
        guard !isThere || kind == S_IFREG else {
            (target, temporary, mode) = (path, path, nil)
            return
        }
        var real = path
        if isThere, let found = realpath(path, nil) {
            real = String(cString: found)
            free(found)
        }
        target = real
        mode = isThere ? status.st_mode & 0o777 : nil
        let folder = (real as NSString).deletingLastPathComponent
        guard !(real as NSString).lastPathComponent.isEmpty, stat(folder.isEmpty ? "." : folder, &status) == 0 else {
            throw FileFailure(path: path, reason: path.isEmpty ? "its name is empty" : errno == ENOENT ? "there is no folder '\(folder)'" : SystemReason.text(errno))
        }
        // A short name: the longest that a folder takes may be the file's own.
        let number = Self.count.add(1, ordering: .relaxed).newValue
        let name = ".understudy-\(getpid())-\(number).part"
        temporary = folder.isEmpty ? name : "\(folder)/\(name)"
        unlink(temporary)
    }

    private static let count = Atomic(0)

    deinit { if !isOver { discard() } }

    /// Gives the file its name, synced, so that no loss of power leaves it empty.
    ///
    /// - Throws: ``FileFailure`` when the system refuses; nothing is left behind then.
    public func commit() throws(FileFailure) {
        guard !isOver, isNew else { return }
        defer { discard() }
        let descriptor = open(temporary, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure(path: path, code: errno) }
        defer { close(descriptor) }
        if let mode { fchmod(descriptor, mode | 0o200) }
        guard fsync(descriptor) == 0, rename(temporary, target) == 0 else { throw FileFailure(path: path, code: errno) }
    }

    /// Removes what was written.
    private func discard() {
        if isNew { unlink(temporary) }
        isOver = true
    }

    /// Writes a file's bytes.
    ///
    /// - Throws: ``FileFailure``, which names the path, not where the bytes were put before.
    public static func write(_ bytes: some ContiguousBytes, to path: String) throws(FileFailure) {
        let file = try WholeFile(path: path)
        let output = try file.create()
        let reason: Int32? = bytes.withUnsafeBytes { output.append($0) ? nil : errno }
        if let reason { throw FileFailure(path: path, code: reason) }
        try file.commit()
    }

    /// Writes the bytes of another file, with a new file's permissions.
    ///
    /// - Throws: ``FileFailure``, which names the file that could not be read or written.
    public static func copy(_ source: String, to path: String) throws(FileFailure) {
        let file = try WholeFile(path: path)
        guard let input = OpenFile(descriptor: open(source, O_RDONLY | O_CLOEXEC)) else { throw FileFailure(path: source, code: errno, "cannot read") }
        let output = try file.create()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = read(input.descriptor, buffer.baseAddress, buffer.count)
            if count == 0 { break }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FileFailure(path: source, code: errno, "cannot read") }
            guard output.append(UnsafeRawBufferPointer(rebasing: buffer[..<count])) else { throw FileFailure(path: path, code: errno) }
        }
        try file.commit()
    }

    private func create() throws(FileFailure) -> OpenFile {
        let descriptor = open(temporary, O_WRONLY | O_CLOEXEC | (isNew ? O_CREAT | O_EXCL : 0), 0o666)
        guard let file = OpenFile(descriptor: descriptor) else { throw FileFailure(path: path, code: errno) }
        return file
    }

    /// Makes a folder, and those above it.
    ///
    /// - Throws: ``FileFailure`` with the system's reason.
    public static func makeFolder(_ path: String) throws(FileFailure) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw FileFailure(path: path, code: SystemReason.code(of: error) ?? errno, "cannot make the folder")
        }
    }
}

/// An open file, closed with its last owner.
public struct OpenFile: ~Copyable {
    let descriptor: Int32

    /// Nil for a descriptor that `open` did not give: the reason is in `errno`.
    public init?(descriptor: Int32) {
        guard descriptor >= 0 else { return nil }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The first bytes that a read gives.
    public func head(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = max(read(descriptor, buffer.baseAddress, count), 0)
        }
    }

    /// Writes all bytes; false with the reason in `errno` when the system takes no more.
    public func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = Foundation.write(descriptor, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        return true
    }
}

/// Why a file could not be written.
public struct FileFailure: Error, Sendable, CustomStringConvertible {
    public let path: String
    /// In the system's words.
    public let reason: String
    private let what: String

    public init(path: String, reason: String) {
        (self.path, self.reason, what) = (path, reason, "cannot write")
    }

    init(path: String, code: Int32, _ what: String = "cannot write") {
        (self.path, self.reason, self.what) = (path, SystemReason.text(code), what)
    }

    public var description: String { "\(what) '\(path)': \(reason)" }
}
