import Foundation
import GRDB
import NodeKit

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
    /// Whether what is learnt on the way is written down; not on a disk that is full to the last block, where a store can only be read.
    public let keepsNotes: Bool

    /// Opens a store, making it if there is none; a damaged or missing index is rebuilt from the artifacts' records.
    ///
    /// - Parameters:
    ///   - root: The store's folder.
    ///   - inlineLimit: Safetensors artifacts of fewer bytes are kept in the index; 0: all are files.
    /// - Throws: ``StoreError`` when the folder cannot be made or written.
    public convenience init(root: String, inlineLimit: Int = 16 << 10) throws {
        try self.init(root: root, inlineLimit: inlineLimit, isOnlyRead: false)
    }

    /// - Parameter isOnlyRead: Whether a store on a full disk will do that cannot be written.
    private init(root: String, inlineLimit: Int, isOnlyRead: Bool) throws {
        self.root = URL(fileURLWithPath: root).standardizedFileURL.path
        self.inlineLimit = inlineLimit
        locks = KeyLocks(folder: "\(self.root)/locks")
        log = ActionLog(folder: "\(self.root)/actions")
        let isNewFolder = !FileManager.default.fileExists(atPath: "\(self.root)/objects")
        do {
            try FileManager.default.createDirectory(atPath: self.root, withIntermediateDirectories: true)
        } catch {
            throw StoreError("cannot make a folder of the cache: \(StoreError.text(error)); choose another with --cache")
        }
        for folder in ["objects", "actions", "tmp", "active", "locks", "checkpoints", "logs"] {
            let path = "\(self.root)/\(folder)"
            guard mkdir(path, 0o755) == 0 || (errno == EEXIST && Self.isFolder(path)) else {
                throw StoreError("cannot make a folder of the cache: '\(path)': \(String(cString: strerror(errno))); choose another with --cache")
            }
        }
        if isNewFolder { Self.syncFolder(self.root) }
        // One process at a time opens, so that only one migrates or rebuilds.
        let gate = open("\(self.root)/open.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard gate >= 0 else { throw StoreError.system("cannot open '\(self.root)/open.lock'") }
        defer { close(gate) }
        guard Lease.lock(gate, LOCK_EX) else { throw StoreError.lock("\(self.root)/open.lock") }
        let index = "\(self.root)/index.sqlite"
        try Self.checkFiles(of: index)
        // The sign outlives a kill in the middle: an index that exists may still be half rebuilt.
        let sign = "\(self.root)/rebuilding"
        // A file of no bytes is none: SQLite would take it for a new index.
        if (FileState(path: index)?.size ?? 0) == 0, !Self.isFolder(index) { try Self.leave(sign) }
        if FileManager.default.fileExists(atPath: "\(self.root)/condemned") {
            try Self.leave(sign)
            Self.setAside(index)
            unlink("\(self.root)/condemned")
        }
        (database, lookups, keepsNotes) = try Self.openBoth(index, of: self.root, sign: sign, isOnlyRead: isOnlyRead)
        guard keepsNotes else { return }
        if FileManager.default.fileExists(atPath: sign) {
            try minding(rebuildIndex)
            unlink(sign)
        }
        removeAbandoned()
        Self.keepSpare(root: self.root)
    }

    /// Opens an index for writes and look-ups; one that is damaged is set aside, to be rebuilt.
    private static func openBoth(
        _ index: String, of root: String, sign: String, isOnlyRead: Bool
    ) throws -> (database: DatabaseQueue, lookups: DatabaseQueue, keepsNotes: Bool) {
        do {
            let database: DatabaseQueue
            do {
                database = try openIndex(index, migrates: true)
            } catch where isDamage(error) {
                try leave(sign)
                setAside(index)
                database = try openIndex(index, migrates: true)
            }
            return (database, try openIndex(index, migrates: false), true)
        } catch {
            guard isOnlyRead, isFull(error, root: root), !FileManager.default.fileExists(atPath: sign), let alone = try? openIndexAlone(index)
            else { throw explained(error, root: root) }
            return (alone, alone, false)
        }
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
        if try Self.isThere(root) {
            try self.init(root: root, inlineLimit: 16 << 10, isOnlyRead: true)
        } else {
            try self.init(emptyAt: root)
        }
    }

    /// - Throws: ``StoreError`` when nobody can tell whether there is a store.
    private static func isThere(_ root: String) throws -> Bool {
        var status = stat()
        if stat("\(root)/objects", &status) == 0 { return true }
        guard FileState.isAbsence(errno) else { throw StoreError.unreadable(root) }
        return false
    }

    /// A store without a folder: its index is in memory.
    private init(emptyAt root: String) throws {
        self.root = URL(fileURLWithPath: root).standardizedFileURL.path
        inlineLimit = 0
        keepsNotes = true
        locks = KeyLocks(folder: "\(self.root)/locks")
        log = ActionLog(folder: "\(self.root)/actions")
        database = try DatabaseQueue()
        try StoreSchema.migrator.migrate(database)
        lookups = database
    }

    /// Opens an index without the file that programs share, for which a full disk has no room: nobody else may have it open.
    private static func openIndexAlone(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -64000") }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        guard try queue.inDatabase(StoreSchema.migrator.hasCompletedMigrations) else { throw StoreError("the index is older than this program") }
        return queue
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
        guard Lease.lock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | (waits ? 0 : LOCK_NB)) else {
            let failure = StoreError.lock("\(root)/gc.lock")
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
                    if !isSound(digest, suffix: "safetensors", db) { try removeRow(.init(digest: digest, suffix: "safetensors"), db) }
                }
                for output in line.record.outputs.values where try FileState(stored: path(of: output.digest, suffix: output.suffix)) != nil {
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

    /// An object whose row was removed.
    struct Removed {
        let name: StoreReader.StoredName
        /// Its row, to be put back should its file stay; nil: what is left of it is of no use.
        var row: Row?
    }

    /// Which files were removed, and which could not be, with the reason.
    struct Removal {
        var gone: [String] = []
        var kept: [(name: StoreReader.StoredName, reason: String)] = []
    }

    /// Removes the row of an object, inside a write transaction; once that is over, ``unlinkUnnamed(_:)`` removes the file.
    ///
    /// What made it is still known, so that results that were made from it can be found without it.
    func removeRow(_ name: StoreReader.StoredName, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM objects WHERE digest = ? AND suffix = ?", arguments: [name.digest.hex, name.suffix])
    }

    /// Removes the files of objects that no row names: in this order a kill never leaves a row without its file. Where a file cannot
    /// be removed, the object's row is put back.
    func unlinkUnnamed(_ objects: [Removed]) throws -> Removal {
        guard !objects.isEmpty else { return Removal() }
        // Inside a write transaction no commit can be between its rename and its row.
        return try database.write { db in
            var removal = Removal()
            for object in objects {
                let name = object.name
                let count = try Int.fetchOne(
                    db.cachedStatement(sql: "SELECT COUNT(*) FROM objects WHERE digest = ? AND suffix = ?"),
                    arguments: [name.digest.hex, name.suffix])
                guard count == 0 else { continue }
                let path = path(of: name.digest, suffix: name.suffix)
                if Self.remove(path) {
                    removal.gone.append(path)
                } else if !FileState.isAbsence(errno) {
                    removal.kept.append((name, "\(path): \(String(cString: strerror(errno)))"))
                    guard let row = object.row else { continue }
                    let columns = row.columnNames.joined(separator: ", ")
                    let places = row.columnNames.map { _ in "?" }.joined(separator: ", ")
                    try db.execute(
                        sql: "INSERT OR IGNORE INTO objects (\(columns)) VALUES (\(places))", arguments: StatementArguments(row.databaseValues))
                }
            }
            return removal
        }
    }

    /// Removes what has an object's name; false with `errno` set when that is refused.
    static func remove(_ path: String) -> Bool {
        if unlink(path) == 0 { return true }
        guard errno == EISDIR else { return false }
        let isGone = (try? FileManager.default.removeItem(atPath: path)) != nil
        errno = EISDIR
        return isGone
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
