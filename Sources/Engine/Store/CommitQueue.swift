import Dispatch
import Foundation
import GRDB
import Locking
import NodeKit
import Safetensors

/// What an action made, on its way into the store.
struct Commit: Sendable {
    /// A file that an action wrote; the store takes it over.
    struct NewFile: Sendable {
        let path: String
        let digest: Digest
        let suffix: String
    }

    let record: ActionRecord
    /// Outputs that are files.
    var files: [NewFile] = []
    /// Small outputs, which the index holds itself.
    var contents: [Digest: [UInt8]] = [:]
    /// Whether every output is there: frames that were handed on while they were made are not.
    private(set) var isWhole = true

    /// - Parameter written: Finished files by output port; they need not be synced yet.
    init(
        key: Digest, node: String, version: Int, seconds: Double, memory: PeakMemory? = nil, source: Digest? = nil,
        written: [String: OutputSink.Written], inlineLimit: Int
    ) throws {
        var outputs: [String: ActionRecord.Output] = [:]
        for (port, file) in written {
            let suffix = file.path.hasSuffix(".safetensors") ? "safetensors" : (file.path as NSString).pathExtension
            let bytes: Int64
            if let streamed = file.streamedBytes {
                bytes = streamed
                isWhole = false
            } else if let contents = try file.contents ?? Self.small(file, suffix: suffix, limit: inlineLimit) {
                bytes = Int64(contents.count)
                self.contents[file.digest] = contents
            } else {
                guard let state = FileState(path: file.path) else { throw StoreError("'\(file.path)' vanished before it was stored") }
                bytes = state.size
                files.append(NewFile(path: file.path, digest: file.digest, suffix: suffix))
            }
            outputs[port] = .init(type: file.type.name, digest: file.digest, suffix: suffix, bytes: bytes)
        }
        record = ActionRecord(
            // A clock that was set back gives less than nothing.
            key: key, node: node, version: version, seconds: max(seconds, 0), memory: memory, outputs: outputs, source: source)
    }

    /// The bytes of a small file; nil for a larger one, and for what is used as a file.
    private static func small(_ file: OutputSink.Written, suffix: String, limit: Int) throws -> [UInt8]? {
        guard suffix == "safetensors", !file.type.isUsedByPath, let state = FileState(path: file.path), state.size < limit
        else { return nil }
        return FileManager.default.contents(atPath: file.path).map(Array.init)
    }
}

/// Takes commits and writes them in groups: files are synced together, and one transaction names them all.
///
/// What is in the queue can be used at once, in this process; it is lost when the process dies before its group is written.
final class CommitQueue: Sendable {
    /// How a commit ended, told once it is on disk.
    typealias Completion = @Sendable ((any Error)?) -> Void

    private struct Item {
        let commit: Commit
        /// Its line in the journal.
        let entry: (run: Int64, entry: JournalEntry)?
        let restored: Restoration?
        let completion: Completion
    }

    private struct State {
        var items: [Item] = []
        var records: [Digest: ActionRecord] = [:]
        var contents: [Digest: MappedFile] = [:]
        var files: [Digest: String] = [:]
        var isScheduled = false
    }

    /// How long quick results wait for others, in milliseconds, and how many of them do: few enough to be written while the next
    /// are made.
    private static let delay = 100
    private static let groupSize = 128

    private let state = Locked(State())
    private let queue = DispatchQueue(label: "understudy.store", qos: .userInitiated)

    /// Takes a commit.
    ///
    /// - Parameters:
    ///   - isQuick: Whether it would not hurt to lose it, as it took no time to make.
    ///   - restored: Is told what of it was not in the store before.
    func add(
        _ commit: Commit, entry: (run: Int64, entry: JournalEntry)? = nil, isQuick: Bool, restored: Restoration? = nil,
        to store: CacheStore, completion: @escaping Completion = { _ in }
    ) {
        let delay: Int? = state.withLock { state in
            state.items.append(Item(commit: commit, entry: entry, restored: restored, completion: completion))
            if commit.isWhole { state.records[commit.record.key] = commit.record }
            for (digest, bytes) in commit.contents where state.contents[digest] == nil {
                state.contents[digest] = MappedFile(contents: bytes, path: store.path(of: digest, suffix: "safetensors"))
            }
            for file in commit.files { state.files[file.digest] = file.path }
            if !isQuick || state.items.count == Self.groupSize { return 0 }
            defer { state.isScheduled = true }
            return state.isScheduled ? nil : Self.delay
        }
        guard let delay else { return }
        if delay == 0 {
            queue.async { self.write(to: store) }
        } else {
            queue.asyncAfter(deadline: .now() + .milliseconds(delay)) { self.write(to: store) }
        }
    }

    /// Writes lines of a run's journal that belong to no commit.
    func note(_ entries: [JournalEntry], run: Int64, to store: CacheStore, completion: @escaping Completion) {
        queue.async {
            do {
                try Journal(store: store).write(entries, run: run)
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    /// Returns when everything added so far is on disk, or has failed.
    func flush(_ store: CacheStore) { queue.sync { write(to: store) } }

    // MARK: - What is on its way

    func record(_ key: Digest) -> ActionRecord? { state.withLock { $0.records[key] } }
    /// The bytes of a small output.
    func contents(_ digest: Digest) -> MappedFile? { state.withLock { $0.contents[digest] } }
    /// Where the file of an output is for now.
    func file(_ digest: Digest) -> String? { state.withLock { $0.files[digest] } }
    /// Whether an output is on its way.
    func holds(_ digest: Digest) -> Bool { state.withLock { $0.contents[digest] != nil || $0.files[digest] != nil } }

    // MARK: - Writing

    private func write(to store: CacheStore) {
        let items = state.withLock { state in
            state.isScheduled = false
            defer { state.items = [] }
            return state.items
        }
        guard !items.isEmpty else { return }
        do {
            try write(items, to: store)
            conclude(items, nil, store)
        } catch where items.count > 1 {
            // One by one, so that only what cannot be written fails.
            for item in items {
                do {
                    try write([item], to: store)
                    conclude([item], nil, store)
                } catch {
                    conclude([item], error, store)
                }
            }
        } catch {
            conclude(items, error, store)
        }
    }

    private func write(_ items: [Item], to store: CacheStore) throws {
        // What is there is looked for before anything is put in its place.
        try store.snapshot(on: store.database) { db in
            let reader = StoreReader(db: db, store: store)
            for item in items { try item.restored?.settle(item.commit.record.outputs.values, reader) }
        }
        // Bytes and folders are on disk before a row names them.
        try store.place(items.flatMap(\.commit.files))
        let journal = Journal(store: store)
        try store.database.write { db in
            let now = Date().timeIntervalSince1970
            for item in items { try store.insert(item.commit, now: now, db) }
            for (run, group) in Dictionary(grouping: items.compactMap(\.entry), by: \.run) {
                try journal.insert(group.map(\.entry), run: run, db)
            }
        }
        store.log.append(items.map(\.commit))
    }

    private func conclude(_ items: [Item], _ error: (any Error)?, _ store: CacheStore) {
        state.withLock { state in
            // What waits may hold the same bytes under another key.
            var kept: Set<Digest> = []
            for item in state.items {
                kept.formUnion(item.commit.contents.keys)
                kept.formUnion(item.commit.files.map(\.digest))
            }
            for commit in items.map(\.commit) {
                state.records[commit.record.key] = nil
                for output in commit.record.outputs.values where !kept.contains(output.digest) {
                    state.contents[output.digest] = nil
                    state.files[output.digest] = nil
                }
            }
        }
        store.locks.unlock(items.map(\.commit.record.key))
        for item in items { item.completion(error) }
    }
}
