@testable import Engine
import Foundation
import GraphKit
import NodeKit
import Testing

/// `plan` is never wrong about a hit or a miss: over random graphs, edits, cache states and partial runs, what it says is
/// cached does not run, and what it says runs does.
@Suite struct PlanPropertyTests {
    @Test func planIsNeverWrong() throws {
        var seen: [Plan.Status: Int] = [:]
        for seed in 0..<60 {
            for (status, count) in try check(seed: UInt64(seed)) { seen[status, default: 0] += count }
        }
        // The cases are worth something: every prediction is made often.
        for status in [Plan.Status.cached, .willRun, .depends, .unneeded] { #expect(seen[status, default: 0] > 50, "\(status)") }
        #expect(seen[.shared, default: 0] > 10)
    }

    /// One graph through a series of edits, each planned and run.
    private func check(seed: UInt64) throws -> [Plan.Status: Int] {
        var random = SplitMix64(state: seed)
        var graph = RandomGraph(using: &random)
        let shop = try Workshop()
        var versions: [NodeType: Int] = [:]
        var seen: [Plan.Status: Int] = [:]
        var history: [String] = []
        try shop.write("clip.txt", graph.clip)
        let pin = try ArtifactWriter(path: "\(shop.folder)/pin.safetensors", type: .table)
        try number(2).write(to: pin)
        _ = try pin.finish()
        for step in 0..<6 {
            if step > 0 {
                let edit = try Edit(using: &random)
                history.append("\(edit)")
                switch edit {
                case .version: versions[try #require(RandomGraph.types.randomElement(using: &random)), default: 1] += 1
                case .evict, .delete, .damage: try edit.apply(to: try CacheStore(root: shop.storePath), using: &random)
                default: graph.apply(edit, using: &random)
                }
                try shop.write("clip.txt", graph.clip)
            }
            let engine = UnderstudyEngine(store: try CacheStore(root: shop.storePath), catalogue: catalogue(versions))
            let checked = try shop.graph(graph.text)
            var options = options(for: checked, using: &random)
            var planned: Plan?
            do {
                planned = try engine.plan(checked, options: options)
            } catch is UsageError {
                // An instance that is not there, or one to be forced that the target does not need.
                options = RunOptions(threads: 2)
            }
            let plan = try planned ?? engine.plan(checked, options: options)
            let summary = try engine.run(checked, options: options)
            let trace = "seed \(seed), \(history), \(options.targets) from \(options.from) force \(options.force)\n\(graph.text)"
            try #require(summary.status == .done, "\(summary.failures.map(\.description)) \(trace)")
            let ran = Set(summary.ran)
            let done = ran.union(summary.cached)
            for entry in plan.entries {
                seen[entry.status, default: 0] += 1
                let says = "\(entry.instance) \(entry.status) \(entry.reasons): \(trace)"
                switch entry.status {
                case .cached, .unneeded, .shared: #expect(!ran.contains(entry.instance) && done.contains(entry.instance), "\(says)")
                case .willRun: #expect(ran.contains(entry.instance), "\(says)")
                case .depends: break
                }
            }
            let certain = Set(plan.entries.filter { $0.status != .depends }.map(\.instance))
            let open = Set(plan.entries.filter { $0.status == .depends }.map(\.instance.node))
            #expect(done.subtracting(certain).allSatisfy { open.contains($0.node) }, "\(trace)")
            // Whatever was reused is what a run from nothing makes.
            guard step == 5 else { continue }
            let fresh = UnderstudyEngine(store: try CacheStore(root: "\(shop.folder)/fresh"), catalogue: catalogue(versions))
            _ = try engine.run(checked)
            _ = try fresh.run(checked)
            for output in checked.outputs {
                let target = RunTarget(node: output.node)
                let (ours, theirs) = (try engine.artifacts(of: target, in: checked), try fresh.artifacts(of: target, in: checked))
                #expect(ours.map(\.artifact.digest) == theirs.map(\.artifact.digest), "\(trace)")
            }
        }
        return seen
    }

    private func options(for graph: Graph, using random: inout SplitMix64) -> RunOptions {
        var options = RunOptions(threads: Int.random(in: 1...3, using: &random))
        func node() -> GraphNode? { graph.nodes.randomElement(using: &random) }
        func target() -> RunTarget? {
            guard let node = node() else { return nil }
            guard let each = node.each, Bool.random(using: &random) else { return RunTarget(node: node.id) }
            let first = Int.random(in: 0...2, using: &random)
            let isFrames = each.over == .segments && Bool.random(using: &random)
            return RunTarget(node: node.id, instances: isFrames ? .frames((3 * first)..<(3 * first + 2)) : .indices(first...(first + 1)))
        }
        if Int.random(in: 0..<4, using: &random) == 0 { options.targets = [target()].compactMap { $0 } }
        switch Int.random(in: 0..<8, using: &random) {
        case 0: options.force = [target()].compactMap { $0 }
        case 1: options.from = [target()].compactMap { $0 }
        default: break
        }
        return options
    }

    /// The test nodes, some of them in another version.
    private func catalogue(_ versions: [NodeType: Int]) -> [NodeType: NodeDefinition] {
        testCatalogue.mapValues { definition in
            let old = definition.description
            guard let version = versions[old.type] else { return definition }
            let description = NodeDescription(
                type: old.type, version: version, summary: old.summary, inputs: old.inputs, outputs: old.outputs,
                parameters: old.parameters, cost: old.cost)
            return NodeDefinition(description: description) { try definition.run($0) }
        }
    }
}

/// What happens between two runs.
private enum Edit: CaseIterable {
    case parameter, wire, clip, version, pin, evict, delete, damage, nothing

    init(using random: inout SplitMix64) throws { self = try #require(Self.allCases.randomElement(using: &random)) }

    /// Does to some of the store's objects what `gc`, a careless hand or a bad disk does.
    func apply(to store: CacheStore, using random: inout SplitMix64) throws {
        let objects = try store.list().sorted { $0.digest < $1.digest }
        let victims = objects.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
        if case .evict = self {
            let kept = Set(objects.map(\.digest)).subtracting(victims.map(\.digest))
            for digest in kept { try store.setPinned(true, digest: digest) }
            _ = try store.gc(maxBytes: 0)
            for digest in kept { try store.setPinned(false, digest: digest) }
            return
        }
        for object in victims {
            let path = store.path(of: object.digest, suffix: object.suffix)
            if case .delete = self {
                unlink(path)
            } else {
                chmod(path, 0o644)
                try Data("no tensors".utf8).write(to: URL(filePath: path))
            }
        }
    }
}

/// A graph of numbers whose few values often coincide, so that edits are cut off early and instances share keys.
private struct RandomGraph {
    static let types: [NodeType] = ["t.constant", "t.add", "t.sign", "t.read", "t.split", "t.step", "t.total", "t.count"]

    /// A node that gives one number.
    struct Number {
        var kind: Int
        var parameter: Int
        var sources: [Int]
    }

    private var numbers: [Number] = []
    private var lines: [Int] = []
    private var frames = 4
    private var seed = 0
    private var isCarried = true
    private var takesItem = true
    private var list = (count: 3, last: 2, bias: 1)
    private var outputs: [Int] = []
    /// Ports that a file stands in for.
    private var pins: Set<String> = []

    init(using random: inout SplitMix64) {
        lines = (0..<Int.random(in: 8...14, using: &random)).map { _ in Int.random(in: 0...1, using: &random) }
        isCarried = .random(using: &random)
        takesItem = .random(using: &random)
        for index in 0..<Int.random(in: 4...9, using: &random) {
            let sources = index == 0 ? [] : (0..<2).map { _ in Int.random(in: 0..<index, using: &random) }
            let kind = index == 0 ? 0 : Int.random(in: 0...4, using: &random)
            numbers.append(Number(kind: kind, parameter: Int.random(in: 0...2, using: &random), sources: sources))
        }
        outputs = numbers.indices.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
    }

    var clip: String { lines.map { "\($0)\n" }.joined() }

    mutating func apply(_ edit: Edit, using random: inout SplitMix64) {
        let index = Int.random(in: 0..<numbers.count, using: &random)
        switch edit {
        case .parameter:
            switch Int.random(in: 0..<6, using: &random) {
            case 0: frames = Int.random(in: 3...5, using: &random)
            case 1: seed = Int.random(in: 0...1, using: &random)
            case 2: list = (Int.random(in: 1...4, using: &random), Int.random(in: 1...4, using: &random), list.bias)
            case 3: list.bias = Int.random(in: 0...2, using: &random)
            default: numbers[index].parameter = Int.random(in: 0...2, using: &random)
            }
        case .wire: if index > 0 { numbers[index].sources[0] = Int.random(in: 0..<index, using: &random) }
        case .clip:
            if Bool.random(using: &random) { lines[lines.count - 1] += 1 } else { lines.append(1) }
        case .pin:
            let port = ["n\(index).out", "step[\(index % 3)].last", "more[0].out", "sum.out"].randomElement(using: &random) ?? ""
            if pins.remove(port) == nil { pins.insert(port) }
        default: break
        }
    }

    var text: String {
        var text = "inputs: { clip: { type: file, default: clip.txt } }\nnodes:\n"
        for (index, number) in numbers.enumerated() {
            let names = number.sources.map { "n\($0).out" }
            text += "  n\(index): "
            switch number.kind {
            case 0: text += "{ type: t.constant, with: { value: \(number.parameter) } }\n"
            case 1, 2: text += "{ type: t.add, in: { a: \(names[0]), b: \(names[1]) }, with: { bias: \(number.parameter) } }\n"
            case 3: text += "{ type: t.sign, in: { a: \(names[0]) } }\n"
            default: text += "{ type: t.total, in: { values: [\(names.joined(separator: ", "))] } }\n"
            }
        }
        text += """
              read: { type: t.read, in: { file: inputs.clip } }
              split: { type: t.split, in: { motion: read.motion }, with: { frames: \(frames) } }
              step:
                type: t.step
                each: split.list
                \(isCarried ? "carry: { initial: last }" : "help: plain")
                in: { motion: "read.motion[each.range]"\(takesItem ? ", item: each.item" : "") }
                with: { seed: \(seed) }
              sum: { type: t.total, in: { values: step.last } }
              both: { type: t.add, in: { a: sum.out, b: n0.out } }
              count: { type: t.count, with: { count: \(list.count), last: \(list.last) } }
              more: { type: t.add, each: count.numbers, in: { a: each.item, b: n0.out }, with: { bias: \(list.bias) } }
              signs: { type: t.sign, each: more.out, in: { a: each.item } }
              all: { type: t.total, in: { values: signs.out } }
            outputs: { both: both.out, all: all.out\(outputs.map { ", n\($0): n\($0).out" }.joined()) }
            \(pins.isEmpty ? "" : "pins:\n" + pins.sorted().map { "  \($0): pin.safetensors\n" }.joined())
            """
        return text
    }
}

/// Steele, Lea and Flood's SplitMix64: the same numbers on every machine.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
