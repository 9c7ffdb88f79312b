import NodeKit

extension GraphChecker {
    /// Notes every node with its type, so that wires may point forwards.
    mutating func declareNodes(_ entry: YAMLMapping.Entry?) {
        guard let entry else {
            let start = syntax.root.range.start
            let range = SourceRange(file: syntax.root.range.file, start: start, end: start)
            diagnostics.add(
                Diagnostic(.missingKey, "the graph has no 'nodes:'", at: range, notes: [.init("write nodes: { NAME: { type: … } }")]))
            return
        }
        guard let mapping = entry.value.mapping, !mapping.entries.isEmpty else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'nodes' is a mapping of at least one node, this is \(entry.value.mapping == nil ? entry.value.described : "empty")",
                    at: entry.keyRange, notes: [.init("write nodes: { NAME: { type: … } }")]))
            return
        }
        drafts.reserveCapacity(mapping.entries.count)
        for entry in mapping.entries {
            checkName(entry, of: "node")
            draftIndex[entry.key] = drafts.count
            drafts.append(declare(entry))
        }
    }

    private mutating func declare(_ entry: YAMLMapping.Entry) -> Draft {
        var description: NodeDescription?
        var typeRange = entry.keyRange
        let mapping = entry.value.mapping ?? YAMLMapping()
        if entry.value.mapping == nil {
            diagnostics.add(
                Diagnostic(
                    .shape, "node '\(entry.key)' is a mapping, this is \(entry.value.described)", at: entry.value.range,
                    notes: [.init("write \(entry.key): { type: …, in: { … }, with: { … } }")]))
        } else if let type = mapping["type"] {
            typeRange = type.range
            description = type.scalar.flatMap { catalogue[NodeType($0.text)] }
            if description == nil { unknownType(type) }
        } else {
            diagnostics.add(
                Diagnostic(
                    .missingKey, "node '\(entry.key)' has no type", at: entry.keyRange,
                    notes: [.init("write 'type:'; 'understudy nodes' lists the types")]))
        }
        return Draft(
            id: entry.key, range: entry.keyRange, mapping: mapping, description: description, typeRange: typeRange,
            hasEach: mapping["each"].map { !$0.isNull } ?? false)
    }

    private mutating func unknownType(_ node: YAMLNode) {
        guard let scalar = node.scalar, !scalar.text.isEmpty else {
            diagnostics.add(Diagnostic(.shape, "'type' is the name of a node type, this is \(node.described)", at: node.range))
            return
        }
        let near = diagnostics.suggestion(for: scalar.text, among: typeNames)
        var notes: [Diagnostic.Note] = []
        if near == nil {
            let family = scalar.text.split(separator: ".").first.map { $0 + "." } ?? "."
            let kin = typeNames.filter { $0.hasPrefix(family) }
            if !kin.isEmpty { notes.append(.init("there are \(listed(kin))")) }
            notes.append(.init("'understudy nodes' lists the types"))
        }
        diagnostics.add(
            Diagnostic(
                .nodeType, "unknown node type '\(scalar.shortText)'" + didYouMean(near), at: node.range, notes: notes,
                fixIt: near.map { .init(range: node.range, replacement: $0) }))
    }

    /// Checks everything inside a node.
    mutating func checkNode(_ index: Int) {
        let draft = drafts[index]
        for entry in draft.mapping.entries where !GraphKeys.node.contains(entry.key) {
            var notes: [Diagnostic.Note] = []
            if let description = draft.description {
                if description.parameter(entry.key) != nil {
                    notes = [.init("'\(entry.key)' is a parameter: write it under 'with:'")]
                } else if description.input(entry.key) != nil {
                    notes = [.init("'\(entry.key)' is an input: write it under 'in:'")]
                }
            }
            unknownKey(entry, of: "a node", known: GraphKeys.node, notes: notes)
        }
        checkEach(index)
        checkWires(index)
        checkCarry(index)
        checkRequiredInputs(index)
        checkParameters(index)
    }

    // MARK: - Each and carry

    private mutating func checkEach(_ index: Int) {
        guard drafts[index].hasEach, let node = drafts[index].mapping["each"] else { return }
        guard let resolved = resolveWire(node, of: index, isEach: true) else { return }
        guard case .port(let source, let port, slice: false) = resolved.wire else {
            diagnostics.add(
                Diagnostic(
                    .each, "'each' repeats over what a node makes, '\(resolved.wire.text)' is not that", at: node.range,
                    notes: [.init("write each: NODE.PORT, a segments or list<…> output")]))
            return
        }
        guard let type = resolved.type else { return }
        if type == .segments {
            drafts[index].each = .init(node: source, port: port, over: .segments)
        } else if let element = type.element {
            drafts[index].each = .init(node: source, port: port, over: .list(of: element))
        } else {
            let fit = firstOutput(of: .segments).map { Diagnostic.Note("'\($0)' is segments") }
            diagnostics.add(
                Diagnostic(
                    .each, "'each' repeats over segments or a list, but '\(resolved.wire.text)' is \(type)", at: node.range,
                    notes: fit.map { [$0] } ?? []))
        }
    }

    private mutating func checkCarry(_ index: Int) {
        let draft = drafts[index]
        guard let node = draft.mapping["carry"], !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .carry, "'carry' is a mapping of inputs to outputs, this is \(node.described)", at: node.range,
                    notes: [.init("write carry: { INPUT: OUTPUT }: that output of one instance is that input of the next")]))
            return
        }
        if !draft.hasEach {
            diagnostics.add(
                Diagnostic(
                    .carry, "'carry' joins the instances of 'each', and '\(draft.id)' has no 'each'", at: node.range,
                    notes: [.init("add 'each:', or remove 'carry:'")]))
        }
        guard let description = draft.description else { return }
        for entry in mapping.entries {
            let input = description.input(entry.key)
            if input == nil { unknownPort(entry.key, at: entry.keyRange, of: draft, isInput: true) }
            guard let text = entry.value.scalar?.text, let output = description.output(text) else {
                if let text = entry.value.scalar?.text {
                    unknownPort(text, at: entry.value.range, of: draft, isInput: false)
                } else {
                    diagnostics.add(
                        Diagnostic(.carry, "'carry' names an output, this is \(entry.value.described)", at: entry.value.range))
                }
                continue
            }
            guard let input else { continue }
            if input.type != output.type {
                diagnostics.add(
                    Diagnostic(
                        .carry, "'carry' joins equal types, but input '\(input.name)' takes \(input.type) and output '\(output.name)' is \(output.type)",
                        at: entry.value.range))
            } else {
                drafts[index].carry.append(.init(input: input.name, output: output.name))
            }
        }
    }

    /// Reports an input or output that a node's type does not have, and returns the one that was probably meant.
    @discardableResult
    mutating func unknownPort(_ name: String, at range: SourceRange, of draft: Draft, isInput: Bool) -> String? {
        guard let description = draft.description else { return nil }
        let ports = isInput ? description.inputs : description.outputs
        let near = diagnostics.suggestion(for: name, among: ports.map(\.name))
        let what = isInput ? "input" : "output"
        var notes: [Diagnostic.Note] = []
        if near == nil {
            if isInput, description.parameter(name) != nil {
                notes.append(.init("'\(name)' is a parameter: write it under 'with:'"))
            } else if ports.isEmpty {
                notes.append(.init("\(description.type) has no \(what)s"))
            } else {
                notes.append(.init("\(ports.count == 1 ? "its \(what) is" : "its \(what)s are") \(listed(ports.map(\.name)))"))
            }
        }
        // After an overlay changed the type, the ports of the old one are still there.
        if isInput, range.file !== draft.typeRange.file {
            notes.append(.init("the type is set here; remove the input there with '\(name): null'", at: draft.typeRange))
        }
        diagnostics.add(
            Diagnostic(
                .port, "'\(draft.id)' (\(description.type)) has no \(what) '\(YAMLScalar(plain: name).shortText)'" + didYouMean(near),
                at: range, notes: notes, fixIt: near.map { .init(range: range, replacement: $0) }))
        return near
    }
}
