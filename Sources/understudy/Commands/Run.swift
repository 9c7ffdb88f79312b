import ArgumentParser
import Engine
import Foundation
import GraphKit
import NodeKit

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs a graph: only what is not cached yet, or whose inputs changed.")

    @OptionGroup var graph: GraphOptions
    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions

    @Option(name: .long, help: ArgumentHelp("Where the graph's outputs go; a folder of the graph's name is made inside.", valueName: "folder"), completion: .directory)
    var out = "out"
    @Flag(help: "Shows what would run, and why, without running it.") var dryRun = false
    @Flag(help: "Runs again whenever the graph, a file it is made of, an input or an external node is saved, and stops what the edit made pointless.")
    var watch = false
    @Flag(help: "After a failure, finishes everything that does not depend on it.") var keepGoing = false
    @Flag(help: "Prints events as JSON, one per line.") var json = false
    @Flag(name: .shortAndLong, help: "Prints errors only.") var quiet = false

    var printer: any RunPrinter { if json { JSONPrinter() } else if quiet { QuietPrinter() } else { ProgressPrinter() } }

    func validate() throws {
        if out.isEmpty { throw ValidationError("--out is empty; name a folder, '.' for this one") }
        if watch, dryRun { throw ValidationError("--watch runs, --dry-run does not: choose one") }
    }

    func run() throws {
        if watch { return try WatchLoop(self).run() }
        let catalogue = try nodes.catalogue(self.store)
        let graph = try self.graph.load(catalogue: catalogue)
        let engine = UnderstudyEngine(store: try dryRun ? store.open() : store.make(), catalogue: catalogue)
        let options = try options(for: graph, catalogue)
        if dryRun {
            PlanPrinter().print(try usable { try engine.plan(graph, options: options) })
            return
        }
        let cancellation = Cancellation()
        let signals = try StopSignals { cancellation.cancel() }
        defer { signals.cancel() }
        let printer = printer
        defer { printer.end() }
        let summary = try usable { try engine.run(graph, options: options, cancellation: cancellation) { printer.handle($0) } }
        switch summary.status {
        case .done: break
        case .cancelled: throw Failure(status: 130, message: json ? "" : "interrupted; what was finished is kept, and the next run goes on from there")
        default: throw Failure(status: 1, message: "")
        }
    }

    func options(for graph: Graph, _ catalogue: [NodeType: NodeDefinition]) throws -> RunOptions {
        var options = try execution.runOptions(for: graph)
        options.sourceDigests = nodes.sourceDigests(catalogue, of: graph.nodes.map(\.type))
        options.keepsGoing = keepGoing
        options.outputFolder = out
        return options
    }
}

struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Shows what a run would do: what is cached, what will run, and why.")

    @OptionGroup var graph: GraphOptions
    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions
    @Option(help: ArgumentHelp("Says of a node or an instance ('animate[3]') what changed, followed to where it began.", valueName: "node"))
    var why: String?
    @Flag(help: "Prints the plan as JSON.") var json = false

    func run() throws {
        let store = try self.store.open()
        let catalogue = try nodes.catalogue(self.store)
        let graph = try self.graph.load(catalogue: catalogue)
        let engine = UnderstudyEngine(store: store, catalogue: catalogue)
        var options = try execution.runOptions(for: graph)
        options.sourceDigests = nodes.sourceDigests(catalogue, of: graph.nodes.map(\.type))
        if let why {
            let explanations = try usable { try engine.explain(try RunTarget(why, in: graph), in: graph, options: options) }
            return json ? print(try jsonText(explanations)) : PlanPrinter().print(explanations)
        }
        let plan = try usable { try engine.plan(graph, options: options) }
        if json { print(try jsonText(plan)) } else { PlanPrinter().print(plan) }
    }
}

extension ExecutionOptions {
    func runOptions(for graph: Graph) throws -> RunOptions {
        var options = RunOptions(threads: threads, memory: memory?.bytes)
        numerics.apply(to: &options)
        if let streamAbove { options.streamsAbove = streamAbove.bytes }
        try usable {
            options.targets = try to.map { try RunTarget($0, in: graph) }
            options.from = try from.map { try RunTarget($0, in: graph) }
            options.force = try force.map { try RunTarget($0, in: graph) }
        }
        return options
    }
}

/// What is wrong with the command line ends the program with status 2.
func usable<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let error as UsageError {
        throw Failure.usage("error: \(error)")
    }
}
