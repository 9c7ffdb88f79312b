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
        for folder in nodeFolders {
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue { continue }
            throw Failure.usage("error: there is no folder '\(folder)', which --nodes names")
        }
        let (nodes, problems) = ExternalNode.discover(in: searchFolders, environments: store.environments)
        guard problems.isEmpty else { throw Failure.usage(problems.map { "error: \($0)" }.joined(separator: "\n")) }
        return nodes
    }

    /// Digests of the source code of node types that are compiled in, where it lies beside the program and is what the program was
    /// built from: the `Nodes/<Family>` folder of a type in module `<Family>Node`.
    func sourceDigests(_ catalogue: [NodeType: NodeDefinition], of types: some Sequence<NodeType>) -> [NodeType: Digest] {
        guard let nodes = Self.nodesFolder(in: Self.programFolders), let built = Self.modified(Self.program) else { return [:] }
        var modules: [String: Digest?] = [:]
        var result: [NodeType: Digest] = [:]
        for type in Set(types) {
            guard let module = catalogue[type]?.module, module.hasSuffix("Node") else { continue }
            let known = modules[module]
            let digest = known ?? Self.sourceDigest(of: "\(nodes)/\(module.dropLast(4))", builtAt: built)
            modules[module] = .some(digest)
            if let digest { result[type] = digest }
        }
        return result
    }

    /// Nil when a file is newer than the program, which then was not built from it.
    private static func sourceDigest(of folder: String, builtAt built: Date) -> Digest? {
        let names = ((try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".swift") }.sorted()
        var text = "understudy source 1\n"
        for name in names {
            let path = "\(folder)/\(name)"
            guard let changed = modified(path), changed <= built, let digest = try? Digest.ofFile(path) else { return nil }
            text += "\(name) \(digest)\n"
        }
        return names.isEmpty ? nil : Digest.of(text)
    }

    private static func modified(_ path: String) -> Date? {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
    }

    // MARK: - Folders

    private var searchFolders: [String] {
        let here = FileManager.default.currentDirectoryPath
        return nodeFolders + [Self.nodesFolder(in: [here] + Self.programFolders)].compactMap { $0 }
    }

    private static var program: String { URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path }

    /// The program stands in .build/<configuration>/ of a checkout, or beside its Nodes folder when installed.
    private static var programFolders: [String] {
        var place = URL(filePath: program)
        return (0..<5).map { _ in
            place = place.deletingLastPathComponent()
            return place.path
        }
    }

    private static func nodesFolder(in places: [String]) -> String? {
        places.map { "\($0)/Nodes" }.first { FileManager.default.fileExists(atPath: $0) }
    }
}

/// A graph and what the command line changes about it.
struct GraphOptions: ParsableArguments {
    @Argument(help: "The graph file.", completion: .file(extensions: ["yaml", "yml"]))
    var graph: String

    @Option(name: .long, help: ArgumentHelp("Sets a graph input to a file.", valueName: "name=path"))
    var input: [String] = []

    @Option(name: .long, help: ArgumentHelp("Sets any value of the graph: 'face.with.crop=256'; 'null' removes it. Text is taken as typed; what begins with [, { or a quote is YAML.", valueName: "path=value"))
    var set: [String] = []

    @Option(name: .long, help: ArgumentHelp("Merges a graph file over the graph.", valueName: "file"), completion: .file())
    var overlay: [String] = []

    @Option(name: .long, help: ArgumentHelp("Takes a file in place of what a port gives: 'skeleton.pose=fixed.safetensors', 'animate[1].latent=FILE'.", valueName: "port=file"))
    var pin: [String] = []

    /// Reads and checks the graph; prints warnings.
    ///
    /// - Parameter say: Prints them.
    /// - Throws: ``Failure`` with status 2 and all diagnostics when something is wrong with it.
    func load(catalogue: [NodeType: NodeDefinition], options: GraphCheckOptions = .init(), say: (String) -> Void = printError) throws -> Graph {
        let request = GraphRequest(path: graph, overlays: overlay, settings: set, inputs: input, pins: pin)
        let (graph, diagnostics) = Graph.load(request, catalogue: catalogue.mapValues(\.description), options: options)
        let text = DiagnosticRenderer(usesColour: Terminal.error.usesColour).render(diagnostics)
        guard let graph else { throw Failure(status: 2, message: text) }
        if !diagnostics.all.isEmpty { say(text) }
        return graph
    }
}
