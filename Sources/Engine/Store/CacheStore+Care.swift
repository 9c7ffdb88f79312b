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
    /// Files that no row names, left by an interrupted commit; they were removed.
    public let orphans: [String]
    public var isClean: Bool { damaged.isEmpty && missing.isEmpty }
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
                guard let row = group.first, let digest = Digest(hex: row["digest"]) else { return }
                let suffix: String = row["suffix"]
                var type: String?
                for row in group where type == nil {
                    guard let text = row["outputs"] as String? else { continue }
                    type = JSON.decode([String: ActionRecord.Output].self, text)?.values
                        .first { $0.digest == digest && $0.suffix == suffix }?.type
                }
                result.append(
                    StoredObject(
                        digest: digest, suffix: suffix, type: type,
                        nodes: Set(group.compactMap { $0["node"] as String? }).sorted(), bytes: row["bytes"],
                        seconds: group.compactMap { $0["seconds"] as Double? }.min() ?? 0,
                        created: Date(timeIntervalSince1970: row["created"]),
                        used: Date(timeIntervalSince1970: row["used"]), isPinned: row["pinned"]))
            }
            for row in rows {
                if let first = group.first, first["digest"] as String != row["digest"] || first["suffix"] as String != row["suffix"] {
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
        let objects = try list()
        var damaged: [String] = []
        var missing: [String] = []
        var removed: [[String]] = []
        for (index, object) in objects.enumerated() {
            progress(index, objects.count)
            let path = path(of: object.digest, suffix: object.suffix)
            let state = FileState(path: path)
            let isInline = try snapshot { try StoreReader(db: $0, store: self).isInline(object.digest, suffix: object.suffix) }
            if isInline {
                let isWhole = try database.write { db in
                    let isWhole = isSound(object.digest, suffix: object.suffix, db)
                    if !isWhole { try removeRow(digest: object.digest.hex, suffix: object.suffix, db) }
                    return isWhole
                }
                if !isWhole { removed.append([object.digest.hex, object.suffix]) }
                if try !isWhole || mendCopy(of: object.digest) { damaged.append(path) }
                continue
            }
            let found = try? Artifact.digest(ofFile: path, isTensorFile: object.suffix == "safetensors")
            try database.write { db in
                if let state, found == object.digest {
                    try db.execute(
                        sql: "UPDATE objects SET bytes = ?, modified = ?, inode = ? WHERE digest = ? AND suffix = ?",
                        arguments: [state.size, state.modified, state.inode, object.digest.hex, object.suffix])
                    return
                }
                // Another process may have put a sound one in its place meanwhile.
                let again = try? Artifact.digest(ofFile: path, isTensorFile: object.suffix == "safetensors")
                guard again != object.digest else { return }
                try removeRow(digest: object.digest.hex, suffix: object.suffix, db)
                removed.append([object.digest.hex, object.suffix])
                if state == nil { missing.append(path) } else { damaged.append(path) }
            }
        }
        try unlinkUnnamed(removed)
        progress(objects.count, objects.count)
        return VerificationReport(
            checked: objects.count, bytes: objects.reduce(0) { $0 + $1.bytes }, damaged: damaged, missing: missing,
            orphans: try removeOrphans())
    }

    /// Removes object files that no row names: a kill came between rename and row, or between row and removal.
    private func removeOrphans() throws -> [String] {
        let files = FileManager.default
        var orphans: [String] = []
        for prefix in ((try? files.contentsOfDirectory(atPath: "\(root)/objects")) ?? []).sorted() {
            let names = ((try? files.contentsOfDirectory(atPath: "\(root)/objects/\(prefix)")) ?? []).sorted()
            let objects = names.map { [($0 as NSString).deletingPathExtension, ($0 as NSString).pathExtension] }
            orphans += try unlinkUnnamed(objects)
        }
        return orphans
    }
}
