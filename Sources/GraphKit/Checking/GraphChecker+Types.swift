import NodeKit

extension GraphChecker {
    /// A wire whose type is not the port's: says both, and what would fit.
    mutating func mismatch(
        _ wire: Wire, _ type: PortType, _ port: NodeDescription.Port, _ node: YAMLNode, of index: Int, subject: String = "input"
    ) {
        let id = drafts[index].id
        if port.type.element == type {
            diagnostics.add(
                Diagnostic(
                    .wireType, "input '\(port.name)' of '\(id)' takes \(port.type), but '\(wire.text)' is one \(type); did you mean '[\(wire.text)]'?",
                    at: node.range, fixIt: .init(range: node.range, replacement: "[\(wire.text)]")))
            return
        }
        var message = "\(subject) '\(port.name)' of '\(id)' takes \(port.type), but '\(wire.text)' is \(type)"
        var notes: [Diagnostic.Note] = []
        var better: String?
        if case .port(let owner, let name, let slice) = wire, let source = draftIndex[owner],
            let description = drafts[source].description
        {
            let isList = drafts[source].hasEach
            let fits = description.outputs.filter { (isList ? $0.type.list : $0.type) == port.type && $0.name != name }
            let suffix = slice ? EachRange.suffix : ""
            if fits.count == 1 { better = "\(owner).\(fits[0].name)\(suffix)" }
            if fits.count > 1 { notes.append(.init("of '\(owner)', \(listed(fits.map { "\(owner).\($0.name)" })) are \(port.type)")) }
            if type.element == port.type {
                if isList {
                    notes.append(.init("'\(owner)' has 'each', so from outside '\(owner).\(name)' is the list of what all its instances make", at: drafts[source].range))
                }
                notes.append(.init("'\(id)' could take one at a time: each: \(owner).\(name), \(port.name): each.item"))
            }
        }
        if better == nil, notes.isEmpty {
            if let fit = firstOutput(of: port.type) {
                notes.append(.init("'\(fit)' is \(port.type)"))
            } else if let maker = converter(from: type, to: port.type) {
                notes.append(.init("node type '\(maker)' makes \(port.type) from \(type)"))
            } else if let maker = maker(of: port.type) {
                notes.append(.init("nothing in this graph makes \(port.type); node type '\(maker)' does"))
            }
        }
        message += didYouMean(better)
        diagnostics.add(
            Diagnostic(
                .wireType, message, at: node.range, notes: notes,
                fixIt: better.map { .init(range: node.range, replacement: $0) }))
    }

    /// Reports inputs that must be wired and are not.
    mutating func checkRequiredInputs(_ index: Int) {
        let draft = drafts[index]
        guard let description = draft.description else { return }
        let wired = draft.mapping["in"]?.mapping
        let carried = draft.mapping["carry"]?.mapping
        for port in description.inputs where !port.isOptional {
            if let value = wired?[port.name], !value.isNull { continue }
            // Its wire is there, under a misspelt name.
            if draft.misspeltInputs.contains(port.name) { continue }
            var notes: [Diagnostic.Note] = []
            if let fit = firstOutput(of: port.type, except: draft.id) {
                notes.append(.init("'\(fit)' is \(port.type): write in: { \(port.name): \(fit) }"))
            } else if port.type.isUsedByPath, let input = inputs.first(where: { $0.type == port.type }) {
                notes.append(.init("'inputs.\(input.name)' is \(port.type): write in: { \(port.name): inputs.\(input.name) }"))
            } else if let maker = maker(of: port.type) {
                notes.append(.init("node type '\(maker)' makes \(port.type)"))
            } else if port.type.isUsedByPath {
                notes.append(.init("add a graph input and write in: { \(port.name): inputs.NAME }"))
            }
            var message = "input '\(port.name)' of '\(draft.id)' (\(description.type)) is not wired; it takes \(port.type)"
            if carried?.entry(port.name) != nil {
                message = "input '\(port.name)' of '\(draft.id)' is carried, but the first instance needs a wire for it"
            }
            diagnostics.add(Diagnostic(.portMissing, message, at: draft.range, notes: notes))
        }
    }

    /// The first output in the graph that has a type, as `node.port`.
    mutating func firstOutput(of type: PortType, except id: String? = nil) -> String? {
        if firstOutputs == nil {
            var outputs: [PortType: String] = [:]
            for draft in drafts {
                for port in draft.description?.outputs ?? [] {
                    let type = draft.hasEach ? port.type.list : port.type
                    if outputs[type] == nil { outputs[type] = "\(draft.id).\(port.name)" }
                }
            }
            firstOutputs = outputs
        }
        guard let found = firstOutputs?[type] else { return nil }
        if let id, found.hasPrefix(id + ".") { return nil }
        return found
    }

    /// A node type that makes one type from another.
    private mutating func converter(from: PortType, to: PortType) -> String? {
        typeNames.first { name in
            guard let description = catalogue[NodeType(name)] else { return false }
            return description.inputs.contains { $0.type == from } && description.outputs.contains { $0.type == to }
        }
    }

    /// A node type that makes a type.
    private mutating func maker(of type: PortType) -> String? {
        typeNames.first { catalogue[NodeType($0)]?.outputs.contains { $0.type == type } ?? false }
    }

    // MARK: - Outputs

    /// Checks `outputs:`.
    mutating func checkOutputs(_ node: YAMLNode?) {
        guard let node, !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'outputs' is a mapping of names to ports, this is \(node.described)", at: node.range,
                    notes: [.init("write outputs: { video: film.file }")]))
            return
        }
        for entry in mapping.entries {
            checkName(entry, of: "output")
            guard let resolved = resolveWire(entry.value, of: nil) else { continue }
            guard case .port(let node, let port, _) = resolved.wire else {
                diagnostics.add(
                    Diagnostic(
                        .outputs, "output '\(entry.key)' is what a node makes, '\(resolved.wire.text)' is not that",
                        at: entry.value.range, notes: [.init("write \(entry.key): NODE.PORT")]))
                continue
            }
            guard let type = resolved.type else { continue }
            outputs.append(.init(name: entry.key, node: node, port: port, type: type, range: entry.value.range))
        }
    }
}
