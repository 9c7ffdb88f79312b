import Foundation

/// What `stat` tells of a file: as long as it stays the same, so does the content, for all that can be known cheaply.
struct FileState: Hashable, Sendable {
    let size: Int64
    /// Time of last change of the content, in nanoseconds.
    let modified: Int64
    let inode: Int64

    /// The state of a regular file; nil when there is none at the path.
    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// Of a regular file; else nil.
    init?(_ status: stat) {
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        size = Int64(status.st_size)
        modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        inode = Int64(bitPattern: UInt64(status.st_ino))
    }

    /// The state of a file that others may write to, with the time of its last change of any kind: a program can give
    /// a changed file its old time of modification back, but not hide that it did.
    init?(source path: String) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }
        let (modified, changed) = (nanoseconds(status.st_mtim), nanoseconds(status.st_ctim))
        self.init(size: Int64(status.st_size), modified: modified &* 31 &+ changed, inode: Int64(bitPattern: UInt64(status.st_ino)))
    }

    /// Two changes of a file within this time, in seconds, may carry the same time: generously, a tick of the kernel's clock.
    static let tick = 0.05

    /// How long ago a file was written to or otherwise changed, in seconds; nil when there is none at the path.
    static func age(ofSource path: String) -> Double? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Date().timeIntervalSince1970 - Double(status.st_ctim.tv_sec) - Double(status.st_ctim.tv_nsec) * 1e-9
    }

    init(size: Int64, modified: Int64, inode: Int64) {
        self.size = size
        self.modified = modified
        self.inode = inode
    }
}
