import Foundation
import GRDB
import NodeKit
import Testing

@testable import Engine

/// Results on their way to the disk, and those that the index holds itself.
@Suite struct CommitTests {
    private let text = """
        nodes:
          one: { type: t.constant, with: { value: 3 } }
          two: { type: t.add, in: { a: one.out }, with: { bias: 4 } }
        """

    private func files(_ shop: Workshop) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: "\(shop.storePath)/objects").filter { $0.hasSuffix(".safetensors") }
    }

    @Test func smallResultsNeedNoFile() throws {
        let shop = try Workshop()
        #expect(try shop.run(text).ran == ["one", "two"])
        #expect(try files(shop).isEmpty)
        #expect(try shop.run(text, set: ["two.with.bias=5"]).ran == ["two"])
        // Whoever wants one gets one, as often as it is taken away or changed.
        #expect(try shop.value("two", text) == 7)
        let path = "\(shop.storePath)/objects/\(try #require(try files(shop).first))"
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        func damage() throws {
            chmod(path, 0o644)
            try Data("changed".utf8).write(to: URL(fileURLWithPath: path))
        }
        for harm in [damage, { unlink(path) }] {
            try harm()
            #expect(try shop.value("two", text) == 7)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)
        }
        // Verification says that it was changed and writes it again; nothing has to run for that.
        try damage()
        #expect(try shop.engine().store.verify().damaged == [path])
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.run(text).ran.isEmpty)
    }

    @Test func damagedBytesInTheIndexAreMadeAgain() throws {
        let shop = try Workshop()
        _ = try shop.run(text)
        try shop.engine().store.database.write { db in try db.execute(sql: "UPDATE objects SET data = zeroblob(length(data))") }
        let failed = try shop.run(text, set: ["two.with.bias=5"])
        #expect(failed.summary.failures.first?.message.contains("run again") == true)
        #expect(try shop.run(text, set: ["two.with.bias=5"]).ran == ["one", "two"])
        #expect(try shop.engine().store.verify().damaged.count == 1)
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.run(text).ran == ["two"])
    }

    @Test func resultsOfEitherKindGoTogether() throws {
        let shop = try Workshop()
        let asFiles = try Workshop(borrowed: shop.folder, areFiles: true)
        _ = try asFiles.run(text)
        #expect(try files(shop).count == 2)
        #expect(try shop.run(text).ran.isEmpty)
        #expect(try shop.run(text, set: ["two.with.bias=1"]).ran == ["two"])
        #expect(try asFiles.run(text, set: ["two.with.bias=1"]).ran.isEmpty)
        #expect(try shop.engine().store.gc(maxBytes: 0).removed == 3)
        #expect(try files(shop).isEmpty)
        #expect(try shop.run(text).ran == ["one", "two"])
    }

    @Test func manyResultsOfOneRunAreAllThere() throws {
        let shop = try Workshop()
        let nodes = (0..<700).map { "  n\($0): { type: t.constant, with: { value: \($0) } }" }.joined(separator: "\n")
        #expect(try shop.run("nodes:\n\(nodes)").summary.ran.count == 700)
        let again = try shop.run("nodes:\n\(nodes)").summary
        #expect(again.ran.isEmpty && again.cached.count == 700)
        #expect(try shop.engine().journal.entries(of: again.run - 1).count { $0.status == .ran } == 700)
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test func recordsReadAsTheyWereWritten() throws {
        let digest = Digest.of("x")
        let outputs: [String: ActionRecord.Output] = [
            "a": .init(type: "table", digest: digest, suffix: "safetensors", bytes: 12),
            "list[0] \"ä\"\n": .init(type: "list<video>", digest: digest, suffix: "mp4", bytes: 1 << 40),
        ]
        #expect(ActionRecord.outputs(json: ActionRecord.json(outputs)) == outputs)
        let record = ActionRecord(
            key: digest, node: "t.\\x", version: 3, seconds: 0.25, memory: PeakMemory(bytes: 5, isShared: true), outputs: outputs,
            source: digest)
        #expect(JSON.decode(ActionRecord.self, record.json) == record)
        for memory in [PeakMemory(bytes: 1 << 40, isShared: false), .init(bytes: 0, isShared: true)] {
            #expect(memory.json == JSON.text(memory) && PeakMemory(json: memory.json) == memory)
            #expect(PeakMemory(json: "{ \"isShared\": \(memory.isShared), \"bytes\": \(memory.bytes) }") == memory)
        }
        let inputs: [String: [Fingerprint.Input]] = [
            "in": [.init(from: "a.b[0..<7]", digest: digest, path: nil), .init(from: "inputs.\"c\"", digest: nil, path: "/tmp/ü")], "none": [],
        ]
        #expect(Fingerprint.inputs(json: Fingerprint.json(inputs)) == inputs)
        #expect(JSON.decode([String: [Fingerprint.Input]].self, Fingerprint.json(inputs)) == inputs)
    }
}
