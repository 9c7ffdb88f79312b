import GraphKit
import NodeKit

/// Reads the parts of a `node.yaml`, and says what is wrong with them.
struct ManifestReader {
    let path: String

    func error(_ node: YAMLNode, _ message: String) -> NodeError { NodeError("\(node.range.description): error: \(message)") }

    func mapping(_ node: YAMLNode, _ what: String) throws -> YAMLMapping {
        guard let mapping = node.mapping else { throw error(node, "\(what) is a mapping, this is \(node.described)") }
        return mapping
    }

    func checkKeys(_ mapping: YAMLMapping, _ known: [String]) throws {
        for entry in mapping.entries where !known.contains(entry.key) {
            throw NodeError(
                "\(entry.keyRange.description): error: unknown key '\(entry.key)'; the keys are \(known.joined(separator: ", "))")
        }
    }

    func text(_ mapping: YAMLMapping, _ key: String, in parent: YAMLNode) throws -> String {
        guard let node = mapping[key] else { throw error(parent, "'\(key)' is missing") }
        guard let scalar = node.scalar, !scalar.text.isEmpty else { throw error(node, "'\(key)' is text, this is \(node.described)") }
        return scalar.text
    }

    func integer(_ mapping: YAMLMapping, _ key: String, in parent: YAMLNode) throws -> Int {
        guard let node = mapping[key] else { throw error(parent, "'\(key)' is missing") }
        guard case .int(let value)? = node.scalar?.value else { throw error(node, "'\(key)' is a whole number, this is \(node.described)") }
        return Int(value)
    }

    func number(_ node: YAMLNode) -> Double? {
        switch node.scalar?.value {
        case .int(let value): Double(value)
        case .float(let value) where value.isFinite: value
        default: nil
        }
    }

    /// A positive number of seconds; nil when the key is absent.
    func seconds(_ mapping: YAMLMapping, _ key: String) throws -> Double? {
        guard let node = mapping[key] else { return nil }
        guard let seconds = number(node), seconds > 0 else { throw error(node, "'\(key)' is in seconds") }
        return seconds
    }

    /// A list of words; empty when the key is absent. `message` says what it is to be, `check` looks at each word.
    func words(
        _ node: YAMLNode?, _ message: String, check: (YAMLNode, String) throws -> Void = { _, _ in }
    ) throws -> [String] {
        guard let node, !node.isNull else { return [] }
        guard let items = node.sequence else { throw error(node, message) }
        return try items.map { item in
            guard let word = item.scalar?.text else { throw error(item, message) }
            try check(item, word)
            return word
        }
    }

    func boolean(_ node: YAMLNode?, _ key: String) throws -> Bool {
        guard let node else { return false }
        guard case .bool(let value)? = node.scalar?.value else { throw error(node, "'\(key)' is true or false") }
        return value
    }

    // MARK: - Ports

    func ports(_ node: YAMLNode?, isInput: Bool, suffixes: inout [String: String]) throws -> [NodeDescription.Port] {
        guard let node, !node.isNull else { return [] }
        return try mapping(node, isInput ? "'inputs'" : "'outputs'").entries.map { entry in
            // `video: video` is short for `video: { type: video }`.
            if let short = entry.value.scalar {
                return .init(name: entry.key, type: try portType(short.text, isInput, entry.value), help: "")
            }
            let port = try mapping(entry.value, "a port")
            try checkKeys(port, ["type", "help", isInput ? "optional" : "extension"])
            guard !entry.key.contains("/"), !entry.key.contains("."), !entry.key.isEmpty else {
                throw error(entry.value, "'\(entry.key)' cannot name a port")
            }
            let type = try portType(try text(port, "type", in: entry.value), isInput, entry.value)
            if let suffix = port["extension"]?.scalar?.text {
                guard type == .file, !suffix.isEmpty, suffix.allSatisfy({ $0.isLetter || $0.isNumber }) else {
                    throw error(entry.value, "'extension' is letters and digits, for outputs of type 'file'")
                }
                suffixes[entry.key] = suffix
            }
            return .init(
                name: entry.key, type: type, help: port["help"]?.scalar?.text ?? "",
                isOptional: try boolean(port["optional"], "optional"))
        }
    }

    private func portType(_ name: String, _ isInput: Bool, _ node: YAMLNode) throws -> PortType {
        let type = PortType(name)
        if PortType.all.contains(type) { return type }
        if isInput, let element = type.element, PortType.all.contains(element) { return type }
        throw error(node, "there is no port type '\(name)'; the types are \(PortType.all.map(\.name).joined(separator: ", "))")
    }

    // MARK: - Parameters

    func parameters(_ node: YAMLNode?) throws -> [NodeDescription.Parameter] {
        guard let node, !node.isNull else { return [] }
        return try mapping(node, "'parameters'").entries.map { entry in
            let parameter = try mapping(entry.value, "a parameter")
            try checkKeys(parameter, ["kind", "type", "default", "min", "max", "choices", "help", "of"])
            let kind = try kind(parameter, in: entry.value)
            guard let defaultNode = parameter["default"] else {
                throw error(entry.value, "parameter '\(entry.key)' has no 'default'; null makes it optional")
            }
            let value = Self.literal(defaultNode)
            let schema = ParameterSchema(
                kind, isOptional: value == .null, minimum: parameter["min"].flatMap(number),
                maximum: parameter["max"].flatMap(number))
            guard value == .null || Self.fits(value, kind) else {
                throw error(defaultNode, "the default of '\(entry.key)' is \(value.kind), which its kind does not take")
            }
            return .init(name: entry.key, schema: schema, defaultValue: value, help: parameter["help"]?.scalar?.text ?? "")
        }
    }

    private func kind(_ parameter: YAMLMapping, in node: YAMLNode) throws -> ParameterSchema.Kind {
        let word = try (parameter["kind"] ?? parameter["type"]).map { kind in
            guard let text = kind.scalar?.text else { throw error(kind, "'kind' is a word") }
            return text
        }
        switch word {
        case "bool", "boolean": return .bool
        case "integer", "int": return .integer
        case "number", "float": return .number
        case "string": return .string
        case "size": return .size
        case "rational": return .rational
        case "any": return .any
        case "choice":
            guard let choices = parameter["choices"]?.sequence?.compactMap({ $0.scalar?.text }), !choices.isEmpty else {
                throw error(node, "a choice needs 'choices: [one, another]'")
            }
            return .choice(choices)
        case "list":
            guard let of = parameter["of"]?.scalar?.text, let element = Self.plainKinds[of] else {
                throw error(node, "a list needs 'of:' with one of \(Self.plainKinds.keys.sorted().joined(separator: ", "))")
            }
            return .list(element)
        case let word?: throw error(node, "there is no parameter kind '\(word)'")
        case nil: throw error(node, "a parameter needs a 'kind'")
        }
    }

    private static let plainKinds: [String: ParameterSchema.Kind] = [
        "bool": .bool, "integer": .integer, "number": .number, "string": .string, "size": .size, "rational": .rational,
        "any": .any,
    ]

    private static func fits(_ value: ParameterLiteral, _ kind: ParameterSchema.Kind) -> Bool {
        switch kind {
        case .bool: Bool(literal: value) != nil
        case .integer: Int(literal: value) != nil
        case .number: Double(literal: value) != nil
        case .string: String(literal: value) != nil
        case .choice(let words): String(literal: value).map(words.contains) ?? false
        case .size: PixelSize(literal: value) != nil
        case .rational: Rational(literal: value) != nil
        case .list(let element): if case .list(let values) = value { values.allSatisfy { fits($0, element) } } else { false }
        case .any: true
        }
    }

    static func literal(_ node: YAMLNode) -> ParameterLiteral {
        switch node.content {
        case .scalar(let scalar):
            switch scalar.value {
            case .null: .null
            case .bool(let value): .bool(value)
            case .int(let value): .integer(Int(value))
            case .float(let value): .number(value)
            case .string: .string(scalar.text)
            }
        case .sequence(let nodes): .list(nodes.map(literal))
        case .mapping(let mapping): .map(Dictionary(mapping.entries.map { ($0.key, literal($0.value)) }) { $1 })
        }
    }

    // MARK: - Cost and Python

    func cost(_ node: YAMLNode?) throws -> NodeCost {
        guard let node, !node.isNull else { return NodeCost() }
        let cost = try mapping(node, "'cost'")
        try checkKeys(cost, ["threads", "memory", "limit"])
        var result = NodeCost()
        switch cost["threads"]?.scalar?.text {
        case "all": result.threads = .all
        case "1", "one", nil: break
        default: throw error(node, "'threads' is 1 or all")
        }
        if let bytes = try size(cost["memory"], "memory") { result.memory = bytes }
        if let limit = cost["limit"] {
            guard case .int(let count)? = limit.scalar?.value, count > 0 else {
                throw error(limit, "'limit' is how many may run at once, from 1")
            }
            result.limit = Int(count)
        }
        return result
    }

    /// A number of bytes; nil where it is not given.
    func size(_ node: YAMLNode?, _ name: String) throws -> Int? {
        guard let node else { return nil }
        guard let bytes = node.scalar.flatMap({ Self.bytes($0.text) }) else { throw error(node, "'\(name)' is written like 2 GiB or 512 MiB") }
        return bytes
    }

    /// Reads `512 MiB`, `2GiB`, `1.5 GB` or plain bytes.
    static func bytes(_ text: String) -> Int? {
        let units: [(String, Double)] = [
            ("KiB", 0x1p10), ("MiB", 0x1p20), ("GiB", 0x1p30), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("K", 0x1p10),
            ("M", 0x1p20), ("G", 0x1p30), ("", 1),
        ]
        for (unit, factor) in units where text.hasSuffix(unit) {
            var number = text.dropLast(unit.count)
            while number.last == " " { number.removeLast() }
            guard let value = Double(number), value >= 0, value * factor < 1e15 else { return nil }
            return Int(value * factor)
        }
        return nil
    }

    func python(_ node: YAMLNode?) throws -> ExternalManifest.Python? {
        guard let node, !node.isNull else { return nil }
        let python = try mapping(node, "'python'")
        try checkKeys(python, ["version", "requirements", "no_deps"])
        var result = ExternalManifest.Python()
        result.version = python["version"]?.scalar?.text
        func list(_ key: String) throws -> [String] {
            try words(python[key], "'\(key)' is a list of requirements") { node, word in
                // A requirement is no option of pip: an index or a file elsewhere is not for a manifest to choose.
                if word.hasPrefix("-") { throw error(node, "'\(word)' is no requirement") }
            }
        }
        result.requirements = try list("requirements")
        result.noDependencies = try list("no_deps")
        return result
    }
}
