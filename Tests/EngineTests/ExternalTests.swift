import Foundation
import Locking
import NodeKit
import Testing

@testable import Engine

@Suite struct ExternalTests {
    /// A node that doubles a number, and misbehaves on demand.
    private func workshop() throws -> Workshop {
        let plain = try Workshop()
        let folder = "\(plain.folder)/nodes/double"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let manifest = """
            type: t.double
            version: 3
            summary: Doubles a number.
            inputs:
              a: { type: table, help: A number. }
            outputs:
              out: { type: table, help: Twice as much. }
            parameters:
              mode: { kind: choice, choices: [good, garbage, fail, error, silent, wrong, hang], default: good, help: How. }
              pid: { kind: string, default: "", help: Where to write the number of a child process. }
            command: [python, double.py]
            """
        let program = #"""
            import json, os, struct, subprocess, sys, time
            request = json.load(open(sys.argv[1]))
            mode = request["parameters"]["mode"]
            if mode == "hang":
                child = subprocess.Popen(["sleep", "600"])
                open(request["parameters"]["pid"], "w").write(str(child.pid))
                print(json.dumps({"progress": {"done": 1, "total": 2}}), flush=True)
                time.sleep(600)
            if mode == "garbage":
                sys.stdout.buffer.write(b"\xff\xfe{{{ not json\n[1,2\n" + b"x" * 200000 + b"\n")
                print('{"progress": "soon"}')
            if mode == "fail":
                print("this is why", file=sys.stderr)
                sys.exit(3)
            if mode == "error":
                print(json.dumps({"error": "no number today"}), flush=True)
                sys.exit(1)
            if mode == "silent":
                sys.exit(0)
            data = open(request["inputs"]["a"][0], "rb").read()
            size = struct.unpack("<Q", data[:8])[0]
            value = struct.unpack("<d", data[8 + size:8 + size + 8])[0]
            print(json.dumps({"progress": {"done": 1, "total": 1, "unit": "numbers"}}), flush=True)
            print(json.dumps({"message": "doubling %g" % value}), flush=True)
            kind = "pose" if mode == "wrong" else "table"
            meta = json.dumps({"columns": [{"name": "value", "unit": ""}], "labels": [""]}, sort_keys=True)
            header = json.dumps({"__metadata__": {"understudy.type": kind, "understudy.meta": meta},
                                 "values": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}}).encode()
            with open(request["outputs"]["out"], "wb") as file:
                file.write(struct.pack("<Q", len(header)) + header + struct.pack("<d", 2 * value))
            """#
        try plain.write("nodes/double/node.yaml", manifest)
        try plain.write("nodes/double/double.py", program)
        return plain
    }

    private func engine(_ shop: Workshop) throws -> (UnderstudyEngine, Workshop) {
        let store = try CacheStore(root: shop.storePath)
        let (nodes, problems) = ExternalNode.discover(in: ["\(shop.folder)/nodes"], environments: CacheStore.environments(root: store.root))
        #expect(problems.isEmpty)
        var catalogue = testCatalogue
        for node in nodes { catalogue[node.manifest.description.type] = node.definition }
        return (UnderstudyEngine(store: store, catalogue: catalogue), try Workshop(catalogue: catalogue, borrowed: shop.folder))
    }

    private let text = "nodes:\n  one: { type: t.constant, with: { value: 21 } }\n  two: { type: t.double, in: { a: one.out } }"

    @Test func runsAProgram() throws {
        let shop = try workshop()
        let (engine, view) = try engine(shop)
        let lines = Locked<[String]>([])
        let summary = try engine.run(try view.graph(text)) { event in
            if case .log(_, let line) = event { lines.withLock { $0.append(line) } }
        }
        #expect(summary.status == .done, "\(summary.failures)")
        #expect(lines.withLock { $0 } == ["doubling 21"])
        let entries = try engine.journal.entries(of: summary.run)
        // A Python interpreter takes some megabytes; that it is not this process is seen by the sharing.
        let memory = try #require(entries.first { $0.instance.node == "two" }?.memory)
        #expect(memory.bytes > 2 << 20 && !memory.isShared)
        #expect(try Table(artifact: try #require(try engine.artifacts(of: RunTarget(node: "two"), in: view.graph(text)).first).artifact).number == 42)
        // Garbage is taken as log; an edit of the program makes its outputs anew.
        #expect(try engine.run(try view.graph(text, set: ["two.with.mode=garbage"])).status == .done)
        let program = try String(contentsOfFile: "\(shop.folder)/nodes/double/double.py", encoding: .utf8)
        try shop.write("nodes/double/double.py", program + "\n# changed\n")
        let (changed, _) = try self.engine(shop)
        let plan = try changed.plan(try view.graph(text))
        #expect(plan.entries.map(\.reasons) == [[], [.codeChanged, .parameterChanged(name: "mode", old: "\"garbage\"", new: "\"good\"")]])
        #expect(try changed.run(try view.graph(text)).ran.map(\.node) == ["two"])
    }

    @Test(arguments: [
        ("fail", "status 3"), ("fail", "this is why"), ("error", "no number today"), ("silent", "did not write its output 'out'"),
        ("wrong", "'pose'"),
    ])
    func failuresSayWhy(mode: String, expected: String) throws {
        let shop = try workshop()
        let (engine, view) = try engine(shop)
        let summary = try engine.run(try view.graph(text, set: ["two.with.mode=\(mode)"]))
        let failure = try #require(summary.failures.first)
        #expect(failure.message.contains(expected), "\(failure.message)")
    }

    @Test func cancelEndsChildrenToo() throws {
        let shop = try workshop()
        let (engine, view) = try engine(shop)
        let cancellation = Cancellation()
        let file = "\(shop.folder)/child"
        let start = Date()
        let graph = try view.graph(text, set: ["two.with.mode=hang", "two.with.pid=\"\(file)\""])
        let summary = try engine.run(graph, cancellation: cancellation) { event in
            if case .progress = event { cancellation.cancel() }
        }
        #expect(summary.status == .cancelled)
        #expect(Date().timeIntervalSince(start) < 20)
        let child = try #require(pid_t(try String(contentsOfFile: file, encoding: .utf8)))
        // Gone, or dead and not yet buried by whoever inherits orphans here.
        var isAlive = true
        for _ in 0..<50 where isAlive {
            let stat = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)) ?? ""
            isAlive = !stat.isEmpty && !stat.contains(") Z ")
            if isAlive { Thread.sleep(forTimeInterval: 0.05) }
        }
        #expect(!isAlive)
    }

    /// Needs a package index: set UNDERSTUDY_TEST_PIP to run it.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["UNDERSTUDY_TEST_PIP"] != nil))
    func makesAnEnvironmentOnce() throws {
        let shop = try workshop()
        let path = "\(shop.folder)/nodes/double/node.yaml"
        let manifest = try String(contentsOfFile: path, encoding: .utf8)
        try shop.write("nodes/double/node.yaml", manifest + "\npython: { version: \">=3.9\", no_deps: [attrs==25.3.0] }\n")
        let program = try String(contentsOfFile: "\(shop.folder)/nodes/double/double.py", encoding: .utf8)
        try shop.write("nodes/double/double.py", "import attrs\n" + program)
        let (engine, view) = try engine(shop)
        let made = Locked(0)
        for value in [21, 22] {
            let summary = try engine.run(try view.graph(text, set: ["one.with.value=\(value)"])) { event in
                if case .log(_, "the Python environment is ready") = event { made.withLock { $0 += 1 } }
            }
            #expect(summary.status == .done, "\(summary.failures)")
        }
        #expect(made.withLock { $0 } == 1)
        let missing = manifest + "\npython: { requirements: [no-such-package-of-understudy==1.0] }\n"
        try shop.write("nodes/double/node.yaml", missing)
        let (broken, other) = try self.engine(shop)
        let failure = try #require(try broken.run(try other.graph(text)).failures.first)
        #expect(failure.message.contains("pip install") && failure.message.contains("no-such-package-of-understudy"))
    }

    @Test func manifestErrorsHavePlaces() throws {
        let shop = try Workshop()
        try shop.write("node.yaml", "type: t.x\nversion: 1\nsummary: x\noutputs: { out: { type: pictur } }\ncommand: [x]\n")
        #expect {
            try ExternalManifest(file: "\(shop.folder)/node.yaml")
        } throws: { "\($0)".contains("node.yaml:4:") && "\($0)".contains("no port type 'pictur'") }
    }

    @Test(arguments: [(">=3.10", true), (">=3.9,<3.12", true), ("==3.11", true), ("3.12", false), (">3.11", false)])
    func comparesVersions(wanted: String, expected: Bool) {
        #expect(PythonEnvironment.satisfies("3.11", wanted) == expected)
    }
}
