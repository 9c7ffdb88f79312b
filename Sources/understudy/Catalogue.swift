import ArgumentParser
import Engine
import Foundation
import GraphKit
import NodeCatalog
import NodeKit

/// Where external nodes are looked for.
struct NodeOptions: ParsableArguments {
    @Option(name: .customLong("nodes"), help: ArgumentHelp("Folder with external nodes; may be given more than once.", valueName: "folder"))
    var nodeFolders: [String] = []

    /// All node types: those compiled in, and external ones from `Nodes/` beside the working directory or the program, and `--nodes`.
    ///
    /// - Parameter store: Where environments of external nodes are made.
    func catalogue(_ store: StoreOptions) throws -> [NodeType: NodeDefinition] {
        var result: [NodeType: NodeDefinition] = [:]
        for definition in NodeCatalog.definitions { result[definition.description.type] = definition }
        for node in try externalNodes(store) {
            let type = node.manifest.description.type
            if result[type] != nil {
                throw Failure.usage("error: external node type '\(type)' in \(node.manifest.folder) exists already; rename it in its node.yaml")
            }
            result[type] = node.definition
        }
        return result
    }

    /// External nodes of the searched folders.
    func externalNodes(_ store: StoreOptions) throws -> [ExternalNode] {
        let (nodes, problems) = ExternalNode.discover(in: searchFolders, environments: store.environments)
        guard problems.isEmpty else { throw Failure.usage(problems.map { "error: \($0)" }.joined(separator: "\n")) }
        return nodes
    }

    private var searchFolders: [String] {
        var folders = nodeFolders
        // The program stands in .build/<configuration>/ of a checkout, or beside its Nodes folder when installed.
        let program = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        var places = [URL(filePath: FileManager.default.currentDirectoryPath)]
        var place = program.deletingLastPathComponent()
        for _ in 0..<5 {
            places.append(place)
            place = place.deletingLastPathComponent()
        }
        if let found = places.map({ $0.appending(path: "Nodes").path }).first(where: { FileManager.default.fileExists(atPath: $0) }) {
            folders.append(found)
        }
        return folders
    }
}

/// A graph and what the command line changes about it.
struct GraphOptions: ParsableArguments {
    @Argument(help: "The graph file.", completion: .file(extensions: ["yaml", "yml"]))
    var graph: String

    @Option(name: .long, help: ArgumentHelp("Sets a graph input to a file.", valueName: "name=path"))
    var input: [String] = []

    @Option(name: .long, help: ArgumentHelp("Sets any value of the graph: 'face.with.crop=256'; 'null' removes it.", valueName: "path=value"))
    var set: [String] = []

    @Option(name: .long, help: ArgumentHelp("Merges a graph file over the graph.", valueName: "file"), completion: .file())
    var overlay: [String] = []

    /// Reads and checks the graph; prints warnings.
    ///
    /// - Throws: ``Failure`` with status 2 and all diagnostics when something is wrong with it.
    func load(catalogue: [NodeType: NodeDefinition], options: GraphCheckOptions = .init()) throws -> Graph {
        let request = GraphRequest(path: graph, overlays: overlay, settings: set, inputs: input)
        let (graph, diagnostics) = Graph.load(request, catalogue: catalogue.mapValues(\.description), options: options)
        let text = DiagnosticRenderer(usesColour: Terminal.error.usesColour).render(diagnostics)
        guard let graph else { throw Failure(status: 2, message: text) }
        if !diagnostics.all.isEmpty { printError(text) }
        return graph
    }
}
