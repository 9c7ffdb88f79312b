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

    /// An object's name.
    struct StoredName: Hashable {
        let digest: Digest
        let suffix: String
    }

    /// What to write once the transaction is over.
    struct Notes {
        var used: Set<StoredName> = []
        var restated: [(digest: String, suffix: String, state: FileState)] = []
        var damaged: Set<StoredName> = []
        var sources: [(path: String, state: FileState, digest: Digest)] = []
    }

    /// How exactly the time of last use is known, in seconds: what was used so short before a run began counts as in use by it.
    static let usedInterval = 3600.0

    let db: Database
    let store: CacheStore
    private let now = Date().timeIntervalSince1970
    var notes = Notes()

    init(db: Database, store: CacheStore) {
        self.db = db
        self.store = store
    }

    /// Looks an action up and checks that its files are there and what they were.
    ///
    /// - Parameter ports: What the node gives: a record without it was damaged, and is none.
    func lookup(_ key: Digest, giving ports: [NodeDescription.Port] = []) throws -> Lookup {
        if let record = store.commits.record(key) { return .hit(record) }
        let found = try db.quick("SELECT node, version, seconds, memory, outputs, source FROM actions WHERE key = ?") { row in
            row.bind(1, key)
            guard try row.step(), let text = row.text(4), let outputs = ActionRecord.outputs(json: text),
                case let seconds = row.real(2), Sane.seconds.contains(seconds)
            else { return nil as ActionRecord? }
            return ActionRecord(
                key: key, node: row.text(0) ?? "", version: Int(row.integer(1)), seconds: seconds,
                memory: row.text(3).flatMap(PeakMemory.init(json:)), outputs: outputs, source: row.text(5).flatMap(Digest.init(hex:)))
        }
        guard let record = found, record.isComplete(ports) else { return .miss }
        for output in record.outputs.values {
            if let reason = try reasonGone(output) { return .gone(record, reason) }
        }
        return .hit(record)
    }

    /// Why an object cannot be used; nil when it can.
    private func reasonGone(_ output: ActionRecord.Output) throws -> RunReason? {
        if try isIntact(output.digest, suffix: output.suffix) { return nil }
        let path = store.path(of: output.digest, suffix: output.suffix)
        let isThere = try FileState(stored: path) != nil
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM objects WHERE digest = ? AND suffix = ?"),
            arguments: [output.digest.hex, output.suffix])
        guard isThere || row != nil else { return .evicted }
        notes.damaged.insert(.init(digest: output.digest, suffix: output.suffix))
        return isThere ? .artifactDamaged(path: path) : .artifactMissing(path: path)
    }

    /// Whether an object is there with the bytes its name promises; hashed again only when its file has changed state.
    ///
    /// - Throws: ``StoreError`` when that cannot be told, since the file cannot be read.
    func isIntact(_ digest: Digest, suffix: String) throws -> Bool {
        try store.commits.holds(digest) || isIntactFile(digest, suffix: suffix)
    }

    /// The same, of what is on disk.
    func isIntactFile(_ digest: Digest, suffix: String) throws -> Bool {
        typealias Row = (state: FileState, used: Double, isInline: Bool)
        let row = try db.quick("SELECT bytes, modified, inode, used, data IS NOT NULL FROM objects WHERE digest = ? AND suffix = ?") {
            $0.bind(1, digest)
            $0.bind(2, suffix)
            guard try $0.step() else { return nil as Row? }
            let state = FileState(size: $0.integer(0), modified: $0.integer(1), inode: $0.integer(2))
            return (state, used: $0.real(3), isInline: $0.integer(4) != 0)
        }
        if let row, now - row.used > Self.usedInterval { notes.used.insert(.init(digest: digest, suffix: suffix)) }
        // SQLite looks after these bytes; they are checked when they are read.
        if let row, row.isInline { return true }
        let path = store.path(of: digest, suffix: suffix)
        guard let state = try FileState(stored: path) else { return false }
        if let row, row.state == state { return true }
        guard try store.holdsItsBytes(digest, suffix: suffix) else { return false }
        notes.restated.append((digest.hex, suffix, state))
        return true
    }

    /// Whether the index itself holds an object's bytes.
    func isInline(_ digest: Digest, suffix: String) throws -> Bool {
        try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT data IS NOT NULL FROM objects WHERE digest = ? AND suffix = ?"),
            arguments: [digest.hex, suffix]) ?? false
    }

    /// The digest of a file outside the store, from its state if that is known.
    ///
    /// - Parameter isArtifact: Whether it is a safetensors artifact, digested as those in the store are.
    /// - Throws: ``NodeError`` when it cannot be read.
    func digest(ofSource path: String, isArtifact: Bool = false) throws -> Digest {
        let name = isArtifact ? "artifact:\(path)" : path
        guard let state = FileState(source: path) else {
            throw unreadable(path)
        }
        if let known = notes.sources.first(where: { $0.path == name && $0.state == state }) { return known.digest }
        if let row = try source(name), row.state == state { return row.digest }
        let digest = try isArtifact ? Artifact.digest(ofFile: path, isTensorFile: true) : Digest.ofFile(path)
        // A file written to within one tick of the clock would look the same afterwards: such a state is not remembered.
        if let age = FileState.age(ofSource: path), age > FileState.tick, FileState(source: path) == state { notes.sources.append((name, state, digest)) }
        return digest
    }

    /// What is remembered of a file outside the store.
    func source(_ path: String) throws -> (state: FileState, digest: Digest)? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT size, modified, inode, digest FROM sources WHERE path = ?"), arguments: [path])
        guard let row, let digest = row.digest("digest"), let size = row.integer("size"), let modified = row.integer("modified"),
            let inode = row.integer("inode")
        else { return nil }
        return (FileState(size: size, modified: modified, inode: inode), digest)
    }

    /// The digest of what the user gave: of the file's bytes, of all files of a model or an adapter, or of an artifact.
    func digest(ofUserFile path: String, _ type: PortType, isArtifact: Bool = false) throws -> Digest {
        let files = try type.files(at: path)
        guard type == .model || files.count > 1 else { return try digest(ofSource: path, isArtifact: isArtifact) }
        let text = try files.map { "\(($0 as NSString).lastPathComponent) \(try digest(ofSource: $0))\n" }
        return Digest.of("understudy \(type) 1\n" + text.joined())
    }

    func digest(of file: UserFile) throws -> Digest {
        try digest(ofUserFile: file.artifact.path, file.artifact.type, isArtifact: file.isArtifact)
    }
}

extension CacheStore {
    /// Reads, then writes down what was learnt.
    ///
    /// - Parameter isLong: Whether many things are looked up, so that a transaction around them pays.
    func read<T>(isLong: Bool = false, _ body: (StoreReader) throws -> T) throws -> T {
        func look(_ db: Database) -> (Result<T, any Error>, StoreReader.Notes) {
            let reader = StoreReader(db: db, store: self)
            let result = Result { try body(reader) }
            return (result, reader.notes)
        }
        let (result, notes) = try isLong ? snapshot(look) : lookups.inDatabase(look)
        try write(notes)
        return try result.get()
    }

    /// Reads inside one transaction.
    ///
    /// (GRDB's own `read` sets a pragma that makes SQLite compile every cached statement again.)
    ///
    /// - Parameter queue: The connection; nil: the one for look-ups.
    func snapshot<T>(on queue: DatabaseQueue? = nil, _ body: (Database) throws -> T) throws -> T {
        try minding { try (queue ?? lookups).inDatabase { try Self.transaction($0, body) } }
    }

    private static func transaction<T>(_ db: Database, _ body: (Database) throws -> T) throws -> T {
        var result: T?
        try db.inTransaction(.deferred) {
            result = try body(db)
            return .commit
        }
        guard let result else { throw StoreError("the index gave nothing") }
        return result
    }

    /// - Note: An object that was looked up counts as used, so that `gc` leaves it to the running graph.
    func write(_ notes: StoreReader.Notes) throws {
        guard keepsNotes, !notes.used.isEmpty || !notes.restated.isEmpty || !notes.damaged.isEmpty || !notes.sources.isEmpty
        else { return }
        try database.write { db in
            let now = Date().timeIntervalSince1970
            for object in notes.used {
                try db.quick("UPDATE objects SET used = ? WHERE digest = ? AND suffix = ?") {
                    $0.bind(1, now)
                    $0.bind(2, object.digest)
                    $0.bind(3, object.suffix)
                    _ = try $0.step()
                }
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
                let isInline = try StoreReader(db: db, store: self).isInline(object.digest, suffix: object.suffix)
                guard try isInline ? !isSound(object.digest, suffix: object.suffix, db)
                    : !StoreReader(db: db, store: self).isIntact(object.digest, suffix: object.suffix)
                else { continue }
                try removeRow(object, db)
            }
            for (path, state, digest) in notes.sources {
                try db.execute(
                    sql: "INSERT OR REPLACE INTO sources (path, size, modified, inode, digest) VALUES (?, ?, ?, ?, ?)",
                    arguments: [path, state.size, state.modified, state.inode, digest.hex])
            }
        }
        // What cannot be removed is found to be damaged again.
        _ = try unlinkUnnamed(notes.damaged.map { Removed(name: $0) })
        // Where it cannot be written now, whoever wants it next says so.
        for object in notes.damaged where object.suffix == "safetensors" { _ = try? mendCopy(of: object.digest) }
    }
}
