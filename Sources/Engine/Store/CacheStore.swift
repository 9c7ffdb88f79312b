import Foundation
import GRDB
import NodeKit

/// The cache on disk: artifacts by content, an SQLite index of what made them, the journal of runs.
///
///     objects/ab/abcd….safetensors   artifacts by content digest, read-only
///     actions/ab/abcd….json          what each action made, so that a lost index can be rebuilt
///     index.sqlite                   actions, objects, file states, runs
///     tmp/  active/                  of running runs; what a killed one left is removed by the next
///     checkpoints/  logs/  environments/
///
/// A kill at any instant leaves it whole: files are written aside, synced and renamed before a row names them.
/// Any number of processes may use one store.
public final class CacheStore: Sendable {
    /// The store's folder, absolute.
    public let root: String
    let database: DatabaseQueue

    /// Opens a store, making it if there is none; a damaged or missing index is rebuilt from the artifacts' records.
    ///
    /// - Parameter root: The store's folder.
    /// - Throws: ``StoreError`` when the folder cannot be made or written.
    public init(root: String) throws {
        self.root = URL(fileURLWithPath: root).standardizedFileURL.path
        let isNewFolder = !FileManager.default.fileExists(atPath: "\(self.root)/objects")
        for folder in ["objects", "actions", "tmp", "active", "checkpoints", "logs"] {
            do {
                try FileManager.default.createDirectory(
                    atPath: "\(self.root)/\(folder)", withIntermediateDirectories: true)
            } catch {
                throw StoreError(
                    "cannot make the cache folder '\(self.root)/\(folder)': \(error.localizedDescription); choose another with --cache")
            }
        }
        if isNewFolder { Self.syncFolder(self.root) }
        // One process at a time opens, so that only one migrates or rebuilds.
        let gate = open("\(self.root)/open.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard gate >= 0 else { throw StoreError.system("cannot open '\(self.root)/open.lock'") }
        defer { close(gate) }
        _ = flock(gate, LOCK_EX)
        let index = "\(self.root)/index.sqlite"
        // The sign outlives a kill in the middle: an index that exists may still be half rebuilt.
        let sign = "\(self.root)/rebuilding"
        if !FileManager.default.fileExists(atPath: index) { try Self.leave(sign) }
        do {
            database = try Self.openIndex(index)
        } catch let error as DatabaseError where [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) {
            try Self.leave(sign)
            for suffix in ["", "-wal", "-shm"] { _ = rename(index + suffix, "\(index).damaged\(suffix)") }
            database = try Self.openIndex(index)
        }
        if FileManager.default.fileExists(atPath: sign) {
            try rebuildIndex()
            unlink(sign)
        }
        removeAbandoned()
    }

    /// Makes an empty file that is there after a loss of power too.
    private static func leave(_ sign: String) throws {
        let descriptor = open(sign, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StoreError.system("cannot make '\(sign)'") }
        close(descriptor)
        syncFolder((sign as NSString).deletingLastPathComponent)
    }

    /// Opens a store for questions: one that is not there counts as empty, and is not made.
    ///
    /// - Throws: ``StoreError`` when there is one and it cannot be read.
    public convenience init(reading root: String) throws {
        if FileManager.default.fileExists(atPath: "\(root)/objects") {
            try self.init(root: root)
        } else {
            try self.init(emptyAt: root)
        }
    }

    /// A store without a folder: its index is in memory.
    private init(emptyAt root: String) throws {
        self.root = URL(fileURLWithPath: root).standardizedFileURL.path
        database = try DatabaseQueue()
        try StoreSchema.migrator.migrate(database)
    }

    private static func openIndex(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(60)
        configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA synchronous = NORMAL") }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try StoreSchema.migrator.migrate(queue)
        return queue
    }

    /// Where the store is unless an option says otherwise: `UNDERSTUDY_CACHE`, else `.understudy` in the current folder.
    public static func defaultRoot(option: String? = nil) -> String {
        if let option { return option }
        if let path = ProcessInfo.processInfo.environment["UNDERSTUDY_CACHE"], !path.isEmpty { return path }
        return FileManager.default.currentDirectoryPath + "/.understudy"
    }

    // MARK: - Paths

    /// The path of an object.
    public func path(of digest: Digest, suffix: String) -> String {
        "\(root)/objects/\(digest.hex.prefix(2))/\(digest.hex).\(suffix)"
    }

    public func artifact(_ output: ActionRecord.Output) -> Artifact {
        Artifact(type: PortType(output.type), path: path(of: output.digest, suffix: output.suffix), digest: output.digest)
    }

    /// Where the Python environments of external nodes are.
    public static func environments(root: String) -> String {
        URL(fileURLWithPath: root).standardizedFileURL.path + "/environments"
    }

    private func recordPath(_ key: Digest) -> String { "\(root)/actions/\(key.hex.prefix(2))/\(key.hex).json" }

    // MARK: - Locks

    func makeLease() throws -> Lease {
        // Not while results are being removed.
        let gate = try beginningOfRuns(exclusive: false)
        defer { close(gate) }
        let lease = try Lease(folder: "\(root)/active")
        try FileManager.default.createDirectory(
            atPath: temporaryFolder(of: lease), withIntermediateDirectories: true)
        return lease
    }

    /// Takes the lock that a run takes as it begins, and whoever removes results for as long as that takes.
    ///
    /// - Returns: The descriptor that holds it until it is closed.
    /// - Throws: ``StoreError`` when it cannot be had.
    func beginningOfRuns(exclusive: Bool, waits: Bool = true) throws -> Int32 {
        let descriptor = open("\(root)/gc.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StoreError.system("cannot open '\(root)/gc.lock'") }
        var status: Int32
        repeat { status = flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | (waits ? 0 : LOCK_NB)) } while status != 0 && errno == EINTR
        guard status == 0 else {
            let failure = StoreError.system("cannot lock '\(root)/gc.lock'")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    func temporaryFolder(of lease: Lease) -> String { "\(root)/tmp/\(lease.name)" }

    func tryLock(_ key: Digest) throws -> KeyLock? { try KeyLock.tryLock(key.hex, file: "\(root)/keys.lock") }

    /// Removes what killed runs left behind.
    private func removeAbandoned() {
        func names(_ folder: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(folder)")) ?? [] }
        let folders = names("tmp")
        guard !folders.isEmpty || !names("active").isEmpty else { return }
        let held = Set(Lease.held(in: "\(root)/active").map(\.name))
        for folder in folders where !held.contains(folder) {
            try? FileManager.default.removeItem(atPath: "\(root)/tmp/\(folder)")
        }
    }

    // MARK: - Commit

    /// A file that an action wrote.
    struct NewFile: Sendable {
        let path: String
        let type: PortType
        let digest: Digest
        /// How many bytes it was, if it was handed on without being stored.
        var streamedBytes: Int64?
    }

    /// Takes over what an action wrote: files first, then the row that names them.
    ///
    /// - Parameter files: Finished and synced files by output port.
    func commit(
        key: Digest, node: String, version: Int, seconds: Double, memory: PeakMemory? = nil, source: Digest? = nil,
        files: [String: NewFile]
    ) throws -> ActionRecord {
        try database.write { db in
            var outputs: [String: ActionRecord.Output] = [:]
            let now = Date().timeIntervalSince1970
            for (port, file) in files {
                let suffix = (file.path as NSString).pathExtension
                if let bytes = file.streamedBytes {
                    outputs[port] = .init(type: file.type.name, digest: file.digest, suffix: suffix, bytes: bytes)
                    continue
                }
                let target = path(of: file.digest, suffix: suffix)
                let folder = (target as NSString).deletingLastPathComponent
                if mkdir(folder, 0o755) == 0 { Self.syncFolder("\(root)/objects") }
                if try StoreReader(db: db, store: self).isIntact(file.digest, suffix: suffix) {
                    unlink(file.path)
                } else {
                    chmod(file.path, 0o444)
                    guard rename(file.path, target) == 0 else {
                        throw StoreError.system("cannot move '\(file.path)' into the cache")
                    }
                    Self.syncFolder(folder)
                }
                guard let state = FileState(path: target) else {
                    throw StoreError("'\(target)' vanished while it was stored")
                }
                try db.cachedStatement(
                    sql: """
                        INSERT INTO objects (digest, suffix, bytes, modified, inode, created, used)
                        VALUES (?, ?, ?, ?, ?, ?, ?)
                        ON CONFLICT DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified,
                        inode = excluded.inode, used = excluded.used
                        """
                ).execute(arguments: [file.digest.hex, suffix, state.size, state.modified, state.inode, now, now])
                outputs[port] = .init(type: file.type.name, digest: file.digest, suffix: suffix, bytes: state.size)
            }
            let record = ActionRecord(
                key: key, node: node, version: version, seconds: seconds, memory: memory, outputs: outputs, source: source)
            try insert(record, created: now, db)
            if let file = files.values.first { try writeRecord(record, by: (file.path as NSString).deletingLastPathComponent) }
            return record
        }
    }

    private func insert(_ record: ActionRecord, created: Double, _ db: Database) throws {
        let outputs = String(decoding: try JSON.encoder.encode(record.outputs), as: UTF8.self)
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO actions (key, node, version, seconds, memory, outputs, created, source)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                record.key.hex, record.node, record.version, record.seconds, record.memory.map(JSON.text), outputs, created,
                record.source?.hex,
            ])
        try db.cachedStatement(sql: "DELETE FROM products WHERE key = ?").execute(arguments: [record.key.hex])
        for output in record.outputs.values {
            try db.cachedStatement(sql: "INSERT OR IGNORE INTO products (digest, suffix, key) VALUES (?, ?, ?)")
                .execute(arguments: [output.digest.hex, output.suffix, record.key.hex])
        }
    }

    /// Keeps the record beside the index too. Not synced: it only matters when the index is lost.
    ///
    /// - Parameter folder: The run's own, which is cleared if the run is killed: it is written aside there.
    private func writeRecord(_ record: ActionRecord, by folder: String) throws {
        let path = recordPath(record.key)
        _ = mkdir((path as NSString).deletingLastPathComponent, 0o755)
        let temporary = "\(folder)/\(record.key.hex).json"
        try JSON.encoder.encode(record).write(to: URL(fileURLWithPath: temporary))
        guard rename(temporary, path) == 0 else { throw StoreError.system("cannot move '\(temporary)' to '\(path)'") }
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

    // MARK: - Rebuilding

    /// Fills an empty index from the records beside it; objects are hashed when they are first used.
    private func rebuildIndex() throws {
        let files = FileManager.default
        let prefixes = ((try? files.contentsOfDirectory(atPath: "\(root)/actions")) ?? []).sorted()
        guard !prefixes.isEmpty else { return }
        let now = Date().timeIntervalSince1970
        try database.write { db in
            for prefix in prefixes {
                for name in (try? files.contentsOfDirectory(atPath: "\(root)/actions/\(prefix)")) ?? [] {
                    guard let data = files.contents(atPath: "\(root)/actions/\(prefix)/\(name)"),
                        let record = try? JSONDecoder().decode(ActionRecord.self, from: data),
                        name == "\(record.key.hex).json", record.outputs.values.allSatisfy({ !$0.suffix.contains("/") })
                    else { continue }
                    for output in record.outputs.values
                    where files.fileExists(atPath: path(of: output.digest, suffix: output.suffix)) {
                        try db.execute(
                            sql: """
                                INSERT OR IGNORE INTO objects (digest, suffix, bytes, modified, inode, created, used)
                                VALUES (?, ?, ?, -1, -1, ?, ?)
                                """,
                            arguments: [output.digest.hex, output.suffix, output.bytes, now, now])
                    }
                    try insert(record, created: now, db)
                }
            }
        }
    }

    /// Removes the row of an object, inside a write transaction; once that is over, ``unlinkUnnamed(_:)`` removes the file.
    ///
    /// What made it is still known, so that results that were made from it can be found without it.
    func removeRow(digest: String, suffix: String, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM objects WHERE digest = ? AND suffix = ?", arguments: [digest, suffix])
    }

    /// Removes the files of objects, as `[digest, suffix]`, that no row names: in this order a kill never leaves a row without its file.
    ///
    /// - Returns: The paths of those removed.
    @discardableResult
    func unlinkUnnamed(_ objects: some Collection<[String]>) throws -> [String] {
        guard !objects.isEmpty else { return [] }
        // Inside a write transaction no commit can be between its rename and its row.
        return try database.write { db in
            try objects.compactMap { object in
                guard let digest = Digest(hex: object[0]) else { return nil }
                let count = try Int.fetchOne(
                    db.cachedStatement(sql: "SELECT COUNT(*) FROM objects WHERE digest = ? AND suffix = ?"),
                    arguments: [object[0], object[1]])
                let path = path(of: digest, suffix: object[1])
                return count == 0 && unlink(path) == 0 ? path : nil
            }
        }
    }

    /// Forgets actions of which nothing is left.
    func forgetActions(madeBefore date: Date) throws {
        try database.write { db in
            let keys = try String.fetchAll(
                db,
                sql: """
                    SELECT key FROM actions WHERE created < ? AND NOT EXISTS (SELECT 1 FROM products p
                    JOIN objects o ON o.digest = p.digest AND o.suffix = p.suffix WHERE p.key = actions.key)
                    """,
                arguments: [date.timeIntervalSince1970])
            for key in keys {
                try db.execute(sql: "DELETE FROM actions WHERE key = ?", arguments: [key])
                try db.execute(sql: "DELETE FROM products WHERE key = ?", arguments: [key])
                if let key = Digest(hex: key) { unlink(recordPath(key)) }
            }
        }
    }
}

/// JSON as the store writes it: one spelling per value.
enum JSON {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    static func text(_ value: some Encodable) -> String {
        (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }

    static func decode<T: Decodable>(_ type: T.Type, _ text: String) -> T? {
        try? JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
