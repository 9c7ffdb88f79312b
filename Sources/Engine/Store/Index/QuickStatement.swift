import GRDB
import GRDBSQLite
import NodeKit

/// A statement that is executed for every node, bound and read as SQLite has it: rows and arguments as values take longer than the
/// search itself.
struct QuickStatement {
    private let statement: Statement
    private let db: Database

    fileprivate init(_ statement: Statement, _ db: Database) {
        self.statement = statement
        self.db = db
    }

    /// Goes on to the next row.
    ///
    /// - Returns: False after the last one.
    /// - Throws: `DatabaseError`.
    func step() throws -> Bool {
        let code = sqlite3_step(statement.sqliteStatement)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw DatabaseError(resultCode: .init(rawValue: code), message: db.lastErrorMessage, sql: statement.sql)
        }
    }

    // MARK: - Arguments, from 1

    func bind(_ place: Int32, _ value: Int) { sqlite3_bind_int64(statement.sqliteStatement, place, Int64(value)) }
    func bind(_ place: Int32, _ value: Int64) { sqlite3_bind_int64(statement.sqliteStatement, place, value) }
    func bind(_ place: Int32, _ value: Digest) { bind(place, value.hex) }

    func bind(_ place: Int32, _ value: Double?) {
        if let value { sqlite3_bind_double(statement.sqliteStatement, place, value) } else { sqlite3_bind_null(statement.sqliteStatement, place) }
    }

    func bind(_ place: Int32, _ value: String?) {
        guard var value else { return _ = sqlite3_bind_null(statement.sqliteStatement, place) }
        value.withUTF8 { bytes in
            // An empty text must not become NULL, whatever its address.
            _ = bytes.withMemoryRebound(to: CChar.self) {
                sqlite3_bind_text(statement.sqliteStatement, place, $0.baseAddress ?? Self.empty, Int32($0.count), Self.copies)
            }
        }
    }

    func bind(_ place: Int32, _ value: [UInt8]?) {
        guard let value else { return _ = sqlite3_bind_null(statement.sqliteStatement, place) }
        // Without an address it would become NULL.
        guard !value.isEmpty else { return _ = sqlite3_bind_zeroblob(statement.sqliteStatement, place, 0) }
        value.withUnsafeBytes { bytes in
            _ = sqlite3_bind_blob(statement.sqliteStatement, place, bytes.baseAddress, Int32(bytes.count), Self.copies)
        }
    }

    /// Safe: one zero byte that is never written to.
    nonisolated(unsafe) private static let empty = UnsafePointer(UnsafeMutablePointer<CChar>.allocate(capacity: 1).initialized(to: 0))
    /// Tells SQLite to copy what is bound.
    private static let copies = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    // MARK: - Columns, from 0

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement.sqliteStatement, column) }
    func real(_ column: Int32) -> Double { sqlite3_column_double(statement.sqliteStatement, column) }
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement.sqliteStatement, column) == SQLITE_NULL }

    /// Nil for NULL.
    func text(_ column: Int32) -> String? {
        guard let bytes = sqlite3_column_text(statement.sqliteStatement, column) else { return nil }
        let count = Int(sqlite3_column_bytes(statement.sqliteStatement, column))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }
}

extension UnsafeMutablePointer {
    fileprivate func initialized(to value: Pointee) -> Self {
        initialize(to: value)
        return self
    }
}

extension Database {
    /// Uses a statement, which is prepared once and reset at the end.
    ///
    /// - Throws: `DatabaseError`, and what `body` throws.
    func quick<T>(_ sql: String, _ body: (QuickStatement) throws -> T) throws -> T {
        let statement = try cachedStatement(sql: sql)
        defer {
            sqlite3_reset(statement.sqliteStatement)
            sqlite3_clear_bindings(statement.sqliteStatement)
        }
        return try body(QuickStatement(statement, self))
    }
}
