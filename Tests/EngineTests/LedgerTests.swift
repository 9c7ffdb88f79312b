import Foundation
import Locking
import NodeKit
import Synchronization
import Testing

@testable import Engine

/// What runs at the same time, as the nodes below see it.
private struct Running {
    var small = 0
    var large = 0
    /// How often a large one was not alone.
    var crowds = 0
    /// Whether two small ones ran at the same time.
    var smallMet = false
}

private let running = Locked(Running())

private func work(_ kind: WritableKeyPath<Running, Int> & Sendable) {
    running.withLock { state in
        state[keyPath: kind] += 1
        if state.large > 0, state.large + state.small > 1 { state.crowds += 1 }
        if state.small > 1 { state.smallMet = true }
    }
    // A small one stays until another has come, however slow the machine is; where none can come, the test ends all the same.
    let limit = Date(timeIntervalSinceNow: kind == \Running.small ? 20 : 0)
    repeat { Thread.sleep(forTimeInterval: 0.01) } while !running.withLock { $0.smallMet } && Date() < limit
    running.withLock { $0[keyPath: kind] -= 1 }
}

private struct Small: Node {
    static let type: NodeType = "l.small"
    static let version = 1
    static let summary = "Wants little."
    static let cost = NodeCost(memory: 100)
    @Parameter("Anything.") var value = 0
    @Output("It.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        work(\.small)
        try $out.set(number(Double(value)))
    }
}

private struct Large: Node {
    static let type: NodeType = "l.large"
    static let version = 1
    static let summary = "Wants more threads and memory than there are."
    static let cost = NodeCost(threads: .all, memory: 64 << 20)
    @Parameter("Anything.") var value = 0
    @Output("It.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        work(\.large)
        try $out.set(number(Double(value)))
    }
}

/// Whether those that compute without a pause may stop, and how many had to give up.
private let mayStop = Atomic(false)
private let gaveUp = Atomic(0)

private struct Busy: Node {
    static let type: NodeType = "l.busy"
    static let version = 1
    static let summary = "Computes until it is told to stop."
    @Parameter("Milliseconds; 0: until it is told.") var milliseconds = 0
    @Parameter("Anything.") var value = 0
    @Output("It.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        let limit = Date(timeIntervalSinceNow: milliseconds > 0 ? Double(milliseconds) / 1000 : 10)
        while Date() < limit {
            if milliseconds == 0, mayStop.load(ordering: .relaxed) { return try $out.set(number(Double(value))) }
        }
        if milliseconds == 0 { gaveUp.add(1, ordering: .relaxed) }
        try $out.set(number(Double(value)))
    }
}

@Suite struct LedgerTests {
    @Test("what a node made is taken over while others keep every processor busy")
    func resultsAreNotKeptWaiting() throws {
        var catalogue = testCatalogue
        catalogue[Busy.type] = NodeDefinition(Busy.self)
        let shop = try Workshop(catalogue: catalogue)
        let threads = ProcessInfo.processInfo.activeProcessorCount
        let lines = (0..<threads).map { "  n\($0): { type: l.busy, with: { value: \($0) } }" }
        let graph = "nodes:\n  first: { type: l.busy, with: { milliseconds: 20 } }\n" + lines.joined(separator: "\n")
        let run = try shop.run(graph, options: RunOptions(threads: threads)) { event in
            if case .finished(InstanceID(node: "first"), _, _, _, _, _) = event { mayStop.store(true, ordering: .relaxed) }
        }
        #expect(run.summary.status == .done && run.ran.count == threads + 1)
        #expect(gaveUp.load(ordering: .relaxed) == 0)
    }

    @Test("a node that wants more memory than there is says so and runs alone, and nothing waits for ever")
    func greedyNodesRunAlone() throws {
        var catalogue = testCatalogue
        for node in [NodeDefinition(Small.self), .init(Large.self)] { catalogue[node.description.type] = node }
        let shop = try Workshop(catalogue: catalogue)
        let lines = (0..<12).map { "  n\($0): { type: \($0 % 4 == 0 ? "l.large" : "l.small"), with: { value: \($0) } }" }
        var options = RunOptions(threads: 4)
        options.memory = 1 << 20
        let warnings = Locked<[String]>([])
        let run = try shop.run("nodes:\n" + lines.joined(separator: "\n"), options: options) { event in
            if case .warning(let text) = event { warnings.withLock { $0.append(text) } }
        }
        #expect(run.summary.status == .done && run.ran.count == 12)
        let seen = running.withLock { $0 }
        #expect(seen.crowds == 0 && seen.smallMet)
        #expect(
            warnings.withLock { $0.sorted() }
                == ["n0", "n4", "n8"].map { "\($0) wants 64 MiB of memory and the run has 1: it runs alone; --memory gives it more" })
    }
}
