import Foundation

/// Tells when one of some files is saved: written in place, or replaced by rename as many editors do.
///
/// Folders are watched rather than files, so that a replaced file is followed; what counts is whether a file's state changed.
final class FileWatcher {
    private struct State: Equatable {
        let size: Int64
        let modified: Int64
        let inode: UInt64
    }

    /// Readable when something happened in a watched folder.
    let descriptor: Int32
    private var paths: Set<String> = []
    private var folders: [String: Int32] = [:]
    private var states: [String: State] = [:]

    /// - Throws: ``Failure`` when the system gives no watch.
    init() throws {
        descriptor = inotify_init1(O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("watch files") }
    }

    deinit { close(descriptor) }

    /// Watches these files, and all files of these folders.
    func watch(_ paths: some Sequence<String>) throws {
        self.paths = Set(paths)
        states = states.filter { state in self.paths.contains { state.key == $0 || state.key.hasPrefix("\($0)/") } }
        var wanted: Set<String> = []
        for path in self.paths {
            wanted.formUnion(Self.folders(of: path))
            // A link: the file it leads to may be saved as well as the link replaced.
            wanted.formUnion(Self.folders(of: URL(filePath: path).resolvingSymlinksInPath().path))
        }
        for (folder, watch) in folders where !wanted.contains(folder) {
            inotify_rm_watch(descriptor, watch)
            folders[folder] = nil
        }
        let mask = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE)
        for folder in wanted {
            let watch = inotify_add_watch(descriptor, folder, mask)
            guard watch >= 0 || errno == ENOENT else { throw Self.failure("watch the folder '\(folder)'") }
            if watch >= 0 { folders[folder] = watch }
        }
        // What was saved since the last look still counts as a change.
        states = snapshot().merging(states) { $1 }
    }

    /// Whether a file was saved since the last call; the first names of those that were.
    func changes() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while read(descriptor, &buffer, buffer.count) > 0 {}
        let now = snapshot()
        defer { states = now }
        return Set(states.keys).union(now.keys).filter { states[$0] != now[$0] }.sorted()
    }

    /// Waits until something happens in a watched folder or another descriptor has something to read.
    ///
    /// - Returns: Whether it was a watched folder; false too when the time is up.
    func wait(or other: Int32, milliseconds: Int32) -> Bool {
        var polled = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: other, events: Int16(POLLIN), revents: 0)]
        return poll(&polled, 2, milliseconds) > 0 && polled[0].revents != 0
    }

    private func snapshot() -> [String: State] {
        var states: [String: State] = [:]
        for path in paths {
            for file in Self.isFolder(path) ? Self.files(below: path) : [path] {
                var status = stat()
                guard stat(file, &status) == 0 else { continue }
                states[file] = State(
                    size: Int64(status.st_size), modified: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec),
                    inode: UInt64(status.st_ino))
            }
        }
        return states
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }

    /// The folder of a file, or a folder and those below it.
    private static func folders(of path: String) -> [String] {
        guard isFolder(path) else { return [URL(filePath: path).deletingLastPathComponent().path] }
        return [path] + entries(below: path).filter(isFolder)
    }

    private static func files(below folder: String) -> [String] { entries(below: folder).filter { !isFolder($0) } }

    private static func entries(below folder: String) -> [String] {
        ((try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? [])
            .filter { !$0.split(separator: "/").contains { $0.hasPrefix(".") || $0 == "__pycache__" } }
            .map { "\(folder)/\($0)" }
    }

    private static func failure(_ what: String) -> Failure {
        Failure(status: 1, message: "error: cannot \(what): \(String(cString: strerror(errno)))")
    }
}

/// Which file is at a path, whatever is in it.
struct FileIdentity: Equatable {
    private let device: UInt
    private let inode: UInt

    /// Nil when there is none.
    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode) = (UInt(status.st_dev), UInt(status.st_ino))
    }
}
