import Foundation
import GRDB
import NodeKit
import WholeFiles

/// The cache on disk: artifacts by content, an SQLite index of what made them, the journal of runs.
///
///     objects/ab/abcd….safetensors   artifacts by content digest, read-only
///     index.sqlite                   actions, objects, small artifacts, file states, runs
///     actions/log.jsonl              what each action made, so that a lost index can be rebuilt
///     tmp/  active/  locks/          of running runs; what a killed one left is removed by the next
///     checkpoints/  logs/  environments/
///     spare                          room for `gc` to work in when the disk is full
///
/// A kill at any instant leaves it whole: files are written aside, synced and linked into place before a row names them.
/// Results are written in groups, off the path of those who use them (``CommitQueue``). Any number of processes may use one
/// store.
public final class CacheStore: Sendable {
    /// The store's folder, absolute.
    public let root: String
    /// For what writes, and what must see no writer beside it.
    let database: DatabaseQueue
    /// For look-ups, so that none waits for a group of results that is being written.
    let lookups: DatabaseQueue
    let commits = CommitQueue()
    let locks: KeyLocks
    let log: ActionLog
    /// Safetensors artifacts of fewer bytes are kept in the index.
    let inlineLimit: Int

    /// Opens a store, making it if there is none; a damaged or missing index is rebuilt from the artifacts' records.
    ///
    /// - Parameters:
    ///   - root: The store's folder.
    ///   - inlineLimit: Safetensors artifacts of fewer bytes are kept in the index; 0: all are files.
    /// - Throws: ``StoreError`` when the folder cannot be made or written.
    public init(root: String, inlineLimit: Int = 16 << 10) throws {
        self.root = URL(fileURLWithPath: root).standardizedFileURL.path
        self.inlineLimit = inlineLimit
        locks = KeyLocks(folder: "\(self.root)/locks")
        log = ActionLog(folder: "\(self.root)/actions")
        let isNewFolder = !FileManager.default.fileExists(atPath: "\(self.root)/objects")
        for folder in ["objects", "actions", "tmp", "active", "locks", "checkpoints", "logs"] {
            do {
                try FileManager.default.createDirectory(
                    atPath: "\(self.root)/\(folder)", withIntermediateDirectories: true)
            } catch {
                throw StoreError("cannot make a folder of the cache: \(StoreError.text(error)); choose another with --cache")
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
        // A file of no bytes is none: SQLite would take it for a new index.
        if (FileState(path: index)?.size ?? 0) == 0, !Self.isFolder(index) { try Self.leave(sign) }
        if FileManager.default.fileExists(atPath: "\(self.root)/condemned") {
            try Self.leave(sign)
            Self.setAside(index)
            unlink("\(self.root)/condemned")
        }
        do {
            do {
                database = try Self.openIndex(index, migrates: true)
            } catch where Self.isDamage(error) {
                try Self.leave(sign)
                Self.setAside(index)
                database = try Self.openIndex(index, migrates: true)
            }
            lookups = try Self.openIndex(index, migrates: false)
        } catch {
            throw Self.explained(error, root: self.root)
        }
        if FileManager.default.fileExists(atPath: sign) {
            try minding(rebuildIndex)
            unlink(sign)
        }
        removeAbandoned()
        Self.keepSpare(root: self.root)
    }

    private static func setAside(_ index: String) {
        for suffix in ["", "-wal", "-shm"] { _ = rename(index + suffix, "\(index).damaged\(suffix)") }
    }

    /// Runs what reads or writes the index. Where that turns out to be damaged, it is given up: whoever opens the store next
    /// rebuilds it from the records of what was made.
    ///
    /// - Throws: What `body` throws; ``StoreError`` with the remedy when the index is damaged.
    func minding<T>(_ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch where Self.isDamage(error) {
            try Self.leave("\(root)/condemned")
            throw StoreError(
                "the index of the cache is damaged (\(error)); artifacts are safe, and the next command rebuilds the index from them: run again")
        } catch {
            throw Self.explained(error, root: root)
        }
    }

    /// What the index's own errors mean, and what to do about them; other errors as they are.
    static func explained(_ error: any Error, root: String) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        let reason = error.message ?? "\(error.resultCode)"
        switch error.resultCode {
        case .SQLITE_IOERR where SystemReason.hasLimit(RLIMIT_FSIZE):
            return StoreError("the index '\(root)/index.sqlite' cannot be written: \(reason); raise the file-size limit (ulimit -f)")
        case .SQLITE_FULL,
            .SQLITE_IOERR where room(in: root) < spareSize:
            return StoreError(
                "the disk of the cache '\(root)' is full; free some space, run 'understudy cache gc --max-size SIZE', or move the cache with --cache")
        case .SQLITE_READONLY, .SQLITE_PERM:
            return StoreError("the index '\(root)/index.sqlite' cannot be written: \(reason); the cache must be writable: move it with --cache")
        case .SQLITE_CANTOPEN, .SQLITE_IOERR:
            return StoreError(
                "the index '\(root)/index.sqlite' cannot be opened: \(reason); check its permissions and the limit of open files (ulimit -n), or move the cache with --cache")
        case .SQLITE_BUSY: return StoreError("another program has held the index '\(root)/index.sqlite' for a minute; end it, and run again")
        default: return StoreError("the index '\(root)/index.sqlite' cannot be used: \(reason)")
        }
    }

    /// Whether an error says that the index is damaged.
    static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return error is RowDecodingError }
        // Of our own statements none is wrong: an error in one means that the tables are not what they were.
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR].contains(error.resultCode)
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
        inlineLimit = 0
        locks = KeyLocks(folder: "\(self.root)/locks")
        log = ActionLog(folder: "\(self.root)/actions")
        database = try DatabaseQueue()
        try StoreSchema.migrator.migrate(database)
        lookups = database
    }

    private static func openIndex(_ path: String, migrates: Bool) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(60)
        configuration.prepareDatabase { db in 
            // Checkpoints write every page that changed: the rarer, the fewer.
            try db.execute(sql: "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -64000")
        }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        if migrates { try StoreSchema.migrator.migrate(queue) }
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
        let hex = digest.hex
        return "\(root)/objects/\(hex.prefix(2))/\(hex).\(suffix)"
    }

    /// An output as a value; a small one may have no file (``filed(_:)``).
    func artifact(_ output: ActionRecord.Output) -> Artifact {
        Artifact(
            type: PortType(output.type), path: commits.file(output.digest) ?? path(of: output.digest, suffix: output.suffix),
            digest: output.digest, contents: commits.contents(output.digest))
    }

    /// Where the Python environments of external nodes are.
    public static func environments(root: String) -> String {
        URL(fileURLWithPath: root).standardizedFileURL.path + "/environments"
    }

    // MARK: - Locks

    func makeLease() throws -> Lease {
        // Not while results are being removed.
        let gate = try beginningOfRuns(exclusive: false)
        defer { close(gate) }
        let lease = try Lease(folder: "\(root)/active")
        let folder = temporaryFolder(of: lease)
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw StoreError.system("cannot make the folder '\(folder)'") }
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

    // MARK: - Rebuilding

    /// Fills an empty index from the records beside it; objects are hashed when they are first used.
    private func rebuildIndex() throws {
        let lines = log.lines()
        guard !lines.isEmpty else { return }
        let now = Date().timeIntervalSince1970
        try database.write { db in
            for line in lines {
                for (hex, bytes) in line.contents ?? [:] {
                    guard let digest = Digest(hex: hex) else { continue }
                    let state = FileState(size: Int64(bytes.count), modified: 0, inode: 0)
                    try insertObject(digest, suffix: "safetensors", state, Array(bytes), now: now, db)
                    // A line may have been cut or changed; what is not sound is made again.
                    if !isSound(digest, suffix: "safetensors", db) { try removeRow(digest: hex, suffix: "safetensors", db) }
                }
                for output in line.record.outputs.values
                where FileManager.default.fileExists(atPath: path(of: output.digest, suffix: output.suffix)) {
                    try db.execute(
                        sql: """
                            INSERT OR IGNORE INTO objects (digest, suffix, bytes, modified, inode, created, used)
                            VALUES (?, ?, ?, -1, -1, ?, ?)
                            """,
                        arguments: [output.digest.hex, output.suffix, output.bytes, now, now])
                }
                try insert(line.record, created: now, db)
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

    /// Forgets actions of which nothing is left, and drops from the log what is forgotten.
    func forgetActions(madeBefore date: Date) throws {
        let kept = try database.write { db in
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
            }
            return Set(try String.fetchAll(db, sql: "SELECT key FROM actions").compactMap(Digest.init(hex:)))
        }
        try log.compact { kept.contains($0) }
    }
}
