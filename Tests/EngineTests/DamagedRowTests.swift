import Foundation
import GRDB
import NodeKit
import Testing

@testable import Engine

/// Single values of the index that one flipped bit makes: no command ends for them, and all heal.
@Suite struct DamagedRowTests {
    private static let text = """
        nodes:
          one: { type: t.constant, with: { value: 3 } }
          two: { type: t.add, in: { a: one.out }, with: { bias: 4 } }
        outputs: { out: two.out }
        """

    @Test(arguments: [true, false], [
        "UPDATE actions SET seconds = 1.5e307", "UPDATE actions SET seconds = -1.5e307", "UPDATE actions SET seconds = 'abc'",
        "UPDATE actions SET version = 9223372036854775807", "UPDATE actions SET memory = '{\"bytes\":9223372036854775807,\"isShared\":true}'",
        "UPDATE actions SET outputs = x'ff00', node = x'fe'", "UPDATE actions SET outputs = '{}'",
        "UPDATE actions SET outputs = replace(outputs, '\"out\"', '\"ouu\"')",
        "UPDATE actions SET outputs = replace(outputs, '\"bytes\":', '\"bytes\":-')", "UPDATE actions SET created = 'x', source = 3",
        "UPDATE objects SET used = 1.5e307, created = 1.5e307", "UPDATE objects SET used = 'x', created = x'00'",
        "UPDATE objects SET bytes = 9223372036854775807", "UPDATE objects SET bytes = -9223372036854775807 - 1", "UPDATE objects SET bytes = 'x'",
        "UPDATE objects SET modified = 9223372036854775807, inode = -9223372036854775807", "UPDATE objects SET pinned = 'x'",
        "UPDATE objects SET suffix = 'a/b' WHERE digest = (SELECT min(digest) FROM objects)", "UPDATE objects SET data = 7",
        "UPDATE objects SET digest = x'00ff' WHERE digest = (SELECT min(digest) FROM objects)",
        "UPDATE runs SET started = 1.5e307", "UPDATE runs SET started = 'abc'", "UPDATE runs SET ended = -1e300", "UPDATE runs SET status = x'fe'",
        "UPDATE instances SET seconds = 1.5e307", "UPDATE instances SET idx = 'x' WHERE node = 'two'",
        "UPDATE instances SET idx = 9223372036854775807 WHERE node = 'two'", "UPDATE instances SET inputs = 'x', parameters = '[1]'",
        "UPDATE instances SET node = 'one', idx = -7 WHERE node = 'two'", "UPDATE instances SET memory = 5, key = x'01', error = 2.5",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807", "UPDATE sources SET size = 'x'",
    ])
    func heals(areFiles: Bool, statement: String) throws {
        let shop = try Workshop(areFiles: areFiles)
        _ = try shop.run(Self.text)
        _ = try shop.run(Self.text)
        do {
            let queue = try DatabaseQueue(path: "\(shop.storePath)/index.sqlite")
            try queue.write { try $0.execute(sql: "PRAGMA foreign_keys = OFF; \(statement)") }
            try queue.close()
        }
        // Whatever is asked first gives an answer.
        let journal = try shop.engine().journal
        for run in try journal.runs() { #expect(!run.started.formatted().isEmpty) }
        #expect(try journal.entries(of: 2).allSatisfy { ($0.seconds ?? 0) < 1e12 })
        _ = try journal.difference(from: 1, to: 2)
        let objects = try shop.engine().store.list()
        #expect(objects.allSatisfy { $0.bytes >= 0 && $0.seconds >= 0 } && objects.map(\.bytes).clampedSum >= 0)
        _ = try shop.plan(Self.text)
        // By looking for damage,
        let other = try Workshop(areFiles: areFiles)
        try FileManager.default.copyItem(atPath: shop.storePath, toPath: other.storePath)
        _ = try other.engine().store.verify()
        #expect(try other.engine().store.verify().isClean)
        #expect(try other.run(Self.text).summary.status == .done)
        // and by using what is there, at the latest the third time.
        func value() throws -> Double? { try shop.run(Self.text).summary.status == .done ? shop.value("two", Self.text) : nil }
        for _ in 1...2 where (try? value()) != nil { break }
        #expect(try value() == 7)
        _ = try shop.engine().store.verify()
        #expect(try shop.engine().store.verify().isClean)
        let rest = try shop.engine().store.gc(maxBytes: 0)
        #expect(rest.keptBytes == 0 && rest.failures.isEmpty)
    }

    @Test("what is damaged is told", arguments: [
        ("UPDATE actions SET outputs = '{}'", 2), ("UPDATE objects SET bytes = -1", 2), ("UPDATE runs SET started = 'abc'", 1),
    ])
    func isTold(statement: String, count: Int) throws {
        let shop = try Workshop()
        _ = try shop.run(Self.text)
        let store = try shop.engine().store
        try store.database.write { try $0.execute(sql: statement) }
        let report = try store.verify()
        #expect(report.damagedRows == count && !report.isClean)
    }

    @Test("a folder, a pipe or a loop in the place of a file of the index is named, and once it is deleted nothing is lost", arguments: ["", "-wal", "-shm"])
    func noFiles(suffix: String) throws {
        let whole = try Workshop()
        _ = try whole.run(Self.text)
        let store = try whole.closed()
        for (make, kind) in [
            ({ mkdir($0, 0o755) }, "a folder"), ({ mkfifo($0, 0o644) }, "no regular file"), ({ symlink($0, $0) }, "a symbolic link to itself"),
        ] as [((String) -> Int32, String)] {
            let shop = try Workshop()
            try FileManager.default.copyItem(atPath: store, toPath: shop.storePath)
            let path = "\(shop.storePath)/index.sqlite\(suffix)"
            unlink(path)
            try #require(make(path) == 0)
            #expect { try CacheStore(reading: shop.storePath) } throws: { "\($0)".contains("'\(path)' is \(kind)") && "\($0)".contains("delete it") }
            try FileManager.default.removeItem(atPath: path)
            #expect(try shop.run(Self.text).ran.isEmpty)
        }
    }
}
