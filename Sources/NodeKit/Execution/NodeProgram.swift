import Foundation
import Safetensors

extension Node {
    /// Makes a program of a node type, so that it can join graphs as an external node:
    ///
    ///     @main struct Posterize: Node { … }
    ///
    /// `program REQUEST` runs the node on a request file of the engine's; `program --manifest COMMAND…` prints the node.yaml that
    /// makes it known.
    public static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.first == "--manifest" {
            print(NodeProgram.manifest(of: NodeDefinition(Self.self).description, command: Array(arguments.dropFirst())), terminator: "")
            return
        }
        guard let request = arguments.first, arguments.count == 1 else {
            FileHandle.standardError.write(Data("usage: \(CommandLine.arguments[0]) REQUEST.json | --manifest COMMAND…\n".utf8))
            exit(2)
        }
        do {
            try NodeProgram.run(NodeDefinition(Self.self), request: request)
        } catch {
            NodeProgram.say(["error": "\(error)"])
            exit(1)
        }
    }
}

/// The program's side of the external node protocol.
enum NodeProgram {
    private struct Request: Decodable {
        var parameters: [String: JSONLiteral]
        var inputs: [String: [String]]
        var outputs: [String: String]
        var scratch: String
        var threads: Int
    }

    /// Runs a node on a request file.
    ///
    /// - Throws: What the node threw, or why the request cannot be read.
    static func run(_ definition: NodeDefinition, request path: String) throws {
        let request = try JSONDecoder().decode(Request.self, text: Data(contentsOf: URL(filePath: path)))
        let folder = "\(request.scratch)/outputs"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var inputs: [String: [Artifact]] = [:]
        for port in definition.description.inputs {
            let type = port.type.element ?? port.type
            // The engine knows the digests; a node has no use for them.
            inputs[port.name] = request.inputs[port.name]?.map { Artifact(type: type, path: $0, digest: .of($0)) }
        }
        let sink = OutputSink(folder: folder, syncs: false)
        let context = NodeContext(
            threads: request.threads, scratch: request.scratch,
            progress: { progress in
                var object: [String: Any] = ["done": progress.done, "unit": progress.unit]
                if let total = progress.total { object["total"] = total }
                say(["progress": object])
            },
            log: { say(["message": $0]) })
        try definition.run(
            NodeInvocation(inputs: inputs, parameters: request.parameters.mapValues(\.literal), outputs: sink, context: context))
        for (port, written) in sink.results {
            guard let target = request.outputs[port] else { continue }
            try FileManager.default.moveItem(atPath: written.path, toPath: target)
        }
    }

    /// Prints one line of JSON.
    static func say(_ object: [String: Any]) {
        guard let line = try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]) else { return }
        FileHandle.standardOutput.write(line + Data("\n".utf8))
    }

    /// The node.yaml of a node type.
    static func manifest(of node: NodeDescription, command: [String]) -> String {
        func quoted(_ text: String) -> String { ParameterLiteral.string(text).canonical }
        var lines = ["type: \(node.type)", "version: \(node.version)", "summary: \(quoted(node.summary))"]
        func section(_ title: String, _ entries: [String]) {
            if !entries.isEmpty { lines += ["\(title):"] + entries.map { "  " + $0 } }
        }
        section("inputs", node.inputs.map { "\($0.name): { type: \(quoted($0.type.name)), help: \(quoted($0.help))\($0.isOptional ? ", optional: true" : "") }" })
        section("outputs", node.outputs.map { "\($0.name): { type: \(quoted($0.type.name)), help: \(quoted($0.help)) }" })
        section(
            "parameters",
            node.parameters.map { parameter in
                var entry = "\(parameter.name): { \(kind(parameter.schema.kind)), default: \(parameter.defaultValue.canonical)"
                if let low = parameter.schema.minimum { entry += ", min: \(ParameterLiteral.number(low).canonical)" }
                if let high = parameter.schema.maximum { entry += ", max: \(ParameterLiteral.number(high).canonical)" }
                return entry + ", help: \(quoted(parameter.help)) }"
            })
        lines.append("command: [\((command.isEmpty ? [CommandLine.arguments[0]] : command).map(quoted).joined(separator: ", "))]")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func kind(_ kind: ParameterSchema.Kind) -> String {
        switch kind {
        case .bool: "kind: bool"
        case .integer: "kind: integer"
        case .number: "kind: number"
        case .string: "kind: string"
        case .size: "kind: size"
        case .rational: "kind: rational"
        case .any: "kind: any"
        case .choice(let words): "kind: choice, choices: [\(words.joined(separator: ", "))]"
        case .list(let element): "kind: list, of: \(self.kind(element).dropFirst("kind: ".count))"
        }
    }
}

/// A parameter literal as JSON.
private struct JSONLiteral: Decodable {
    let literal: ParameterLiteral

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            literal = .null
        } else if let value = try? container.decode(Bool.self) {
            literal = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            literal = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            literal = .number(value)
        } else if let value = try? container.decode(String.self) {
            literal = .string(value)
        } else if let values = try? container.decode([JSONLiteral].self) {
            literal = .list(values.map(\.literal))
        } else {
            literal = .map(try container.decode([String: JSONLiteral].self).mapValues(\.literal))
        }
    }
}
