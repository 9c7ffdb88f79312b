import Foundation

/// A graph as written: files and command line merged into one tree, every value with the place that it came from.
public struct GraphSyntax: Sendable {
    /// The merged tree.
    public var root: YAMLNode
    /// The file that the user named.
    public let file: SourceFile
    /// Every file read, the graph's own first, then in order of reading.
    public let files: [SourceFile]

    /// Takes a tree that is already complete.
    public init(root: YAMLNode, file: SourceFile) {
        self.root = root
        self.file = file
        files = [file]
    }

    init(root: YAMLNode, file: SourceFile, files: [SourceFile]) {
        self.root = root
        self.file = file
        self.files = files
    }

    /// Reads a graph, what it extends, overlays, and applies `--set`, `--input` and `--pin`.
    ///
    /// - Returns: The merged tree; nil when a file could not be read or is not YAML.
    public static func load(_ request: GraphRequest, diagnostics: inout Diagnostics) -> GraphSyntax? {
        var reader = OverlayReader(diagnostics: diagnostics)
        defer { diagnostics = reader.diagnostics }
        let root = reader.read(path: request.path, namedAt: nil)
        var overlays: [YAMLNode] = []
        var isComplete = root != nil
        for path in request.overlays {
            if let overlay = reader.read(path: path, namedAt: nil) { overlays.append(overlay) } else { isComplete = false }
        }
        guard isComplete, var root, let file = reader.files.first else { return nil }
        for overlay in overlays { root = root.merged(with: overlay) }
        for argument in request.settings { root.apply(setting: argument, diagnostics: &reader.diagnostics) }
        for argument in request.inputs { root.apply(input: argument, diagnostics: &reader.diagnostics) }
        for argument in request.pins { root.apply(pin: argument, diagnostics: &reader.diagnostics) }
        return GraphSyntax(root: root, file: file, files: reader.files)
    }

    /// Reads a graph that is already in memory; `extends` is followed from the file's folder.
    public static func parse(_ file: SourceFile, diagnostics: inout Diagnostics) -> GraphSyntax? {
        var reader = OverlayReader(diagnostics: diagnostics)
        defer { diagnostics = reader.diagnostics }
        guard let root = reader.read(file) else { return nil }
        return GraphSyntax(root: root, file: file, files: reader.files)
    }
}

/// Reads files and follows `extends`.
struct OverlayReader {
    var diagnostics: Diagnostics
    var files: [SourceFile] = []
    /// Files whose content is already in the tree: extending one again changes nothing, so that an overlay that names
    /// its base can be run by itself and laid over the base too.
    private var done: Set<String> = []
    /// The files that are being read, outermost first.
    private var open: [(key: String, name: String)] = []

    init(diagnostics: Diagnostics) { self.diagnostics = diagnostics }

    /// Reads a file that the command line (`range` nil) or an `extends` names.
    mutating func read(path: String, namedAt range: SourceRange?) -> YAMLNode? {
        do {
            return read(try SourceFile.read(path))
        } catch {
            diagnostics.add(Diagnostic(.unreadable, "cannot read '\(path)': \(error.reason)", at: range))
            return nil
        }
    }

    mutating func read(_ file: SourceFile) -> YAMLNode? {
        let key = Self.key(file)
        files.append(file)
        open.append((key, file.name))
        defer {
            open.removeLast()
            done.insert(key)
        }
        guard let root = YAMLParser.parse(file, diagnostics: &diagnostics) else {
            if !diagnostics.hasErrors {
                diagnostics.add(
                    Diagnostic(
                        .shape, "this file is empty", at: file.wholeRange,
                        notes: [.init("a graph starts with 'understudy: 1' and has 'nodes:'")]))
            }
            return nil
        }
        guard var mapping = root.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "a graph is a mapping, this is \(root.described)", at: root.range,
                    notes: [.init("a graph starts with 'understudy: 1' and has 'nodes:'")]))
            return nil
        }
        guard let extends = mapping["extends"] else { return root }
        mapping.removeAll { $0.key == "extends" }
        let own = YAMLNode(.mapping(mapping), at: root.range)
        guard let base = base(extends, of: file) else { return nil }
        return base.mapping?.entries.isEmpty == true ? own : base.merged(with: own)
    }

    /// What a file extends, merged; an empty mapping if all of it is in the tree already.
    private mutating func base(_ extends: YAMLNode, of file: SourceFile) -> YAMLNode? {
        var result = YAMLNode(.mapping(YAMLMapping()), at: extends.range)
        var isComplete = true
        for node in extends.sequence ?? [extends] {
            guard let scalar = node.scalar, case .string = scalar.value, !scalar.text.isEmpty else {
                diagnostics.add(
                    Diagnostic(.shape, "'extends' takes the path of a graph file, this is \(node.described)", at: node.range))
                isComplete = false
                continue
            }
            let path = Self.resolve(scalar.text, in: file)
            let key = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            if let first = open.firstIndex(where: { $0.key == key }) {
                let chain = (open[first...].map(\.name) + [open[first].name]).map { "'\($0)'" }
                diagnostics.add(
                    Diagnostic(
                        .extendsCycle, "these files extend each other: " + chain.joined(separator: " → "), at: node.range,
                        notes: [.init("remove one 'extends'")]))
                isComplete = false
            } else if !done.contains(key) {
                guard let base = read(path: path, namedAt: node.range) else {
                    isComplete = false
                    continue
                }
                result = result.merged(with: base)
            }
        }
        return isComplete ? result : nil
    }

    /// A path as the user would write it: beside the naming file's own name where that is relative.
    static func resolve(_ path: String, in file: SourceFile) -> String {
        if path.hasPrefix("/") { return path }
        guard file.origin == .file else { return file.directory.appendingPathComponent(path).standardized.path }
        let folder = (file.name as NSString).deletingLastPathComponent
        let joined = folder.isEmpty ? path : (folder as NSString).appendingPathComponent(path)
        let name = Self.simplified(joined)
        // A file in memory has a name that is not a path from here; its folder is.
        let url = file.directory.appendingPathComponent(path).standardizedFileURL
        return URL(fileURLWithPath: name).standardizedFileURL.path == url.path ? name : url.path
    }

    /// `Graphs/drivers/../animate.yaml` is `Graphs/animate.yaml`.
    private static func simplified(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." { parts.removeLast() } else { parts.append(part) }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }

    private static func key(_ file: SourceFile) -> String {
        let name = (file.name as NSString).lastPathComponent
        return file.directory.appendingPathComponent(name).resolvingSymlinksInPath().path
    }
}
