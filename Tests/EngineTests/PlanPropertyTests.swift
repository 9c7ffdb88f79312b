@testable import Engine
import Foundation
import GraphKit
import Locking
import NodeKit
import Testing

/// `plan` is never wrong about a hit or a miss: over random graphs, edits, cache states and partial runs, what it says is
/// cached does not run, and what it says runs does.
@Suite struct PlanPropertyTests {
    @Test func planIsNeverWrong() throws {
        var seen: [Plan.Status: Int] = [:]
        for seed in try seeds() {
            for (status, count) in try check(seed: UInt64(seed)) { seen[status, default: 0] += count }
        }
        // The cases are worth something: every prediction is made often.
        for status in [Plan.Status.cached, .willRun, .depends, .unneeded] { #expect(seen[status, default: 0] > 20, "\(status)") }
        #expect(seen[.shared, default: 0] > 5)
    }

    /// A few, or those of `PLAN_SEEDS=1000..<3000`.
    private func seeds() throws -> Range<Int> {
        guard let text = ProcessInfo.processInfo.environment["PLAN_SEEDS"] else { return 0..<24 }
        let ends = text.split(separator: "..<").compactMap { Int($0) }
        try #require(ends.count == 2 && ends[0] < ends[1], "PLAN_SEEDS=\(text)")
        return ends[0]..<ends[1]
    }

    /// One graph through a series of edits, each planned and run.
    private func check(seed: UInt64) throws -> [Plan.Status: Int] {
        var random = SplitMix64(state: seed)
        var graph = RandomGraph(using: &random)
        let shop = try Workshop(catalogue: RandomGraph.catalogue)
        var versions: [NodeType: Int] = [:]
        var seen: [Plan.Status: Int] = [:]
        var history: [String] = []
        // Small artifacts as files can be deleted and damaged.
        let inlineLimit: Int? = Bool.random(using: &random) ? 0 : nil
        func store(_ root: String) throws -> CacheStore {
            try inlineLimit.map { try CacheStore(root: root, inlineLimit: $0) } ?? CacheStore(root: root)
        }
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
                case .evict, .delete, .damage: try edit.apply(to: try store(shop.storePath), using: &random)
                case .stop:
                    graph.apply(.parameter, using: &random)
                    let engine = UnderstudyEngine(store: try store(shop.storePath), catalogue: catalogue(versions))
                    let (checked, left) = (try shop.graph(graph.text), Locked(Int.random(in: 0...6, using: &random)))
                    let cancellation = Cancellation()
                    _ = try engine.run(checked, options: options(for: nil, using: &random), cancellation: cancellation) { event in
                        if case .finished = event, left.withLock({ $0 -= 1; return $0 < 0 }) { cancellation.cancel() }
                    }
                default: graph.apply(edit, using: &random)
                }
                try shop.write("clip.txt", graph.clip)
            }
            let engine = UnderstudyEngine(store: try store(shop.storePath), catalogue: catalogue(versions))
            let checked = try shop.graph(graph.text)
            var options = options(for: checked, using: &random)
            var planned: Plan?
            do {
                planned = try engine.plan(checked, options: options)
            } catch is UsageError {
                // An instance that is not there, or one to be forced that the target does not need.
                options = self.options(for: nil, using: &random)
            }
            let plan = try planned ?? engine.plan(checked, options: options)
            let summary = try engine.run(checked, options: options)
            let trace = """
                seed \(seed), \(history), to \(options.targets) from \(options.from) force \(options.force) \
                \(options.threads) threads, streams above \(options.streamsAbove)
                \(graph.text)
                """
            // That there are fewer instances than were named may show only while it runs.
            if summary.failures.contains(where: { $0.message.hasPrefix("there is no ") || $0.message.hasPrefix("no instance of ") }) { continue }
            try #require(summary.status == .done, "\(summary.failures.map(\.description)) \(trace)")
            let ran = Set(summary.ran)
            let done = ran.union(summary.cached)
            #expect(ran.isDisjoint(with: summary.cached), "\(trace)")
            // Frames that were handed on may be made again for somebody else.
            if options.streamsAbove > 0 { #expect(ran.count == summary.ran.count, "\(trace)") }
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
            let fresh = UnderstudyEngine(store: try store("\(shop.folder)/fresh"), catalogue: catalogue(versions))
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

    /// - Parameter graph: Of which a part is asked for now and then; nil: never.
    private func options(for graph: Graph?, using random: inout SplitMix64) -> RunOptions {
        var options = RunOptions(threads: Int.random(in: 1...3, using: &random))
        options.streamsAbove = Bool.random(using: &random) ? 0 : 1 << 40
        guard let graph else { return options }
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
        RandomGraph.catalogue.mapValues { definition in
            let old = definition.description
            guard let version = versions[old.type] else { return definition }
            let description = NodeDescription(
                type: old.type, version: version, summary: old.summary, inputs: old.inputs, outputs: old.outputs,
                parameters: old.parameters, cost: old.cost)
            return NodeDefinition(description: description) { try definition.run($0) }
        }
    }
}
