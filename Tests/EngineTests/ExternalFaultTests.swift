import Foundation
import NodeKit
import Testing

@testable import Engine

/// External programs at their worst: a clear message, nothing of theirs cached, nothing of theirs left running.
@Suite struct ExternalFaultTests {
    /// A node whose program runs some lines of Python and then doubles its number; its requests and streams are as for any.
    private func run(
        _ lines: String, extra: String = "", in folder: String? = nil, events: @escaping @Sendable (RunEvent) -> Void = { _ in }
    ) throws -> (shop: Workshop, summary: RunSummary) {
        let shop = try Workshop(borrowed: folder)
        try FileManager.default.createDirectory(atPath: "\(shop.folder)/nodes", withIntermediateDirectories: true)
        try shop.write(
            "nodes/node.yaml",
            """
            type: t.bad
            version: 1
            summary: Misbehaves.
            inputs: { a: table }
            outputs: { out: table }
            command: [python, bad.py]
            \(extra)
            """)
        try shop.write(
            "nodes/bad.py",
            """
            import json, os, shutil, signal, struct, subprocess, sys, time
            request = json.load(open(sys.argv[1]))
            shutil.copyfile(request["inputs"]["a"][0], request["outputs"]["out"])
            os.chmod(request["outputs"]["out"], 0o644)
            \(lines)
            """)
        let store = try CacheStore(root: shop.storePath)
        let (nodes, problems) = ExternalNode.discover(in: ["\(shop.folder)/nodes"], environments: CacheStore.environments(root: store.root))
        #expect(problems.isEmpty, "\(problems)")
        var catalogue = testCatalogue
        for node in nodes { catalogue[node.manifest.description.type] = node.definition }
        let view = try Workshop(catalogue: catalogue, borrowed: shop.folder)
        let graph = try view.graph("nodes:\n  one: { type: t.constant }\n  bad: { type: t.bad, in: { a: one.out } }")
        let summary = try UnderstudyEngine(store: store, catalogue: catalogue).run(graph, options: RunOptions(threads: 1), events: events)
        #expect(try store.verify().isClean)
        return (shop, summary)
    }

    private func failure(_ lines: String, extra: String = "") throws -> String {
        try #require(try run(lines, extra: extra).summary.failures.first, "nobody noticed").message
    }

    @Test("what an output is linked to is copied, and stays the program's")
    func linkedOutputs() throws {
        for link in ["symlink", "link"] {
            let folder = FileManager.default.temporaryDirectory.appending(path: "linked-\(UUID().uuidString)").path
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let other = "\(folder)/other"
            let (shop, summary) = try run("os.rename(request['outputs']['out'], '\(other)'); os.\(link)('\(other)', request['outputs']['out'])", in: folder)
            #expect(summary.status == .done, "\(summary.failures.map(\.message))")
            #expect(try FileManager.default.attributesOfItem(atPath: other)[.posixPermissions] as? Int == 0o644)
            let handle = try #require(FileHandle(forWritingAtPath: other))
            try handle.write(contentsOf: Data("scribble".utf8))
            try handle.close()
            #expect(try shop.engine().store.verify().isClean)
        }
    }

    @Test(arguments: [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "", "signal 11"),
        ("bytearray(4 << 30)", "memory_limit: 1 GiB", "1024 MiB of memory: 'memory_limit'"), ("bytearray(4 << 30)", "memory_limit: 1 GiB", "MemoryError"),
        ("time.sleep(600)", "timeout: 0.5", "timeout of 0.5"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", "timeout: 0.5\ngrace: 0.2", "timeout of 0.5"),
        ("open(request['outputs']['out'], 'wb').write(b'no artifact at all')", "", "is no 'table'"),
        ("os.truncate(request['outputs']['out'], 100)", "", "is no 'table'"),
        ("os.unlink(request['outputs']['out']); os.mkdir(request['outputs']['out'])", "", "is a folder; a file is expected"),
        ("os.unlink(request['outputs']['out']); os.mkfifo(request['outputs']['out'])", "", "is a named pipe; a file is expected"),
        ("os.unlink(request['outputs']['out']); os.symlink('/nowhere', request['outputs']['out'])", "", "is a link to nothing"),
        ("os.unlink(request['outputs']['out'])", "", "did not write its output 'out'"),
        ("open(request['outputs']['out'], 'ab').write(b'more')", "", "4 bytes of its data belong to no tensor"),
        ("open('note.txt', 'w').write('mine')", "", "its program changed while the graph ran ('"),
        ("open('bad.py', 'a').write('#')", "", "/bad.py'); run again"),
        ("sys.stderr.write('e' * 900000 + chr(10)); sys.exit(3)", "", "ended with status 3"),
    ])
    func messagesSayWhat(lines: String, extra: String, expected: String) throws {
        let message = try failure(lines, extra: extra)
        #expect(message.contains(expected), "\(message)")
    }

    @Test("a program that writes to its input fails, and the input is made again")
    func writesToItsInput() throws {
        let (shop, summary) = try run(
            """
            path = request["inputs"]["a"][0]
            os.chmod(path, 0o644)
            with open(path, "r+b") as file:
                file.seek(-3, 2)
                file.write(b"!")
            """)
        let failure = try #require(summary.failures.first)
        #expect(failure.message.contains("wrote to its input 'a'"), "\(failure.message)")
        let text = "nodes:\n  one: { type: t.constant }"
        #expect(try shop.run(text).summary.status == .done)
        #expect(try shop.value("one", text) == 1)
    }

    @Test("a damaged file of an artifact that the index holds is found by verification, and made anew for the next program")
    func damagedCopies() throws {
        let shop = try run("").shop
        let store = try CacheStore(root: shop.storePath)
        let copies = try store.list().map { store.path(of: $0.digest, suffix: $0.suffix) }.filter(FileManager.default.fileExists)
        let copy = try #require(copies.first)
        chmod(copy, 0o644)
        let handle = try #require(FileHandle(forUpdatingAtPath: copy))
        try handle.seek(toOffset: try handle.seekToEnd() - 1)
        try handle.write(contentsOf: Data([0x55]))
        try handle.close()
        #expect(try store.verify().damaged == [copy])
        #expect(try store.verify().isClean)
        let again = try run("# changed", in: shop.folder)
        #expect(again.summary.ran.map(\.node) == ["bad"] && FileManager.default.fileExists(atPath: copy))
    }

    @Test("what a program says without end of line, or as no text, is neither held nor a failure")
    func garbage() throws {
        let (_, summary) = try run(
            """
            for _ in range(200):
                sys.stdout.buffer.write(os.urandom(1000).replace(b"\\n", b"") * 100)
            sys.stderr.buffer.write(b"\\xff" * 3000000)
            """)
        #expect(summary.status == .done, "\(summary.failures.map(\.message))")
    }

    /// Children in the program's process group, and daemons, which left it.
    static let children = ["sleep 600", "exec setsid sleep 600", "(setsid sh -c 'sleep 600' > /dev/null 2>&1 &) ; exec sleep 600"]

    /// Starts a child, and notes the numbers of its processes that sleep.
    private static func leave(_ child: String) -> String {
        """
        length = "600.%d" % os.getpid()
        child = "\(child)"
        subprocess.Popen(["sh", "-c", child.replace("600", length)])
        left = []
        while len(left) < child.count("sleep"):
            time.sleep(0.05)
            left = []
            for number in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if open("/proc/%s/cmdline" % number).read() == "sleep\\0%s\\0" % length: left.append(number)
                except OSError:
                    pass
        open(os.path.join(os.path.dirname(sys.argv[0]), "..", "children"), "w").write(" ".join(left))
        """
    }

    @Test("children that a program leaves behind are ended with it, and their open pipes are not waited for", arguments: children)
    func leavesChildren(child: String) throws {
        let (shop, summary) = try run(Self.leave(child))
        #expect(summary.status == .done, "\(summary.failures.map(\.message))")
        try expectDeath(in: shop)
    }

    @Test("programs and their children end with the engine, even when that is killed", arguments: children)
    func endsWithTheEngine(child: String) async throws {
        let shop = try Workshop()
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = shop.folder as String, child = child as String] in
            _ = try ExternalFaultTests().run(
                """
                \(ExternalFaultTests.leave(child))
                print(json.dumps({"progress": {"done": 1, "total": 2}}), flush=True)
                time.sleep(600)
                """, in: folder
            ) { event in
                if case .progress = event { kill(getpid(), SIGKILL) }
            }
        }
        try expectDeath(in: shop)
    }

    @Test("NaN in what a program writes is reported and not cached, as that of any node")
    func notFinite() throws {
        let shop = try run("").shop
        try shop.write(
            "nodes/node.yaml",
            "type: t.bad\nversion: 1\nsummary: Makes no sound.\noutputs: { out: audio }\ncommand: [python, bad.py]\n")
        try shop.write(
            "nodes/bad.py",
            """
            import json, struct, sys
            meta = json.dumps({"sampleRate": 8000, "start": {"num": 0, "den": 1}})
            head = json.dumps({"__metadata__": {"understudy.type": "audio", "understudy.meta": meta},
                               "samples": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
            out = json.load(open(sys.argv[1]))["outputs"]["out"]
            open(out, "wb").write(struct.pack("<Q", len(head)) + head + struct.pack("<3f", 1, float("nan"), 2))
            """)
        let nodes = ExternalNode.discover(in: ["\(shop.folder)/nodes"], environments: CacheStore.environments(root: shop.storePath)).nodes
        let bad = try #require(nodes.first).definition
        let view = try Workshop(catalogue: ["t.bad": bad], borrowed: shop.folder)
        let failure = try #require(try view.run("nodes:\n  bad: { type: t.bad }").summary.failures.first, "nobody noticed")
        #expect(failure.message.contains("output 'out' is not finite: 1 of 3 values of 'samples'"), "\(failure.message)")
        #expect(try view.engine().store.list().allSatisfy { $0.type == "table" })
    }

    /// Waits for the processes whose numbers a program left to be gone.
    private func expectDeath(in shop: Workshop) throws {
        let children = try String(contentsOfFile: "\(shop.folder)/children", encoding: .utf8).split(separator: " ").compactMap { pid_t($0) }
        try #require(!children.isEmpty)
        func areAlive() -> Bool {
            children.contains { child in
                let stat = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)) ?? ""
                return !stat.isEmpty && !stat.contains(") Z ")
            }
        }
        for _ in 0..<200 where areAlive() { Thread.sleep(forTimeInterval: 0.05) }
        #expect(!areAlive())
    }
}
