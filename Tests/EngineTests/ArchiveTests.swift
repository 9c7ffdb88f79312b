import Foundation
import NodeKit
import Testing

@testable import Engine

@Suite struct ArchiveTests {
    private let chain = CachingTests().chain

    /// A run of the chain graph in a store of its own, exported.
    private func exported(_ name: String = "run.tar.gz") throws -> (shop: Workshop, archive: String) {
        let shop = try Workshop()
        try shop.write("clip.txt", (1...13).map { "\($0)" }.joined(separator: "\n"))
        _ = try shop.run(chain)
        let archive = "\(shop.folder)/\(name)"
        let report = try CacheStore(root: shop.storePath).exportArchive(run: 1, to: archive)
        #expect(report.skipped == 0 && report.objects > 0)
        return (shop, archive)
    }

    @Test(arguments: ["run.tar", "run.tar.gz", "run.tar.zst"])
    func anotherMachineGoesOn(name: String) throws {
        let (shop, archive) = try exported(name)
        let digest = try #require(try shop.engine().artifacts(of: RunTarget(node: "total"), in: shop.graph(chain)).first).artifact.digest
        // The same graph elsewhere, with an empty store.
        let other = try Workshop()
        try other.write("clip.txt", (1...13).map { "\($0)" }.joined(separator: "\n"))
        let store = try CacheStore(root: other.storePath)
        let report = try store.importArchive(from: archive)
        #expect(report.skipped == 0)
        #expect(try other.run(chain).ran.isEmpty)
        #expect(try other.engine().artifacts(of: RunTarget(node: "total"), in: other.graph(chain)).first?.artifact.digest == digest)
        #expect(try store.verify().isClean)
        // What follows an edit runs on what was imported.
        #expect(try other.run(chain, set: ["step.with.seed=1"]).ran == ["step[0]", "step[1]", "step[2]", "total"])
        #expect(try store.importArchive(from: archive).actions == 0)
    }

    @Test func unknownEndingsAreRefused() throws {
        let (shop, _) = try exported()
        let store = try CacheStore(root: shop.storePath)
        // A few bytes of xz may ask for gigabytes, so that it is not read, and hence not written.
        for name in ["run.bin", "run.tar.xz"] {
            #expect { try store.exportArchive(run: 1, to: "\(shop.folder)/\(name)") } throws: { "\($0)".contains(".tar.zst") }
        }
        #expect { try store.exportArchive(run: 9, to: "\(shop.folder)/run.tar") } throws: { "\($0)".contains("no run 9") }
    }

    @Test("a truncated or altered archive is refused and leaves a clean store")
    func damagedArchives() throws {
        let (shop, archive) = try exported("run.tar")
        let whole = try Data(contentsOf: URL(fileURLWithPath: archive))
        var cases: [Data] = [Data(), Data("not an archive at all".utf8), whole.prefix(whole.count / 2), whole.prefix(700), Data(count: 10_240)]
        // A flipped bit in an artifact's bytes: 'value' tables end in an f64 inside the first entries.
        var flipped = whole
        let name = try #require(whole.range(of: Data("objects/".utf8)))
        flipped[name.lowerBound + 512 + 8] ^= 1
        cases.append(flipped)
        // A name that leaves the folder.
        var escaping = whole
        escaping.replaceSubrange(name, with: Data("../jects".utf8))
        cases.append(escaping)
        for (index, bytes) in cases.enumerated() {
            let path = "\(shop.folder)/bad.tar"
            try bytes.write(to: URL(fileURLWithPath: path))
            let other = try Workshop()
            let store = try CacheStore(root: other.storePath)
            #expect(throws: StoreError.self, "case \(index)") { try store.importArchive(from: path) }
            #expect(try store.verify().isClean)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(other.storePath)/tmp").isEmpty)
        }
    }

    @Test("numbers and names that cannot be are refused", arguments: [
        ("\"seconds\":1", "\"seconds\":1e307"), ("\"seconds\":1", "\"seconds\":-1"), ("\"bytes\":8", "\"bytes\":9223372036854775807"),
        ("\"bytes\":8", "\"bytes\":-8"), ("\"bytes\":7", "\"bytes\":9223372036854775807"), ("t.node", "t\\u001b[31m"),
    ])
    func wrongRecords(old: String, new: String) throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        let key = Digest.of("key")
        let output = "{\"type\":\"table\",\"digest\":\"\(Digest.of("value"))\",\"suffix\":\"safetensors\",\"bytes\":8}"
        let record = """
            {"key":"\(key)","memory":{"bytes":7,"isShared":false},"node":"t.node","version":1,"seconds":1,"outputs":{"out":\(output)}}
            """
        for (text, reason) in [(record, "is not in it"), (record.replacing(old, with: new), "is not an action's record")] {
            let archive = "\(shop.folder)/run.tar"
            let writer = try ArchiveWriter(path: archive)
            try writer.write(Data(text.utf8), as: "actions/\(key).json")
            try writer.finish()
            // What is right but for its artifact comes further.
            #expect { try store.importArchive(from: archive) } throws: { "\($0)".contains(reason) }
        }
    }

    @Test("what is said to be larger than the disk, or begins as no tensors do, is refused before it is written", arguments: [
        (UInt64(1) << 50, "has room for"), (UInt64(1) << 20, "does not hold the bytes"),
    ])
    func bombs(size: UInt64, reason: String) throws {
        let shop = try Workshop()
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at place: Int) { for (i, byte) in text.utf8.enumerated() { header[place + i] = byte } }
        put("objects/\(Digest.of("zeros")).safetensors", at: 0)
        put("0000644", at: 100)
        // In base 256, as sizes are written that octal digits cannot hold.
        header[124] = 0x80
        for i in 0..<8 { header[128 + i] = UInt8(truncatingIfNeeded: size >> UInt64(56 - 8 * i)) }
        put("        0", at: 148)
        put("ustar\u{0}00", at: 257)
        put(String(header.reduce(0) { $0 + Int($1) }, radix: 8) + "\u{0}", at: 148)
        let archive = "\(shop.folder)/bomb.tar"
        try Data(header + [UInt8](repeating: 0, count: 1 << 20) + [UInt8](repeating: 0, count: 1024)).write(to: URL(fileURLWithPath: archive))
        #expect { try CacheStore(root: shop.storePath).importArchive(from: archive) } throws: { "\($0)".contains(reason) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(shop.storePath)/tmp").isEmpty)
    }
}
