import CArchive
import Foundation
import WholeFiles

/// libarchive's `AE_IFREG`, a macro that Swift does not see.
private let regularFile: UInt32 = 0o100000

/// Writes a tar archive through libarchive; the name's ending chooses the compression (`.tar`, `.tar.gz`, `.tar.zst`).
///
/// The file appears under its name when it is whole and synced.
final class ArchiveWriter {
    private let archive: OpaquePointer
    private let path: String
    private let file: WholeFile

    /// - Throws: ``StoreError`` when the ending is unknown or the file cannot be made.
    init(path: String) throws {
        do { file = try WholeFile(path: path) } catch { throw StoreError("\(error)") }
        guard let archive = archive_write_new() else { throw StoreError("not enough memory for an archive") }
        self.archive = archive
        self.path = path
        let filters: [(ending: String, add: (OpaquePointer) -> Int32)] = [
            (".tar", archive_write_add_filter_none), (".tar.gz", archive_write_add_filter_gzip),
            (".tar.zst", archive_write_add_filter_zstd),
        ]
        guard let filter = filters.first(where: { path.hasSuffix($0.ending) }) else {
            throw StoreError("'\(path)': the name must end in .tar, .tar.gz or .tar.zst, which chooses the compression")
        }
        try check(filter.add(archive), "cannot compress '\(path)'")
        archive_write_set_format_pax_restricted(archive)
        try check(archive_write_open_filename(archive, file.temporary), "cannot make '\(path)'")
    }

    deinit { archive_write_free(archive) }

    private func check(_ status: Int32, _ message: String) throws {
        guard status < ARCHIVE_WARN else { return }
        errno = archive_errno(archive)
        throw StoreError.outside(message)
    }

    private func begin(_ name: String, size: Int64) throws {
        let entry = archive_entry_new()
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, name)
        archive_entry_set_size(entry, size)
        archive_entry_set_filetype(entry, regularFile)
        archive_entry_set_perm(entry, 0o644)
        try check(archive_write_header(archive, entry), "cannot write '\(path)'")
    }

    private func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        guard archive_write_data(archive, base, bytes.count) == bytes.count else {
            errno = archive_errno(archive)
            throw StoreError.outside("cannot write '\(path)'")
        }
    }

    func write(_ data: Data, as name: String) throws {
        try begin(name, size: Int64(data.count))
        try data.withUnsafeBytes { try append($0) }
    }

    /// Copies a file of known size in, in pieces.
    func write(fileAt source: String, as name: String) throws {
        guard let state = try FileState(stored: source) else { throw StoreError("'\(source)' is gone; run 'understudy cache verify'") }
        let descriptor = open(source, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreError.unreadable(source) }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try begin(name, size: state.size)
        var copied: Int64 = 0
        while let chunk = try handle.read(upToCount: 1 << 20), !chunk.isEmpty {
            try chunk.withUnsafeBytes { try append($0) }
            copied += Int64(chunk.count)
        }
        guard copied == state.size else { throw StoreError("'\(source)' changed while it was read") }
    }

    /// Closes, syncs and names the file.
    func finish() throws {
        try check(archive_write_close(archive), "cannot write '\(path)'")
        do { try file.commit() } catch { throw StoreError("\(error); name a file on another disk") }
    }
}

/// Reads an archive's entries in order. What it reads is not trusted: names and sizes are for the caller to check.
final class ArchiveReader {
    private let archive: OpaquePointer
    private let path: String

    /// One regular file in the archive.
    struct Entry {
        let name: String
        /// How many bytes it is said to have.
        let size: Int64
        fileprivate let archive: OpaquePointer
        fileprivate let path: String

        /// All bytes.
        ///
        /// - Throws: ``StoreError`` when there are more than `limit`, or the archive is damaged.
        func data(limit: Int) throws -> Data {
            var data = Data()
            guard size <= limit else { throw StoreError("'\(path)': '\(name)' is larger than \(limit) bytes") }
            try forEachChunk { chunk in
                guard data.count + chunk.count <= limit else { throw StoreError("'\(path)': '\(name)' is larger than \(limit) bytes") }
                data.append(contentsOf: chunk)
            }
            return data
        }

        /// Writes all bytes to a file: no more than the archive says there are, and than the disk has room for. What failed leaves
        /// none.
        ///
        /// - Parameter isTensorFile: Whether it must begin as a safetensors file does.
        func extract(to file: String, isTensorFile: Bool) throws {
            let room = CacheStore.room(in: (file as NSString).deletingLastPathComponent)
            guard size <= room else {
                throw StoreError(
                    "'\(path)': '\(name)' has \(size) bytes, and the disk of the cache has room for \(room); free some space, or move the cache with --cache")
            }
            let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw StoreError.system("cannot make '\(file)'") }
            defer { close(descriptor) }
            var left = size
            do {
                try forEachChunk { chunk in
                    if isTensorFile, left == size, !Self.beginsTensors(chunk, of: size) {
                        throw StoreError("'\(path)': '\(name)' does not hold the bytes that its name promises")
                    }
                    left -= Int64(chunk.count)
                    guard left >= 0 else { throw StoreError("'\(path)': '\(name)' is longer than it says") }
                    var rest = chunk
                    while let base = rest.baseAddress, rest.count > 0 {
                        let written = Foundation.write(descriptor, base, rest.count)
                        if written < 0, errno == EINTR { continue }
                        guard written > 0 else { throw StoreError.system("cannot write '\(file)'") }
                        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                    }
                }
                guard fsync(descriptor) == 0 else { throw StoreError.system("cannot write '\(file)'") }
            } catch {
                unlink(file)
                throw error
            }
        }

        /// Whether bytes can be the beginning of a safetensors file of a size: the length of its header, then JSON.
        private static func beginsTensors(_ bytes: UnsafeRawBufferPointer, of size: Int64) -> Bool {
            guard bytes.count > 8 else { return false }
            let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
            return length <= UInt64(size) - 8 && bytes[8] == UInt8(ascii: "{")
        }

        private func forEachChunk(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = archive_read_data(archive, buffer.baseAddress, buffer.count)
                if count == 0 { return }
                guard count > 0 else { throw ArchiveReader.damaged(archive, path) }
                try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }

    /// - Throws: ``StoreError`` when the file cannot be read or is no archive.
    init(path: String) throws {
        guard let archive = archive_read_new() else { throw StoreError("not enough memory for an archive") }
        self.archive = archive
        self.path = path
        // What exports write, and nothing else: some of the others start programs, or take as much memory as a few bytes say.
        archive_read_support_filter_gzip(archive)
        archive_read_support_filter_zstd(archive)
        archive_read_support_format_tar(archive)
        guard archive_read_open_filename(archive, path, 1 << 20) == ARCHIVE_OK else { throw Self.damaged(archive, path) }
    }

    deinit { archive_read_free(archive) }

    /// The next entry; nil at the end.
    func next() throws -> Entry? {
        var entry: OpaquePointer?
        switch archive_read_next_header(archive, &entry) {
        case ARCHIVE_EOF: return nil
        case ARCHIVE_OK, ARCHIVE_WARN: break
        default: throw Self.damaged(archive, path)
        }
        guard let name = archive_entry_pathname(entry).map({ String(cString: $0) }),
            archive_entry_filetype(entry) == regularFile
        else { throw StoreError("'\(path)' is not an archive of 'understudy cache export': it holds more than files") }
        // Without a size there is no end to what it may hold.
        guard archive_entry_size_is_set(entry) != 0, case let size = archive_entry_size(entry), size >= 0 else {
            throw StoreError("'\(path)' is not an archive of 'understudy cache export': the size of '\(name)' is not in it")
        }
        return Entry(name: name, size: size, archive: archive, path: path)
    }

    private static func damaged(_ archive: OpaquePointer, _ path: String) -> StoreError {
        let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown reason"
        return StoreError("cannot read the archive '\(path)': \(reason); is it whole, and made by 'understudy cache export'?")
    }
}
