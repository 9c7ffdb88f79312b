import Foundation
import GRDB
import NodeKit

/// An artifact in the store.
public struct StoredObject: Sendable, Hashable, Codable {
    public let digest: Digest
    /// The file name extension.
    public let suffix: String
    /// The port type; nil when no action claims it.
    public let type: String?
    /// The node types that made it.
    public let nodes: [String]
    public let bytes: Int64
    /// What making it again takes, in seconds.
    public let seconds: Double
    public let created: Date
    public let used: Date
    public let isPinned: Bool
}

/// What `verify` found.
public struct VerificationReport: Sendable, Hashable, Codable {
    public let checked: Int
    public let bytes: Int64
    /// Paths of artifacts whose bytes are not what their name says; they were removed, or written again where the index has the bytes.
    public let damaged: [String]
    /// Paths of artifacts that are gone; they are made again when they are needed.
    public let missing: [String]
    /// Why artifacts could not be read; nothing is known of them, and nothing was done to them.
    public let unreadable: [String]
    /// Rows of the index with values that cannot be; they were set right where the artifact itself tells how, else dropped.
    public let damagedRows: Int
    /// Files that no row names, left by an interrupted commit; they were removed.
    public let orphans: [String]
    /// Damaged and orphaned files that could not be removed, each with the reason.
    public let failures: [String]
    public var isClean: Bool { damaged.isEmpty && missing.isEmpty && unreadable.isEmpty && damagedRows == 0 && failures.isEmpty }
}

extension CacheStore {
    /// All objects, largest first.
    public func list() throws -> [StoredObject] {
        try minding { try readList() }
    }

    private func readList() throws -> [StoredObject] {
        try database.read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT o.digest, o.suffix, o.bytes, o.created, o.used, o.pinned, a.node, a.seconds, a.outputs FROM objects o
                    LEFT JOIN products p ON p.digest = o.digest AND p.suffix = o.suffix
                    LEFT JOIN actions a ON a.key = p.key ORDER BY o.bytes DESC, o.digest, o.suffix
                    """)
            var result: [StoredObject] = []
            var group: [Row] = []
            func close() {
                guard let row = group.first, let digest = row.digest("digest"), let suffix = row.text("suffix"), !suffix.contains("/") else { return }
                func time(_ column: String) -> Date { Date(timeIntervalSince1970: row.number(column, in: Sane.time) ?? 0) }
                var type: String?
                for row in group where type == nil {
                    type = row.text("outputs").flatMap(ActionRecord.outputs(json:))?.values
                        .first { $0.digest == digest && $0.suffix == suffix }?.type
                }
                result.append(
                    StoredObject(
                        digest: digest, suffix: suffix, type: type, nodes: Set(group.compactMap { $0.text("node") }).sorted(),
                        bytes: row.integer("bytes", in: Sane.bytes) ?? 0,
                        seconds: group.compactMap { $0.number("seconds", in: Sane.seconds) }.min() ?? 0, created: time("created"),
                        used: time("used"), isPinned: row.integer("pinned") != 0))
            }
            for row in rows {
                if let first = group.first, first.text("digest") != row.text("digest") || first.text("suffix") != row.text("suffix") {
                    close()
                    group = []
                }
                group.append(row)
            }
            close()
            return result
        }
    }

    /// Keeps an object whatever its size, or no longer.
    public func setPinned(_ isPinned: Bool, digest: Digest) throws {
        try minding { try database.write { db in
            try db.execute(sql: "UPDATE objects SET pinned = ? WHERE digest = ?", arguments: [isPinned, digest.hex])
        } }
    }

    /// Checks the index, and hashes every object again; removes what is damaged, so that it is made again when it is next needed.
    /// The file that a program was given of a small artifact is written again, since the index has its bytes.
    ///
    /// - Parameter progress: Called with objects done and objects in all.
    /// - Throws: ``StoreError`` when the index is damaged; whoever opens the store next rebuilds it.
    public func verify(progress: (Int, Int) -> Void = { _, _ in }) throws -> VerificationReport {
        try minding {
            let found = try database.read { try String.fetchAll($0, sql: "PRAGMA integrity_check(3)") }
            guard found == ["ok"] else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: found.joined(separator: "; ")) }
            return try check(progress)
        }
    }

    private func check(_ progress: (Int, Int) -> Void) throws -> VerificationReport {
        try checkReadable()
        let damagedRows = try mendRows()
        let objects = try list()
        var damaged: [String] = []
        var missing: [String] = []
        var unreadable: [String] = []
        var removed: [Removed] = []
        for (index, object) in objects.enumerated() {
            progress(index, objects.count)
            let name = StoreReader.StoredName(digest: object.digest, suffix: object.suffix)
            let path = path(of: object.digest, suffix: object.suffix)
            let isInline = try snapshot { try StoreReader(db: $0, store: self).isInline(object.digest, suffix: object.suffix) }
            if isInline {
                let isWhole = try database.write { db in
                    let isWhole = isSound(object.digest, suffix: object.suffix, db)
                    if !isWhole { try removeRow(name, db) }
                    return isWhole
                }
                if !isWhole { removed.append(Removed(name: name)) }
                if try !isWhole || mendCopy(of: object.digest) { damaged.append(path) }
                continue
            }
            do {
                guard let isThere = try dropUnlessWhole(name) else { continue }
                removed.append(Removed(name: name))
                if isThere { damaged.append(path) } else { missing.append(path) }
            } catch let error as StoreError {
                unreadable.append("\(error)")
            }
        }
        var removal = try unlinkUnnamed(removed)
        removal.gone = []
        try removeOrphans(&removal)
        progress(objects.count, objects.count)
        return VerificationReport(
            checked: objects.count, bytes: objects.map(\.bytes).clampedSum, damaged: damaged, missing: missing, unreadable: unreadable,
            damagedRows: damagedRows, orphans: removal.gone, failures: removal.kept.map(\.reason))
    }

    /// Hashes an object's file; drops its row unless the bytes are what they should be.
    ///
    /// - Returns: Nil when they are; else whether there is a file.
    /// - Throws: ``StoreError`` when it cannot be read.
    private func dropUnlessWhole(_ name: StoreReader.StoredName) throws -> Bool? {
        let path = path(of: name.digest, suffix: name.suffix)
        let state = try FileState(stored: path)
        let isWhole = try state != nil && holdsItsBytes(name.digest, suffix: name.suffix)
        return try database.write { db in
            if isWhole, let state {
                // A full disk would refuse it.
                guard keepsNotes else { return nil }
                try db.execute(
                    sql: """
                        UPDATE objects SET bytes = ?1, modified = ?2, inode = ?3 WHERE digest = ?4 AND suffix = ?5
                        AND (bytes, modified, inode) IS NOT (?1, ?2, ?3)
                        """,
                    arguments: [state.size, state.modified, state.inode, name.digest.hex, name.suffix])
                return nil
            }
            // Another process may have put a sound one in its place meanwhile.
            if try holdsItsBytes(name.digest, suffix: name.suffix) { return nil }
            try removeRow(name, db)
            return state != nil
        }
    }

    /// Removes object files that no row names: a kill came between rename and row, or between row and removal.
    private func removeOrphans(_ removal: inout Removal) throws {
        let files = FileManager.default
        for prefix in ((try? files.contentsOfDirectory(atPath: "\(root)/objects")) ?? []).sorted() {
            let names = ((try? files.contentsOfDirectory(atPath: "\(root)/objects/\(prefix)")) ?? []).sorted()
            let objects = names.compactMap { name in
                Digest(hex: (name as NSString).deletingPathExtension).map {
                    Removed(name: .init(digest: $0, suffix: (name as NSString).pathExtension))
                }
            }
            let more = try unlinkUnnamed(objects)
            removal.gone += more.gone
            removal.kept += more.kept.filter { kept in !removal.kept.contains { $0.name == kept.name } }
        }
    }
}
