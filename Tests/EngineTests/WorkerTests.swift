import Foundation
import Locking
import NodeKit
import Testing

@testable import Engine

/// External nodes whose program stays between instances.
@Suite struct WorkerTests {
    /// A node that adds numbers, notes its process in a file, and misbehaves on demand.
    private static let program = #"""
        import json, os, struct, subprocess, sys, time, traceback

        def main(request):
            p = request["parameters"]
            with open(p["log"], "a") as file:
                file.write(f"{os.getpid()}\n")
            if p["mode"] == "fail":
                raise ValueError("no number today")
            if p["mode"] == "die":
                print("about to die", file=sys.stderr, flush=True)
                os._exit(9)
            if p["mode"] == "hang":
                child = subprocess.Popen(["sleep", "600"])
                with open(p["log"] + ".child", "w") as file:
                    file.write(str(child.pid))
                print(json.dumps({"progress": {"done": 1, "total": 2}}), flush=True)
                time.sleep(600)
            print("done? {not json", flush=True)
            time.sleep(p["seconds"])
            data = open(request["inputs"]["a"][0], "rb").read()
            size = struct.unpack("<Q", data[:8])[0]
            value = struct.unpack("<d", data[8 + size:8 + size + 8])[0] + p["plus"]
            meta = json.dumps({"columns": [{"name": "value", "unit": ""}], "labels": [""]}, sort_keys=True)
            header = json.dumps({"__metadata__": {"understudy.type": "table", "understudy.meta": meta},
                                 "values": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}}).encode()
            with open(request["outputs"]["out"], "wb") as file:
                file.write(struct.pack("<Q", len(header)) + header + struct.pack("<d", value))

        if sys.argv[1] != "--worker":
            main(json.load(open(sys.argv[1])))
        else:
            for line in sys.stdin:
                run = json.loads(line)["run"]
                try:
                    request = json.load(open(run))
                    mode = request["parameters"]["mode"]
                    if mode == "long":
                        raise ValueError("no number " + 200000 * "x")
                    if mode == "surrogate":
                        raise ValueError("no number in \udcff")
                    main(request)
                    if mode == "unwritten":
                        os.unlink(request["outputs"]["out"])
                    if mode == "silent":
                        os.close(1)
                        time.sleep(600)
                    if mode == "prefix":
                        print("99 % ", end="")
                    answer = {"done": mode != "false", "run": run if mode != "other" else "/another"}
                    if mode == "nameless":
                        del answer["run"]
                    print(json.dumps(answer), flush=True)
                    if mode == "twice":
                        print(json.dumps(answer), flush=True)
                except Exception as error:
                    traceback.print_exc()
                    print(json.dumps({"failed": str(error), "run": run}), flush=True)
        """#

    /// A workshop with the node, and an engine that knows it.
    private func workshop(_ settings: String) throws -> (shop: Workshop, engine: UnderstudyEngine) {
        let shop = try Workshop()
        try FileManager.default.createDirectory(atPath: "\(shop.folder)/nodes", withIntermediateDirectories: true)
        try shop.write(
            "nodes/node.yaml",
            """
            type: t.plus
            version: 1
            summary: Adds.
            inputs: { a: { type: table, help: A number. } }
            outputs: { out: { type: table, help: The sum. } }
            parameters:
              plus: { kind: number, default: 1, help: Added. }
              seconds: { kind: number, default: 0, help: How long it takes. }
              mode: { kind: choice, choices: [good, fail, die, hang, long, surrogate, unwritten, silent, prefix, false, other, nameless, twice], default: good, help: How. }
              log: { kind: string, default: "\(shop.folder)/log", help: Where to note the process. }
            command: [python, plus.py]
            \(settings)
            """)
        try shop.write("nodes/plus.py", Self.program)
        let store = try CacheStore(root: shop.storePath)
        let (nodes, problems) = ExternalNode.discover(in: ["\(shop.folder)/nodes"], environments: "\(shop.folder)/environments")
        #expect(problems.isEmpty)
        var catalogue = testCatalogue
        for node in nodes { catalogue[node.manifest.description.type] = node.definition }
        return (
            try Workshop(catalogue: catalogue, borrowed: shop.folder, owner: shop),
            UnderstudyEngine(store: store, catalogue: catalogue)
        )
    }

    /// The processes that did the instances, in order.
    private func processes(_ shop: Workshop) -> [String] {
        ((try? String(contentsOfFile: "\(shop.folder)/log", encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }

    private func isAlive(_ pid: String) -> Bool {
        // Gone, or dead and not yet buried by whoever inherits orphans here.
        for _ in 0..<100 {
            let stat = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
            if stat.isEmpty || stat.contains(") Z ") { return false }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return true
    }

    private let chain = """
        nodes:
          zero: { type: t.constant, with: { value: 0 } }
          a: { type: t.plus, in: { a: zero.out }, with: { plus: 1 } }
          b: { type: t.plus, in: { a: a.out }, with: { plus: 2 } }
          c: { type: t.plus, in: { a: b.out }, with: { plus: 3 } }
        """

    @Test func isStartedOnceAndMakesTheSame() throws {
        let (shop, engine) = try workshop("worker: true")
        let summary = try engine.run(try shop.graph(chain))
        #expect(summary.status == .done, "\(summary.failures)")
        let pids = processes(shop)
        #expect(pids.count == 3 && Set(pids).count == 1)
        #expect(!isAlive(try #require(pids.first)))
        // A program for each instance gives the same bytes.
        let (other, single) = try workshop("worker: false")
        #expect(try single.run(try other.graph(chain)).status == .done)
        #expect(Set(processes(other)).count == 3)
        let warm = try engine.journal.entries(of: summary.run), cold = try single.journal.entries(of: 1)
        #expect(warm.map { $0.outputs.mapValues(\.digest) } == cold.map { $0.outputs.mapValues(\.digest) })
    }

    @Test(arguments: [("fail", "no number today"), ("die", "about to die")])
    func afterAFailureTheNextGetsANewOne(mode: String, expected: String) throws {
        let (shop, engine) = try workshop("worker: true\ncost: { limit: 1 }")
        let text = """
            nodes:
              zero: { type: t.constant, with: { value: 0 } }
              good: { type: t.plus, in: { a: zero.out } }
              bad:  { type: t.plus, in: { a: good.out }, with: { mode: \(mode) } }
              late: { type: t.plus, in: { a: good.out }, with: { plus: 7 } }
            """
        var options = RunOptions(threads: 1)
        options.keepsGoing = true
        let summary = try engine.run(try shop.graph(text), options: options)
        #expect(summary.failures.map(\.instance.node) == ["bad"])
        let failure = try #require(summary.failures.first)
        #expect(failure.message.contains(expected), "\(failure.message)")
        let log = try String(contentsOfFile: try #require(failure.log), encoding: .utf8)
        #expect(log.contains(expected))
        #expect(summary.ran.map(\.node).contains("late"))
        let pids = processes(shop)
        #expect(pids.count == 3 && Set(pids).count == 2)
    }

    /// Without a timeout: nothing is waited for that will not come.
    @Test("answers that nobody can rely on are errors at once, and no other instance's",
        arguments: [
            ("long", "no number xxx"), ("surrogate", "no number in \u{FFFD}"), ("unwritten", "did not write its output 'out'"),
            ("silent", "closed its standard output"), ("prefix", "its answer is not one: 99 % {"), ("false", "its answer is not one"),
            ("other", "answered another request"), ("nameless", "does not name the request"), ("twice", nil),
        ] as [(String, String?)])
    func answers(mode: String, expected: String?) throws {
        let (shop, engine) = try workshop("worker: true\ncost: { limit: 1 }")
        let text = """
            nodes:
              zero: { type: t.constant, with: { value: 0 } }
              bad:  { type: t.plus, in: { a: zero.out }, with: { mode: "\(mode)" } }
              late: { type: t.plus, in: { a: zero.out }, with: { plus: 7, seconds: 0.2 } }
            """
        var options = RunOptions(threads: 1)
        options.keepsGoing = true
        let summary = try engine.run(try shop.graph(text), options: options)
        #expect(summary.failures.map(\.instance.node) == (expected == nil ? [] : ["bad"]), "\(summary.failures)")
        if let expected { #expect(summary.failures.first?.message.contains(expected) == true, "\(summary.failures)") }
        #expect(summary.failures.allSatisfy { $0.message.count < 5000 })
        let graph = try shop.graph(text)
        let late = try #require(try engine.artifacts(of: RunTarget(node: "late"), in: graph).first)
        #expect(try Table(artifact: late.artifact).number == 7)
    }

    @Test func timeoutAndCancelEndItWithItsChildren() throws {
        for settings in ["worker: true\ntimeout: 3", "worker: true", "timeout: 3"] {
            let (shop, engine) = try workshop(settings)
            let text = "nodes:\n  zero: { type: t.constant }\n  hang: { type: t.plus, in: { a: zero.out }, with: { mode: hang } }"
            let cancellation = Cancellation()
            let summary = try engine.run(try shop.graph(text), cancellation: cancellation) { event in
                if case .progress = event, !settings.contains("timeout") { cancellation.cancel() }
            }
            if settings.contains("timeout") {
                #expect(summary.failures.first?.message.contains("longer than its timeout of 3 s") == true, "\(summary.failures)")
            } else {
                #expect(summary.status == .cancelled)
            }
            // On a busy machine the time may be up before there is a child.
            if let child = try? String(contentsOfFile: "\(shop.folder)/log.child", encoding: .utf8) { #expect(!isAlive(child)) }
            if let process = processes(shop).first { #expect(!isAlive(process)) }
        }
    }

    /// Four that could run side by side, of which the manifest allows two.
    @Test func noMoreAtOnceThanTheManifestAllows() throws {
        let (shop, engine) = try workshop("worker: true\ncost: { limit: 2, memory: 1 MiB }")
        let names = ["a", "b", "c", "d"]
        let text = "nodes:\n  zero: { type: t.constant }\n" + names.enumerated().map { index, name in
            "  \(name): { type: t.plus, in: { a: zero.out }, with: { plus: \(index), seconds: 0.1 } }"
        }.joined(separator: "\n")
        let running = Locked((now: 0, most: 0))
        let summary = try engine.run(try shop.graph(text), options: RunOptions(threads: 4)) { event in
            running.withLock { running in
                if case .started(let id, _, _, _) = event, names.contains(id.node) { running.now += 1 }
                if case .finished(let id, _, _, _, _, _) = event, names.contains(id.node) { running.now -= 1 }
                running.most = max(running.most, running.now)
            }
        }
        #expect(summary.status == .done, "\(summary.failures)")
        #expect((1...2).contains(running.withLock { $0.most }))
        // On a busy machine the first may have finished before another starts; one process is enough then.
        #expect((1...2).contains(Set(processes(shop)).count))
    }
}
