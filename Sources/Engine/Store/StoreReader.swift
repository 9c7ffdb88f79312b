import Foundation
import GRDB
import NodeKit

/// Looks things up inside one read transaction; what it learns on the way is written afterwards, in one go.
final class StoreReader {
    /// What the store has for a key.
    enum Lookup {
        case hit(ActionRecord)
        case miss
        /// There was a result, and its digests are known, but a file of it was evicted, is gone or not what it was.
        case gone(ActionRecord, RunReason)
    }

    /// What to write once the transaction is over.
    struct Notes {
        var used: Set<[String]> = []
        var restated: [(digest: String, suffix: String, state: FileState)] = []
        var damaged: Set<[String]> = []
        var sources: [(path: String, state: FileState, digest: Digest)] = []
    }

    let db: Database
    let store: CacheStore
    var notes = Notes()

    init(db: Database, store: CacheStore) {
        self.db = db
        self.store = store
    }

    /// Looks an action up and checks that its files are there and what they were.
    func lookup(_ key: Digest) throws -> Lookup {
        guard let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT node, version, seconds, memory, outputs, source FROM actions WHERE key = ?"),
            arguments: [key.hex])
        else { return .miss }
        guard let text = row["outputs"] as String?,
            let outputs = JSON.decode([String: ActionRecord.Output].self, text)
        else { return .miss }
        let record = ActionRecord(
            key: key, node: row["node"], version: row["version"], seconds: row["seconds"],
            memory: (row["memory"] as String?).flatMap { JSON.decode(PeakMemory.self, $0) }, outputs: outputs,
            source: (row["source"] as String?).flatMap(Digest.init(hex:)))
        for output in outputs.values {
            if let reason = try reasonGone(output) { return .gone(record, reason) }
        }
        for output in outputs.values { notes.used.insert([output.digest.hex, output.suffix]) }
        return .hit(record)
    }

    /// Why an object cannot be used; nil when it can.
    private func reasonGone(_ output: ActionRecord.Output) throws -> RunReason? {
        if try isIntact(output.digest, suffix: output.suffix) { return nil }
        let path = store.path(of: output.digest, suffix: output.suffix)
        let isThere = FileState(path: path) != nil
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM objects WHERE digest = ? AND suffix = ?"),
            arguments: [output.digest.hex, output.suffix])
        guard isThere || row != nil else { return .evicted }
        notes.damaged.insert([output.digest.hex, output.suffix])
        return isThere ? .artifactDamaged(path: path) : .artifactMissing(path: path)
    }

    /// Whether an object is there with the bytes its name promises; hashed again only when its file has changed state.
    func isIntact(_ digest: Digest, suffix: String) throws -> Bool {
        let path = store.path(of: digest, suffix: suffix)
        guard let state = FileState(path: path) else { return false }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT bytes, modified, inode FROM objects WHERE digest = ? AND suffix = ?"),
            arguments: [digest.hex, suffix])
        if let row, row["bytes"] == state.size, row["modified"] == state.modified, row["inode"] == state.inode {
            return true
        }
        guard let found = try? Artifact.digest(ofFile: path, isTensorFile: suffix == "safetensors"), found == digest
        else { return false }
        notes.restated.append((digest.hex, suffix, state))
        return true
    }

    /// The digest of a file outside the store, from its state if that is known.
    ///
    /// - Throws: ``NodeError`` when it cannot be read.
    func digest(ofSource path: String) throws -> Digest {
        guard let state = FileState(path: path) else {
            throw NodeError("cannot read '\(path)'; check that it exists and may be read")
        }
        if let known = notes.sources.first(where: { $0.path == path && $0.state == state }) { return known.digest }
        if let row = try source(path), row.state == state { return row.digest }
        let digest = try Digest.ofFile(path)
        // A file written to within one tick of the clock would look the same afterwards: such a state is not remembered.
        let age = Int64(Date().timeIntervalSince1970 * 1e9) - state.modified
        if age > 50_000_000, FileState(path: path) == state { notes.sources.append((path, state, digest)) }
        return digest
    }

    /// The content digest of an artifact outside the store, from its state if that is known.
    ///
    /// - Throws: When it is no safetensors file.
    func digest(ofArtifact path: String) throws -> Digest {
        let name = "artifact:\(path)"
        guard let state = FileState(path: path) else {
            throw NodeError("cannot read '\(path)'; check that it exists and may be read")
        }
        if let row = try source(name), row.state == state { return row.digest }
        let digest = try Artifact.digest(ofFile: path, isTensorFile: true)
        let age = Int64(Date().timeIntervalSince1970 * 1e9) - state.modified
        if age > 50_000_000, FileState(path: path) == state { notes.sources.append((name, state, digest)) }
        return digest
    }

    /// What is remembered of a file outside the store.
    func source(_ path: String) throws -> (state: FileState, digest: Digest)? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT size, modified, inode, digest FROM sources WHERE path = ?"), arguments: [path])
        guard let row, let digest = Digest(hex: row["digest"]) else { return nil }
        return (FileState(size: row["size"], modified: row["modified"], inode: row["inode"]), digest)
    }

    /// The digest of a graph input: of the file's bytes, or of all files of a model.
    func digest(ofInput path: String, type: PortType) throws -> Digest {
        guard type == .model else { return try digest(ofSource: path) }
        let text = try ModelFolder.files(at: path).map {
            "\(($0 as NSString).lastPathComponent) \(try digest(ofSource: $0))\n"
        }
        return Digest.of("understudy model 1\n" + text.joined())
    }
}

extension CacheStore {
    /// Reads inside one transaction, then writes down what was learnt.
    func read<T>(_ body: (StoreReader) throws -> T) throws -> T {
        let (result, notes) = try database.read { db in
            let reader = StoreReader(db: db, store: self)
            let result = try body(reader)
            return (result, reader.notes)
        }
        try write(notes)
        return result
    }

    /// - Note: An object that was looked up counts as used from here on, so that `gc` leaves it to the running graph.
    func write(_ notes: StoreReader.Notes) throws {
        guard !notes.used.isEmpty || !notes.restated.isEmpty || !notes.damaged.isEmpty || !notes.sources.isEmpty
        else { return }
        try database.write { db in
            let now = Date().timeIntervalSince1970
            for object in notes.used {
                try db.cachedStatement(sql: "UPDATE objects SET used = ? WHERE digest = ? AND suffix = ?")
                    .execute(arguments: [now, object[0], object[1]])
            }
            for (digest, suffix, state) in notes.restated {
                // It may have been removed since it was looked at.
                guard let name = Digest(hex: digest), FileState(path: path(of: name, suffix: suffix)) == state else { continue }
                try db.execute(
                    sql: """
                        INSERT INTO objects (digest, suffix, bytes, modified, inode, created, used)
                        VALUES (?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified,
                        inode = excluded.inode
                        """,
                    arguments: [digest, suffix, state.size, state.modified, state.inode, now, now])
            }
            for object in notes.damaged {
                // It may have been mended by another process since it was looked at.
                guard let digest = Digest(hex: object[0]),
                    try !StoreReader(db: db, store: self).isIntact(digest, suffix: object[1])
                else { continue }
                try removeRow(digest: object[0], suffix: object[1], db)
            }
            for (path, state, digest) in notes.sources {
                try db.execute(
                    sql: "INSERT OR REPLACE INTO sources (path, size, modified, inode, digest) VALUES (?, ?, ?, ?, ?)",
                    arguments: [path, state.size, state.modified, state.inode, digest.hex])
            }
        }
        try unlinkUnnamed(notes.damaged)
    }
}
