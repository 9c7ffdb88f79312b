import Foundation
import NodeKit
import Testing

@testable import Engine

/// Faults of the disk under the store. Those that need a mount run as root only.
@Suite(.serialized) struct StorageFaultTests {
    private let text = """
        nodes:
          one: { type: t.constant, with: { value: 3 } }
          two: { type: t.add, in: { a: one.out }, with: { bias: 4 } }
          three: { type: t.sign, in: { a: two.out } }
        """

    static let mayMount = geteuid() == 0 && {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mount-\(UUID().uuidString)").path
        mkdir(folder, 0o755)
        defer { rmdir(folder) }
        guard mount("tmpfs", folder, "tmpfs", 0, "size=64k") == 0 else { return false }
        return umount(folder) == 0
    }()

    /// Fills what is left of a disk, to the last block.
    private func fill(_ path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        for size in [1 << 20, 4096] {
            let block = [UInt8](repeating: 1, count: size)
            while write(descriptor, block, block.count) > 0 {}
        }
        close(descriptor)
    }

    @Test("a full disk is an error that says so; with room again, the run goes on", .enabled(if: mayMount))
    func fullDisk() throws {
        let shop = try Workshop()
        mkdir(shop.storePath, 0o755)
        try #require(mount("tmpfs", shop.storePath, "tmpfs", 0, "size=2m") == 0)
        defer { umount2(shop.storePath, Int32(MNT_DETACH)) }
        _ = try shop.run(text, set: ["one.with.value=1"])
        let filler = "\(shop.storePath)/filler"
        fill(filler)
        var messages: [String] = []
        do {
            messages = try shop.run(text).summary.failures.map(\.message)
        } catch {
            messages = ["\(error)"]
        }
        #expect(messages.contains { $0.contains("is full; free some space") || $0.contains("No space left on device; free some disk space") }, "\(messages)")
        unlink(filler)
        let run = try shop.run(text)
        #expect(run.summary.status == .done)
        #expect(try shop.value("three", text) == 1)
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test("results can be removed when the disk is full to the last block", .enabled(if: mayMount))
    func collectionOnAFullDisk() throws {
        let shop = try Workshop(areFiles: true)
        mkdir(shop.storePath, 0o755)
        try #require(mount("tmpfs", shop.storePath, "tmpfs", 0, "size=72m") == 0)
        defer { umount2(shop.storePath, Int32(MNT_DETACH)) }
        _ = try shop.run(text)
        let filler = "\(shop.storePath)/filler"
        fill(filler)
        CacheStore.giveUpSpare(root: shop.storePath)
        #expect(try shop.engine().store.gc(maxBytes: 0).removed == 3)
        unlink(filler)
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.run(text).ran == ["one", "two", "three"])
    }

    @Test("outputs that cannot be written leave nothing half done, and the next run writes them", .enabled(if: mayMount))
    func fullOutputFolder() throws {
        let shop = try Workshop()
        let folder = "\(shop.folder)/out"
        mkdir(folder, 0o755)
        try #require(mount("tmpfs", folder, "tmpfs", 0, "size=64k") == 0)
        defer { umount2(folder, Int32(MNT_DETACH)) }
        fill("\(folder)/filler")
        var options = RunOptions(threads: 1)
        options.outputFolder = folder
        let text = text + "\noutputs: { three: three.out }"
        #expect { try shop.run(text, options: options) } throws: {
            "\($0)".contains("cannot write the outputs to '\(folder)/test'") && "\($0)".contains("No space left") && !"\($0)".contains("NSCocoa")
        }
        #expect((try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/test")) ?? [] == [])
        unlink("\(folder)/filler")
        let run = try shop.run(text, options: options)
        #expect(run.ran.isEmpty && run.summary.outputs["three"]?.count == 1)
    }

    @Test("a store of somebody else says so, whichever part of it may not be used", .enabled(if: geteuid() == 0))
    func noPermission() async throws {
        let shop = try Workshop()
        _ = try shop.run(text)
        let store = shop.storePath
        func modes(_ mode: Int, _ name: String) throws { try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: "\(store)\(name)") }
        // All of it may be used, but for one thing.
        for name in [""] + (try FileManager.default.subpathsOfDirectory(atPath: store)).map({ "/\($0)" }) { try modes(0o777, name) }
        for (name, mode) in [("", 0o755), ("/index.sqlite", 0o444), ("/index.sqlite", 0), ("/active", 0o755), ("/tmp", 0o755), ("/open.lock", 0)] {
            try modes(mode, name)
            for suffix in ["-wal", "-shm"] { unlink("\(store)/index.sqlite\(suffix)") }
            if name.isEmpty { unlink("\(store)/gc.lock") }
            let folder = shop.folder
            let text = text
            let result = try await #require(
                processExitsWith: .success, observing: [\.standardErrorContent]
            ) { [folder = folder as String, text = text as String] in
                let shop = try Workshop(borrowed: folder)
                let graph = try shop.graph(text, set: ["one.with.value=5"])
                seteuid(65534)
                do {
                    _ = try shop.engine().run(graph, options: RunOptions(threads: 1))
                    FileHandle.standardError.write(Data("nobody minded".utf8))
                } catch {
                    FileHandle.standardError.write(Data("\(error)".utf8))
                }
            }
            let said = String(decoding: result.standardErrorContent, as: UTF8.self)
            #expect(said.contains(store) && said.contains("--cache"), "\(name) \(mode): \(said)")
            try modes(0o777, name)
        }
        #expect(try shop.run(text).ran.isEmpty)
    }

    /// What somebody else is told who asks a store of files, all of which may be used but for what `forbid` forbids.
    private func told(
        _ shop: Workshop, _ forbid: () -> Void, open: (String) throws -> CacheStore = { try CacheStore(reading: $0) },
        asks: @escaping @Sendable (CacheStore, Workshop) throws -> String
    ) throws -> String {
        for name in [""] + (try FileManager.default.subpathsOfDirectory(atPath: shop.storePath)).map({ "/\($0)" }) { chmod(shop.storePath + name, 0o777) }
        forbid()
        seteuid(65534)
        defer { seteuid(0) }
        do {
            return try asks(open(shop.storePath), shop)
        } catch {
            return "\(error)"
        }
    }

    @Test("what cannot be read for a while is neither missing nor damaged", .enabled(if: geteuid() == 0), arguments: ["", "/objects", "artifact"])
    func unreadable(part: String) async throws {
        let shop = try Workshop(areFiles: true)
        _ = try shop.run(text)
        let folder = shop.folder
        let text = text
        // In a process of its own, since the user is the process's.
        let result = try await #require(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [folder = folder as String, text = text as String, part = part as String] in
            let shop = try Workshop(borrowed: folder, areFiles: true)
            let object = try #require(try shop.engine().store.list().first)
            let path = part == "artifact" ? try shop.engine().store.path(of: object.digest, suffix: object.suffix) : shop.storePath + part
            let tests = StorageFaultTests()
            let graph = try shop.graph(text)
            let asked = try [
                tests.told(shop, { chmod(path, 0) }) { store, _ in try store.verify().unreadable.joined() },
                tests.told(shop, { chmod(path, 0) }) { store, shop in
                    // As after a lost index: nothing is known of the files.
                    if access(path, F_OK) == 0 { try store.database.write { try $0.execute(sql: "UPDATE objects SET modified = -1") } }
                    return "\(try UnderstudyEngine(store: store, catalogue: shop.catalogue).plan(graph).entries)"
                },
            ]
            FileHandle.standardError.write(Data(asked.joined(separator: "\n").utf8))
        }
        let said = String(decoding: result.standardErrorContent, as: UTF8.self).split(separator: "\n")
        #expect(said.count == 2 && said.allSatisfy { $0.contains("cannot read '\(shop.storePath)") && $0.contains("Permission denied") }, "\(said)")
        for name in [""] + (try FileManager.default.subpathsOfDirectory(atPath: shop.storePath)).map({ "/\($0)" }) { chmod(shop.storePath + name, 0o777) }
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.engine().store.list().count == 3)
        #expect(try shop.run(text).ran.isEmpty)
    }

    @Test("what cannot be removed or written is told, and still known", .enabled(if: geteuid() == 0))
    func forbiddenFolders() async throws {
        let shop = try Workshop(areFiles: true)
        _ = try shop.run(text)
        let folder = shop.folder
        let text = text
        let result = try await #require(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [folder = folder as String, text = text as String] in
            let shop = try Workshop(borrowed: folder, areFiles: true)
            let object = try #require(try shop.engine().store.list().first)
            let path = try shop.engine().store.path(of: object.digest, suffix: object.suffix)
            let tests = StorageFaultTests()
            let other = try shop.graph(text, set: ["one.with.value=5"])
            let asked = try [
                tests.told(shop, { chmod((path as NSString).deletingLastPathComponent, 0o555) }) { store, _ in
                    let report = try store.gc(maxBytes: 0)
                    return "\(report.removed) \(report.failures) \(report.keptBytes > 0) \(try store.list().map(\.digest) == [object.digest])"
                },
                tests.told(shop, { chmod(shop.storePath + "/objects", 0o555) }, open: { try CacheStore(root: $0, inlineLimit: 0) }) { store, shop in
                    try UnderstudyEngine(store: store, catalogue: shop.catalogue).run(other).failures.map(\.message).joined()
                },
                // Left by somebody who might not write to the index.
                tests.told(shop, { chmod(shop.storePath + "/index.sqlite", 0o444) }) { store, _ in
                    try store.setPinned(false, digest: object.digest)
                    return "written"
                },
                tests.told(shop, {
                    for suffix in ["-wal", "-shm"] where chmod(shop.storePath + "/index.sqlite\(suffix)", 0o444) == 0 {
                        chown(shop.storePath + "/index.sqlite\(suffix)", 65534, 65534)
                    }
                }) { store, _ in "\(try store.verify().isClean)" },
                path,
            ]
            FileHandle.standardError.write(Data(asked.joined(separator: "\n").utf8))
        }
        let said = String(decoding: result.standardErrorContent, as: UTF8.self).split(separator: "\n").map(String.init)
        try #require(said.count == 5, "\(said)")
        #expect(said[0] == "2 [\"\(said[4]): Permission denied\"] true true")
        #expect(said[1].contains("cannot make the folder") && said[1].contains("Permission denied; the cache must be writable"), "\(said[1])")
        #expect(said[2].contains("the cache must be writable"), "\(said[2])")
        #expect(said[3] == "true")
    }

    @Test("a store on a full disk can be read", .enabled(if: mayMount))
    func readingOnAFullDisk() throws {
        let shop = try Workshop()
        mkdir(shop.storePath, 0o755)
        try #require(mount("tmpfs", shop.storePath, "tmpfs", 0, "size=2m") == 0)
        defer { umount2(shop.storePath, Int32(MNT_DETACH)) }
        let whole = try Workshop()
        _ = try whole.run(text)
        for name in try FileManager.default.contentsOfDirectory(atPath: try whole.closed()) {
            try FileManager.default.copyItem(atPath: "\(whole.storePath)/\(name)", toPath: "\(shop.storePath)/\(name)")
        }
        fill("\(shop.storePath)/filler")
        do {
            let store = try CacheStore(reading: shop.storePath)
            #expect(!store.keepsNotes)
            let engine = UnderstudyEngine(store: store, catalogue: shop.catalogue)
            let graph = try shop.graph(text)
            #expect(try engine.plan(graph).entries.allSatisfy { $0.status == .cached })
            #expect(try engine.journal.runs().count == 1)
            #expect(try Table(artifact: try #require(try engine.artifacts(of: RunTarget("three", in: graph), in: graph).first).artifact).number == 1)
            #expect(try store.verify().isClean)
            #expect(try store.exportArchive(run: 1, to: "\(shop.folder)/run.tar").actions == 3)
        }
        #expect { try shop.run(text, set: ["one.with.value=9"]) } throws: { "\($0)".contains("is full") }
    }

    @Test("a store that may not be written says so and where to put it", .enabled(if: mayMount))
    func readOnlyStore() throws {
        let shop = try Workshop()
        _ = try shop.run(text)
        // The folder over itself, read-only: whoever still has files of the first run open does not matter.
        try #require(mount(shop.storePath, shop.storePath, nil, UInt(MS_BIND), nil) == 0)
        defer { umount2(shop.storePath, Int32(MNT_DETACH)) }
        try #require(mount(nil, shop.storePath, nil, UInt(MS_BIND | MS_REMOUNT | MS_RDONLY), nil) == 0)
        #expect { try shop.run(text, set: ["one.with.value=9"]) } throws: { "\($0)".contains("--cache") }
    }

    @Test("too few file descriptors: a clear error, and the store stays whole", arguments: [5, 8, 10, 12, 14, 18, 26])
    func fewDescriptors(limit: Int) async throws {
        let shop = try Workshop()
        _ = try shop.run(text)
        let folder = shop.folder
        let text = text
        let result = try await #require(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [folder = folder as String, text = text as String, limit = limit as Int] in
            let shop = try Workshop(borrowed: folder)
            let graph = try shop.graph(text, set: ["one.with.value=5"])
            var limits = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
            setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limits)
            do {
                let failures = try shop.engine().run(graph, options: RunOptions(threads: 1)).failures
                FileHandle.standardError.write(Data(failures.map(\.message).joined(separator: "\n").utf8))
            } catch {
                FileHandle.standardError.write(Data("\(error)".utf8))
            }
        }
        let said = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(said.isEmpty || said.contains("ulimit -n"), "\(said)")
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.run(text, set: ["one.with.value=5"]).summary.status == .done)
    }

    @Test("a clock that jumped backwards changes nothing")
    func clockJump() throws {
        let shop = try Workshop(areFiles: true)
        _ = try shop.run(text)
        // As if everything had been stored in the future.
        let later = Date().addingTimeInterval(86_400 * 400)
        for object in try shop.engine().store.list() {
            let path = try shop.engine().store.path(of: object.digest, suffix: object.suffix)
            try FileManager.default.setAttributes([.modificationDate: later], ofItemAtPath: path)
        }
        try shop.engine().store.database.write { db in
            try db.execute(sql: "UPDATE objects SET created = created + 1e8, used = used + 1e8")
            try db.execute(sql: "UPDATE runs SET started = started + 1e8, ended = ended + 1e8")
        }
        #expect(try shop.run(text).ran.isEmpty)
        #expect(try shop.run(text, set: ["two.with.bias=5"]).ran == ["two", "three"])
        #expect(try shop.engine().store.verify().isClean)
        #expect(try shop.engine().store.gc(maxBytes: 0).protected == 0)
        #expect(try shop.run(text).ran == ["one", "two", "three"])
    }

    @Test("a value with NaN is reported where it was made, and not cached")
    func notFinite() throws {
        let shop = try Workshop()
        let text = "inputs: { clip: { type: file, default: clip.txt } }\nnodes:\n  read: { type: t.read, in: { file: inputs.clip } }"
        try shop.write("clip.txt", "1\n2\nnan\ninf\n5")
        let failure = try #require(try shop.run(text).summary.failures.first)
        #expect(failure.message.contains("2 of 5 values of 'tokens' [5, 1, 1]"), "\(failure.message)")
        #expect(failure.message.contains("the first at [2, 0, 0]"))
        #expect(try shop.engine().store.list().isEmpty)
        try shop.write("clip.txt", "1\n2\n3")
        #expect(try shop.run(text).ran == ["read"])
    }
}
