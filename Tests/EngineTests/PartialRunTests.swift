@testable import Engine
import Foundation
import NodeKit
import Testing

/// Runs of a part: targets, nodes and instances to run again, files in place of values; and what `plan --why` says of it.
@Suite struct PartialRunTests {
    let chain = CachingTests().chain

    private func shop() throws -> Workshop {
        let shop = try Workshop()
        try shop.write("clip.txt", (1...13).map { "\($0)" }.joined(separator: "\n"))
        return shop
    }

    private func options(to: [String] = [], from: [String] = [], force: [String] = [], _ text: String, _ shop: Workshop) throws -> RunOptions {
        let graph = try shop.graph(text)
        var options = RunOptions(threads: 2)
        options.targets = try to.map { try RunTarget($0, in: graph) }
        options.from = try from.map { try RunTarget($0, in: graph) }
        options.force = try force.map { try RunTarget($0, in: graph) }
        return options
    }

    @Test func targetsNodesAndInstancesAgain() throws {
        let shop = try shop()
        func ran(to: [String] = [], from: [String] = [], force: [String] = []) throws -> Set<String> {
            try shop.run(chain, options: options(to: to, from: from, force: force, chain, shop)).ran
        }
        #expect(try ran(to: ["step[1].last"]) == ["read", "split", "step[0]", "step[1]"])
        // Forced, it makes the same list: only what was never made runs besides.
        #expect(try ran(force: ["split.list"]) == ["split", "step[2]", "total"])
        #expect(try ran(from: ["step"]) == ["step[0]", "step[1]", "step[2]", "total"])
        // From an instance on: those after it take what it hands on.
        #expect(try ran(from: ["step[1]"]) == ["step[1]", "step[2]", "total"])
        #expect(try ran(force: ["step[0...1]"]) == ["step[0]", "step[1]"])
        // Segments are 0..<5, 4..<9 and 8..<13.
        #expect(try ran(force: ["step[@4..<6]"]) == ["step[0]", "step[1]"])
        #expect(try ran(to: ["step"], from: ["step[@10]"]) == ["step[2]"])
        #expect(try ran(to: ["split"]).isEmpty)
        // Nothing beyond the target runs again, unless it was named.
        #expect(try ran(to: ["step[1]"], from: ["step[1]"]) == ["step[1]"])
        #expect(try ran(to: ["step[0]"], from: ["split"]) == ["split", "step[0]"])
    }

    @Test func elementsOfAListRunAlone() throws {
        let shop = try shop()
        let text = """
            nodes:
              count: { type: t.count }
              more: { type: t.add, each: count.numbers, in: { a: each.item }, with: { bias: 100 } }
              sign: { type: t.sign, each: more.out, in: { a: each.item } }
              sum: { type: t.total, in: { values: sign.out } }
            outputs: { sum: sum.out }
            """
        #expect(try shop.run(text, options: options(to: ["sign[1]"], text, shop)).ran == ["count", "more[1]", "sign[1]"])
        _ = try shop.run(text)
        #expect(try shop.run(text, options: options(from: ["more[2]"], text, shop)).ran == ["more[2]", "sign[2]", "sum"])
    }

    @Test func wrongTargetsSayWhatWasMeant() throws {
        let shop = try shop()
        func message(to: String, from: String? = nil) throws -> String {
            do {
                _ = try shop.plan(chain, options: options(to: [to], from: [from].compactMap { $0 }, chain, shop))
                return ""
            } catch let error as UsageError {
                return error.description
            }
        }
        #expect(try message(to: "stap[1].last") == "graph 'test' has no node 'stap'; did you mean 'step[1].last'?")
        #expect(try message(to: "step.lost") == "node 'step' (t.step) has no output 'lost'; did you mean 'step.last'?")
        #expect(try message(to: "total[0]") == "'total[0]': node 'total' has no instances: it has no 'each'")
        for wrong in ["step[", "step[]", "step[-1]", "step[2...1]", "step[@]", "step[1]x", "step.", "[1]", "", "step[99999999999999999999]"] {
            #expect(try !message(to: wrong).isEmpty, "\(wrong)")
        }
        #expect(try message(to: "split", from: "total") == "'total' is not among what 'split' needs: name it with --to too")
        _ = try shop.run(chain)
        #expect(try message(to: "step[7]") == "there is no step[7]: the node has 3 instances, step[0] to step[2]")
        #expect(try message(to: "step[@90]") == "no instance of 'step' has frames 90..<91: the clip ends at 13")
    }

    @Test func filesStandInForValues() throws {
        let shop = try shop()
        _ = try shop.run(chain)
        let made = try shop.engine().artifacts(of: RunTarget(node: "step", index: 1), in: try shop.graph(chain))
        let file = "\(shop.folder)/fixed.safetensors"
        try FileManager.default.copyItem(atPath: try #require(made.first).artifact.path, toPath: file)
        // The very value: nothing runs, and the instance is not asked for.
        let pinned = chain + "\npins:\n  step[1].last: fixed.safetensors"
        var plan = try shop.plan(pinned)
        #expect(plan.pins.map { "\($0.instance).\($0.port) \($0.file.path)" } == ["step[1].last \(file)"])
        #expect(plan.count(.cached) == plan.entries.count && !plan.entries.contains { $0.instance.index == 1 })
        #expect(try shop.run(pinned).ran.isEmpty)
        // Another one: what follows from it runs.
        try FileManager.default.removeItem(atPath: file)
        let writer = try ArtifactWriter(path: file, type: .table)
        try number(1000).write(to: writer)
        _ = try writer.finish()
        plan = try shop.plan(pinned)
        #expect(plan.entries.filter { $0.status == .willRun }.map(\.instance.description) == ["step[2]"])
        let run = try shop.run(pinned)
        #expect(run.ran == ["step[2]", "total"])
        // 15, 1000, 1055.
        #expect(try shop.value("total", pinned) == 2070)
        #expect(try shop.value("step[1]", pinned) == 1000)
        let entries = try shop.engine().journal.entries(of: run.summary.run)
        #expect(entries.first { $0.instance.index == 1 }?.status == .pinned)
        #expect(entries.first { $0.instance.index == 2 }?.fingerprint.inputs["initial"]?.first?.path == file)
        let why = try shop.engine().explain(RunTarget(node: "step", index: 2), in: try shop.graph(chain))
        #expect(why.first?.reasons.contains { if case .unpinned = $0 { true } else { false } } == true)
        // A cut out of a file, and a list of one.
        #expect(throws: UsageError.self) { try shop.plan(chain + "\npins: { read.motion: fixed.safetensors }") }
        try shop.write("fixed.safetensors", "no tensors")
        #expect(throws: UsageError.self) { try shop.run(pinned) }
    }

    @Test("a file with NaN is refused in place of a value, as a node's output is")
    func pinsAreFinite() throws {
        let shop = try shop()
        let writer = try ArtifactWriter(path: "\(shop.folder)/fixed.safetensors", type: .faceMotion)
        try FaceMotion(timeline: Timeline(rate: Rational(25), count: 3), tokenCount: 1, channels: 1, tokens: [1, .nan, 3]).write(to: writer)
        _ = try writer.finish()
        #expect {
            try shop.run(chain + "\npins: { read.motion: fixed.safetensors }")
        } throws: { "\($0)".contains("cannot stand in for read.motion") && "\($0)".contains("its value is not finite: 1 of 3 values of 'tokens'") }
    }

    @Test func changesAreFollowedToTheirOrigin() throws {
        let shop = try shop()
        let first = try shop.run(chain).summary.run
        try shop.write("clip.txt", ((1...9).map { "\($0)" } + ["1", "1", "1", "1"]).joined(separator: "\n"))
        let graph = try shop.graph(chain)
        func explain(_ target: String) throws -> Explanation {
            try #require(try shop.engine().explain(RunTarget(target, in: graph), in: graph).first)
        }
        let total = try explain("total")
        #expect(total.status == .depends)
        #expect(total.origins.map(\.instance.description) == ["read"])
        guard case .fileChanged("file", let old, let new)? = total.origins.first?.reasons.first else {
            Issue.record("\(total)")
            return
        }
        #expect(old.path == new.path && old.bytes == 29 && new.bytes == 25 && old.digest != new.digest)
        let second = try shop.run(chain).summary.run
        let differences = try shop.engine().journal.difference(from: first, to: second)
        #expect(differences.map(\.instance.description) == ["read", "split", "step[2]", "total"])
        #expect(differences.last?.origins.map(\.instance.description) == ["read"])
        #expect(differences.last?.outputs.map(\.port) == ["out"])
        #expect(try explain("step[0]").reasons.isEmpty && explain("step[0]").status == .cached)
    }

    @Test("a difference between runs tells a failure from the same outputs")
    func differencesTellFailures() throws {
        let text = "nodes:\n  one: { type: t.constant, with: { value: 3 } }\n  bad: { type: t.fail, in: { a: one.out } }"
        let shop = try Workshop()
        let runs = try ["1", "2"].map { try shop.run(text, set: ["one.with.value=\($0)"]).summary.run }
            + [shop.run(text, set: ["bad.with.works=true", "one.with.value=2"]).summary.run]
        func endings(_ a: Int, _ b: Int) throws -> [InstanceStatus?] {
            let bad = try shop.engine().journal.difference(from: runs[a], to: runs[b]).first { $0.instance.node == "bad" }
            return [bad?.oldStatus, bad?.newStatus]
        }
        #expect(try endings(0, 1) == [.failed, .failed] && endings(1, 2) == [.failed, .ran])
    }
}
