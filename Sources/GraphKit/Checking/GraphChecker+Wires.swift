import NodeKit

extension GraphChecker {
    /// A wire and the type of what comes out of it; the type is nil when it could not be known.
    struct Resolved {
        var wire: Wire
        var type: PortType?
    }

    /// Checks `in:`.
    mutating func checkWires(_ index: Int) {
        guard let node = drafts[index].mapping["in"], !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'in' is a mapping of ports to wires, this is \(node.described)", at: node.range,
                    notes: [.init("write in: { PORT: NODE.PORT }")]))
            return
        }
        for entry in mapping.entries {
            let port = drafts[index].description?.input(entry.key)
            if port == nil, let meant = unknownPort(entry.key, at: entry.keyRange, of: drafts[index], isInput: true) {
                drafts[index].misspeltInputs.insert(meant)
            }
            if entry.value.isNull { continue }
            if let wire = checkWire(entry, port: port, of: index) { drafts[index].wires[entry.key] = wire }
        }
    }

    private mutating func checkWire(_ entry: YAMLMapping.Entry, port: NodeDescription.Port?, of index: Int) -> Wire? {
        guard let elements = entry.value.sequence else {
            guard let resolved = resolveWire(entry.value, of: index) else { return nil }
            if let port, let type = resolved.type, type != port.type {
                mismatch(resolved.wire, type, port, entry.value, of: index)
            }
            return resolved.wire
        }
        if let port, port.type.element == nil {
            diagnostics.add(
                Diagnostic(
                    .wireType, "input '\(port.name)' of '\(drafts[index].id)' takes one \(port.type), not a list of wires",
                    at: entry.value.range))
            return nil
        }
        var wires: [Wire] = []
        for element in elements {
            guard let resolved = resolveWire(element, of: index) else { continue }
            if let port, let wanted = port.type.element, let type = resolved.type, type != wanted {
                let single = NodeDescription.Port(name: port.name, type: wanted, help: port.help)
                mismatch(resolved.wire, type, single, element, of: index, subject: "an element of input")
            }
            wires.append(resolved.wire)
        }
        return .list(wires)
    }

    // MARK: - One wire

    /// Reads `node.port`, `node.port[each.range]`, `inputs.name` or `each.item`, and notes the dependency.
    mutating func resolveWire(_ node: YAMLNode, of index: Int?, isEach: Bool = false) -> Resolved? {
        guard let scalar = node.scalar, case .string = scalar.value, !scalar.text.isEmpty else {
            diagnostics.add(
                Diagnostic(
                    .wireSyntax, "a wire is text, this is \(node.described)", at: node.range, notes: [Self.wireForms]))
            return nil
        }
        var text = Substring(scalar.text)
        let slice = text.hasSuffix(EachRange.suffix)
        if slice { text = text.dropLast(EachRange.suffix.count) }
        guard !text.utf8.contains(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "]") || $0 <= 0x20 }) else {
            diagnostics.add(
                Diagnostic(.wireSyntax, "'\(scalar.shortText)' is not a wire", at: node.range, notes: [Self.wireForms]))
            return nil
        }
        if text == "each.item" || text == "each" { return eachItem(slice: slice, isEach: isEach, at: node.range, of: index) }
        guard let dot = text.utf8.firstIndex(of: UInt8(ascii: ".")) else {
            wireWithoutPort(String(text), at: node.range)
            return nil
        }
        let owner = String(text[..<dot])
        let port = String(text[text.index(after: dot)...])
        if owner == "inputs" { return inputWire(port, slice: slice, at: node.range) }
        return nodeWire(owner, port, slice: slice, at: node.range, of: index)
    }

    private static var wireForms: Diagnostic.Note {
        .init("write 'node.port', 'inputs.name', or 'node.port[each.range]' in a node with 'each'")
    }

    private mutating func eachItem(slice: Bool, isEach: Bool, at range: SourceRange, of index: Int?) -> Resolved? {
        guard let index, drafts[index].hasEach, !isEach, !slice else {
            let message = slice ? "'each.item' cannot be cut" : "'each.item' is only known inside a node with 'each'"
            diagnostics.add(Diagnostic(.wireSlice, message, at: range))
            return nil
        }
        return Resolved(wire: .eachItem, type: drafts[index].each?.itemType)
    }

    private mutating func wireWithoutPort(_ text: String, at range: SourceRange) {
        var notes: [Diagnostic.Note] = []
        var better: String?
        if let index = draftIndex[text] {
            let outputs = drafts[index].description?.outputs.map { "\(text).\($0.name)" } ?? []
            if outputs.count == 1 { better = outputs[0] }
            if outputs.count > 1 { notes.append(.init("its outputs are \(listed(outputs))")) }
        } else if inputIndex[text] != nil {
            better = "inputs.\(text)"
        } else if let near = diagnostics.suggestion(for: text, among: drafts.lazy.map(\.id)) {
            notes.append(.init("there is a node '\(near)'"))
        }
        if better == nil, notes.isEmpty { notes.append(Self.wireForms) }
        diagnostics.add(
            Diagnostic(
                .wireSyntax, "'\(YAMLScalar(plain: text).shortText)' names no port" + didYouMean(better), at: range,
                notes: notes, fixIt: better.map { .init(range: range, replacement: $0) }))
    }

    private mutating func inputWire(_ name: String, slice: Bool, at range: SourceRange) -> Resolved? {
        guard let index = inputIndex[name] else {
            if diagnostics.isFull {
                diagnostics.add(Diagnostic(.wireSource, "", at: range))
                return nil
            }
            let near = diagnostics.suggestion(for: name, among: inputs.map(\.name)).map { "inputs.\($0)" }
            let known = inputs.isEmpty ? "this graph has no 'inputs:'" : "its inputs are \(listed(inputs.map(\.name)))"
            diagnostics.add(
                Diagnostic(
                    .wireSource, "the graph has no input '\(YAMLScalar(plain: name).shortText)'" + didYouMean(near), at: range,
                    notes: near == nil ? [.init(known)] : [], fixIt: near.map { .init(range: range, replacement: $0) }))
            return nil
        }
        usedInputs.insert(name)
        let type = inputs[index].type
        if slice { noTimeAxis("inputs.\(name)", type, at: range) }
        return Resolved(wire: .input(name), type: type)
    }

    private mutating func nodeWire(
        _ owner: String, _ port: String, slice: Bool, at range: SourceRange, of index: Int?
    ) -> Resolved? {
        guard let source = draftIndex[owner] else {
            unknownSource(owner, port, at: range)
            return nil
        }
        let text = "\(owner).\(port)"
        if let index { drafts[index].dependencies.append(.init(source: source, text: text, range: range)) }
        let wire = Wire.port(node: owner, port: port, slice: slice)
        guard let description = drafts[source].description else { return Resolved(wire: wire, type: nil) }
        guard let output = description.output(port) else {
            unknownOutput(port, at: range, of: drafts[source])
            return nil
        }
        let type = drafts[source].hasEach ? output.type.list : output.type
        if slice {
            if index.map({ !drafts[$0].hasEach }) ?? true {
                diagnostics.add(
                    Diagnostic(
                        .wireSlice, "'[each.range]' is only known inside a node with 'each'", at: range,
                        notes: [.init("add 'each:' with a segments output, or write '\(text)' for all of it")],
                        fixIt: .init(range: range, replacement: text)))
            } else if let index, let each = drafts[index].each, each.over != .segments {
                diagnostics.add(
                    Diagnostic(
                        .wireSlice, "'\(each.node).\(each.port)' is \(each.itemType.list), which has no frame ranges to cut with",
                        at: range, notes: [.init("'each:' over a segments output has them; the element itself is 'each.item'")]))
            } else if !PortType.timeSliceable.contains(type) {
                noTimeAxis(text, type, at: range)
            }
        }
        return Resolved(wire: wire, type: type)
    }

    private mutating func noTimeAxis(_ text: String, _ type: PortType, at range: SourceRange) {
        diagnostics.add(
            Diagnostic(
                .wireSlice, "'\(text)' is \(type), which has no time axis to cut '[each.range]' out of", at: range,
                notes: [.init("write '\(text)' for all of it")], fixIt: .init(range: range, replacement: text)))
    }

    private mutating func unknownSource(_ owner: String, _ port: String, at range: SourceRange) {
        if diagnostics.isFull { return diagnostics.add(Diagnostic(.wireSource, "", at: range)) }
        var better = diagnostics.suggestion(for: owner, among: drafts.lazy.map(\.id)).map { "\($0).\(port)" }
        if better == nil, inputIndex[owner] != nil { better = "inputs.\(owner)" }
        if better == nil, owner == "input" { better = "inputs.\(port)" }
        if owner == "input", inputIndex[port] != nil { better = "inputs.\(port)" }
        diagnostics.add(
            Diagnostic(
                .wireSource, "no node is called '\(YAMLScalar(plain: owner).shortText)'" + didYouMean(better), at: range,
                notes: better == nil ? [.init("the nodes are \(listed(drafts.map(\.id)))")] : [],
                fixIt: better.map { .init(range: range, replacement: $0) }))
    }

    private mutating func unknownOutput(_ port: String, at range: SourceRange, of source: Draft) {
        guard let description = source.description else { return }
        let near = diagnostics.suggestion(for: port, among: description.outputs.map(\.name)).map { "\(source.id).\($0)" }
        let outputs = description.outputs.map { "'\($0.name)' (\($0.type))" }.joined(separator: ", ")
        let known = description.outputs.isEmpty ? "it has no outputs" : "its outputs are \(outputs)"
        diagnostics.add(
            Diagnostic(
                .port, "'\(source.id)' (\(description.type)) has no output '\(YAMLScalar(plain: port).shortText)'" + didYouMean(near),
                at: range, notes: near == nil ? [.init(known)] : [],
                fixIt: near.map { .init(range: range, replacement: $0) }))
    }
}
