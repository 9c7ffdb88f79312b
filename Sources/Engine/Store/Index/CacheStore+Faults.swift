import Foundation
import GRDB
import WholeFiles

/// What is wrong with an index, and what to do about it.
extension CacheStore {
    /// What the index's own errors mean, and what to do about them; other errors as they are.
    static func explained(_ error: any Error, root: String) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        let reason = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_IOERR where SystemReason.hasLimit(RLIMIT_FSIZE):
            return StoreError("the index '\(root)/index.sqlite' cannot be written: \(reason); raise the file-size limit (ulimit -f)")
        case _ where isFull(error, root: root):
            return StoreError(
                "the disk of the cache '\(root)' is full; free some space, run 'understudy cache gc --max-size SIZE', or move the cache with --cache")
        case .SQLITE_READONLY, .SQLITE_PERM:
            // SQLite says of none of them which one it is.
            let index = "\(root)/index.sqlite"
            for path in ["\(index)-wal", "\(index)-shm"] where mayWrite(index) && access(path, F_OK) == 0 && !mayWrite(path) {
                return StoreError(
                    "the index '\(index)' cannot be written: '\(path)' may not be; when no program uses the cache, delete that file, or move the cache with --cache")
            }
            return StoreError("the index '\(index)' cannot be written: \(reason); the cache must be writable: move it with --cache")
        case .SQLITE_CANTOPEN, .SQLITE_IOERR:
            return StoreError(
                "the index '\(root)/index.sqlite' cannot be opened: \(reason); check its permissions and the limit of open files (ulimit -n), or move the cache with --cache")
        case .SQLITE_BUSY: return StoreError("another program has held the index '\(root)/index.sqlite' for a minute; end it, and run again")
        default: return StoreError("the index '\(root)/index.sqlite' cannot be used: \(reason)")
        }
    }

    static func isFull(_ error: any Error, root: String) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return error.resultCode == .SQLITE_FULL || (error.resultCode == .SQLITE_IOERR && room(in: root) < spareSize)
    }

    /// Whether this user may write to a file. It is not opened: closing a file drops the locks that SQLite has on it.
    private static func mayWrite(_ path: String) -> Bool { faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 }

    /// Looks at the files of an index before SQLite does, which would say only that it cannot open them.
    ///
    /// - Throws: ``StoreError`` when one is no file.
    static func checkFiles(of index: String) throws {
        var mode = stat()
        _ = stat(index, &mode)
        for path in [index, "\(index)-wal", "\(index)-shm"] {
            var status = stat()
            let isBlind = stat(path, &status) != 0
            guard !isBlind || errno == ELOOP else { continue }
            if isBlind || status.st_mode & S_IFMT != S_IFREG {
                let kind = isBlind ? "a symbolic link to itself" : status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "no regular file"
                throw StoreError("'\(path)' is \(kind), where the index of the cache has a file; delete it and run again: what the index held is found again")
            }
            // Made while the index itself could not be written, it has that mode, and would keep the index from being written for good.
            if path != index, mayWrite(index), !mayWrite(path) { chmod(path, mode.st_mode & 0o777) }
        }
    }

    /// Whether an error says that the index is damaged.
    static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return error is RowDecodingError }
        // Of our own statements none is wrong: an error in one means that the tables are not what they were.
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR].contains(error.resultCode)
    }
}
