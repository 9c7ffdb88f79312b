#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Bytes put aside on disk until they are wanted again. The file has no name: its room is free once its owner is gone, even one that was killed.
public final class ScratchFile {
    private let folder: String
    private let descriptor: Int32
    /// How many bytes it holds.
    public private(set) var byteCount = 0

    /// - Throws: ``SafetensorsError`` with code `inputOutput` when no file can be made in the folder.
    public init(folder: String) throws {
        self.folder = folder
        let path = "\(folder)/scratch-\(UInt64.random(in: 0 ... .max))"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw SafetensorsError.refused("make a temporary file", path: folder)
        }
        unlink(path)
    }

    deinit { close(descriptor) }

    /// Puts bytes at the end.
    ///
    /// - Throws: ``SafetensorsError`` with code `inputOutput` when the disk is full.
    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(byteCount))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("write \(bytes.count) bytes after \(byteCount)") }
            byteCount += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Fills the buffer with the bytes that begin at an offset.
    ///
    /// - Throws: ``SafetensorsError`` with code `inputOutput` when the disk does not give them.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        precondition(offset >= 0 && offset + buffer.count <= byteCount, "\(buffer.count) bytes at \(offset) of \(byteCount)")
        var done = 0
        while let base = buffer.baseAddress, done < buffer.count {
            let count = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("read \(buffer.count) bytes at \(offset)") }
            done += count
        }
    }

    private func failure(_ what: String) -> SafetensorsError { .refused("\(what) of a temporary file", path: folder) }
}
