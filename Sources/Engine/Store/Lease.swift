import Foundation
import Locking
import WholeFiles

/// The sign that a run is using the store: a locked file that the kernel unlocks when the process dies, however it dies.
///
/// Temporary folders carry the lease's name, so that what a killed run left behind is known and removed.
final class Lease: Sendable {
    let name: String
    private let path: String
    private let descriptor: Int32
    private let hasEnded = Locked(false)

    /// Takes a lease of a new name.
    init(folder: String) throws {
        while true {
            let name = UUID().uuidString.lowercased()
            let path = "\(folder)/\(name)"
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw StoreError.system("cannot create '\(path)'") }
            guard Self.lock(descriptor, LOCK_EX) else {
                let failure = StoreError.lock(path)
                unlink(path)
                close(descriptor)
                throw failure
            }
            // A cleaner that came between creation and lock has unlinked the file: then start over.
            var status = stat()
            if fstat(descriptor, &status) == 0, status.st_nlink > 0 {
                self.name = name
                self.path = path
                self.descriptor = descriptor
                return
            }
            close(descriptor)
        }
    }

    deinit { end() }

    /// Gives it back.
    func end() {
        hasEnded.withLock { ended in
            guard !ended else { return }
            unlink(path)
            close(descriptor)
            ended = true
        }
    }

    /// Locks a whole file, whatever signals come; false with `errno` set when that is refused.
    static func lock(_ descriptor: Int32, _ mode: Int32) -> Bool {
        while true {
            if flock(descriptor, mode) == 0 { return true }
            guard errno == EINTR else { return false }
        }
    }

    /// Whether a lease is held by a living process.
    static func isHeld(_ name: String, folder: String) -> Bool {
        let descriptor = open("\(folder)/\(name)", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }

    /// The names of held leases with the time they were taken (seconds since 1970); abandoned ones are removed.
    static func held(in folder: String) -> [(name: String, since: Double)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { name in
            let path = "\(folder)/\(name)"
            let descriptor = open(path, O_RDWR | O_CLOEXEC)
            guard descriptor >= 0 else { return nil }
            defer { close(descriptor) }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return nil }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                unlink(path)
                return nil
            }
            return (name, Double(status.st_mtim.tv_sec))
        }
    }
}

/// The right to compute one key, held by one worker of one process at a time.
///
/// A byte range of one lock file, locked through an open file description: nothing is left behind and nothing can go
/// stale, because the kernel drops the lock with the process.
final class KeyLock: Sendable {
    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Takes the lock if nobody has it.
    ///
    /// - Returns: Nil when somebody else computes the key now.
    static func tryLock(_ name: String, file: String) throws -> KeyLock? {
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StoreError.system("cannot open the lock file '\(file)'") }
        var range = flock()
        range.l_type = Int16(F_WRLCK)
        range.l_whence = Int16(SEEK_SET)
        range.l_start = Int(name.prefix(15), radix: 16) ?? Int(truncatingIfNeeded: name.utf8.reduce(5381) { $0 &* 33 &+ Int64($1) } & 0xFFF_FFFF)
        range.l_len = 1
        if fcntl(descriptor, setOpenFileLock, &range) == 0 { return KeyLock(descriptor: descriptor) }
        let reason = errno
        close(descriptor)
        if reason == EAGAIN || reason == EACCES { return nil }
        errno = reason
        throw StoreError.system("cannot lock '\(file)'")
    }

    /// `F_OFD_SETLK`, which the C library hides behind a feature macro.
    private static let setOpenFileLock: Int32 = 37
}

extension StoreError {
    /// An error of the store with the reason that the system gave last.
    static func system(_ message: String) -> StoreError {
        refused(
            message, full: "free some disk space, run 'understudy cache gc', or move the cache with --cache",
            forbidden: "the cache must be writable: move it with --cache")
    }

    /// The same, of a file that the user named and that is not in the store.
    static func outside(_ message: String) -> StoreError {
        refused(message, full: "free some disk space there, or name a file on another disk", forbidden: "name a file in a folder that may be written")
    }

    /// A file of the store cannot be locked, for the reason that the system gave last.
    static func lock(_ path: String) -> StoreError {
        StoreError(
            "cannot lock '\(path)': \(String(cString: strerror(errno))); the cache needs a file system that locks files: move it to another disk with --cache")
    }

    private static func refused(_ message: String, full: String, forbidden: String) -> StoreError {
        let code = errno
        let remedy: String
        switch code {
        case ENOSPC, EDQUOT: remedy = "; \(full)"
        case EACCES, EROFS, EPERM: remedy = "; \(forbidden)"
        case EMFILE, ENFILE: remedy = "; raise the limit of open files (ulimit -n)"
        default: remedy = ""
        }
        return StoreError("\(message): \(SystemReason.text(code))\(remedy)")
    }
}
