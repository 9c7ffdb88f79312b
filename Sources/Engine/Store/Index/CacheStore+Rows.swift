import Foundation
import GRDB
import NodeKit

/// Rows with values that cannot be: a flipped bit of the file that SQLite's own check does not see.
extension CacheStore {
    /// Sets damaged rows right, where what they are about tells how, and drops the others.
    ///
    /// - Returns: How many there were.
    func mendRows() throws -> Int {
        try database.write { db in
            var count = try Self.mendNumbers(db)
            let now = Date().timeIntervalSince1970
            count += try Self.damaged("objects", keys: ["digest", "suffix"], db, isSound: Self.isSoundObject).reduce(0) { count, keys in
                // The file, or the bytes in the row, tell what is right.
                try db.execute(
                    sql: """
                        UPDATE objects SET bytes = coalesce(length(data), 0), modified = 0, inode = 0, created = ?, used = ?, pinned = pinned IS 1
                        WHERE digest IS ? AND suffix IS ? AND typeof(digest) = 'text' AND typeof(suffix) = 'text' AND typeof(data) IN ('null', 'blob')
                        """, arguments: [now, now] + StatementArguments(keys))
                let row = try Row.fetchOne(db, sql: "SELECT * FROM objects WHERE digest IS ? AND suffix IS ?", arguments: StatementArguments(keys))
                if let row, !Self.isSoundObject(row) {
                    try db.execute(sql: "DELETE FROM objects WHERE digest IS ? AND suffix IS ?", arguments: StatementArguments(keys))
                }
                return count + 1
            }
            for keys in try Self.damaged("actions", keys: ["key"], db, isSound: { try Self.isSoundAction($0, db) }) {
                try db.execute(sql: "DELETE FROM actions WHERE key IS ?", arguments: StatementArguments(keys))
                try db.execute(sql: "DELETE FROM products WHERE key IS ?", arguments: StatementArguments(keys))
                count += 1
            }
            for (table, keys, isSound) in [
                ("instances", ["run", "node", "idx"], { Journal.entry($0) != nil }), ("runs", ["id"], { Journal.run($0) != nil }),
            ] as [(String, [String], (Row) -> Bool)] {
                let condition = keys.map { "\($0) IS ?" }.joined(separator: " AND ")
                for values in try Self.damaged(table, keys: keys, db, isSound: isSound) {
                    try db.execute(sql: "DELETE FROM \(table) WHERE \(condition)", arguments: StatementArguments(values))
                    count += 1
                }
            }
            return count
        }
    }

    /// Drops rows with numbers so large that SQLite would have none left for the next row.
    ///
    /// - Returns: How many there were.
    @discardableResult
    static func mendNumbers(_ db: Database) throws -> Int {
        var count = 0
        for table in ["runs", "costs"] {
            let last = try Row.fetchOne(db, sql: "SELECT max(seq) AS seq FROM sqlite_sequence WHERE name = ?", arguments: [table])
            guard let last, !last.isNull("seq"), last.integer("seq", in: 0...Sane.run.upperBound) == nil else { continue }
            try db.execute(sql: "DELETE FROM \(table) WHERE id > ?", arguments: [Sane.run.upperBound])
            try db.execute(
                sql: "UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(id), 0) FROM \(table)) WHERE name = ?", arguments: [table])
            count += 1
        }
        return count
    }

    /// The keys of a table's rows that are not sound.
    private static func damaged(
        _ table: String, keys: [String], _ db: Database, isSound: (Row) throws -> Bool
    ) throws -> [[DatabaseValue]] {
        var result: [[DatabaseValue]] = []
        let rows = try Row.fetchCursor(db, sql: "SELECT * FROM \(table)")
        while let row = try rows.next() {
            if try !isSound(row) { result.append(keys.map { row[$0] }) }
        }
        return result
    }

    private static func isSoundObject(_ row: Row) -> Bool {
        row.digest("digest") != nil && row.text("suffix").map { !$0.contains("/") } ?? false && row.integer("bytes", in: Sane.bytes) != nil
            && row.integer("modified") != nil && row.integer("inode") != nil && row.number("created", in: Sane.time) != nil
            && row.number("used", in: Sane.time) != nil && row.integer("pinned", in: 0...1) != nil
            && (row.isNull("data") || row.blob("data") != nil)
    }

    /// What an action made is listed twice: in its row and among the products.
    private static func isSoundAction(_ row: Row, _ db: Database) throws -> Bool {
        guard let key = row.digest("key"), let node = row.text("node"), let version = row.integer("version"),
            let seconds = row.number("seconds", in: Sane.seconds), row.number("created", in: Sane.time) != nil,
            let outputs = row.text("outputs").flatMap(ActionRecord.outputs(json:)),
            let memory = row.optional("memory", { $0.text($1).flatMap(PeakMemory.init(json:)) }),
            let source = row.optional("source", { $0.digest($1) })
        else { return false }
        let record = ActionRecord(
            key: key, node: node, version: Int(version), seconds: seconds, memory: memory, outputs: outputs, source: source)
        let products = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT digest, suffix FROM products WHERE key = ?"), arguments: [key.hex])
        return record.isSane
            && Set(products.map { "\($0.text("digest") ?? "").\($0.text("suffix") ?? "")" })
                == Set(outputs.values.map { "\($0.digest.hex).\($0.suffix)" })
    }
}
