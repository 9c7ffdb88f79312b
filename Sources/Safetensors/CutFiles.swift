import Foundation

/// Mapped files that somebody may cut short while they are read: the kernel then ends a read beyond the new end by `SIGBUS`.
///
/// A node cannot go on from there, but the program can say which file it was before it ends.
public enum CutFiles {
    private static let lock = NSLock()

    /// From now on a mapped file that is cut short ends the program with status 1 and a message that names the file.
    public static func report() {
        _ = mappings
        var action = sigaction()
        action.__sigaction_handler.sa_sigaction = reportCut
        // Once: what is not one of ours is read again on return, and ends the program in the usual way.
        action.sa_flags = SA_SIGINFO | Int32(bitPattern: UInt32(SA_RESETHAND))
        sigaction(SIGBUS, &action, nil)
    }

    static func add(_ base: UnsafeMutableRawPointer, count: Int, path: String) {
        lock.withLock {
            guard let place = mappings.firstIndex(where: { $0.path == nil }) else { return }
            mappings[place] = Mapping(base: UInt(bitPattern: base), count: UInt(count), path: strdup(path))
        }
    }

    static func remove(_ base: UnsafeMutableRawPointer) {
        lock.withLock {
            guard let place = mappings.firstIndex(where: { $0.base == UInt(bitPattern: base) }) else { return }
            let path = mappings[place].path
            mappings[place] = Mapping()
            free(path)
        }
    }
}

private struct Mapping {
    var base: UInt = 0
    var count: UInt = 0
    var path: UnsafeMutablePointer<CChar>?
}

/// Written under a lock; read without it by the signal's handler, which may not wait. What that may find half written is a
/// mapping that is just made or given back, and not the one that is being read.
private nonisolated(unsafe) let mappings: UnsafeMutableBufferPointer<Mapping> = {
    let table = UnsafeMutableBufferPointer<Mapping>.allocate(capacity: 4096)
    table.initialize(repeating: Mapping())
    return table
}()

/// Allocates nothing: a signal's handler may not.
private func reportCut(_ signal: Int32, _ information: UnsafeMutablePointer<siginfo_t>?, _ context: UnsafeMutableRawPointer?) {
    guard let information else { return }
    let address = UInt(bitPattern: information.pointee._sifields._sigfault.si_addr)
    for mapping in mappings {
        guard let path = mapping.path, address >= mapping.base, address - mapping.base < mapping.count else { continue }
        let (before, after): (StaticString, StaticString) =
            ("error: '", "' was cut short while it was read; run again when it is whole. What was finished is kept.\n")
        _ = write(2, before.utf8Start, before.utf8CodeUnitCount)
        _ = write(2, path, strlen(path))
        _ = write(2, after.utf8Start, after.utf8CodeUnitCount)
        _exit(1)
    }
}
