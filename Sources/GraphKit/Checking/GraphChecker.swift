import Foundation
import NodeKit

/// Turns a merged tree into a checked graph, or says all that keeps it from being one.
///
/// Every pass is linear in the size of the tree. A part that is wrong is left out and what hangs on it is not blamed.
struct GraphChecker {
    let syntax: GraphSyntax
    let catalogue: NodeCatalogue
    let options: GraphCheckOptions
    var diagnostics: Diagnostics

    /// A node between its declaration and its place in the graph.
    struct Draft {
        let id: String
        let range: SourceRange
        let mapping: YAMLMapping
        /// Nil when the type is not known; ports and parameters then go unchecked.
        let description: NodeDescription?
        /// Where its type is written.
        let typeRange: SourceRange
        let hasEach: Bool
        var each: GraphNode.Each?
        var carry: [GraphNode.Carry] = []
        var wires: [String: Wire] = [:]
        var parameters: [String: ParameterLiteral] = [:]
        var parameterRanges: [String: SourceRange] = [:]
        var dependencies: [Dependency] = []
        /// Ports that unknown names under `in:` are taken for.
        var misspeltInputs: Set<String> = []
    }

    /// A wire between nodes.
    struct Dependency {
        let source: Int
        let text: String
        let range: SourceRange
    }

    var inputs: [GraphInput] = []
    var inputIndex: [String: Int] = [:]
    var usedInputs: Set<String> = []
    var drafts: [Draft] = []
    var draftIndex: [String: Int] = [:]
    var outputs: [GraphOutput] = []
    var pins: [GraphPin] = []
    /// The first output of each type, for «'x.y' would fit»; made when first asked for.
    var firstOutputs: [PortType: String]?
    lazy var typeNames: [String] = catalogue.keys.map(\.name).sorted()

    init(syntax: GraphSyntax, catalogue: NodeCatalogue, options: GraphCheckOptions, diagnostics: Diagnostics) {
        self.syntax = syntax
        self.catalogue = catalogue
        self.options = options
        self.diagnostics = diagnostics
    }

    mutating func run() -> Graph? {
        guard let root = syntax.root.mapping else { return nil }
        let name = checkHeader(root)
        checkInputs(root["inputs"])
        declareNodes(root.entry("nodes"))
        for index in drafts.indices { checkNode(index) }
        checkOutputs(root["outputs"])
        checkPins(root["pins"])
        checkInputFiles()
        let order = topologicalOrder()
        guard !diagnostics.hasErrors else { return nil }
        let nodes = order.compactMap { finished(drafts[$0]) }
        return Graph(
            name: name, file: syntax.file, files: syntax.files, inputs: inputs, nodes: nodes, outputs: outputs, pins: pins)
    }

    private func finished(_ draft: Draft) -> GraphNode? {
        guard let description = draft.description else { return nil }
        var seen: Set<Int> = []
        let dependencies = draft.dependencies.filter { seen.insert($0.source).inserted }.map { drafts[$0.source].id }
        return GraphNode(
            id: draft.id, description: description, wires: draft.wires, parameters: draft.parameters,
            parameterRanges: draft.parameterRanges, each: draft.each, carry: draft.carry, dependencies: dependencies,
            range: draft.range)
    }

    // MARK: - Header

    /// Checks the top-level keys and returns the graph's name.
    private mutating func checkHeader(_ root: YAMLMapping) -> String {
        for entry in root.entries where !GraphKeys.top.contains(entry.key) && !entry.key.hasPrefix("x-") {
            unknownKey(entry, of: "a graph", known: GraphKeys.top)
        }
        checkVersion(root["understudy"])
        if let node = root["name"], node.scalar?.text.isEmpty != false {
            diagnostics.add(Diagnostic(.shape, "'name' is text, this is \(node.described)", at: node.range))
        }
        let fallback = ((syntax.file.name as NSString).lastPathComponent as NSString).deletingPathExtension
        return root["name"]?.scalar?.text ?? fallback
    }

    private mutating func checkVersion(_ node: YAMLNode?) {
        let known = GraphKeys.formatVersion
        guard let node else {
            let start = syntax.root.range.start
            let range = SourceRange(file: syntax.root.range.file, start: start, end: start)
            diagnostics.add(
                Diagnostic(
                    .missingKey, "the format version is missing", at: range,
                    notes: [.init("write 'understudy: \(known)' as the first line")],
                    fixIt: .init(range: range, replacement: "understudy: \(known)\n")))
            return
        }
        guard node.scalar?.text == String(known) else {
            let found = node.scalar.map { "'\($0.shortText)'" } ?? node.described
            diagnostics.add(
                Diagnostic(
                    .version, "format version \(found) is not known; this program reads version \(known)", at: node.range,
                    notes: [.init("write 'understudy: \(known)', or use a newer understudy")],
                    fixIt: .init(range: node.range, replacement: String(known))))
            return
        }
    }

    // MARK: - Names

    /// Whether text can name a node or an input: letters, digits, `_` and `-`, a letter or `_` first.
    static func isName(_ text: String) -> Bool {
        var isFirst = true
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): break
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): if isFirst { return false }
            default: return false
            }
            isFirst = false
        }
        return !isFirst && text.utf8.count <= 64
    }

    mutating func checkName(_ entry: YAMLMapping.Entry, of what: String) {
        if ["inputs", "each"].contains(entry.key), what == "node" {
            diagnostics.add(
                Diagnostic(
                    .name, "a node cannot be called '\(entry.key)': wires use the word", at: entry.keyRange,
                    notes: [.init("give it another name")]))
        } else if !Self.isName(entry.key) {
            diagnostics.add(
                Diagnostic(
                    .name, "'\(YAMLScalar(plain: entry.key).shortText)' cannot name \(what == "node" ? "a" : "an") \(what)",
                    at: entry.keyRange,
                    notes: [.init("names have letters, digits, '_' and '-', begin with a letter, and are at most 64 long")]))
        }
    }

    mutating func unknownKey(_ entry: YAMLMapping.Entry, of what: String, known: [String], notes: [Diagnostic.Note] = []) {
        let near = notes.isEmpty ? diagnostics.suggestion(for: entry.key, among: known) : nil
        var notes = notes
        if near == nil, notes.isEmpty { notes = [.init("the keys are \(listed(known, most: 8))")] }
        diagnostics.add(
            Diagnostic(
                .unknownKey, "\(what) has no key '\(YAMLScalar(plain: entry.key).shortText)'" + didYouMean(near),
                at: entry.keyRange, notes: notes, fixIt: near.map { .init(range: entry.keyRange, replacement: $0) }))
    }
}
