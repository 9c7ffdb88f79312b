import Foundation
import NodeKit

/// The rights to compute keys: each is held by one run of one process at a time.
///
/// A key is a byte of one lock file, locked through an open file description: nothing is left behind and nothing can go stale,
/// because the kernel drops the locks with the process.
final class KeyLocks: Sendable {
    private struct State {
        var descriptor: Int32 = -1
        /// The kernel does not keep a description from locking the same byte again.
        var held: Set<Int> = []
    }

    private let path: String
    private let state = Locked(State())

    init(path: String) { self.path = path }

    deinit { state.withLock { if $0.descriptor >= 0 { close($0.descriptor) } } }

    /// Takes the lock of a key if nobody has it.
    ///
    /// - Returns: Whether it is held now; false when somebody else computes the key.
    func tryLock(_ key: Digest) throws -> Bool {
        try state.withLock { state in
            if state.descriptor < 0 {
                state.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
                guard state.descriptor >= 0 else { throw StoreError.system("cannot open the lock file '\(path)'") }
            }
            let place = Self.place(key)
            guard !state.held.contains(place) else { return false }
            if Self.set(F_WRLCK, place, state.descriptor) {
                state.held.insert(place)
                return true
            }
            if errno == EAGAIN || errno == EACCES { return false }
            throw StoreError.system("cannot lock '\(path)'")
        }
    }

    /// Whether somebody computes a key at the moment.
    func isHeld(_ key: Digest) -> Bool {
        state.withLock { state in
            if state.held.contains(Self.place(key)) { return true }
            guard state.descriptor >= 0 || access(path, F_OK) == 0 else { return false }
            if state.descriptor < 0 { state.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
            var range = Self.range(F_WRLCK, Self.place(key))
            return fcntl(state.descriptor, Self.getOpenFileLock, &range) == 0 && Int32(range.l_type) != F_UNLCK
        }
    }

    func unlock(_ keys: some Sequence<Digest>) {
        state.withLock { state in
            for key in keys where state.held.remove(Self.place(key)) != nil {
                _ = Self.set(F_UNLCK, Self.place(key), state.descriptor)
            }
        }
    }

    /// The first 60 bits: that two keys have the same is as good as impossible, and would only make one wait.
    private static func place(_ key: Digest) -> Int { Int(key.prefix >> 3) }

    private static func set(_ type: Int32, _ place: Int, _ descriptor: Int32) -> Bool {
        var range = range(type, place)
        return fcntl(descriptor, setOpenFileLock, &range) == 0
    }

    private static func range(_ type: Int32, _ place: Int) -> flock {
        var range = flock()
        range.l_type = Int16(type)
        range.l_whence = Int16(SEEK_SET)
        range.l_start = place
        range.l_len = 1
        return range
    }

    /// `F_OFD_GETLK` and `F_OFD_SETLK`, which the C library hides behind a feature macro.
    private static let getOpenFileLock: Int32 = 36
    private static let setOpenFileLock: Int32 = 37
}
