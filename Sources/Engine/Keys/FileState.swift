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
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        size = Int64(status.st_size)
        modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        inode = Int64(bitPattern: UInt64(status.st_ino))
    }

    init(size: Int64, modified: Int64, inode: Int64) {
        self.size = size
        self.modified = modified
        self.inode = inode
    }
}
