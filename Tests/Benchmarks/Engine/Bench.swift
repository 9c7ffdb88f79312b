import Engine
import Foundation
import GraphKit
import NodeKit

/// Seconds that something takes, by the wall.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start) / .seconds(1)
}

/// The least of some runs.
func best(of runs: Int, _ body: () throws -> Double) rethrows -> Double {
    try (0..<runs).map { _ in try body() }.min() ?? 0
}

/// Prints a line of the table: what was measured, what is to be reached, and how far that is.
///
/// - Parameter isCeiling: Whether less is better.
func report(_ what: String, _ measured: Double, _ unit: String, reach: Double, isCeiling: Bool) {
    let isReached = isCeiling ? measured < reach : measured > reach
    func text(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : "%.0f", value) }
    print(
        "\(what.padding(toLength: max(54, what.count), withPad: " ", startingAt: 0)) \(text(measured)) \(unit)",
        "(\(isCeiling ? "under" : "over") \(text(reach)); ratio \(text(measured / reach)))\(isReached ? "" : "  NOT REACHED")")
    fflush(nil)
}

/// A folder for stores and files, removed at the end; where `BENCHMARK_FOLDER` says, else among the system's temporary ones.
final class Site {
    let folder =
        (ProcessInfo.processInfo.environment["BENCHMARK_FOLDER"] ?? FileManager.default.temporaryDirectory.path)
        + "/engine-benchmarks-\(UUID().uuidString)"

    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func engine(_ name: String = "cache") throws -> UnderstudyEngine {
        UnderstudyEngine(store: try CacheStore(root: "\(folder)/\(name)"), catalogue: catalogue)
    }

    func graph(_ text: String) throws -> Graph {
        let path = "\(folder)/graph.yaml"
        try Data(("understudy: 1\nname: bench\n" + text).utf8).write(to: URL(filePath: path))
        let (graph, diagnostics) = Graph.load(GraphRequest(path: path), catalogue: catalogue.mapValues(\.description))
        guard let graph else { throw NodeError(diagnostics.sorted.map(\.message).joined(separator: "\n")) }
        return graph
    }
}

/// Passes a number on, plus one.
struct Increment: Node {
    static let type: NodeType = "bench.increment"
    static let version = 1
    static let summary = "Adds one."
    @Input("A number.") var a: Table?
    @Parameter("Tells nodes apart.") var seed = 0
    @Parameter("How long it takes besides.") var milliseconds = 0
    @Output("One more.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        if milliseconds > 0 { usleep(UInt32(milliseconds) * 1000) }
        try $out.set(Table(columns: [.init("value")], rows: [("", [(a?.values[0][0] ?? Double(seed)) + 1])]))
    }
}

let catalogue: [NodeType: NodeDefinition] = {
    let definition = NodeDefinition(Increment.self)
    return [definition.description.type: definition]
}()

/// A grid of nodes: each takes the one before it in its row.
func grid(_ count: Int, rowLength: Int, seed: Int, milliseconds: Int = 0) -> String {
    var text = "nodes:\n"
    for index in 0..<count {
        let input = index % rowLength == 0 ? "" : " in: { a: n\(index - 1).out },"
        let wait = milliseconds > 0 ? ", milliseconds: \(milliseconds)" : ""
        text += "  n\(index): { type: bench.increment,\(input) with: { seed: \(seed + index)\(wait) } }\n"
    }
    return text
}
