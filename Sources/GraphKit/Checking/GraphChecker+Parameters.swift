import NodeKit

extension GraphChecker {
    /// Checks `with:` and fills in defaults.
    mutating func checkParameters(_ index: Int) {
        let draft = drafts[index]
        guard let description = draft.description else { return }
        for parameter in description.parameters { drafts[index].parameters[parameter.name] = parameter.defaultValue }
        guard let node = draft.mapping["with"], !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'with' is a mapping of parameters to values, this is \(node.described)", at: node.range,
                    notes: [.init("write with: { PARAMETER: VALUE }")]))
            return
        }
        checkParameters(mapping, prefix: "", description, of: index)
    }

    /// `guidance: { motion: 2.5 }` and `guidance.motion: 2.5` are the same parameter.
    private mutating func checkParameters(
        _ mapping: YAMLMapping, prefix: String, _ description: NodeDescription, of index: Int
    ) {
        for entry in mapping.entries {
            let name = prefix + entry.key
            if let parameter = description.parameter(name) {
                if let first = drafts[index].parameterRanges[name] {
                    diagnostics.add(
                        Diagnostic(
                            .yamlDuplicateKey, "parameter '\(name)' is already set", at: entry.keyRange,
                            notes: [.init("it was set here first; remove one of the two", at: first)]))
                    continue
                }
                drafts[index].parameterRanges[name] = entry.value.range
                if let literal = literal(entry.value, parameter, of: drafts[index].id) {
                    drafts[index].parameters[name] = literal
                }
            } else if description.parameters.contains(where: { $0.name.hasPrefix(name + ".") }) {
                guard let group = entry.value.mapping else {
                    let members = description.parameters.map(\.name).filter { $0.hasPrefix(name + ".") }
                    diagnostics.add(
                        Diagnostic(
                            .parameterType, "'\(name)' of '\(drafts[index].id)' is a group of parameters, this is \(entry.value.described)",
                            at: entry.value.range, notes: [.init("its parameters are \(listed(members))")]))
                    continue
                }
                checkParameters(group, prefix: name + ".", description, of: index)
            } else {
                unknownParameter(name, entry, description, of: drafts[index])
            }
        }
    }

    private mutating func unknownParameter(
        _ name: String, _ entry: YAMLMapping.Entry, _ description: NodeDescription, of draft: Draft
    ) {
        let names = description.parameters.map(\.name)
        let near = diagnostics.suggestion(for: name, among: names)
            // `motion: 2` for `guidance.motion`.
            ?? names.first { $0.hasSuffix("." + name) }
        var notes: [Diagnostic.Note] = []
        if near == nil {
            if description.input(name) != nil {
                notes.append(.init("'\(name)' is an input: write it under 'in:'"))
            } else {
                notes.append(.init(names.isEmpty ? "\(description.type) has no parameters" : "its parameters are \(listed(names, most: 8))"))
            }
        }
        if entry.keyRange.file !== draft.typeRange.file {
            notes.append(.init("the type is set here; remove the parameter there with '\(entry.key): null'", at: draft.typeRange))
        }
        // Inside a group only the last word is replaced.
        let prefix = name.dropLast(entry.key.count)
        let fix = near.flatMap { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
        diagnostics.add(
            Diagnostic(
                .parameter, "'\(draft.id)' (\(description.type)) has no parameter '\(YAMLScalar(plain: name).shortText)'" + didYouMean(near),
                at: entry.keyRange, notes: notes, fixIt: fix.map { .init(range: entry.keyRange, replacement: $0) }))
    }

    // MARK: - Values

    /// A parameter's value in canonical form; nil after an error.
    private mutating func literal(_ node: YAMLNode, _ parameter: NodeDescription.Parameter, of id: String) -> ParameterLiteral? {
        let schema = parameter.schema
        if node.isNull, schema.kind != .any {
            if schema.isOptional { return .null }
            let value = parameter.defaultValue.canonical
            diagnostics.add(
                Diagnostic(
                    .parameterType, "parameter '\(parameter.name)' of '\(id)' has no value; it takes \(schema.kind.described)",
                    at: node.range, notes: [.init("leave the line out for its default, \(value)")]))
            return nil
        }
        return literal(node, schema.kind, schema, subject: "parameter '\(parameter.name)' of '\(id)'")
    }

    private mutating func literal(
        _ node: YAMLNode, _ kind: ParameterSchema.Kind, _ schema: ParameterSchema, subject: String
    ) -> ParameterLiteral? {
        switch kind {
        case .any:
            return Self.anything(node)
        case .list(let element):
            guard let elements = node.sequence else { return wrongType(node, kind, subject) }
            let values = elements.map { literal($0, element, schema, subject: "an element of \(subject)") }
            let known = values.compactMap { $0 }
            return known.count == values.count ? .list(known) : nil
        case .choice(let words):
            guard let scalar = node.scalar else { return wrongType(node, kind, subject) }
            return choice(scalar, words, at: node.range, subject)
        case .bool:
            guard case .bool(let value)? = node.scalar?.value else { return wrongType(node, kind, subject) }
            return .bool(value)
        case .string:
            // Numbers and truth values are text where text is asked for, exactly as written.
            guard let scalar = node.scalar, scalar.value != .null else { return wrongType(node, kind, subject) }
            return .string(scalar.text)
        case .integer:
            guard let value = node.scalar?.integer else { return wrongType(node, kind, subject) }
            return inRange(Double(value), node, schema, subject) ? .integer(value) : nil
        case .number:
            guard let value = node.scalar?.number else { return wrongType(node, kind, subject) }
            return inRange(value, node, schema, subject) ? .number(value) : nil
        case .size:
            guard let text = node.scalar?.text, let size = PixelSize(literal: .string(text)) else {
                return wrongType(node, kind, subject)
            }
            let fits = inRange(Double(size.width), node, schema, "the width of " + subject)
                && inRange(Double(size.height), node, schema, "the height of " + subject)
            return fits ? size.literal : nil
        case .rational:
            guard let text = node.scalar?.text, let value = Rational(parsing: text) else { return wrongType(node, kind, subject) }
            return inRange(value.value, node, schema, subject) ? value.literal : nil
        }
    }

    private mutating func choice(
        _ scalar: YAMLScalar, _ words: [String], at range: SourceRange, _ subject: String
    ) -> ParameterLiteral? {
        if words.contains(scalar.text) { return .string(scalar.text) }
        let near = diagnostics.suggestion(for: scalar.text, among: words)
        diagnostics.add(
            Diagnostic(
                .parameterChoice, "\(subject) cannot be '\(scalar.shortText)'" + didYouMean(near), at: range,
                notes: [.init("the choices are \(listed(words, most: 8))")],
                fixIt: near.map { .init(range: range, replacement: $0) }))
        return nil
    }

    private mutating func inRange(_ value: Double, _ node: YAMLNode, _ schema: ParameterSchema, _ subject: String) -> Bool {
        if value >= schema.minimum ?? -.infinity, value <= schema.maximum ?? .infinity { return true }
        func text(_ value: Double) -> String { ParameterLiteral.number(value).canonical }
        let allowed =
            switch (schema.minimum, schema.maximum) {
            case (let low?, let high?): "between \(text(low)) and \(text(high))"
            case (let low?, nil): "at least \(text(low))"
            case (nil, let high?): "at most \(text(high))"
            case (nil, nil): "finite"
            }
        diagnostics.add(
            Diagnostic(.parameterRange, "\(subject) is \(node.scalar?.shortText ?? text(value)); it must be \(allowed)", at: node.range))
        return false
    }

    private mutating func wrongType(_ node: YAMLNode, _ kind: ParameterSchema.Kind, _ subject: String) -> ParameterLiteral? {
        var notes: [Diagnostic.Note] = []
        var fix: Diagnostic.FixIt?
        if kind == .bool, let scalar = node.scalar, scalar.isOldBoolean {
            let value = ["yes", "on", "y"].contains(scalar.text.lowercased()) ? "true" : "false"
            notes.append(.init("'\(scalar.text)' is text in YAML 1.2; write \(value)"))
            fix = .init(range: node.range, replacement: value)
        } else if let scalar = node.scalar, !scalar.isPlain, YAMLScalar.resolve(scalar.text) != .string {
            notes.append(.init("without the quotes it is \(YAMLNode(.scalar(YAMLScalar(plain: scalar.text)), at: node.range).described)"))
        } else if node.scalar?.text == "", node.range.file.origin == .commandLine {
            notes.append(.init("null stands for the default"))
        }
        diagnostics.add(
            Diagnostic(
                .parameterType, "\(subject) takes \(kind.described), this is \(node.described)", at: node.range, notes: notes,
                fixIt: fix))
        return nil
    }

    /// A tree as a literal, for parameters that take anything.
    private static func anything(_ node: YAMLNode) -> ParameterLiteral {
        switch node.content {
        case .sequence(let elements): return .list(elements.map(anything))
        case .mapping(let mapping):
            return .map(Dictionary(mapping.entries.map { ($0.key, anything($0.value)) }) { first, _ in first })
        case .scalar(let scalar):
            switch scalar.value {
            case .null: return .null
            case .bool(let value): return .bool(value)
            case .int(let value): return .integer(Int(value))
            case .float(let value): return .number(value)
            case .string: return .string(scalar.text)
            }
        }
    }
}

extension YAMLScalar {
    /// The integer that it is; `3.0` is one too.
    var integer: Int? {
        switch value {
        case .int(let value): Int(exactly: value)
        case .float(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The finite number that it is.
    var number: Double? {
        switch value {
        case .int(let value): Double(value)
        case .float(let value): value.isFinite ? value : nil
        default: nil
        }
    }
}

extension ParameterSchema.Kind {
    /// What values it has, for messages.
    var described: String {
        switch self {
        case .bool: "true or false"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "text"
        case .choice(let words): "one of \(listed(words, most: 8))"
        case .size: "a size in pixels, such as 128x192"
        case .rational: "a rate, such as 24, 29.97 or 30000/1001"
        case .list(let element): "a list, each element \(element.described)"
        case .any: "any value"
        }
    }
}
