import Foundation
import Locking
import NodeKit

/// A node's log: a file that is made with the first line.
final class NodeLog: Sendable {
    /// Bytes that a log may have: a program that prints without end must not fill the disk.
    static let limit = 64 << 20

    let path: String
    private let state = Locked((handle: Int32?.none, written: 0))

    init(path: String) { self.path = path }

    deinit { state.withLock { if let descriptor = $0.handle { close(descriptor) } } }

    func write(_ line: String) {
        state.withLock { state in
            if state.handle == nil {
                let folder = (path as NSString).deletingLastPathComponent
                try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
                guard descriptor >= 0 else { return }
                state.handle = descriptor
            }
            guard let handle = state.handle, state.written < Self.limit else { return }
            state.written += line.utf8.count + 1
            let end = state.written < Self.limit ? "\n" : "\n… this log is full; what follows is not kept\n"
            let bytes = Array((line + end).utf8)
            _ = bytes.withUnsafeBytes { Foundation.write(handle, $0.baseAddress, $0.count) }
        }
    }
}

/// The saved state of one action: a file that is replaced as a whole.
final class FileCheckpoints: CheckpointStore {
    let path: String
    private let folder: String
    private let isUsed = Locked(false)

    /// - Parameter folder: The run's own, which is cleared if the run is killed: files are written aside there.
    init(path: String, folder: String) {
        self.path = path
        self.folder = folder
    }

    func load() -> [UInt8]? {
        use()
        return FileManager.default.contents(atPath: path).map(Array.init)
    }

    /// There may be something to remove: only a node that asks for checkpoints has any.
    func use() { isUsed.withLock { $0 = true } }

    func save(_ bytes: [UInt8]) throws {
        use()
        let temporary = "\(folder)/\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StoreError.system("cannot write the checkpoint '\(temporary)'") }
        let isWritten = bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return fsync(descriptor) == 0
        }
        var failure = isWritten ? nil : StoreError.system("cannot write the checkpoint '\(path)'")
        close(descriptor)
        if failure == nil, rename(temporary, path) != 0 { failure = .system("cannot write the checkpoint '\(path)'") }
        if let failure {
            unlink(temporary)
            throw failure
        }
    }

    /// Removes it, file or folder, once the action is done.
    func remove() {
        guard isUsed.withLock({ $0 }) else { return }
        if unlink(path) != 0, errno == EISDIR { try? FileManager.default.removeItem(atPath: path) }
    }
}

/// What the engine gives an external node beyond its context.
struct NodeRun: Sendable {
    let cancellation: Cancellation
    let log: NodeLog
    let checkpoint: String
    let workers: ExternalWorkers
    /// Bytes that the instance is reckoned to take.
    let memory: Int
    /// To be told which process does the work.
    let isProgram: @Sendable (_ program: pid_t, _ isFresh: Bool) -> Void

    @TaskLocal static var current: NodeRun?
}
