import NodeKit

/// The node types that a graph may use.
public typealias NodeCatalogue = [NodeType: NodeDescription]

/// What a user asked for: a graph file and what the command line changes about it.
public struct GraphRequest: Sendable {
    /// The graph file, as written.
    public var path: String
    /// Files of `--overlay`, first applied first.
    public var overlays: [String]
    /// Arguments of `--set`: `face.with.crop=256`.
    public var settings: [String]
    /// Arguments of `--input`: `driving=clip.mp4`.
    public var inputs: [String]
    /// Arguments of `--pin`: `skeleton.pose=fixed.safetensors`.
    public var pins: [String]

    /// Makes a request.
    public init(path: String, overlays: [String] = [], settings: [String] = [], inputs: [String] = [], pins: [String] = []) {
        self.path = path
        self.overlays = overlays
        self.settings = settings
        self.inputs = inputs
        self.pins = pins
    }
}

/// How much of the world outside the graph file is checked.
public struct GraphCheckOptions: Sendable {
    /// Whether the files of graph inputs must exist.
    public var checksFiles = true
    /// Whether every used graph input must have a file; off for «is this graph right in itself?».
    public var requiresInputs = true

    /// Checks everything.
    public init(checksFiles: Bool = true, requiresInputs: Bool = true) {
        self.checksFiles = checksFiles
        self.requiresInputs = requiresInputs
    }
}

extension Graph {
    /// Reads, merges and checks a graph.
    ///
    /// - Parameters:
    ///   - request: The file and the command line's changes.
    ///   - catalogue: The node types there are.
    ///   - options: What to check outside the file.
    /// - Returns: The graph, nil if there were errors, and everything found on the way: warnings come with a graph too.
    public static func load(
        _ request: GraphRequest, catalogue: NodeCatalogue, options: GraphCheckOptions = .init()
    ) -> (graph: Graph?, diagnostics: Diagnostics) {
        var diagnostics = Diagnostics()
        guard let syntax = GraphSyntax.load(request, diagnostics: &diagnostics) else { return (nil, diagnostics) }
        let graph = check(syntax, catalogue: catalogue, options: options, diagnostics: &diagnostics)
        return (graph, diagnostics)
    }

    /// Checks a merged tree; nil if there were errors, those of reading it included.
    public static func check(
        _ syntax: GraphSyntax, catalogue: NodeCatalogue, options: GraphCheckOptions = .init(),
        diagnostics: inout Diagnostics
    ) -> Graph? {
        var checker = GraphChecker(syntax: syntax, catalogue: catalogue, options: options, diagnostics: diagnostics)
        let graph = checker.run()
        diagnostics = checker.diagnostics
        return diagnostics.hasErrors ? nil : graph
    }
}
