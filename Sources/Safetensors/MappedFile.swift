#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A read-only memory mapping of a whole file, or the bytes of a small one that is not on disk.
///
/// `@unchecked Sendable`: the memory is private and read-only, and is given back only when the last owner is gone.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    /// The length of the file in bytes at the time it was mapped.
    public let byteCount: Int
    private let base: UnsafeMutableRawPointer?
    private let isMapped: Bool

    /// Holds bytes as if they were mapped from a file.
    ///
    /// - Parameter path: What errors call it.
    public init(contents: [UInt8], path: String) {
        self.path = path
        byteCount = contents.count
        isMapped = false
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: contents.count, alignment: 64)
        copy.copyBytes(from: contents)
        base = copy.baseAddress
    }

    /// Maps the file.
    ///
    /// - Throws: ``SafetensorsError`` with code `inputOutput` when the file cannot be opened, is not a regular file or
    ///   cannot be mapped.
    public init(path: String) throws {
        // A pipe would be waited for otherwise, until somebody writes to it.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw SafetensorsError(
                .inputOutput, path: path, "cannot open the file: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw SafetensorsError(.inputOutput, path: path, "is not a regular file")
        }
        let count = Int(status.st_size)
        var mapped: UnsafeMutableRawPointer?
        if count > 0 {
            mapped = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard mapped != MAP_FAILED else {
                throw SafetensorsError(
                    .inputOutput, path: path,
                    "cannot map \(count) bytes: \(String(cString: strerror(errno)))")
            }
        }
        self.path = path
        self.byteCount = count
        self.base = mapped
        isMapped = true
        if let mapped { CutFiles.add(mapped, count: count, path: path) }
    }

    deinit {
        guard let base else { return }
        if isMapped {
            CutFiles.remove(base)
            munmap(base, byteCount)
        } else {
            base.deallocate()
        }
    }

    /// The bytes of the file; valid as long as the mapping lives, so keep them inside the closure.
    public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) {
            try body(UnsafeRawBufferPointer(start: base, count: byteCount))
        }
    }

    /// Tells the kernel that a stretch of the file will not be read again soon, so that a long video read frame by
    /// frame does not stay resident.
    public func dropResidentPages(_ range: Range<Int>) {
        guard let base, isMapped, !range.isEmpty else { return }
        let page = Int(getpagesize())
        let start = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound / page * page
        if start < end { madvise(base + start, end - start, Int32(MADV_DONTNEED)) }
    }

    /// Tells the kernel that a stretch of the file will be read soon, so that it is read from disk meanwhile.
    public func prefetch(_ range: Range<Int>) {
        guard let base, !range.isEmpty else { return }
        let page = Int(getpagesize())
        let start = range.lowerBound / page * page
        madvise(base + start, min(range.upperBound, byteCount) - start, Int32(MADV_WILLNEED))
    }
}
