import NodeKit

/// The JSON Schema (draft 2020-12) of graph files, so that editors complete, explain and check them.
///
///     # yaml-language-server: $schema=understudy.schema.json
public enum GraphSchema {
    private typealias JSON = ParameterLiteral

    /// Makes the schema.
    ///
    /// - Parameters:
    ///   - catalogue: The node types there are.
    ///   - isOverlay: Whether it is for overlays: nothing is required then, and `null` removes.
    /// - Returns: JSON, indented, keys sorted; the same catalogue always gives the same text.
    public static func json(catalogue: NodeCatalogue, isOverlay: Bool = false) -> String {
        let types = catalogue.values.sorted { $0.type < $1.type }
        var definitions: [String: JSON] = [
            "name": .map(["type": .string("string"), "pattern": .string(name)]),
            "wire": wire, "wires": wires, "input": input(isOverlay), "node": node(types, isOverlay),
        ]
        for type in types {
            definitions["in " + type.type.name] = inputs(type, isOverlay)
            definitions["with " + type.type.name] = parameters(type, isOverlay)
        }
        var schema: [String: JSON] = [
            "$schema": .string("https://json-schema.org/draft/2020-12/schema"),
            "title": .string(isOverlay ? "Understudy overlay" : "Understudy graph"),
            "type": .string("object"),
            "properties": .map(top(isOverlay)),
            "patternProperties": .map(["^x-": .bool(true)]),
            "additionalProperties": .bool(false),
            "$defs": .map(definitions),
        ]
        // A graph that extends another has the rest from there.
        if !isOverlay {
            schema["anyOf"] = .list([
                .map(["required": .list([.string("understudy"), .string("nodes")])]),
                .map(["required": .list([.string("extends")])]),
            ])
        }
        return pretty(.map(schema)) + "\n"
    }

    // MARK: - Parts

    private static let name = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"

    private static var wire: JSON {
        let part = "[A-Za-z_][A-Za-z0-9_-]*"
        return .map([
            "type": .string("string"),
            "pattern": .string("^(inputs\\.\(part)|each(\\.item)?|\(part)\\.[A-Za-z_][A-Za-z0-9_.-]*(\\[each\\.range\\])?)$"),
            "description": .string("'node.port', 'inputs.name', 'each.item', or 'node.port[each.range]' for the instance's frames."),
        ])
    }

    private static var wires: JSON {
        .map(["anyOf": .list([reference("wire"), .map(["type": .string("array"), "items": reference("wire")])])])
    }

    private static func top(_ isOverlay: Bool) -> [String: JSON] {
        [
            "understudy": .map(["const": .integer(GraphKeys.formatVersion), "description": .string("The format version.")]),
            "name": text("What the graph is called."),
            "description": text("What the graph is for."),
            "extends": .map([
                "description": .string("A graph file that this one is laid over; its path starts from this file's folder."),
                "anyOf": .list([
                    .map(["type": .string("string")]),
                    .map(["type": .string("array"), "items": .map(["type": .string("string")])]),
                ]),
            ]),
            "inputs": named("What a run may set from outside.", reference("input"), isOverlay),
            "nodes": named("The nodes, by name.", reference("node"), isOverlay),
            "outputs": named("What the graph is for: names for ports.", reference("wire"), isOverlay),
            "pins": .map([
                "type": .string("object"),
                "description": .string("Files in place of what ports give, by 'node.port' or 'node[3].port'; paths start from this file's folder."),
                "additionalProperties": isOverlay ? nullable(.map(["type": .string("string")]), true) : .map(["type": .string("string")]),
            ]),
        ]
    }

    private static func input(_ isOverlay: Bool) -> JSON {
        let kinds = GraphInput.Kind.allCases.map { JSON.string($0.rawValue) }
        return object(
            [
                "type": .map(["enum": .list(kinds), "description": .string("What kind of file it is.")]),
                "default": text("The file to use when the run gives none; the path starts from this file's folder."),
                "help": text("What it is, for people."),
            ], required: isOverlay ? [] : ["type"], isOverlay)
    }

    private static func node(_ types: [NodeDescription], _ isOverlay: Bool) -> JSON {
        let names = types.map { type in
            JSON.map(["const": .string(type.type.name), "description": .string(type.summary)])
        }
        let cases = types.map { type in
            JSON.map([
                "if": .map([
                    "properties": .map(["type": .map(["const": .string(type.type.name)])]),
                    "required": .list([.string("type")]),
                ]),
                "then": .map([
                    "properties": .map([
                        "in": nullable(reference("in " + type.type.name), isOverlay),
                        "with": nullable(reference("with " + type.type.name), isOverlay),
                        "carry": nullable(carry(type), isOverlay),
                    ])
                ]),
            ])
        }
        guard case .map(var node) = object(
            [
                "type": .map(["anyOf": .list(names), "description": .string("The node type; 'understudy nodes' lists them.")]),
                "in": .map(["type": .string("object"), "description": .string("Wires, by input port.")]),
                "with": .map(["type": .string("object"), "description": .string("Parameters.")]),
                "each": .map([
                    "anyOf": .list([reference("wire")]),
                    "description": .string("One instance per element of this list, for instance segments.list."),
                ]),
                "carry": .map([
                    "type": .string("object"),
                    "description": .string("INPUT: OUTPUT — that output of one instance is that input of the next."),
                ]),
                "help": text("What the node is for, for people."),
            ], required: isOverlay ? [] : ["type"], isOverlay)
        else { return .null }
        node["allOf"] = .list(cases)
        return .map(node)
    }

    private static func carry(_ type: NodeDescription) -> JSON {
        let outputs = type.outputs.map { JSON.string($0.name) }
        let ports = type.inputs.map { ($0.name, JSON.map(["enum": .list(outputs)])) }
        return .map([
            "type": .string("object"), "properties": .map(Dictionary(ports) { first, _ in first }),
            "additionalProperties": .bool(false),
        ])
    }

    private static func inputs(_ type: NodeDescription, _ isOverlay: Bool) -> JSON {
        let ports = type.inputs.map { port in
            let form = reference(port.type.element == nil ? "wire" : "wires")
            return (port.name, nullable(.map(["anyOf": .list([form]), "description": .string("\(port.help) (\(port.type))")]), isOverlay || port.isOptional))
        }
        let required = isOverlay ? [] : type.inputs.filter { !$0.isOptional }.map(\.name)
        return object(Dictionary(ports) { first, _ in first }, required: required, isOverlay)
    }

    private static func parameters(_ type: NodeDescription, _ isOverlay: Bool) -> JSON {
        var properties: [String: JSON] = [:]
        var groups: [String: [String: JSON]] = [:]
        for parameter in type.parameters {
            let value = self.value(parameter)
            properties[parameter.name] = value
            let parts = parameter.name.split(separator: ".", maxSplits: 1).map(String.init)
            if parts.count == 2 { groups[parts[0], default: [:]][parts[1]] = value }
        }
        for (name, members) in groups { properties[name] = nullable(object(members, required: [], isOverlay), isOverlay) }
        return object(properties, required: [], isOverlay)
    }

    private static func value(_ parameter: NodeDescription.Parameter) -> JSON {
        let schema = parameter.schema
        guard case .map(var value) = form(schema.kind, schema) else { return .bool(true) }
        if schema.isOptional { value = ["anyOf": .list([.map(value), .map(["type": .string("null")])])] }
        value["description"] = .string(parameter.help)
        value["default"] = parameter.defaultValue
        return .map(value)
    }

    private static func form(_ kind: ParameterSchema.Kind, _ schema: ParameterSchema) -> JSON {
        var range: [String: JSON] = [:]
        if let minimum = schema.minimum { range["minimum"] = .number(minimum) }
        if let maximum = schema.maximum { range["maximum"] = .number(maximum) }
        switch kind {
        case .bool: return .map(["type": .string("boolean")])
        case .integer: return .map(["type": .string("integer")].merging(range) { a, _ in a })
        case .number: return .map(["type": .string("number")].merging(range) { a, _ in a })
        case .string: return .map(["type": .list([.string("string"), .string("number"), .string("boolean")])])
        case .choice(let words): return .map(["enum": .list(words.map(JSON.string))])
        case .size: return .map(["type": .string("string"), "pattern": .string("^[0-9]+x[0-9]+$")])
        case .rational:
            let number = JSON.map(["type": .string("number")].merging(range) { a, _ in a })
            return .map([
                "anyOf": .list([number, .map(["type": .string("string"), "pattern": .string("^[0-9]+(/[0-9]+)?$")])])
            ])
        case .list(let element): return .map(["type": .string("array"), "items": form(element, schema)])
        case .any: return .map([:])
        }
    }

    // MARK: - JSON

    private static func reference(_ name: String) -> JSON {
        .map(["$ref": .string("#/$defs/" + name.replacing(" ", with: "%20"))])
    }

    private static func text(_ description: String) -> JSON {
        .map(["type": .string("string"), "description": .string(description)])
    }

    private static func named(_ description: String, _ value: JSON, _ isOverlay: Bool) -> JSON {
        .map([
            "type": .string("object"), "description": .string(description), "propertyNames": reference("name"),
            "additionalProperties": nullable(value, isOverlay),
        ])
    }

    private static func object(_ properties: [String: JSON], required: [String], _ isOverlay: Bool) -> JSON {
        var object: [String: JSON] = [
            "type": .string("object"),
            // An overlay that changes a node's type removes ports of the old one.
            "additionalProperties": isOverlay ? .map(["type": .string("null")]) : .bool(false),
            "properties": .map(isOverlay ? properties.mapValues { nullable($0, true) } : properties),
        ]
        if !required.isEmpty { object["required"] = .list(required.map(JSON.string)) }
        return .map(object)
    }

    private static func nullable(_ value: JSON, _ isNullable: Bool) -> JSON {
        isNullable ? .map(["anyOf": .list([value, .map(["type": .string("null")])])]) : value
    }

    private static func pretty(_ value: JSON, indent: String = "") -> String {
        let inner = indent + "  "
        switch value {
        case .map(let entries) where !entries.isEmpty:
            let lines = entries.sorted { $0.key < $1.key }.map {
                inner + JSON.string($0.key).canonical + ": " + pretty($0.value, indent: inner)
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        case .list(let elements) where elements.contains(where: { if case .map = $0 { true } else { false } }):
            return "[\n" + elements.map { inner + pretty($0, indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
        default:
            return value.canonical
        }
    }
}
