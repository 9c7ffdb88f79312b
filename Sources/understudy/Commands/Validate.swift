import ArgumentParser
import GraphKit

struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Checks a graph without running it; reports everything that is wrong at once.")

    @OptionGroup var options: GraphOptions
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions
    @Flag(help: "Do not look whether input files exist.") var ignoreFiles = false

    func run() throws {
        var check = GraphCheckOptions()
        check.checksFiles = !ignoreFiles
        check.requiresInputs = !ignoreFiles
        let graph = try options.load(catalogue: nodes.catalogue(store), options: check)
        print("\(options.graph): \(graph.nodes.count) nodes, \(graph.inputs.count) inputs, \(graph.outputs.count) outputs; no errors")
    }
}
