import CLibYAML

/// Reads YAML into a tree that knows where everything is written.
///
/// libyaml gives events with marks; this builds the tree, resolves aliases and merge keys, and refuses what a graph
/// never needs and an attacker likes: nesting beyond `deepest`, aliases that blow up, several documents.
public struct YAMLParser {
    /// How deep collections may nest.
    public static let deepest = 64
    /// How many values a text may hold once its aliases are written out, beyond those it really has.
    public static let largestAliasExpansion = 100_000

    /// Parses a text.
    ///
    /// - Parameters:
    ///   - file: The text.
    ///   - diagnostics: Where errors go.
    /// - Returns: The document's root, or nil when the text is not YAML at all. A root can come with errors: duplicate
    ///   keys and unknown tags do not keep the rest from being checked.
    public static func parse(_ file: SourceFile, diagnostics: inout Diagnostics) -> YAMLNode? {
        if let fault = YAMLEncoding.firstFault(file.bytes) {
            let position = file.position(ofByte: fault.offset)
            let range = SourceRange(file: file, start: position, end: position)
            diagnostics.add(Diagnostic(.encoding, fault.message, at: range, notes: [.init(fault.remedy)]))
            return nil
        }
        var parser = YAMLParser(file: file, diagnostics: diagnostics)
        let root = parser.run()
        diagnostics = parser.diagnostics
        return root
    }

    /// Stops the parse; the diagnostic has been added.
    struct Stop: Error {}

    /// A node with what the bounds need to know of it.
    struct Built {
        var node: YAMLNode
        /// Values in it, aliases written out.
        var size = 1
        /// Levels of collections in it.
        var height = 0
    }

    let file: SourceFile
    var diagnostics: Diagnostics
    var anchors: [String: Built] = [:]
    /// Values that exist only because aliases repeat them.
    var expanded = 0
    let bracketed: Bool

    private init(file: SourceFile, diagnostics: Diagnostics) {
        self.file = file
        self.diagnostics = diagnostics
        bracketed = EachRange.occurs(in: file.bytes)
    }

    private mutating func run() -> YAMLNode? {
        let events = YAMLEvents(bytes: bracketed ? EachRange.hide(file.bytes) : file.bytes)
        do {
            return try document(events)
        } catch let problem as YAMLEvents.Problem {
            report(problem)
        } catch {}
        return nil
    }

    /// `stream := document?`; more than one document is an error.
    private mutating func document(_ events: YAMLEvents) throws -> YAMLNode? {
        var root: YAMLNode?
        while true {
            let event = try events.next()
            switch event.kind {
            case .streamEnd:
                return root
            case .documentStart where root != nil:
                diagnostics.add(
                    Diagnostic(
                        .yamlDocuments, "a second document starts here; a graph file holds one", at: range(event),
                        notes: [.init("remove the '---', or put this graph into a file of its own")]))
                throw Stop()
            case .scalar, .sequenceStart, .mappingStart, .alias:
                root = try build(event, events, depth: 0).node
            default:
                break
            }
        }
    }

    // MARK: - Building

    private mutating func build(_ event: YAMLEvents.Event, _ events: YAMLEvents, depth: Int) throws -> Built {
        if depth > Self.deepest { throw tooDeep(event) }
        var built: Built
        switch event.kind {
        case .alias:
            return try resolve(event, depth: depth)
        case .scalar:
            built = Built(node: YAMLNode(.scalar(scalar(event)), at: range(event)))
        case .sequenceStart:
            built = try sequence(event, events, depth: depth)
        default:
            built = try mapping(event, events, depth: depth)
        }
        if let anchor = event.anchor { anchors[anchor] = built }
        return built
    }

    private mutating func sequence(_ start: YAMLEvents.Event, _ events: YAMLEvents, depth: Int) throws -> Built {
        checkTag(start, allowed: "tag:yaml.org,2002:seq")
        var elements: [YAMLNode] = []
        var built = Built(node: YAMLNode(.sequence([]), at: range(start)))
        while true {
            let event = try events.next()
            if event.kind == .sequenceEnd {
                built.node.range = SourceRange(file: file, start: start.start, end: event.end)
                break
            }
            let element = try build(event, events, depth: depth + 1)
            elements.append(element.node)
            built.size += element.size
            built.height = max(built.height, element.height)
        }
        built.node.content = .sequence(elements)
        built.height += 1
        return built
    }

    private mutating func mapping(_ start: YAMLEvents.Event, _ events: YAMLEvents, depth: Int) throws -> Built {
        checkTag(start, allowed: "tag:yaml.org,2002:map")
        var mapping = YAMLMapping()
        var merges: [YAMLNode] = []
        var built = Built(node: YAMLNode(.mapping(mapping), at: range(start)))
        while true {
            let event = try events.next()
            if event.kind == .mappingEnd {
                // A block mapping ends where the next token stands, which is lines below: its last value's end is better.
                let end = start.isFlow ? event.end : mapping.entries.last?.value.range.end ?? event.end
                built.node.range = SourceRange(file: file, start: start.start, end: end)
                break
            }
            let key = try build(event, events, depth: depth + 1)
            let value = try build(events.next(), events, depth: depth + 1)
            built.size += key.size + value.size
            built.height = max(built.height, key.height, value.height)
            guard let text = key.node.scalar else {
                diagnostics.add(Diagnostic(.yamlKey, "a key must be text, this is \(key.node.described)", at: key.node.range))
                continue
            }
            if text.text == "<<", text.isPlain {
                merges.append(value.node)
            } else if let first = mapping.entry(text.text) {
                diagnostics.add(
                    Diagnostic(
                        .yamlDuplicateKey, "key '\(text.shortText)' is already in this mapping", at: key.node.range,
                        notes: [.init("it was set here first; remove or rename one of the two", at: first.keyRange)]))
            } else {
                mapping.set(.init(key: text.text, keyRange: key.node.range, value: value.node))
            }
        }
        for merge in merges { self.merge(merge, into: &mapping) }
        built.node.content = .mapping(mapping)
        built.height += 1
        return built
    }

    /// `<<: *anchor` or `<<: [*a, *b]`: keys of the mapping itself win, then earlier ones of the list.
    private mutating func merge(_ source: YAMLNode, into mapping: inout YAMLMapping) {
        switch source.content {
        case .mapping(let other):
            for entry in other.entries where mapping.entry(entry.key) == nil { mapping.set(entry) }
        case .sequence(let sources) where sources.allSatisfy({ $0.mapping != nil }):
            for source in sources { merge(source, into: &mapping) }
        default:
            diagnostics.add(
                Diagnostic(
                    .yamlMerge, "'<<' merges a mapping or a list of mappings, this is \(source.described)",
                    at: source.range, notes: [.init("write '<<: *name' where '&name' marks a mapping")]))
        }
    }

    private mutating func resolve(_ event: YAMLEvents.Event, depth: Int) throws -> Built {
        let name = event.anchor ?? ""
        guard let anchored = anchors[name] else {
            let near = diagnostics.suggestion(for: name, among: anchors.keys.sorted())
            let question = near.map { "; did you mean '*\($0)'?" } ?? ""
            diagnostics.add(
                Diagnostic(
                    .yamlAlias, "no '&\(name)' stands before this '*\(name)'\(question)", at: range(event),
                    fixIt: near.map { .init(range: range(event), replacement: "*\($0)") }))
            return Built(node: YAMLNode(.scalar(YAMLScalar(plain: "")), at: range(event)))
        }
        if depth + anchored.height > Self.deepest { throw tooDeep(event) }
        expanded += anchored.size
        guard expanded <= Self.largestAliasExpansion else {
            diagnostics.add(
                Diagnostic(
                    .yamlAliasBomb,
                    "aliases repeat more than \(Self.largestAliasExpansion) values in this file: '*\(name)' goes too far",
                    at: range(event),
                    notes: [.init("'&\(name)' stands here", at: anchored.node.range), .init("write the values out, or use fewer aliases of aliases")]))
            throw Stop()
        }
        return anchored
    }

    // MARK: - Scalars, tags, ranges

    private mutating func scalar(_ event: YAMLEvents.Event) -> YAMLScalar {
        let text = bracketed ? EachRange.restore(event.text) : event.text
        guard let tag = event.tag, tag != "!" else {
            return event.isPlain && event.tag == nil
                ? YAMLScalar(plain: text) : YAMLScalar(text: text, value: .string, isPlain: false)
        }
        let resolved = YAMLScalar.resolve(text)
        switch (tag, resolved) {
        case ("tag:yaml.org,2002:str", _): return YAMLScalar(text: text, value: .string, isPlain: false)
        case ("tag:yaml.org,2002:int", .int), ("tag:yaml.org,2002:bool", .bool), ("tag:yaml.org,2002:null", .null),
            ("tag:yaml.org,2002:float", .float):
            return YAMLScalar(text: text, value: resolved, isPlain: true)
        case ("tag:yaml.org,2002:float", .int(let value)):
            return YAMLScalar(text: text, value: .float(Double(value)), isPlain: true)
        default:
            unknownTag(event, tag)
            return YAMLScalar(text: text, value: .string, isPlain: false)
        }
    }

    private mutating func checkTag(_ event: YAMLEvents.Event, allowed: String) {
        guard let tag = event.tag, tag != "!", tag != allowed else { return }
        unknownTag(event, tag)
    }

    private mutating func unknownTag(_ event: YAMLEvents.Event, _ tag: String) {
        let core = "tag:yaml.org,2002:"
        let short = tag.hasPrefix(core) ? "!!" + tag.dropFirst(core.count) : tag
        diagnostics.add(
            Diagnostic(
                .yamlTag, "tag '\(short)' does not fit here", at: range(event),
                notes: [.init("graphs need no tags; remove it, and quote the value if it is to be text")]))
    }

    private func range(_ event: YAMLEvents.Event) -> SourceRange {
        SourceRange(file: file, start: event.start, end: event.end)
    }

    private mutating func tooDeep(_ event: YAMLEvents.Event) -> Stop {
        diagnostics.add(
            Diagnostic(
                .yamlDepth, "this is nested deeper than \(Self.deepest) levels", at: range(event),
                notes: [.init("a graph needs no more than about eight; is a bracket not closed?")]))
        return Stop()
    }

    /// libyaml's own words, with the remedy for what people trip over most.
    private mutating func report(_ problem: YAMLEvents.Problem) {
        let range = SourceRange(file: file, start: problem.position, end: problem.position)
        var notes: [Diagnostic.Note] = []
        if let context = problem.context, let position = problem.contextPosition, position != problem.position {
            notes.append(.init(context, at: SourceRange(file: file, start: position, end: position)))
        }
        if let remedy = problem.remedy { notes.append(.init(remedy)) }
        diagnostics.add(Diagnostic(.yamlSyntax, "this is not YAML: \(problem.message)", at: range, notes: notes))
    }
}
