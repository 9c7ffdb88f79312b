import Foundation
import Locking
import NodeKit

/// The rights to compute keys: each is held by one run of one process at a time.
///
/// A key is a byte of a lock file, locked through an open file description: nothing is left behind and nothing can go stale,
/// because the kernel drops the locks with the process. It keeps the locks of a file in a list, so that there are several files.
final class KeyLocks: Sendable {
    private struct State {
        /// By file; negative until it is needed.
        var descriptors = [Int32](repeating: -1, count: KeyLocks.files)
        /// The kernel does not keep a description from locking the same byte again.
        var held: Set<Place> = []
    }

    /// The byte that stands for a key.
    private struct Place: Hashable {
        let file: Int
        let byte: Int

        /// The first 60 bits choose the byte: that two keys have the same is as good as impossible, and would only make one wait.
        init(_ key: Digest) {
            byte = Int(key.prefix >> 3)
            file = byte % KeyLocks.files
        }
    }

    private static let files = 8
    private let folder: String
    private let state = Locked(State())

    /// - Parameter folder: Where the lock files are; it is there when a lock is taken.
    init(folder: String) { self.folder = folder }

    deinit { state.withLock { for descriptor in $0.descriptors where descriptor >= 0 { close(descriptor) } } }

    /// Takes the lock of a key if nobody has it.
    ///
    /// - Returns: Whether it is held now; false when somebody else computes the key.
    func tryLock(_ key: Digest) throws -> Bool {
        try state.withLock { state in
            let place = Place(key)
            guard !state.held.contains(place) else { return false }
            guard let descriptor = descriptor(of: place, &state) else { throw StoreError.system("cannot open the lock file '\(path(of: place))'") }
            if Self.set(F_WRLCK, place, descriptor) {
                state.held.insert(place)
                return true
            }
            if errno == EAGAIN || errno == EACCES { return false }
            throw StoreError.system("cannot lock '\(path(of: place))'")
        }
    }

    /// Whether somebody computes a key at the moment.
    func isHeld(_ key: Digest) -> Bool {
        state.withLock { state in
            let place = Place(key)
            if state.held.contains(place) { return true }
            guard state.descriptors[place.file] >= 0 || access(path(of: place), F_OK) == 0, let descriptor = descriptor(of: place, &state)
            else { return false }
            var range = Self.range(F_WRLCK, place)
            return fcntl(descriptor, Self.getOpenFileLock, &range) == 0 && Int32(range.l_type) != F_UNLCK
        }
    }

    func unlock(_ keys: some Sequence<Digest>) {
        state.withLock { state in
            for place in keys.map(Place.init) where state.held.remove(place) != nil {
                _ = Self.set(F_UNLCK, place, state.descriptors[place.file])
            }
        }
    }

    private func path(of place: Place) -> String { "\(folder)/\(place.file)" }

    /// The open lock file of a byte; nil when it cannot be opened.
    private func descriptor(of place: Place, _ state: inout State) -> Int32? {
        if state.descriptors[place.file] < 0 { state.descriptors[place.file] = open(path(of: place), O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
        return state.descriptors[place.file] < 0 ? nil : state.descriptors[place.file]
    }

    private static func set(_ type: Int32, _ place: Place, _ descriptor: Int32) -> Bool {
        var range = range(type, place)
        return fcntl(descriptor, setOpenFileLock, &range) == 0
    }

    private static func range(_ type: Int32, _ place: Place) -> flock {
        var range = flock()
        range.l_type = Int16(type)
        range.l_whence = Int16(SEEK_SET)
        range.l_start = place.byte
        range.l_len = 1
        return range
    }

    /// `F_OFD_GETLK` and `F_OFD_SETLK`, which the C library hides behind a feature macro.
    private static let getOpenFileLock: Int32 = 36
    private static let setOpenFileLock: Int32 = 37
}
