import Foundation
import GRDB
import Locking
import NodeKit

/// Putting results on disk: files synced and linked into place, then the rows that name them.
extension CacheStore {
    /// Takes over what an action made, and returns when it is on disk.
    func commit(_ commit: Commit) throws {
        let failure = Locked<(any Error)?>(nil)
        commits.add(commit, isQuick: false, to: self) { error in failure.withLock { $0 = error } }
        commits.flush(self)
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Syncs new files and links them into place. They are under both names from here on, so that whoever reads them goes on.
    func place(_ files: [Commit.NewFile]) throws {
        var folders: Set<String> = []
        for file in files {
            guard Self.sync(file.path) else { throw StoreError.system("cannot sync '\(file.path)'") }
            let target = path(of: file.digest, suffix: file.suffix)
            let folder = (target as NSString).deletingLastPathComponent
            if try Self.makeFolder(folder) { folders.insert("\(root)/objects") }
            try link(file, to: target, replacing: false)
            folders.insert(folder)
        }
        for folder in folders.sorted(by: >) { Self.syncFolder(folder) }
    }

    private func link(_ file: Commit.NewFile, to target: String, replacing: Bool) throws {
        chmod(file.path, 0o444)
        if replacing, !Self.remove(target), !FileState.isAbsence(errno) { throw StoreError.system("cannot replace the damaged artifact '\(target)'") }
        if Foundation.link(file.path, target) == 0 || errno == EEXIST { return }
        // A file system without hard links, or one that has enough of this file.
        guard [EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EXDEV].contains(errno) else { throw StoreError.system("cannot move '\(file.path)' to '\(target)'") }
        let temporary = "\(file.path).copy"
        do {
            try FileManager.default.copyItem(atPath: file.path, toPath: temporary)
            try FileHandle(forUpdatingAtPath: temporary)?.synchronize()
        } catch {
            throw StoreError("cannot move '\(file.path)' into the cache: \(StoreError.text(error))")
        }
        guard rename(temporary, target) == 0 else { throw StoreError.system("cannot move '\(file.path)' to '\(target)'") }
    }

    /// - Returns: Whether it is new.
    private static func makeFolder(_ path: String) throws -> Bool {
        if mkdir(path, 0o755) == 0 { return true }
        guard errno == EEXIST else { throw StoreError.system("cannot make the folder '\(path)'") }
        return false
    }

    /// Writes the rows of an action whose files are in place.
    func insert(_ commit: Commit, now: Double, _ db: Database) throws {
        for file in commit.files {
            let target = path(of: file.digest, suffix: file.suffix)
            // Somebody may have removed it since, or a damaged one was in its place.
            if FileState(path: target)?.inode != FileState(path: file.path)?.inode,
                try !StoreReader(db: db, store: self).isIntactFile(file.digest, suffix: file.suffix)
            {
                let folder = (target as NSString).deletingLastPathComponent
                _ = try Self.makeFolder(folder)
                try link(file, to: target, replacing: true)
                Self.syncFolder(folder)
            }
            guard let state = try FileState(stored: target) else { throw StoreError("'\(target)' vanished while it was stored") }
            try insertObject(file.digest, suffix: file.suffix, state, nil, now: now, db)
        }
        for (digest, bytes) in commit.contents {
            let state = FileState(size: Int64(bytes.count), modified: 0, inode: 0)
            try insertObject(digest, suffix: "safetensors", state, bytes, now: now, db)
        }
        try insert(commit.record, created: now, db)
    }

    func insertObject(
        _ digest: Digest, suffix: String, _ state: FileState, _ data: [UInt8]?, now: Double, _ db: Database
    ) throws {
        try db.quick(
            """
            INSERT INTO objects (digest, suffix, bytes, modified, inode, created, used, data)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified,
            inode = excluded.inode, used = excluded.used, data = excluded.data
            """
        ) {
            $0.bind(1, digest)
            $0.bind(2, suffix)
            $0.bind(3, state.size)
            $0.bind(4, state.modified)
            $0.bind(5, state.inode)
            $0.bind(6, now)
            $0.bind(7, now)
            $0.bind(8, data)
            _ = try $0.step()
        }
    }

    func insert(_ record: ActionRecord, created: Double, _ db: Database) throws {
        try db.quick(
            """
            INSERT OR REPLACE INTO actions (key, node, version, seconds, memory, outputs, created, source)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) {
            $0.bind(1, record.key)
            $0.bind(2, record.node)
            $0.bind(3, record.version)
            $0.bind(4, record.seconds)
            $0.bind(5, record.memory?.json)
            $0.bind(6, ActionRecord.json(record.outputs))
            $0.bind(7, created)
            $0.bind(8, record.source?.hex)
            _ = try $0.step()
        }
        try db.quick("DELETE FROM products WHERE key = ?") {
            $0.bind(1, record.key)
            _ = try $0.step()
        }
        for output in record.outputs.values {
            try db.quick("INSERT OR IGNORE INTO products (digest, suffix, key) VALUES (?, ?, ?)") {
                $0.bind(1, output.digest)
                $0.bind(2, output.suffix)
                $0.bind(3, record.key)
                _ = try $0.step()
            }
        }
    }

    /// Syncs a file; false with `errno` set when that fails.
    static func sync(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return fsync(descriptor) == 0
    }

    static func syncFolder(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}
