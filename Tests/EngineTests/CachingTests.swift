@testable import Engine
import Foundation
import Locking
import NodeKit
import TensorFilesNode
import Testing

@Suite struct CachingTests {
    let diamond = """
        nodes:
          one: { type: t.constant, with: { value: 1 } }
          two: { type: t.constant, with: { value: 2 } }
          left: { type: t.add, in: { a: one.out }, with: { bias: 10 } }
          right: { type: t.sign, in: { a: two.out } }
          sum: { type: t.add, in: { a: left.out, b: right.out } }
        """
    let chain = """
        inputs: { clip: { type: file, default: clip.txt } }
        nodes:
          read: { type: t.read, in: { file: inputs.clip } }
          split: { type: t.split, in: { motion: read.motion }, with: { frames: 5 } }
          step:
            type: t.step
            each: split.list
            carry: { initial: last }
            in: { motion: "read.motion[each.range]", item: each.item }
          total: { type: t.total, in: { values: step.last } }
        outputs: { total: total.out }
        """

    @Test func runsThenCaches() throws {
        let shop = try Workshop()
        let first = try shop.run(diamond)
        #expect(first.ran == ["one", "two", "left", "right", "sum"])
        #expect(try shop.value("sum", diamond) == 12)
        let again = try shop.run(diamond)
        #expect(again.ran.isEmpty)
        #expect(again.cached.count == 5)
        #expect(try shop.plan(diamond).count(.cached) == 5)
    }

    @Test func askingMakesNoStore() throws {
        let shop = try Workshop()
        let engine = UnderstudyEngine(store: try CacheStore(reading: shop.storePath), catalogue: testCatalogue)
        #expect(try engine.plan(try shop.graph(diamond)).count(.willRun) == 2)
        #expect(try engine.journal.runs().isEmpty)
        #expect(!FileManager.default.fileExists(atPath: shop.storePath))
    }

    @Test func journalKeepsPeakMemory() throws {
        let shop = try Workshop()
        let text = "nodes:\n  small: { type: t.constant }\n  large: { type: t.hold, in: { a: small.out }, with: { megabytes: 96 } }"
        for _ in 0..<2 {
            let run = try shop.run(text, options: RunOptions(threads: 1)).summary.run
            let entries = try shop.engine().journal.entries(of: run)
            let large = try #require(entries.first { $0.instance.node == "large" }?.memory)
            // Tests run side by side in one process, so only the lower bound is certain.
            #expect(large.bytes > 96 << 20)
        }
    }

    @Test func changedParameterRunsWhatFollows() throws {
        let shop = try Workshop()
        _ = try shop.run(diamond)
        let plan = try shop.plan(diamond, set: ["left.with.bias=20"])
        let reasons = Dictionary(uniqueKeysWithValues: plan.entries.map { ($0.instance.description, $0.reasons) })
        #expect(reasons["left"] == [.parameterChanged(name: "bias", old: "10", new: "20")])
        #expect(reasons["sum"] == [.dependsOn(["left"])])
        let run = try shop.run(diamond, set: ["left.with.bias=20"])
        #expect(run.ran == ["left", "sum"])
        #expect(run.cached == ["one", "two", "right"])
        // Back again: both values are still there.
        #expect(try shop.run(diamond).ran.isEmpty)
    }

    @Test func sameBytesCutTheRerunOff() throws {
        let shop = try Workshop()
        _ = try shop.run(diamond)
        let run = try shop.run(diamond, set: ["two.with.value=7"])
        #expect(run.ran == ["two", "right"])
        #expect(run.cached == ["one", "left", "sum"])
    }

    @Test func carriesFromSegmentToSegment() throws {
        let shop = try Workshop()
        try shop.write("clip.txt", (1...13).map { "\($0)" }.joined(separator: "\n"))
        let run = try shop.run(chain)
        #expect(run.ran == ["read", "split", "step[0]", "step[1]", "step[2]", "total"])
        // 15, 15 + 35, 50 + 55.
        #expect(try shop.value("step[2]", chain) == 105)
        #expect(try shop.value("total", chain) == 170)
        #expect(try shop.run(chain).ran.isEmpty)

        // The seed reruns all segments.
        #expect(try shop.run(chain, set: ["step.with.seed=1"]).ran == ["step[0]", "step[1]", "step[2]", "total"])

        // A tail that differs leaves the first segment alone, and a longer clip only adds.
        try shop.write("clip.txt", ((1...9).map { "\($0)" } + ["1", "1", "1", "1"]).joined(separator: "\n"))
        #expect(try shop.run(chain).ran == ["read", "split", "step[2]", "total"])
        try shop.write("clip.txt", (1...17).map { "\($0)" }.joined(separator: "\n"))
        #expect(try shop.run(chain).ran == ["read", "split", "step[3]", "total"])
    }

    @Test func eachGoesOverAnyList() throws {
        let shop = try Workshop()
        let text = """
            nodes:
              count: { type: t.count }
              more: { type: t.add, each: count.numbers, in: { a: each.item }, with: { bias: 100 } }
              sign: { type: t.sign, each: more.out, in: { a: each.item } }
              sum: { type: t.total, in: { values: more.out } }
              plain: { type: t.total, in: { values: count.numbers } }
            outputs: { sum: sum.out, plain: plain.out, sign: sign.out, numbers: count.numbers }
            """
        #expect(try shop.plan(text).entries.first { $0.instance.node == "more" }?.status == .depends)
        var options = RunOptions(threads: 2)
        options.outputFolder = "\(shop.folder)/out"
        let first = try shop.run(text, options: options)
        #expect(first.ran.isSuperset(of: ["count", "more[0]", "more[1]", "more[2]", "sign[2]", "sum", "plain"]))
        #expect(first.summary.outputs["numbers"]?.count == 3 && first.summary.outputs["sign"]?.count == 3)
        #expect(try shop.value("sum", text) == 313 && shop.value("plain", text) == 13)
        #expect(try shop.plan(text).count(.cached) == 9)
        // Instances are cached one by one, under what their element holds.
        let change = ["count.with.last=20"]
        #expect(try shop.run(text, set: change).ran == ["count", "more[2]", "sign[2]", "sum", "plain"])
        #expect(try shop.value("more[2]", text, set: change) == 120)
        // 1, 2, 3, 10: only 3 is new; 10 has moved, and its sum is known.
        #expect(try shop.run(text, set: ["count.with.count=4"]).ran == ["count", "more[2]", "sign[2]", "sum", "plain"])
    }

    /// Removes everything from the store but the outputs of some nodes.
    private func evict(allBut nodes: [String], of text: String, in shop: Workshop) throws {
        let (engine, graph) = (try shop.engine(), try shop.graph(text))
        for node in nodes {
            for found in try engine.artifacts(of: RunTarget(node: node), in: graph) {
                try engine.store.setPinned(true, digest: found.artifact.digest)
            }
        }
        _ = try engine.store.gc(maxBytes: 0)
    }

    @Test func evictedIntermediatesComeBackOnlyWhenNeeded() throws {
        let shop = try Workshop()
        let text = """
            nodes:
              one: { type: t.constant, with: { value: 1 } }
              two: { type: t.constant, with: { value: 2 } }
              left: { type: t.add, in: { a: one.out }, with: { bias: 10 } }
              right: { type: t.add, in: { a: two.out }, with: { bias: 20 } }
              sum: { type: t.add, in: { a: left.out, b: right.out } }
            outputs: { sum: sum.out }
            """
        _ = try shop.run(text)
        try evict(allBut: ["sum", "right"], of: text, in: shop)
        var plan = try shop.plan(text)
        #expect(plan.count(.unneeded) == 3 && plan.count(.cached) == 2)
        let idle = try shop.run(text)
        #expect(idle.ran.isEmpty && idle.cached.count == 5)

        // Another sum needs 'left', that needs 'one', and nobody needs 'two'.
        let change = ["sum.with.bias=1"]
        plan = try shop.plan(text, set: change)
        let willRun = plan.entries.filter { $0.status == .willRun }
        #expect(willRun.map(\.instance.node) == ["one", "left", "sum"])
        #expect(willRun.first?.reasons == [.evicted])
        #expect(try shop.run(text, set: change).ran == ["one", "left", "sum"])
        #expect(try shop.value("sum", text, set: change) == 34)
        // What is asked for by name is made.
        var options = RunOptions(threads: 2)
        options.targets = [RunTarget(node: "two")]
        #expect(try shop.run(text, options: options).ran == ["two"])
    }

    @Test func evictedSegmentsComeBackOnlyWhenNeeded() throws {
        let shop = try Workshop()
        try shop.write("clip.txt", (1...13).map { "\($0)" }.joined(separator: "\n"))
        _ = try shop.run(chain)
        try evict(allBut: ["total", "split"], of: chain, in: shop)
        #expect(try shop.plan(chain).count(.willRun) == 0)
        #expect(try shop.run(chain).ran.isEmpty)
        #expect(try shop.run(chain, set: ["step.with.seed=1"]).ran == ["read", "step[0]", "step[1]", "step[2]", "total"])
        #expect(try shop.value("total", chain, set: ["step.with.seed=1"]) == 176)
        // Without the list nobody knows how many segments there are.
        try evict(allBut: ["total"], of: chain, in: shop)
        for object in try shop.engine().store.list() { try shop.engine().store.setPinned(false, digest: object.digest) }
        _ = try shop.engine().store.gc(maxBytes: 0)
        #expect(try shop.run(chain).ran == ["read", "split", "step[0]", "step[1]", "step[2]", "total"])
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test func changedCodeOfTheSameVersionWarns() throws {
        let shop = try Workshop()
        var options = RunOptions(threads: 1)
        options.sourceDigests = ["t.sign": Digest.of("one"), "t.add": Digest.of("one")]
        _ = try shop.run(diamond, options: options)
        options.sourceDigests["t.sign"] = Digest.of("two")
        #expect(try shop.plan(diamond, options: options).entries.filter(\.sourceChanged).map(\.instance.node) == ["right"])
        let warnings = Locked<[String]>([])
        let run = try shop.run(diamond, options: options) { event in
            if case .warning(let text) = event { warnings.withLock { $0.append(text) } }
        }
        #expect(run.ran.isEmpty)
        #expect(warnings.withLock { $0.count { $0.hasPrefix("right: the code of t.sign changed") } } == 1)
    }

    @Test func longestChainStartsFirst() throws {
        let shop = try Workshop()
        let text = """
            nodes:
              short: { type: t.constant, with: { value: 1 } }
              long: { type: t.constant, with: { value: 2 } }
              short2: { type: t.sign, in: { a: short.out } }
              long2: { type: t.add, in: { a: long.out } }
              long3: { type: t.add, in: { a: long2.out }, with: { bias: 1 } }
            """
        let ran = try shop.run(text, options: RunOptions(threads: 1)).summary.ran.map(\.node)
        #expect(ran.first == "long")
    }

    @Test func oneAndFourThreadsGiveTheSameBytes() throws {
        var digests: Set<String> = []
        for threads in [1, 4] {
            let shop = try Workshop()
            try shop.write("clip.txt", (1...29).map { "\($0)" }.joined(separator: "\n"))
            _ = try shop.run(chain, options: RunOptions(threads: threads))
            let graph = try shop.graph(chain)
            let found = try shop.engine().artifacts(of: RunTarget(node: "total"), in: graph)
            digests.insert(try #require(found.first).artifact.digest.hex)
        }
        #expect(digests.count == 1)
    }

    @Test func exportsOutputs() throws {
        let shop = try Workshop()
        try shop.write("clip.txt", "1\n2\n3\n4\n5")
        var options = RunOptions(threads: 1)
        options.outputFolder = "\(shop.folder)/out"
        let paths = try shop.run(chain, options: options).summary.outputs
        #expect(paths == ["total": ["\(shop.folder)/out/test/total.safetensors"]])
        try shop.write("out/test/total.safetensors", "scribble")
        _ = try shop.run(chain, options: options)
        let artifact = Artifact(type: .table, path: "\(shop.folder)/out/test/total.safetensors", digest: Digest.of(""))
        #expect(try Table(artifact: artifact).number == 15)
    }

    /// A workshop for tensors, with a small file of them.
    private func tensorShop() throws -> Workshop {
        let nodes = [NodeDefinition(TensorLoad.self), NodeDefinition(TensorSave.self)]
        let shop = try Workshop(catalogue: Dictionary(uniqueKeysWithValues: nodes.map { ($0.description.type, $0) }))
        let header = #"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        try (length + Data(header.utf8) + Data([1, 2, 3, 4])).write(to: URL(fileURLWithPath: "\(shop.folder)/x.safetensors"))
        return shop
    }

    @Test("settings beside an adapter's weights are part of it")
    func adapterSettings() throws {
        let shop = try tensorShop()
        let text = """
            inputs: { file: { type: file, default: x.safetensors } }
            nodes: { a: { type: tensor.load, in: { file: inputs.file } } }
            """
        for (settings, isNew) in [("4", true), ("4", false), ("16", true)] {
            try shop.write("adapter_config.json", #"{"lora_alpha": \#(settings)}"#)
            #expect(try shop.plan(text).count(.willRun) == (isNew ? 1 : 0))
            #expect(try shop.run(text).ran == (isNew ? ["a"] : []))
        }
    }

    @Test("small tensor files that a node made are files for the nodes that read them")
    func smallFilesHavePaths() throws {
        let shop = try tensorShop()
        let text = """
            inputs: { file: { type: file, default: x.safetensors } }
            nodes:
              a: { type: tensor.load, in: { file: inputs.file } }
              b: { type: tensor.save, in: { tensors: a.tensors } }
              c: { type: tensor.load, in: { file: b.file } }
              d: { type: tensor.save, in: { tensors: c.tensors } }
              e: { type: tensor.load, in: { file: d.file } }
            """
        // What `d` is given equals what `b` was given.
        #expect(try shop.run(text).ran == ["a", "b", "c"])
        // What is there from a run before, too.
        var options = RunOptions(threads: 1)
        options.force = [RunTarget(node: "c"), RunTarget(node: "e")]
        let again = try shop.run(text, options: options)
        #expect(again.summary.failures.isEmpty && again.ran == ["c", "e"])
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test func aFreshEngineFindsNothingToDo() throws {
        let shop = try Workshop()
        let lines = (0..<30).map { index in
            index == 0 ? "  n0: { type: t.constant }" : "  n\(index): { type: t.add, in: { a: n\(index - 1).out } }"
        }
        let text = "nodes:\n" + lines.joined(separator: "\n")
        _ = try shop.run(text)
        let engine = try shop.engine()
        let graph = try shop.graph(text)
        let summary = try engine.run(graph)
        #expect(summary.ran.isEmpty)
    }
}
